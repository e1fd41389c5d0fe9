from __future__ import annotations

import os
from pathlib import Path

import pytest

from enecg.embedding.store import source
from enecg.embedding.store.source import file_stamp

HEADER = "rec 2 500 5000\n# a comment\nsignal.dat 16 200/mV 16 0 0 0 0 I\nsignal.dat 16 200/mV 16 0 0 0 0 II\n"


def age(file: Path, seconds: int) -> None:
    os.utime(file, ns=(0, seconds * 10**9))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    (tmp_path / "rec.hea").write_text(HEADER)
    (tmp_path / "signal.dat").write_bytes(b"abcd")
    for name in ("rec.hea", "signal.dat"):
        age(tmp_path / name, 1)
    return tmp_path / "rec"


def test_a_stamp_stays_while_the_files_stay(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(record.parent)
    assert file_stamp(record) == file_stamp(str(record)) == file_stamp("rec")
    assert len(file_stamp(record) or "") == 32
    (record.parent / "rec.atr").write_bytes(b"annotations are not samples")
    (record.parent / "rec.001").write_bytes(b"nor is another record")
    assert file_stamp("rec") == file_stamp(record)


def test_a_stamp_follows_every_file_that_a_header_names(record: Path) -> None:
    before = file_stamp(record)
    (record.parent / "signal.dat").write_bytes(b"abcde")
    age(record.parent / "signal.dat", 1)
    longer = file_stamp(record)
    age(record.parent / "signal.dat", 2)
    later = file_stamp(record)
    age(record.parent / "rec.hea", 2)
    assert len({before, longer, later, file_stamp(record)}) == 4


@pytest.mark.parametrize("name", ["rec", "rec.hea", "rec.dat"])
def test_any_of_its_files_may_stand_for_a_record(record: Path, name: str) -> None:
    files = [record.with_name("rec.hea"), record.with_name("signal.dat"), record.with_name("rec.dat")]
    files[2].write_bytes(b"")
    files[0].write_text(HEADER + "rec.dat 16 200/mV 16 0 0 0 0 III\n")
    found = {file_stamp(record.with_name(name))}
    for file in files:
        age(file, 7)
        found.add(file_stamp(record.with_name(name)))
    assert len(found) == 4


def test_equal_files_in_two_folders_have_two_stamps(tmp_path: Path) -> None:
    found = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.csv").write_text("I\n0\n")
        age(tmp_path / folder / "1.csv", 0)
        found.add(file_stamp(tmp_path / folder / "1.csv"))
    assert len(found) == 2


@pytest.mark.parametrize("gone", ["rec.hea", "signal.dat"])
def test_a_file_that_is_not_there_has_no_stamp(record: Path, gone: str) -> None:
    (record.parent / gone).unlink()
    assert file_stamp(record) is None


def test_a_folder_or_an_empty_header_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert file_stamp(tmp_path / "folder") is None
    (tmp_path / "empty.hea").touch()
    assert file_stamp(tmp_path / "empty") is not None


def test_another_way_of_reading_makes_another_stamp(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_stamp(record)
    monkeypatch.setattr(source, "READING", source.READING + 1)
    assert file_stamp(record) != before
