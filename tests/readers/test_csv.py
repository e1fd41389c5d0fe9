"""CSV: every way to state rate and unit, round trips, and what is refused."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg import read
from enecg.errors import ReadError
from enecg.leads import STANDARD, derive

ONE_SAMPLE = "I,II\n1,2\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "ecg.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_hospital_file_that_says_nothing_of_itself(shared_data: Path) -> None:
    path = shared_data / "formats" / "twelve_lead_500hz_mv.csv"
    with pytest.raises(ReadError, match=r"no unit is stated; write a line `# unit: mV` on top or say it with --unit"):
        read(path)
    with pytest.raises(ReadError, match=r"no rate is stated; write a line `# rate: 500` on top.*or say it with --rate"):
        read(path, unit="mV")
    recording = read(path, rate=500, unit="mV")
    assert (recording.leads, recording.seconds, recording.amplitude) == (STANDARD, 10.0, "mV")
    np.testing.assert_allclose(recording.signal, np.loadtxt(path, delimiter=",", skiprows=1).T, rtol=1e-6)
    limb = dict(zip(recording.leads, recording.signal, strict=True))
    np.testing.assert_allclose(limb["III"], derive("III", {"I": limb["I"], "II": limb["II"]}), atol=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "# rate: 500\n# unit: mV\nI,II\n0.001,0.002\n0.003,0.004\n",
        "#fs=500 Hz\n#units=uV\nI,II\n1,2\n3,4\n",
        "# Sampling Rate: 500\nI (uV),II [mV]\n1,0.002\n3,0.004\n",
        "Time (s),I (mV),II (mV)\n0,0.001,0.002\n0.002,0.003,0.004\n",
        "time_ms;i (mV);ii (mV)\n10;0,001;0,002\n12;0,003;0,004\n",
        "t [ms]\tDI [µV]\tDII [µV]\n0\t1\t2\n2\t3\t4\n",
        "\ufeff# rate: 500\r\n# unit: mV\r\nI,II\r\n0.001,0.002\r\n0.003,0.004\r\n",
        "# rate: 500\n\n# unit: V\n \nI,II\n1e-6,2e-6\n3e-6,4e-6\n",
        '# rate: 500\n# unit: mV\n"I","II"\n0.001,0.002\n0.003,0.004',
    ],
)
def test_one_recording_written_in_many_ways(tmp_path: Path, text: str) -> None:
    recording = read(write(tmp_path, text))
    assert (recording.leads, recording.rate, recording.amplitude) == (("I", "II"), 500.0, "mV")
    np.testing.assert_allclose(recording.signal, [[0.001, 0.003], [0.002, 0.004]], rtol=1e-6)


def test_latin_1(tmp_path: Path) -> None:
    recording = read(write(tmp_path, "# rate: 500\nI (µV)\n1000\n2000\n".encode("latin-1")))
    np.testing.assert_allclose(recording.signal, [[1.0, 2.0]])


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, np.ndarray, tuple[str, ...], float, str]:
    leads = tuple(draw(st.lists(st.sampled_from(STANDARD), min_size=1, max_size=12, unique=True)))
    rate = draw(st.sampled_from([100.0, 128.0, 250.0, 333.0, 360.0, 500.0, 1000.0]))
    unit = draw(st.sampled_from(["mV", "uV", "unitless"]))
    seed, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(20, 60))
    values = np.random.default_rng(seed).normal(size=(count, len(leads))).astype(np.float32)
    values[draw(st.integers(0, count - 2)), 0] = np.nan  # a blank last line is no sample
    separator = draw(st.sampled_from(",;\t"))
    cells = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in values]
    if separator != "," and len(leads) > 1 and draw(st.booleans()):
        cells = [[cell.replace(".", ",") for cell in row] for row in cells]
    headings = [f"{lead} ({unit})" for lead in leads] if draw(st.booleans()) else list(leads)
    comments = [] if headings[0] != leads[0] else [f"# unit: {unit}"]
    if draw(st.booleans()):
        headings = ["time (ms)", *headings]
        point = "," if "," in cells[0][-1] else "."
        cells = [[f"{1000 * i / rate:.3f}".replace(".", point), *row] for i, row in enumerate(cells)]
    else:
        comments.append(f"# rate: {rate}")
    text = "\n".join([*comments, separator.join(headings), *(separator.join(row) for row in cells)])
    return text, values.T, leads, rate, unit


@given(tables())
@settings(max_examples=60, deadline=None)
def test_round_trip(table: tuple[str, np.ndarray, tuple[str, ...], float, str]) -> None:
    text, values, leads, rate, unit = table
    with tempfile.TemporaryDirectory() as folder:
        recording = read(write(Path(folder), text))
    assert (recording.leads, recording.rate) == (leads, rate)
    assert recording.amplitude == ("normalised" if unit == "unitless" else "mV")
    np.testing.assert_allclose(recording.signal, values * (1e-3 if unit == "uV" else 1), rtol=1e-6)


def test_other_columns_are_left_out_and_named(tmp_path: Path) -> None:
    text = "# rate: 500\n# unit: mV\n# Age: 61\n# sex = female\n# site: 4\nn,I,resp,V1,label\n0,1,9,2,N\n1,3,9,,V\n"
    recording = read(write(tmp_path, text))
    assert recording.leads == ("I", "V1")
    np.testing.assert_array_equal(recording.signal, [[1, 3], [2, np.nan]])
    assert recording.facts == {"site": "4"}
    assert recording.notes == {"skipped_signals": "left out: n, resp, label (no ECG leads)"}
    assert (recording.subject.age, recording.subject.sex) == (61.0, "F")


def test_a_band_pass_in_a_comment(tmp_path: Path) -> None:
    assert read(write(tmp_path, "# rate: 500\n# band-passed 0.5-40 Hz\nI (mV)\n1\n")).band == (0.5, 40.0)


def test_times_rounded_to_milliseconds(tmp_path: Path) -> None:
    rows = "".join(f"{i / 360:.3f},{i % 7}\n" for i in range(3600))
    assert read(write(tmp_path, "time (s),I (mV)\n" + rows)).rate == 360.0


def test_a_missing_sample_is_not_resampled_away(tmp_path: Path) -> None:
    rows = "".join(f"{i / 360:.3f},{i % 7}\n" for i in range(3600) if i != 1000)
    with pytest.raises(ReadError, match="not evenly spaced"):
        read(write(tmp_path, "time (s),I (mV)\n" + rows))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "no column is named after a lead"),
        ("0.1,0.2\n0.3,0.4\n", "no column is named after a lead"),
        ("# only a comment\n", "no column is named after a lead"),
        ("I,II\n", "no samples below"),
        ("I,II\n1,two\n", "sample 1, column II: 'two' is not a number"),
        ("I,II\n1,2\n3\n", "sample 2 has 1 columns, the first row names 2"),
        ("I,II\n1,2\n3,4,5\n", "sample 2 has 3 columns, the first row names 2"),
        ("I,DI\n1,2\n", "lead I occurs twice"),
        ("I (mV),II (sd)\n1,2\n", "leads II are normalised"),
        ("I (ohm),II (mV)\n1,2\n", "lead I: unit 'ohm' is not known"),
        ("# rate: fast\nI,II\n1,2\n", "rate 'fast' is not a rate in Hz"),
        ("# rate: 0\nI,II\n1,2\n", "rate '0' is not a rate in Hz"),
        ("# rate: 0\ntime (s),I (mV)\n0,1\n0.002,2\n", "rate '0' is not a rate in Hz"),
        ('I,II\n1,2\n"3,4\n', "column I: '\"3' is not a number"),
        ("time (s),I\n0,1\n", "not evenly spaced"),
        ("time (s),I\n0,1\n0,2\n", "not evenly spaced"),
        ("time (s),I\n0,1\nx,2\n", "column time: 'x' is not a number"),
        ("time (s),I\n0:00.000,1\nx,2\n", "sample 2, column time: 'x' is not a time"),
        ("I,II\n1_0,2\n", "sample 1, column I: '1_0' is not a number"),
        ("I,II\n1,2\ninf,2\n", "sample 2, column I: 'inf' is not a number"),
        ("I,II\n1,٣\n", "column II: '٣' is not a number"),
        ("I,II\n1,1e999\n", "lead II holds a sample of inf"),
        ("I,II\n1,2\n# a gap\n3,4\n", "line 3 is a comment between samples"),
        ("I,II\n'mV'\n1,2\n", "the row of units has 1 columns, the first row names 2"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    stated = {} if "rate" in text or "time" in text else {"rate": 500}
    with pytest.raises(ReadError) as caught:
        read(write(tmp_path, text), **stated, unit=None if "(mV)" in text else "mV")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bare_time_column_does_not_say_its_unit(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"name a column `time \(s\)` or `time \(ms\)`"):
        read(write(tmp_path, "time,I (mV)\n0,1\n2,2\n"))


def test_the_caller_may_not_contradict_the_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"states rate 250\.0, rate=500 contradicts it"):
        read(write(tmp_path, "# rate: 250\n" + ONE_SAMPLE), rate=500, unit="mV")
    with pytest.raises(ReadError, match="states unit mV, unit=uV contradicts it"):
        read(write(tmp_path, "# unit: mV\n" + ONE_SAMPLE), rate=500, unit="uV")


ROWS = "".join(f"{i / 250:.3f},{i % 7},{i % 5}\n" for i in range(50))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"# rate: 500\n# unit: mV\ntime (s),I,II\n{ROWS}", "line `rate: 500` means 500 Hz, and column time 250 Hz"),
        (f"# dt: 2 ms\n# unit: mV\ntime (s),I,II\n{ROWS}", "line `dt: 2 ms` means 500 Hz, and column time 250 Hz"),
        ("# rate: 500\n# fs: 250\nI (mV)\n1\n", "line `rate: 500` means 500 Hz, and the line `fs: 250` 250 Hz"),
        ("# rate: 500\n# rate: 250\nI (mV)\n1\n", "line `rate: 500` means 500 Hz, and the line `rate: 250` 250 Hz"),
        ("# fs (kHz): 0.5\n# fs: 250\nI (mV)\n1\n", "line `fs: 0.5 khz` means 500 Hz"),
        ("# rate: 500\n# units: uV\n# unit: mV\nI\n1\n", "the lines `units: uV` and `unit: mV` contradict"),
        ("# rate: 500\n# unit: mV\nI (uV)\n1\n", "lead I: the heading states uV and a comment line `unit: mV`"),
        ("# rate: 500\nI (uV),II\nmV,mV\n1,2\n", "column I states uV, and the row below it mV"),
        ("# rate: 500\n# age: 61\n# Age: 16\nI (mV)\n1\n", "the lines `age: 61` and `age: 16` contradict each other"),
        ("# rate: 500\n# samples: 3\nI (mV)\n1\n2\n", "the file states 3 samples and holds 2"),
        ("# rate: 250\n# duration: 10 s\nI (mV)\n" + "1\n" * 4500, "a duration of 10 s and holds 18 s at 250 Hz"),
        ("# rate: 500\n# unit: mV\ntime,I\n0,1\n4,2\n8,3\n", "column time goes up by 4, which fits 500 Hz in no unit"),
        ("time (s),t_ms,I (mV)\n0,0,1\n0.002,4,2\n0.004,8,2\n", "column time means 500 Hz, and column t 250 Hz"),
    ],
)
def test_what_a_file_states_twice_must_agree(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(write(tmp_path, text))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "# rate: 500\n# fs: 500 Hz\n# unit: uV\n# units: µV\nI (μV),II\n1,2\n3,4\n",
        "# sampling interval: 2 ms\n# rate: 0.5 kHz\nI/uV,II / uV\n1,2\n3,4\n",
        "# Sampling frequency (Hz): 5e2\nI_uV,II uV\n1,2\n3,4\n",
        "# rate: 500\n# samples: 2\n# duration: 4 ms\nI (uV),II (uV)\n1,2\n3,4\n",
        "# rate: 500\nI,II,sample\nuV,uV,\n1,2,0\n3,4,1\n",
        "# rate: 500\n# unit: uV\ntime,I,II\n0,1,2\n1,3,4\n",  # a running number
        "# rate: 500\n# unit: uV\ntimestamp,I,II\n1700000000000,1,2\n1700000000002,3,4\n",  # ms
        "# rate: 500\n# unit: uV\ntime,I,II\n2026-01-01 10:00:00,1,2\n2026-01-01 10:00:00,3,4\n",
        "'Elapsed time','I','II'\n'hh:mm:ss.mmm','uV','uV'\n'0:59.999',1,2\n'1:00.001',3,4\n",
        "'Elapsed time','I','II'\n'seconds','uV','uV'\n10.000,1,2\n10.002,3,4\n",
        "time (us);I (uV);II (uV)\n0;1;2\n2000;3;4\n",
        "seconds,I/uV,II/uV\n0,1,2\n0.002,3,4\n",
        "# rate: 500\n# unit: uV\nI;II\n1;2,0\n3;4,000\n",
    ],
)
def test_what_agrees_is_read(tmp_path: Path, text: str) -> None:
    recording = read(write(tmp_path, text))
    assert (recording.leads, recording.rate, recording.amplitude) == (("I", "II"), 500.0, "mV")
    np.testing.assert_allclose(recording.signal, [[0.001, 0.003], [0.002, 0.004]], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I\tII\n-312\t1,234\n5\t-2,001\n", "'1,234' may be a thousand or a decimal number"),
        ("I;II\n-312;1.234\n", "'1.234' may be a thousand or a decimal number"),
        ("I,II\n-312,1.234\n", "'1.234' may be a thousand or a decimal number"),
        ("I;II\n1,234,567;1,000,000\n", "'1,234,567' may be a thousand"),
        ("I;II\n1.234,5;0,1\n", "numbers have commas and points"),
    ],
)
def test_thousands_marks_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ReadError, match=re.escape(told)):
        read(write(tmp_path, "# rate: 500\n# unit: uV\n" + text))


@pytest.mark.parametrize("text", ["I;II\n1,234;2,001\n", "I;II\n1,234;0\n0,5;1\n", "I\n1.234\n-0.312\n"])
def test_decimals_that_look_like_thousands_alone(tmp_path: Path, text: str) -> None:
    recording = read(write(tmp_path, "# rate: 500\n# unit: mV\n" + text))
    assert recording.signal[0, 0] == np.float32(1.234)


def test_what_cannot_be_read_of_the_person_is_a_note(tmp_path: Path) -> None:
    recording = read(write(tmp_path, "# rate: 500\n# age: old\n# sex: 1\nI (mV)\n1\n"))
    assert recording.notes == {
        "age": "not read: the age, as it is written in no known way",
        "sex": "not read: the sex, as it is written in no known way",
    }


def test_a_single_channel_that_is_labelled_ecg(tmp_path: Path) -> None:
    recording = read(write(tmp_path, "timestamp [ms];ecg [uV];acc\n0.000;12;1\n7.692;-13;2\n15.385;64;3\n"))
    assert (recording.leads, recording.rate) == (("ecg",), 130.0)
    assert recording.notes == {"skipped_signals": "left out: acc (no ECG leads)"}


@pytest.mark.parametrize(
    ("name", "stated", "told"),
    [
        ("csv-contradicts-itself/rates.csv", {}, "500 Hz, and column time 250 Hz"),
        ("csv-contradicts-itself/twice.csv", {}, "fs: 250"),
        ("csv-contradicts-itself/units.csv", {}, "units: uV"),
        ("csv-contradicts-itself/micro.csv", {"rate": 500}, "states rate 250.0, rate=500 contradicts it"),
        ("csv-thousands-comma/tab.tsv", {}, "may be a thousand"),
        ("csv-unit-behind-a-slash/slash.csv", {"unit": "mV"}, "states unit uV, unit=mV contradicts it"),
    ],
)
def test_files_that_contradict_themselves(shared_data: Path, name: str, stated: dict[str, Any], told: str) -> None:
    with pytest.raises(ReadError, match=re.escape(told)):
        read(shared_data.parent / "cases" / name, **stated)


def test_a_unit_behind_a_slash(shared_data: Path) -> None:
    recording = read(shared_data.parent / "cases" / "csv-unit-behind-a-slash" / "slash.csv")
    assert recording.signal[0, 0] == np.float32(-0.00547) and len(recording.leads) == 12


def long(change: dict[int, str], row: str = "0.{0:03d},-1.{0:03d}") -> str:
    """A file of 600 samples, some of which are written in another way."""
    rows = [change.get(i, row.format(i)) for i in range(600)]
    return "\n".join(["# rate: 100", "# unit: mV", "I,II", *rows])


@pytest.mark.parametrize("cell", ["0.02", "+0.020", ".020", "2e-2", "0.0200", "1"])
def test_a_number_that_is_written_unlike_all_others_is_a_note(tmp_path: Path, cell: str) -> None:
    recording = read(write(tmp_path, long({20: f"{cell},-1.020"})))
    assert recording.notes == {
        "odd_numbers": f"doubtful: 1 of the numbers are written unlike all others (first: sample 21, column I: {cell})"
    }
    assert read(write(tmp_path, long({}))).notes == {}


def test_numbers_that_are_written_in_many_ways_are_none(tmp_path: Path) -> None:
    assert read(write(tmp_path, long({i: f"{i},0.5" for i in range(0, 600, 50)}))).notes == {}


def test_a_column_without_a_name_is_a_note(tmp_path: Path) -> None:
    recording = read(write(tmp_path, "# rate: 500\n# unit: mV\nI,,II,\n1,2,3,\n4,5,6,\n"))
    assert recording.notes == {"unnamed_columns": "left out: column 2, which has no name"}


ROW = "0.{0:03d},-1.{0:03d}"


@pytest.mark.parametrize("seed", range(50))
def test_a_changed_character_is_refused_or_noted(tmp_path: Path, seed: int) -> None:
    """In a file that states all that it can; a digit for a digit is all that nothing contradicts."""
    chance = np.random.default_rng(seed)
    rows = [f"{10 * i},{ROW.format(i)}" for i in range(600)]
    whole = "\n".join(["# rate: 100", "# samples: 600", "# unit: mV", "time (ms),I (mV),II (mV)", *rows])
    before = read(write(tmp_path, whole))
    at = int(chance.integers(60, len(whole)))
    new = str(chance.choice(list("_eE,;-+. '\"ab\n#")))
    try:
        found = read(write(tmp_path, whole[:at] + new + whole[at + (chance.random() < 0.5) :]))
    except ReadError as error:
        assert "\n" not in str(error)
        return
    same = found.leads == before.leads and np.array_equal(found.signal, before.signal)
    sign = new == "-" or whole[at] == "-"
    assert same or sign or found.notes != before.notes
