"""Which reader a file gets: by what it holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wfdb_files import write_record

import enecg
from enecg.errors import ReadError
from enecg.readers import read
from enecg.readers.registry import FORMATS


def test_the_public_name_is_the_function() -> None:
    assert enecg.read is read
    assert "read" in enecg.__all__


def test_formats_are_asked_in_their_order() -> None:
    assert [each.key for each in FORMATS] == ["wfdb", "dicom", "edf", "muse", "philips", "csv"]


def test_importing_enecg_loads_no_reader() -> None:
    told = (
        "import sys, enecg; enecg.read; print([m for m in ('wfdb', 'pydicom', 'pandas', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_content_and_not_the_extension_decides(tmp_path: Path) -> None:
    pydicom_data = pytest.importorskip("pydicom.data")
    dicom = tmp_path / "ecg.csv"
    shutil.copy(pydicom_data.get_testdata_file("waveform_ecg.dcm"), dicom)
    text = tmp_path / "ecg.dcm"
    text.write_text("# rate: 500\n# unit: mV\nI,II\n1,2\n")
    assert read(dicom).rate == 1000.0
    assert read(text).rate == 500.0


def test_a_csv_beside_a_record_of_the_same_name(tmp_path: Path) -> None:
    write_record(tmp_path)
    (tmp_path / "r.csv").write_text("# rate: 250\n# unit: mV\nV6\n1\n2\n")
    assert read(tmp_path / "r.csv").leads == ("V6",)
    assert read(tmp_path / "r").leads == ("I", "II")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"r7: no such file, and no r7\.hea beside it"):
        read(tmp_path / "r7")


def test_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, ".", "/"):
        with pytest.raises(ReadError, match="is a folder"):
            read(path)


def test_a_format_that_is_not_read_here(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(
        ReadError, match=r"not a format that is read here \(WFDB, DICOM, EDF, MUSE XML, Philips XML, CSV\)"
    ):
        read(tmp_path / "a.zip")


@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode),
                 st.binary(max_size=200).map(lambda tail: bytes(128) + b"DICM" + tail),
                 st.text("IV12,;\n.0#:= mV\t-", max_size=80).map(str.encode)))  # fmt: skip
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        try:
            recording = read(path, rate=500, unit="mV")
        except ReadError as error:
            assert "\n" not in str(error)
        else:
            assert recording.signal.ndim == 2
