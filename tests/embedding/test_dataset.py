"""Gathering: recordings that an expert has seen, each with its own embeddings, whatever the order of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_experts import Summary, write_cohort

from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import gather
from enecg.embedding.pipeline import embed_recordings
from enecg.embedding.store import source, store
from enecg.embedding.store.source import file_stamp
from enecg.embedding.store.store import Store
from enecg.errors import InputError
from enecg.experts.inputs import InputSpec
from enecg.files import Place
from enecg.readers import read

EXPERTS = [Summary("wide"), Summary("narrow", InputSpec(rate=50.0, leads=("II", "V2"), scaling="none"))]


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort.load(write_cohort(tmp_path / "cohort", 8))


def test_each_recording_has_its_own_embeddings(cohort: Cohort, tmp_path: Path) -> None:
    mixed = cohort.take([5, 0, 7, 2, 3])
    data = gather(mixed, EXPERTS, Store(tmp_path / "store"), progress=False)
    assert data.cohort.records == sorted(mixed.records)
    assert data.skipped == []
    for row in range(len(data.cohort)):
        alone = embed_recordings([read(data.cohort.path(row))], EXPERTS)
        for name, matrix in data.embeddings.items():
            assert np.allclose(matrix[row], alone[name][0], atol=1e-4, equal_nan=True)
    some = data.take(np.array([False, True, False, True, True]))
    assert some.cohort.records == [data.cohort.records[i] for i in (1, 3, 4)]
    assert np.array_equal(some.embeddings["narrow"], data.embeddings["narrow"][[1, 3, 4]])


def test_the_order_of_rows_does_not_matter(cohort: Cohort, tmp_path: Path) -> None:
    one, other = (
        gather(cohort.take(order), EXPERTS, Store(tmp_path / "store"), progress=False)
        for order in ([0, 1, 2, 3], [3, 1, 0, 2])
    )
    assert one.cohort.table.equals(other.cohort.table)
    assert all(np.array_equal(one.embeddings[name], other.embeddings[name]) for name in one.embeddings)


def test_files_are_looked_at_once_however_many_experts_there_are(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | Place] = []

    def counted(at: str | Place) -> str | None:
        asked.append(at)
        return file_stamp(at)

    monkeypatch.setattr(source, "file_stamp", counted)
    gather(cohort, EXPERTS, Store(tmp_path / "store"), progress=False)
    assert asked == [cohort.path(int(row)) for row in np.argsort(cohort.records)]


def test_many_files_are_looked_at_with_a_bar(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "MANY", 9)
    gather(cohort, EXPERTS, Store(tmp_path / "store"), progress=True)
    assert "Looking" not in capfd.readouterr().err
    monkeypatch.setattr(store, "MANY", 8)
    gather(cohort, EXPERTS, Store(tmp_path / "store"), progress=True)
    assert "Looking for what is new" in capfd.readouterr().err


def test_a_recording_that_one_expert_refuses_is_kept_for_the_others(cohort: Cohort, tmp_path: Path) -> None:
    """One recording cannot be read; another lacks a lead that one of the experts insists on."""
    strict = Summary("strict", InputSpec(leads=("II", "V6"), missing="error"))
    partial = read(cohort.path(5)).select(["I", "II", "III", "V1", "V2", "V3", "V4", "V5"])
    rows = [",".join(partial.leads), *(",".join(f"{value:.3f}" for value in sample) for sample in partial.signal.T)]
    (cohort.root / "partial.csv").write_text("\n".join([f"# rate: {partial.rate}", "# unit: mV", *rows]))
    table = cohort.table.assign(record=["nowhere", *cohort.records[1:5], "partial.csv", *cohort.records[6:]])
    spoilt = Cohort.from_table(table.drop(columns="subject_id"), cohort.root, "spoilt")

    data = gather(spoilt, [*EXPERTS, strict], Store(tmp_path / "store"), progress=False)
    assert [(each.record, each.experts) for each in data.skipped] == [("nowhere", ("wide", "narrow", "strict"))]
    assert [(each.record, each.experts) for each in data.refused] == [("partial.csv", ("strict",))]
    assert data.cohort.records == sorted({*spoilt.records} - {"nowhere"})
    row = data.cohort.records.index("partial.csv")
    assert np.isnan(data.embeddings["strict"][row]).all()
    alone = embed_recordings([read(spoilt.root / "partial.csv")], [*EXPERTS, strict])
    others = np.arange(len(data.cohort)) != row
    whole = gather(cohort.take([1, 2, 3, 4, 6, 7]), [*EXPERTS, strict], Store(tmp_path / "other"), progress=False)
    for name, matrix in data.embeddings.items():
        assert np.allclose(matrix[row], alone[name][0], atol=1e-4, equal_nan=True)
        assert np.allclose(matrix[others], whole.embeddings[name], atol=1e-4, equal_nan=True)


def test_notes_of_the_files_come_with_the_quality(cohort: Cohort, tmp_path: Path) -> None:
    some = read(cohort.path(5))
    rows = [",".join([*some.leads, "Resp"]), *(",".join([*map(str, row), "0"]) for row in some.signal.T)]
    (cohort.root / "breath.csv").write_text("\n".join([f"# rate: {some.rate}", "# unit: mV", *rows]))
    table = cohort.table.assign(record=[*cohort.records[:7], "breath.csv"])
    spoilt = Cohort.from_table(table.drop(columns="subject_id"), cohort.root, "spoilt")
    data = gather(spoilt, EXPERTS, Store(tmp_path / "store"), progress=False)
    notes = dict(zip(data.cohort.records, data.notes, strict=True))
    assert notes.pop("breath.csv") == ("left out: Resp (no ECG leads)",)
    assert set(notes.values()) == {()}
    assert data.take(np.array([data.cohort.records.index("breath.csv")])).notes == [("left out: Resp (no ECG leads)",)]


def test_where_nothing_is_left_the_first_reason_is_told(cohort: Cohort, tmp_path: Path) -> None:
    strict = Summary("strict", InputSpec(leads=("II", "V9"), missing="error"))
    with pytest.raises(InputError, match=r"none of 8 recordings can be used; first: .*V9"):
        gather(cohort, [strict], Store(tmp_path / "store"), progress=False)
