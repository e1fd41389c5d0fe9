"""What every layout keeps, over all modules of `enecg.cohorts.layouts`; each needs a sample of its name beside this."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from enecg.cohorts.layouts import layout_of, layouts, names
from enecg.cohorts.listing import listed
from enecg.cohorts.manifest import Cohort

SAMPLES = Path(__file__).parent / "samples"
KEYS = sorted(layouts())


def head(sample: Path) -> bytes:
    return b"" if sample.is_dir() else sample.read_bytes()[:4096]


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_its_sample_is_its_own(key: str) -> None:
    sample = SAMPLES / key
    assert [name for name, each in layouts().items() if each.recognises(sample, head(sample))] == [key]
    assert layout_of(sample, head(sample)) is layouts()[key]
    assert layouts()[key].NAME in names()


def test_its_table_is_a_manifest(key: str) -> None:
    cohort = Cohort.load(SAMPLES / key)
    assert len(cohort) == 2 == len(set(cohort.subjects.tolist()))
    assert all(cohort.records)
    again = Cohort.load(SAMPLES / key, f"record == {cohort.records[1]!r}")
    assert again.records == [cohort.records[1]]


def test_predict_takes_its_recordings(key: str, tmp_path: Path) -> None:
    sample = SAMPLES / key
    at = tmp_path / (key if sample.is_dir() else f"{key}.jsonl")
    (shutil.copytree if sample.is_dir() else shutil.copyfile)(sample, at)
    assert [item.record for item in listed([at]).items] == Cohort.load(at).records


def test_it_takes_nothing_else(key: str, tmp_path: Path) -> None:
    layout = layouts()[key]
    (tmp_path / "m.csv").write_text("record,age\na,50\n")
    assert not layout.recognises(tmp_path, b"")
    assert not layout.recognises(tmp_path / "m.csv", b"record,age\na,50\n")
    assert not layout.recognises(tmp_path / "m.parquet", b"PAR1")


def test_a_damaged_sample_is_one_line(key: str, tmp_path: Path) -> None:
    """Every file of the sample holds its first bytes only."""
    from enecg.errors import InputError

    sample = SAMPLES / key
    at = tmp_path / key
    (shutil.copytree if sample.is_dir() else shutil.copyfile)(sample, at)
    for file in [at] if at.is_file() else at.iterdir():
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError) as caught:
        Cohort.load(at)
    assert "\n" not in str(caught.value)
