from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from enecg import files
from enecg.cohorts.listing import Item, listed
from enecg.errors import InputError

FILES = (
    "a/2.hea", "a/2.dat", "a/1.hea", "a/1.mat", "b/x.DCM", "b/y.xml", "b/samples.csv", "b/README.md", "b/RECORDS",
    "manifest.csv", ".hidden/3.hea", "b/._x.dcm",
)  # fmt: skip
CONTENT = {"manifest.csv": "age; record\n1; a/1\n2; ../out\n", "b/samples.csv": "I,II\n0,0\n"}


@pytest.fixture(params=["path", "memory"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> files.Place:
    folder: files.Place = tmp_path if request.param == "path" else f"memory://{uuid4().hex}"
    for name in FILES:
        with files.writing(files.place(f"{folder}/{name}")) as file:
            file.write(CONTENT.get(name, "").encode())
    return folder


def names(home: files.Place, items: list[Item]) -> list[str]:
    assert all(str(item.at) == item.record and not item.reason for item in items)
    return [item.record.removeprefix(f"{home}/") for item in items]


def test_a_folder_gives_its_recordings_and_says_what_it_leaves(home: files.Place) -> None:
    found = listed([home])
    assert names(home, found.items) == ["a/1.hea", "a/2.hea", "b/samples.csv", "b/x.DCM", "b/y.xml"]
    assert found.left == {".md": 1, "": 1, ".csv": 1}


@pytest.mark.parametrize("name", ["DICOM/IM000001", "1.2.840.113619.2.1.77", "x.DICOM", "export/00042"])
def test_a_recording_without_an_ending_is_found_by_its_content(home: files.Place, name: str) -> None:
    at = files.place(f"{home}/{name}")
    with files.writing(at) as file:
        file.write(bytes(128) + b"DICM" + bytes(100))
    for other in ("DICOMDIR", "DICOM/VERSION", "export/00041"):
        with files.writing(files.place(f"{home}/{other}")) as file:
            file.write(bytes(128) + b"DICM" if other == "DICOMDIR" else b"1.0\n")
    found = listed([home])
    assert set(names(home, found.items)) == {"a/1.hea", "a/2.hea", "b/samples.csv", "b/x.DCM", "b/y.xml", name}
    assert found.left == {".md": 1, "": 4, ".csv": 1}


def test_a_pattern_gives_what_it_names(home: files.Place) -> None:
    assert names(home, listed([f"{home}/**/*.hea"]).items)[-2:] == ["a/1.hea", "a/2.hea"]
    assert names(home, listed([f"{home}/b/?.*"]).items) == ["b/x.DCM", "b/y.xml"]


def test_a_manifest_gives_its_records_by_their_names(home: files.Place) -> None:
    good, bad = listed([f"{home}/manifest.csv"]).items
    assert (good.record, str(good.at), good.reason) == ("a/1", f"{home}/a/1", "")
    assert (bad.record, bad.at) == ("../out", None)
    assert "leaves the manifest's folder" in bad.reason


def test_files_are_taken_as_they_are_named(home: files.Place) -> None:
    wanted = [f"{home}/{name}" for name in ("a/1", "nowhere.dcm", "b/samples.csv")]
    assert [item.record for item in listed(wanted).items] == wanted


@pytest.mark.parametrize("name", ["empty", "*.nothing"])
def test_where_nothing_is_that_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no recording is there"):
        listed([tmp_path / name])


def test_relative_patterns_and_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].hea", "b.hea"):
        (tmp_path / name).touch()
    assert [item.record for item in listed(["*.hea"]).items] == ["a[1].hea", "b.hea"]
    assert [item.record for item in listed(["a[1].hea"]).items] == ["a[1].hea"]
