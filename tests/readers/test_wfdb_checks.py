"""WFDB files that contradict themselves, each with the right answer: checksums, lengths, segments, skew, comments."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb
from wfdb_files import write_record
from wfdb_mutations import RECORDS, mutated_header, mutated_signals, outcome

from enecg import read
from enecg.errors import InputError, ReadError
from enecg.leads import STANDARD


@pytest.fixture
def cases(shared_data: Path) -> Path:
    return shared_data.parent / "cases"


@pytest.fixture
def more(shared_data: Path) -> Path:
    return shared_data / "formats_more" / "wfdb"


@pytest.mark.parametrize("name", ["other", "cut", "tail", "shift"])
def test_samples_that_are_not_the_headers(cases: Path, name: str) -> None:
    at = cases / "wfdb-samples-that-are-not-the-headers" / name
    with pytest.raises(ReadError, match=r"checksum of signal I is 9938, its samples give -?\d+; the file is damaged"):
        read(at)
    recording = read(at, ignore_checksums=True)
    assert "checksum of signal I is 9938" in recording.notes["checksums_ignored"]


@pytest.mark.parametrize(("name", "age", "sex"), [("m", 45.0, "M"), ("edb", 62.0, "M")])
def test_age_and_sex_in_one_comment(cases: Path, name: str, age: float, sex: str) -> None:
    subject = read(cases / "wfdb-age-and-sex-in-one-comment" / name).subject
    assert (subject.age, subject.sex) == (age, sex)


@pytest.mark.parametrize("name", ["zero", "exp"])
def test_zero_frames_and_exponents(cases: Path, name: str) -> None:
    recording = read(cases / "wfdb-zero-frames-and-exponents" / name)
    assert (recording.rate, recording.signal.shape) == (250.0, (12, 2500))


def test_skew_counts_frames(cases: Path) -> None:
    at = cases / "wfdb-skew-and-frames" / "mf.dat"
    recording, stored = read(at), np.fromfile(at, "<i2").reshape(1250, 4)
    first = np.append(stored[1:, :2].ravel() / 1000, [np.nan, np.nan])
    np.testing.assert_allclose(recording.lead("I"), first, rtol=1e-6)
    np.testing.assert_allclose(recording.lead("II"), stored[:, 2:].ravel() / 1000, rtol=1e-6)


def test_a_name_beyond_ascii(cases: Path) -> None:
    for ending in (".hea", ".dat", ""):
        assert read(cases / "names-beyond-ascii" / f"Ü1{ending}").leads == STANDARD


def test_mit_bih_comment(tmp_path: Path) -> None:
    recording = read(write_record(tmp_path, comments=(" 23 F 1085 1629 x1", " Aldomet, Inderal")))
    assert (recording.subject.age, recording.subject.sex) == (23.0, "F")
    assert recording.facts["comment"] == "1085 1629 x1; Aldomet, Inderal"


def test_two_ages_are_no_age(tmp_path: Path) -> None:
    recording = read(write_record(tmp_path, comments=("Age: 60", "Age: 61", "Sex: M")))
    assert (recording.subject.age, recording.subject.sex) == (None, "M")
    assert recording.notes["contrary_ages"] == "left out: the file states 2 different ages"


LINES = ("r.dat 16 1000/mV 16 0 3 6 0 I", "r.dat 16 1000/mV 16 0 5 65535 0 II")
RIGHT = np.array([[3, 5], [1, -7], [2, 1]])  # sums 6 and -1, which is 65535 in 16 bits


def test_checksums_may_be_written_with_or_without_a_sign(tmp_path: Path) -> None:
    assert read(write_record(tmp_path, *LINES, first="r 2 500 3", data=RIGHT)).notes == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.add(RIGHT, [[0, 0], [1, 0], [0, 0]]), "checksum of signal I is 6, its samples give 7"),
        (RIGHT[::-1], "initial value of signal I is 3, its first sample is 2"),
        (RIGHT[:2], "r.dat is truncated: 8 bytes"),
    ],
)
def test_a_misfit_is_refused(tmp_path: Path, data: np.ndarray, message: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(write_record(tmp_path, *LINES, first="r 2 500 3", data=data))
    assert message in str(caught.value)


def test_more_bytes_than_promised_are_left_out_where_the_checksums_prove_the_rest(tmp_path: Path) -> None:
    longer = np.vstack([RIGHT, [[9, 9]]])
    recording = read(write_record(tmp_path, *LINES, first="r 2 500 3", data=longer))
    assert recording.signal.shape == (2, 3)
    assert recording.notes["surplus_samples"] == "left out: r.dat holds 4 bytes more than the header promises"
    plain = [line.replace(" 3 6 ", " 0 0 ").replace(" 5 65535 ", " 0 0 ") for line in LINES]
    with pytest.raises(ReadError, match="holds 4 bytes more than the header promises"):
        read(write_record(tmp_path, *plain, first="r 2 500 3", data=longer))


def test_checksums_of_zero_are_no_checksums(tmp_path: Path) -> None:
    plain = [line.replace(" 6 ", " 0 ").replace(" 65535 ", " 0 ") for line in LINES]
    assert "checksums_unset" in read(write_record(tmp_path, *plain, first="r 2 500 3", data=RIGHT)).notes


def test_several_segments_of_a_fixed_layout(more: Path) -> None:
    recording = read(more / "041s" / "041s")
    parts = [wfdb.rdrecord(str(more / "041s" / name), smooth_frames=False) for name in ("041s01", "041s02")]
    expected = [np.concatenate([part.e_p_signal[row] for part in parts]) for row in (0, 1)]
    assert (recording.rate, recording.leads) == (500.0, ("III", "I"))
    np.testing.assert_allclose(recording.signal, expected, rtol=1e-6, equal_nan=True)


def variable(folder: Path, more: Path) -> Path:
    """The two segments that are there of p000878, with gaps, as a record of their own."""
    for file in (more / "p000878").iterdir():
        if file.name.startswith("3269321"):
            shutil.copy(file, folder)
    header = folder / "part.hea"
    header.write_text("part/5 4 125 4250\n3269321_layout 0\n~ 250\n3269321_0001 2000\n3269321_0002 1750\n~ 250\n")
    return header


def test_several_segments_of_a_variable_layout(tmp_path: Path, more: Path) -> None:
    recording = read(variable(tmp_path, more))
    second = wfdb.rdrecord(str(tmp_path / "3269321_0002")).p_signal[:, 0]
    expected = np.concatenate([np.full(2250, np.nan), second, np.full(250, np.nan)])
    np.testing.assert_allclose(recording.lead("II"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("4250", "4251", "the record states 4251 samples, its segments sum to 4250"),
        ("0002 1750", "0002 1751", "states 4250 samples"),
        ("part/5 4 125 4250", "part/5 4 250 4250", "states 250.0 Hz, its segment 3269321_layout 125.0 Hz"),
        ("_0002", "_0003", "segment 3269321_0003.hea is missing"),
        ("3269321_0002", "../3269321_0002", "is not a file name"),
        ("~ 250", "~ 99999999999", "segments sum to"),
    ],
)
def test_segments_that_contradict_the_record(tmp_path: Path, more: Path, old: str, new: str, message: str) -> None:
    header = variable(tmp_path, more)
    header.write_text(header.read_text().replace(old, new, 1))
    with pytest.raises(ReadError) as caught:
        read(header)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["100_3chan", "flacformats"])
def test_storage_formats_as_the_wfdb_package_reads_them(more: Path, name: str) -> None:
    expected = np.array(wfdb.rdrecord(str(more / name), smooth_frames=False).e_p_signal)
    np.testing.assert_allclose(read(more / name).signal, expected, rtol=1e-6, equal_nan=True)


def test_every_binary_format_gives_its_header_s_checksum(more: Path) -> None:
    recording = read(more / "binformats")  # one signal in each of the ten; the package cannot parse this header
    assert (recording.signal.shape, dict(recording.notes)) == ((10, 499), {})


@pytest.mark.parametrize(
    "line",
    [
        "r.dat 16 1e-999(0)/mV 16 0 3 6 0 I",
        "r.dat 16 1000(1.5)/mV 16 0 3 6 0 I",
        "r.dat 16 1000(0/mV 16 0 3 6 0 I",
        "r.dat 16 10x0(0)/mV 16 0 3 6 0 I",
        "r.dat 16 1000(0)/mV 16 0 3x 6 0 I",
        "r.dat 16x0 1000(0)/mV 16 0 3 6 0 I",
        "r.dat 16 1e-9/mV 16 0 3 6 0 I",
    ],
)
def test_no_number_is_read_by_its_first_characters(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError):
        read(write_record(tmp_path, line, LINES[1], first="r 2 500 3", data=RIGHT))


@pytest.mark.parametrize(("first", "date"), [("r 2 500 3 10:00 1/2/1999", "1999-02-01"), ("r 2 500 3 2006", "2006"),
                                             ("r 2 500 3 23-Mar-2021 20:20:47", "2021-03-23")])  # fmt: skip
def test_dates(tmp_path: Path, first: str, date: str) -> None:
    assert read(write_record(tmp_path, *LINES, first=first, data=RIGHT)).facts["recorded"] == date


def test_changed_signal_files_are_not_read_with_other_samples(shared_data: Path, tmp_path: Path) -> None:
    """152 changes; `scripts/mutated_wfdb.py` has more."""
    counts: Counter[str] = Counter()
    for number in range(152):
        record = shared_data / RECORDS[number % len(RECORDS)]
        rng = random.Random(number)
        counts[outcome(record, mutated_signals(record, rng), record.suffix, tmp_path)] += 1
    assert counts["silent"] <= 1
    assert counts["refused"] > 100


def test_changed_headers_mostly_speak(shared_data: Path, tmp_path: Path) -> None:
    """What one field alone says (a rate, a gain that all leads share) cannot be checked against anything."""
    counts: Counter[str] = Counter()
    for number in range(150):
        record = shared_data / RECORDS[number % len(RECORDS)]
        counts[outcome(record, mutated_header(record, random.Random(number)), ".hea", tmp_path)] += 1
    assert counts["silent"] <= 20
