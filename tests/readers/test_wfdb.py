"""WFDB: against independent decoding of real files, round trips, and everything that a header can get wrong."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat
from wfdb_files import write_record

from enecg import read
from enecg.errors import ReadError
from enecg.leads import STANDARD
from enecg.readers._wfdb_header import parse
from enecg.readers._wfdb_samples import physical

FOLDERS = {
    "ludb/data": 200,
    "cinc_chapman_ningbo": 85,
    "cinc_cpsc2018": 14,
    "cinc_cpsc_extra": 29,
    "cinc_ptb": 3,
    "cinc_ptbxl": 34,
    "ptbxl_raw_500hz": 43,
    "ptbxl_filtered_100hz/00000": 64,
}


def test_a0001_golden(shared_data: Path) -> None:
    recording = read(shared_data / "formats" / "A0001.hea")
    stored = loadmat(shared_data / "formats" / "A0001.mat")["val"]  # 1000 steps to the mV
    assert recording.leads == STANDARD
    assert (recording.rate, recording.seconds, recording.amplitude) == (500.0, 15.0, "mV")
    np.testing.assert_array_equal(recording.signal, (stored / 1000).astype(np.float32))
    assert recording.signal[:, 0].tolist() == pytest.approx(
        [0.028, 0.007, -0.021, -0.017, 0.024, -0.007, -0.290, -0.204, -0.096, -0.112, -0.596, -0.016]
    )
    assert (recording.subject.age, recording.subject.sex, recording.subject.id) == (74.0, "M", None)
    assert recording.facts["Dx"] == "59118001"


@pytest.mark.parametrize("folder", FOLDERS)
def test_records_of_a_folder_as_decoded_by_hand(shared_data: Path, folder: str) -> None:
    headers = sorted((shared_data / folder).glob("*.hea"))
    assert len(headers) == FOLDERS[folder]
    for header in headers[:: len(headers) // 12 or 1]:
        facts = wfdb.rdheader(str(header.with_suffix("")))
        raw = np.fromfile(header.parent / facts.file_name[0], "<i2", offset=facts.byte_offset[0] or 0)
        stored = raw.reshape(facts.sig_len, facts.n_sig)
        recording = read(header)
        expected = (stored - np.array(facts.baseline)) / np.array(facts.adc_gain)
        np.testing.assert_allclose(recording.signal, expected.T, rtol=1e-6, atol=1e-7, err_msg=str(header))
        assert recording.leads == STANDARD
        assert recording.rate == facts.fs
        assert recording.amplitude == ("normalised" if facts.units[0] == "sd" else "mV")
        assert recording.band == ((0.5, 40.0) if "filtered" in folder else None)


def same_as_the_package(header: Path) -> bool:
    """Whether our numbers are the wfdb package's, bit for bit."""
    parsed = parse(header)
    ours, _ = physical(parsed, header.parent, ignore_checksums=True)
    theirs = wfdb.rdrecord(str(header.with_suffix("")), smooth_frames=False)
    assert [line.name or "" for line in parsed.signals] == [name or "" for name in theirs.sig_name], header
    for one, other in zip(ours, theirs.e_p_signal, strict=True):
        np.testing.assert_array_equal(one, other, strict=True, err_msg=str(header))
    return True


def test_real_records_are_decoded_to_the_packages_numbers(shared_data: Path) -> None:
    with (shared_data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        records = [row["record"] for row in csv.DictReader(file)]
    alike = [record for record in records if record.startswith("ptbxl_filtered")]
    chosen = [record for record in records if record not in set(alike)] + alike[::8]
    assert all(same_as_the_package(shared_data / f"{record}.hea") for record in chosen[::3])


STORED = np.array([[-300, 0], [7, 32767], [-32768, 1], [5, -32768]])  # the lowest value means "no sample"


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ("r 2 500 4 23-Mar-2021 20:20:47", "r.dat 16 200(0)/mV 16 0 -300 0 0 I"),
        ("r 2 500 4", "r.dat 16x1 1000.0(-12)/uV 12 5 0 -17 0 I"),
        ("r 2 500 4", "r.dat 16:0 4.8828e-1(3) 16 0 0 0 0 I"),
        ("r 2 500 4", "r.dat 16 -1e3/mV 16 -7 0 0 0 I"),
        ("r 2 500", "r.dat 16 200/mV 16 0 0 0 0 I"),  # the file's size says how long it is
        ("r 2 500 3", "r.dat 16:1 200/mV 16 0 0 0 0 I"),  # skewed by a sample
        ("r 2 500 4", "r.dat 16 200/mV 16 0 0 0 0"),
        ("r 2 500 4", "r.dat 16 200/mV I"),
    ],
)
def test_signal_lines_are_read_as_the_package_reads_them(tmp_path: Path, first: str, line: str) -> None:
    second = "r.dat 16 10(2)/uV 12 5 0 -17 0 lead II"
    assert same_as_the_package(write_record(tmp_path, line, second, first=first, data=STORED))


FORMATS = {"16": 16, "24": 24, "212": 12, "32": 32, "80": 8, "516": 16}  # bits, of those that wfdb writes


@st.composite
def stored_records(draw: st.DrawFn) -> dict[str, object]:
    """What one can store in a WFDB record: format, a gain and a baseline a lead, a unit a lead, any rate and length."""
    count = draw(st.integers(1, 12))
    bits = FORMATS[format_ := draw(st.sampled_from(sorted(FORMATS)))]
    limit = 2 ** (bits - 1) - 1
    samples = draw(st.integers(20, 200))
    seed = draw(st.integers(0, 2**32 - 1))
    return {
        "format": format_,
        "leads": draw(st.permutations(STANDARD))[:count],
        "gains": draw(st.lists(st.sampled_from([1.0, 100.0, 204.8, 1000.0, 4875.25]), min_size=count, max_size=count)),
        "baselines": draw(st.lists(st.integers(-min(limit, 1000), min(limit, 1000)), min_size=count, max_size=count)),
        "units": draw(st.lists(st.sampled_from(["mV", "uV", "V"]), min_size=count, max_size=count)),
        "rate": draw(st.sampled_from([100, 128, 250, 360, 500, 977, 1000])),
        # the lowest value of a format means "no sample"
        "stored": np.random.default_rng(seed).integers(-limit - 1, limit, (samples, count), endpoint=True),
    }


@given(stored_records())
@settings(max_examples=30, deadline=None)
def test_round_trip(record: dict) -> None:
    stored, lowest = record["stored"], -(2 ** (FORMATS[record["format"]] - 1))
    count = stored.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        wfdb.wrsamp("r", record["rate"], record["units"], list(record["leads"]), d_signal=stored,
                    fmt=[record["format"]] * count, adc_gain=record["gains"], baseline=record["baselines"],
                    write_dir=folder)  # fmt: skip
        recording = read(Path(folder, "r"))
    factor = np.array([{"mV": 1, "uV": 1e-3, "V": 1e3}[unit] for unit in record["units"]])
    expected = (stored - np.array(record["baselines"])) / np.array(record["gains"]) * factor
    expected = np.where(stored == lowest, np.nan, expected).T
    np.testing.assert_allclose(recording.signal, expected, rtol=1e-6, atol=0)
    assert (recording.leads, recording.rate) == (tuple(record["leads"]), record["rate"])


@pytest.mark.parametrize("name", ["r", "r.hea", "r.dat"])
def test_a_record_has_three_names(tmp_path: Path, name: str) -> None:
    write_record(tmp_path)
    recording = read(tmp_path / name)
    np.testing.assert_allclose(recording.lead("II"), -2e-3 * np.arange(1000), rtol=1e-6)
    assert recording.source == str(tmp_path / "r.hea")


def test_record_name_with_a_point(tmp_path: Path) -> None:
    write_record(tmp_path)
    (tmp_path / "r.hea").rename(tmp_path / "2024.r.hea")
    assert read(tmp_path / "2024.r").leads == ("I", "II")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_microvolts_with_the_greek_letter_are_not_volts(tmp_path: Path, encoding: str) -> None:
    lines = ("r.dat 16 1/µV 16 0 0 0 0 I", "r.dat 16 1000(0)/mV 16 0 0 0 0 II")
    recording = read(write_record(tmp_path, *lines, encoding=encoding))
    np.testing.assert_allclose(recording.lead("I"), 1e-3 * np.arange(1000), rtol=1e-6)
    np.testing.assert_allclose(recording.lead("II"), -2e-3 * np.arange(1000), rtol=1e-6)


def test_gain_without_a_unit_means_mv(tmp_path: Path) -> None:
    recording = read(write_record(tmp_path, "r.dat 16 200 12 0 0 0 0 I", "r.dat 16 200 12 0 0 0 0 MLII"))
    assert (recording.amplitude, recording.leads) == ("mV", ("I", "II"))
    np.testing.assert_allclose(recording.lead("I"), np.arange(1000) / 200, rtol=1e-6)


def test_signals_in_several_files(tmp_path: Path) -> None:
    lines = ("r.dat 16 1000/mV 16 0 0 0 0 I", "s.dat 212 200(10)/mV 12 0 0 0 0 V1")
    header = write_record(tmp_path, *lines, first="r 2 500 4", data=np.array([1, 2, 3, 4]))
    (tmp_path / "s.dat").write_bytes(bytes([210, 0x00, 10, 10, 0x0F, 0xFF]))  # 12-bit pairs: 210, 10; -246, 255
    recording = read(header)
    np.testing.assert_allclose(recording.lead("I"), [0.001, 0.002, 0.003, 0.004], rtol=1e-6)
    np.testing.assert_allclose(recording.lead("V1"), [1.0, 0.0, -1.28, 1.225], rtol=1e-6)


def test_several_samples_a_frame_keep_their_rate(tmp_path: Path) -> None:
    lines = ("r.dat 16x2 1000/mV 16 0 0 0 0 I", "r.dat 16 1/mmHg 16 0 0 0 0 ABP")
    header = write_record(tmp_path, *lines, first="r 2 250 3", data=np.array([[1, 2, 90], [3, 4, 91], [5, 6, 92]]))
    recording = read(header)
    assert recording.rate == 500.0
    np.testing.assert_allclose(recording.lead("I"), np.arange(1, 7) / 1000, rtol=1e-6)
    assert recording.notes["skipped_signals"] == "left out: ABP (no ECG leads)"


def test_leads_of_another_rate_than_most_are_left_out(tmp_path: Path) -> None:
    lines = ("r.dat 16x2 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II", "r.dat 16x2 1000/mV 16 0 0 0 0 V1")
    header = write_record(tmp_path, *lines, first="r 3 250 1", data=np.array([1, 2, 3, 4, 5]))
    recording = read(header)
    assert (recording.rate, recording.leads) == (500.0, ("I", "V1"))
    np.testing.assert_allclose(recording.signal, [[0.001, 0.002], [0.004, 0.005]], rtol=1e-6)
    assert recording.notes["other_rate"] == "left out: II (another sampling rate than the other leads)"


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        (("Age: 85", "Sex: Male"), 85.0, "M"),
        (("<age>: 67", "<sex>: F", "<diagnoses>:", "Left atrial hypertrophy."), 67.0, "F"),
        ((" Age: 41", " Sex: Female"), 41.0, "F"),
        (("<age>: 54  <sex>: m  <diagnoses>: none",), 54.0, "M"),
        (("Age: NaN", "Sex: Unknown"), None, None),
        (("Age: 300", "gender: 1"), None, None),
        ((), None, None),
    ],
)
def test_age_and_sex_in_their_spellings(tmp_path: Path, comments: tuple[str, ...], age: float, sex: str) -> None:
    subject = read(write_record(tmp_path, comments=comments)).subject
    assert (subject.age, subject.sex) == (age, sex)


def test_facts_hold_the_diagnosis_and_not_the_person(tmp_path: Path) -> None:
    comments = ("Age: 60", "Dx: 426783006,39732003", "patient_id: p17", "band-passed 0.05 to 150 Hz", "Slow.")
    recording = read(write_record(tmp_path, comments=comments))
    assert recording.facts == {"Dx": "426783006,39732003", "comment": "band-passed 0.05 to 150 Hz; Slow."}
    assert recording.band == (0.05, 150.0)
    assert recording.subject.id == "p17"
    assert "p17" not in repr(recording)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("r.dat 16 1000/sd 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "I are normalised"),
        (("r.dat 16 1000/furlong 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "lead I: unit 'furlong'"),
        (("r.dat 16 0/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "no gain for I;"),
        (("r.dat 16", "r.dat 16"), "no names"),
        (("r.dat 16 1000/mV 16 0 0 0 0 II", "r.dat 16 1000/mV 16 0 0 0 0 ii"), "lead II occurs twice"),
        (("r.dat 16 1000/mV 16 0 0 0 0 I",), "promises 2 signals and describes 1"),
        (("../r.dat 16 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "'../r.dat' is not a file name"),
        (("/r.dat 16 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "'/r.dat' is not a file name"),
        ((".. 16 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "'..' is not a file name"),
        (("s3://b/r.dat 16 1000/mV 16 0 0 0 0 I", "r.dat 16 1/mV 16 0 0 0 0 II"), "is not a file name"),
        (("gone.dat 16 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "gone.dat is missing"),
        (("r.dat 17 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II"), "format 17"),
        (("r.dat", "r.dat"), "does not say file and format"),
        (("r.dat 516 1000/mV 16 0 0 0 0 I", "r.dat 516 1000/mV 16 0 0 0 0 II"), "do not fit together"),
    ],
)
def test_bad_signal_lines(tmp_path: Path, lines: tuple[str, ...], told: str) -> None:
    header = write_record(tmp_path, *lines)
    with pytest.raises(ReadError) as caught:
        read(header)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("", "counter frequency 'mV' is not a number"),
        ("<xml>", "not a WFDB header"),
        ("r 0 500 1000", "0 signals"),
        ("r/3 2 500 3000", "promises 3 segments and describes 2"),
        ("r 2", "no rate is stated"),
        ("r 2 0 1000", "impossible"),
        ("r 2 5.0.0 1000", "is not a number"),
        ("r 2 500 99999999999999", "truncated: 4000 bytes of the 399999999999996"),
    ],
)
def test_bad_first_lines(tmp_path: Path, first: str, told: str) -> None:
    header = write_record(tmp_path, first=first)
    with pytest.raises(ReadError) as caught:
        read(header)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("format_", "dtype", "shift"), [("61", ">i2", 0), ("160", "<u2", 32768)])
def test_formats_that_wfdb_does_not_write(tmp_path: Path, format_: str, dtype: str, shift: int) -> None:
    stored = np.array([[-300, 0], [7, 32767], [-32767, 1]])
    lines = (f"r.dat {format_} 100/mV 16 0 0 0 0 I", f"r.dat {format_} 10(5)/uV 16 0 0 0 0 II")
    header = write_record(tmp_path, *lines, first="r 2 500 3", data=(stored + shift).astype(dtype).tobytes())
    expected = [stored[:, 0] / 100, (stored[:, 1] - 5) / 10 / 1000]
    np.testing.assert_allclose(read(header).signal, expected, rtol=1e-6)


@pytest.mark.parametrize("format_", [name for name in sorted(FORMATS) if name != "516"])
@pytest.mark.parametrize("cut", [1, 100, "all"])
def test_truncated_signal_file(tmp_path: Path, format_: str, cut: int | str) -> None:
    stored = np.arange(600).reshape(300, 2) % 100
    wfdb.wrsamp("r", 500, ["mV", "mV"], ["I", "II"], d_signal=stored, fmt=[format_] * 2, adc_gain=[100.0] * 2,
                baseline=[0, 0], write_dir=str(tmp_path))  # fmt: skip
    raw = (tmp_path / "r.dat").read_bytes()
    assert read(tmp_path / "r").signal.shape == (2, 300)
    (tmp_path / "r.dat").write_bytes(b"" if cut == "all" else raw[:-cut])
    with pytest.raises(ReadError, match=r"r\.dat is truncated: \d+ bytes of the \d+"):
        read(tmp_path / "r")


def test_truncated_flac(tmp_path: Path) -> None:
    wfdb.wrsamp("r", 500, ["mV"], ["I"], d_signal=np.arange(9000)[:, None] % 500, fmt=["516"], adc_gain=[100.0],
                baseline=[0], write_dir=str(tmp_path))  # fmt: skip
    raw = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ReadError, match="do not fit together"):
        read(tmp_path / "r")


@pytest.mark.parametrize(
    "first", ["r 2 500", "r 2 500 0", "r 2 5e2 1e3 2006", "r 2 500/1000(0) 1000 16:56:02 28/06/1987", "r 2 500.0 1000"]
)
def test_length_clock_and_date_may_be_there_or_not(tmp_path: Path, first: str) -> None:
    recording = read(write_record(tmp_path, first=first))
    assert (recording.rate, recording.signal.shape) == (500.0, (2, 1000))


def test_what_the_caller_says_fills_gaps_and_contradicts_nothing(tmp_path: Path) -> None:
    header = write_record(tmp_path, first="r 2")
    assert read(header, rate=250).rate == 250.0
    with pytest.raises(ReadError, match="contradicts"):
        read(write_record(tmp_path), rate=250)
    with pytest.raises(ReadError, match="contradicts"):
        read(write_record(tmp_path), unit="uV")


def test_a_single_channel_that_is_no_standard_lead_is_kept(tmp_path: Path) -> None:
    header = write_record(tmp_path, "r.dat 16 1000/mV 16 0 0 0 0 ECG", first="r 1 500 2000")
    assert read(header).leads == ("ECG",)


@given(position=st.integers(0, 400), change=st.binary(min_size=0, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_damaged_header_is_read_or_refused(position: int, change: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        header = write_record(Path(folder), comments=("Age: 50", "Sex: Male", "band-passed 0.5-40 Hz"))
        raw = header.read_bytes()
        header.write_bytes(raw[: position % len(raw)] + change + raw[position % len(raw) + 1 :])
        try:
            recording = read(header)
        except ReadError as error:
            assert "\n" not in str(error)
        else:
            assert recording.signal.dtype == np.float32
