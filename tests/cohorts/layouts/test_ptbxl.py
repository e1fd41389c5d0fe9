"""A folder laid out as PTB-XL, made from rows of its real table, against labels that were derived independently."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from enecg import read
from enecg.cohorts.layouts.ptbxl import table
from enecg.cohorts.manifest import Cohort
from enecg.ensemble.expert_info import ExpertInfo
from enecg.errors import InputError
from enecg.evaluation.protocol import seen_in_pretraining
from enecg.experts import registry
from enecg.tasks import parse_tasks

# The diagnostic statements of each superclass, and the statements about rhythm, as scp_statements.csv lists them.
SUPERCLASS = {
    "NORM": "NORM",
    "MI": "IMI ASMI ILMI AMI ALMI INJAS LMI INJAL IPLMI IPMI INJIN INJLA PMI INJIL",
    "STTC": "NDT NST_ DIG LNGQT ISC_ ISCAL ISCIN ISCIL ISCAS ISCLA ANEUR EL ISCAN",
    "CD": "LAFB IRBBB 1AVB IVCD CRBBB CLBBB LPFB WPW ILBBB 3AVB 2AVB",
    "HYP": "LVH LAO/LAE RVH RAO/RAE SEHYP",
}
RHYTHM = "SR AFIB STACH SARRH SBRAD PACE SVARR BIGU AFLT SVTAC PSVT TRIGU"


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of the real table whose recordings are at hand, and the first of these recordings at 500 Hz."""
    folder = tmp_path_factory.mktemp("ptbxl")
    known = pd.read_csv(shared_data / "manifest.csv", dtype=str)
    ids = known.loc[known["dataset"].str.startswith("PTB-XL"), "source_id"].astype(int)
    one = min((shared_data / "ptbxl_raw_500hz").glob("*_hr.hea"))
    rows = pd.read_csv(shared_data / "ptbxl_metadata.csv")
    rows = rows[rows["ecg_id"].isin(ids)]
    rows = rows.sort_values("ecg_id", key=lambda column: column != int(one.name.split("_")[0]), kind="stable")
    rows.to_csv(folder / "ptbxl_database.csv", index=False)
    lines = [f"{code},1.0,,{name}" for name, codes in SUPERCLASS.items() for code in codes.split()]
    lines += [f"{code},,1.0," for code in RHYTHM.split()]
    (folder / "scp_statements.csv").write_text("\n".join([",diagnostic,rhythm,diagnostic_class", *lines]))
    for ending in (".hea", ".dat"):
        place = folder / (rows["filename_hr"].iloc[0] + ending)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.with_suffix(ending), place)
    return folder


def test_labels_are_those_derived_elsewhere(folder: Path, shared_data: Path) -> None:
    ours = Cohort.load(folder).table.set_index("ecg_id")
    known = Cohort.load(shared_data / "manifest.csv", "dataset.str.startswith('PTB-XL')").table
    known = known.set_index(known["source_id"].astype(int))
    known = known[~known.index.duplicated()]
    assert sorted(ours.index) == sorted(known.index)
    ours = ours.loc[known.index]
    for column in ("subject_id", "sex", "age", "strat_fold"):
        pd.testing.assert_series_equal(ours[column], known[column], check_dtype=False, check_names=False)
    assert ours["age"].isna().sum() > 10
    assert set(ours["dataset"]) == {"PTB-XL"}
    assert ours["rhythm"].tolist() == known["rhythm"].fillna("").tolist()
    found = [set(cell.split(";")) - {""} for cell in ours["superclass"]]
    assert found == [set(cell.split(";")) - {""} for cell in known["superclass"].fillna("")]


def test_tasks_are_read(folder: Path) -> None:
    whole = Cohort.load(folder, "strat_fold <= 8")
    for task in parse_tasks("age,sex,arrhythmia=rhythm,superclass:multilabel"):
        target = whole.target(task)
        assert target.known.mean() > 0.9
        assert not target.problems


def test_records_lie_where_the_table_says(folder: Path, tmp_path: Path) -> None:
    recording = read(Cohort.load(folder).path(0))
    assert (recording.rate, len(recording.leads)) == (500.0, 12)
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(folder / name, tmp_path)
    assert table(folder, b"")["record"].str.startswith("records500/").all()
    assert table(tmp_path, b"")["record"].str.startswith("records100/").all()


def test_another_table(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "scp_statements.csv", tmp_path)
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id,patient_id\n1,2\n")
    with pytest.raises(InputError, match="columns missing: age, sex, scp_codes, strat_fold, filename_hr, filename_lr"):
        Cohort.load(tmp_path)
    (tmp_path / "ptbxl_database.csv").write_text("")
    with pytest.raises(InputError, match=r"ptbxl_database\.csv: not a readable table"):
        Cohort.load(tmp_path)
    rows = pd.read_csv(folder / "ptbxl_database.csv").head(2)
    rows.assign(scp_codes="{'NORM': 100").to_csv(tmp_path / "ptbxl_database.csv", index=False)
    with pytest.raises(InputError, match="a cell of scp_codes is no dictionary"):
        Cohort.load(tmp_path)


def test_experts_that_have_seen_it_are_told(folder: Path) -> None:
    cards = (registry.entry(name).card() for name in ("openecg", "tiny", "merl"))
    infos = [
        ExpertInfo(card.name, "0" * 64, 1, corpora=card.corpora, label_corpora=card.label_corpora) for card in cards
    ]
    told = seen_in_pretraining(Cohort.load(folder), infos)
    assert told == [
        "expert openecg has seen PTB-XL with labels: its results here are too good",
        "expert tiny has seen PTB-XL without labels",
    ]
