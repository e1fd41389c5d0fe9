from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow.parquet as pq
import pytest

from commands import done, refused
from enecg import NOTICE, api, files
from enecg.cohorts.listing import listed
from enecg.ensemble import archive
from enecg.ensemble import predictions as answer
from generated import Trained, read_rows

PORTION = 8


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PORTION", PORTION)


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> api.Bundle:
    return api.load(trained.bundle)


@pytest.fixture
def home(trained: Trained, tmp_path: Path) -> Path:
    """Twenty recordings, the fourth of them truncated and the sixth without a signal."""
    folder = tmp_path / "records"
    folder.mkdir()
    for number, one in enumerate(read_rows(trained.manifest)[:20]):
        for ending in (".hea", ".dat"):
            place = trained.manifest.parent / (one["record"] + ending)
            shutil.copy(place, folder / place.name)
            if ending == ".dat" and number in (3, 5):
                size = place.stat().st_size
                (folder / place.name).write_bytes(bytes(size if number == 5 else size // 2))
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read."""
    found: list[str] = []
    original = answer.opened

    def reading(path: Any, **options: Any) -> Any:
        found.append(str(path))
        return original(path, **options)

    monkeypatch.setattr(answer, "opened", reading)
    return found


def test_a_row_says_what_the_document_says(bundle: api.Bundle, home: Path, tmp_path: Path) -> None:
    summary = api.predict_archive(bundle, home, tmp_path / "out.parquet")
    assert (summary.n, summary.usable, summary.reused) == (20, 18, 0)
    table = pd.read_parquet(tmp_path / "out.parquet")
    document = api.predict(bundle, listed([home]).items)
    entries = {each["record"]: each for each in [*document["predictions"], *document["skipped"]]}
    assert table["record"].tolist() == sorted(entries) and len(table) == 20
    assert set(table["bundle"]) == {bundle.digest} and set(table["notice"]) == {NOTICE}
    for _, row in table.iterrows():
        entry = entries[row["record"]]
        assert row["usable"] == entry.get("usable", False)
        if "reason" in entry:
            assert row["quality"] == entry["reason"]
        elif entry["usable"]:
            age, sex = entry["tasks"]["age"], entry["tasks"]["sex"]
            assert row["sex_decision"] == sex["decision"]
            shown = [row[name] for name in ("age", "age_low", "sex_p_F", "age_weight_beat")]
            meant = [age["value"], age["low"], sex["probabilities"]["F"], age["weights"]["beat"]]
            assert shown == pytest.approx(meant, rel=1e-3, abs=1e-3)  # portions of another size round differently
    bad = table[~table["usable"]]
    assert [name.split("/")[-1] for name in bad["record"]] == [sorted(home.glob("*.hea"))[i].name for i in (3, 5)]
    assert all(bad["quality"].str.len() > 10) and bad["age"].isna().all() and bad["sex_decision"].isna().all()
    assert {record for record, _ in summary.failed} == set(bad["record"])


def test_rows_are_written_as_they_come(
    bundle: api.Bundle, home: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, original = [], pq.ParquetWriter.write_table

    def write(self: Any, table: Any, *args: Any) -> None:
        seen.append((len(read), len(table)))
        original(self, table, *args)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write)
    api.predict_archive(bundle, home, tmp_path / "out.parquet")
    assert seen == [(8, 8), (16, 8), (20, 4)]
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3


def test_a_folder_goes_on_where_it_was(
    bundle: api.Bundle, home: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    api.predict_archive(bundle, home, whole)
    read.clear()
    original = archive.answered

    def interrupted(*args: Any, **options: Any) -> Any:
        if len(read) >= 8:
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "answered", interrupted)
        with pytest.raises(KeyboardInterrupt):
            api.predict_archive(bundle, home, out)
    assert len(list(out.iterdir())) == 1
    summary = api.predict_archive(bundle, home, out)
    assert (summary.n, summary.usable, summary.reused, len(read)) == (20, 18, 8, 20)
    parts = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (out, whole)]
    assert parts[0] == parts[1] and len(parts[0]) == 3
    assert pd.read_parquet(out)["record"].tolist() == [item.record for item in listed([home]).items]


def test_a_changed_archive_is_answered_anew_where_it_changed(
    bundle: api.Bundle, home: Path, tmp_path: Path, read: list[str]
) -> None:
    out = tmp_path / "out"
    api.predict_archive(bundle, home, out)
    last = max(home.glob("*.hea"))
    for ending in (".hea", ".dat"):
        last.with_suffix(ending).unlink()
    damaged = min(out.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-5])
    read.clear()
    summary = api.predict_archive(bundle, home, out)
    assert (summary.n, summary.reused, len(read)) == (19, 8, 11)
    assert len(list(out.iterdir())) == 3 and len(pd.read_parquet(out)) == 19


def test_predictions_of_another_bundle_are_not_mixed(bundle: api.Bundle, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    api.predict_archive(bundle, home, out)
    before = sorted(path.name for path in out.iterdir())
    other = api.Bundle(bundle.ensemble, bundle.experts, "0" * 64)
    with pytest.raises(api.InputError, match="holds predictions of another bundle"):
        api.predict_archive(other, home, out)
    assert sorted(path.name for path in out.iterdir()) == before


def test_an_interrupted_file_is_not_there(
    bundle: api.Bundle, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "answered", interrupted)
    with pytest.raises(KeyboardInterrupt):
        api.predict_archive(bundle, home, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_from_url_to_url(bundle: api.Bundle, home: Path, tmp_path: Path) -> None:
    far = f"memory://{uuid4().hex}"
    for path in home.iterdir():
        with files.writing(f"{far}/{path.name}") as file:
            file.write(path.read_bytes())
    api.predict_archive(bundle, home, tmp_path / "out.parquet")
    for out in (f"{far}/out.parquet", f"{far}/out"):
        summary = api.predict_archive(bundle, far, out)
        assert (summary.n, summary.usable) == (20, 18)
    assert api.predict_archive(bundle, far, f"{far}/out").reused == 20
    near = pd.read_parquet(tmp_path / "out.parquet").drop(columns=["record", "quality"])
    with files.reading(f"{far}/out.parquet") as file:
        pd.testing.assert_frame_equal(pq.read_table(file).to_pandas().drop(columns=["record", "quality"]), near)


def test_the_command_takes_folders_manifests_and_patterns(trained: Trained, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.parquet"
    told = done("predict", trained.bundle, home, "--format", "parquet", "--out", out, "--quiet")
    assert "20 recordings: 18 answered" in told.err and NOTICE in told.err
    assert told.err.count("not answered: ") == 2
    manifest = home / "manifest.csv"
    names = sorted(path.stem for path in home.glob("*.hea"))
    manifest.write_text("record\n" + "\n".join(names) + "\n../x\n")
    done("predict", trained.bundle, manifest, "--format", "parquet", "--out", out, "--quiet")
    table = pd.read_parquet(out)
    assert table["record"].tolist() == [*names, "../x"]
    assert "leaves the manifest's folder" in table["quality"].iloc[-1]
    told = done("predict", trained.bundle, home / "*1*.hea", "--format", "csv")
    assert len(told.out.splitlines()) == 1 + len(list(home.glob("*1*.hea")))


def test_an_archive_of_which_nothing_can_be_read(trained: Trained, home: Path, tmp_path: Path) -> None:
    for path in home.glob("*.dat"):
        path.unlink()
    out = tmp_path / "out.parquet"
    told = refused("predict", trained.bundle, home, "--format", "parquet", "--out", out, "--quiet")
    assert told == "error: none of 20 files could be interpreted; the reasons are above"
    assert len(pd.read_parquet(out)) == 20
