"""EDF and BDF: files written byte by byte, right ones and ones that contradict themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edf_files import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enecg import read
from enecg.errors import ReadError
from enecg.leads import STANDARD


def ecg(n_leads: int = 2, n_samples: int = 2500, wide: bool = False) -> list[np.ndarray]:
    """Integers without a value that could stand for a missing sample."""
    rng = np.random.default_rng(n_leads)
    top = 200_000 if wide else 3000
    return [rng.integers(-top, top, n_samples) for _ in range(n_leads)]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("onsets", [None, [0.5 + record for record in range(10)]])
def test_samples_come_back(tmp_path: Path, wide: bool, onsets: list[float] | None) -> None:
    stored = ecg(12, wide=wide)
    version = ("BDF+C" if wide else "EDF+C") if onsets else ("24BIT" if wide else "")
    recording = read(write(tmp_path / "x", STANDARD, stored, wide=wide, onsets=onsets, version=version))
    np.testing.assert_allclose(recording.signal, np.array(stored) / 1000, rtol=1e-6, atol=1e-6)
    assert (recording.leads, recording.rate, recording.band) == (STANDARD, 250.0, (0.05, 150.0))
    assert (dict(recording.notes), recording.facts["recorded"]) == ({}, "2020-03-02")


@given(
    values=st.lists(st.integers(-8388607, 8388606), min_size=4, max_size=40),
    wide=st.booleans(),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_integer_comes_back(tmp_path: Path, values: list[int], wide: bool) -> None:
    stored = np.array(values) if wide else np.clip(values, -32767, 32766)
    from enecg.readers.edf import read as read_edf  # without the search for codes of missing samples

    path = write(tmp_path / "x", ["II"], [stored], n_records=1, seconds=f"{len(values) / 250:.8g}"[:8], wide=wide)
    np.testing.assert_allclose(read_edf(path, None, None).signal[0], stored / 1000, rtol=1e-6)


@pytest.mark.parametrize("label", ["ECG I-Ref", "ECG I-REF", "I - Ref", "Lead I", "I"])
def test_labels_with_a_reference_electrode(tmp_path: Path, label: str) -> None:
    assert read(write(tmp_path / "x", [label, "ECG II-Ref"], ecg())).leads == ("I", "II")


def test_signals_of_other_rates_are_left_out_where_the_leads_agree(tmp_path: Path) -> None:
    signals = [*ecg(), np.arange(10)]
    recording = read(write(tmp_path / "x", ["I", "II", "SpO2"], signals, units=["uV", "uV", "%"]))
    assert (recording.leads, recording.rate) == (("I", "II"), 250.0)
    assert recording.notes == {"skipped_signals": "left out: SpO2 (no ECG leads)"}


def test_a_record_that_was_not_closed_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write(tmp_path / "x", ["I", "II"], ecg(), stated=-1)
    assert (read(path).seconds, dict(read(path).notes)) == (10.0, {})
    path.write_bytes(path.read_bytes()[:-100])
    assert read(path).seconds == 9.0
    assert read(path).notes == {
        "cut_record": "left out: the last data record, of which only 900 of 1000 bytes are there"
    }


def test_samples_outside_the_digital_range_are_no_measurements(tmp_path: Path) -> None:
    stored = ecg()
    stored[1][7] = 3500
    recording = read(write(tmp_path / "x", ["I", "II"], stored, digital=("-3000", "3000"), physical=("-3", "3"),
                           units=["mV", "mV"]))  # fmt: skip
    assert np.argwhere(np.isnan(recording.signal)).tolist() == [[1, 7]]
    assert (
        recording.notes["range_II"] == "not used: 1 samples of lead II outside the stated digital range -3000 to 3000"
    )


def test_a_range_may_turn_a_signal_over(tmp_path: Path) -> None:
    stored = ecg()
    recording = read(write(tmp_path / "x", ["I", "II"], stored, physical=("32768", "-32767")))
    np.testing.assert_allclose(recording.signal, -np.array(stored) / 1000, atol=1e-6)


@pytest.mark.parametrize(
    ("person", "age", "sex", "key"),
    [
        ("MCH-0234567 F 02-MAR-1960 Haagse_Harry", 60.0, "F", "MCH-0234567"),
        ("X M 01-JAN-1900 X", None, "M", None),  # a placeholder
        ("X X 00-XXX-0000 X", None, None, None),
    ],
)
def test_the_person(tmp_path: Path, person: str, age: float | None, sex: str | None, key: str | None) -> None:
    subject = read(write(tmp_path / "x", ["I", "II"], ecg(), person=person, version="EDF+C")).subject
    assert (subject.age, subject.sex, subject.id) == (age, sex, key)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["II", "II"], {}, "lead II occurs twice"),
        (["II", "ECG II"], {}, "lead II occurs twice"),
        (["I", "II"], {"stated": 11}, "truncated: the header promises 11 data records"),
        (["I", "II"], {"stated": 0}, "0 data records"),
        (["I", "II"], {"seconds": "0"}, "data records last 0 s"),
        (["I", "II"], {"seconds": "-1"}, "data records of -1 s"),
        (["I", "II"], {"seconds": "1e999"}, "is no number"),
        (["I", "II"], {"seconds": "1_0"}, "is no number"),
        (["I", "II"], {"digital": ("0", "0")}, "the step per bit is not stated"),
        (["I", "II"], {"digital": ("5", "-5")}, "the step per bit is not stated"),
        (["I", "II"], {"digital": ("-99999", "99999")}, "the step per bit is not stated"),
        (["I", "II"], {"physical": ("1", "1")}, "the step per bit is not stated"),
        (["I", "II"], {"physical": ("nan", "1")}, "physical minimum 'nan' is no number"),
        (["I", "II"], {"units": ["uV", "furlong"]}, "unit 'furlong' is not known"),
        (["I", "II"], {"version": "EDF+D"}, "does not state their times"),
        (["I", "II"], {"version": "EDF+D", "onsets": [*range(9), 12]}, "gaps between data records"),
        (["I", "II"], {"version": "EDF+C", "onsets": [2.0 * record for record in range(10)]}, "gaps between"),
    ],
)
def test_what_is_refused(tmp_path: Path, labels: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(write(tmp_path / "x", labels, ecg(), **options))
    assert message in str(caught.value)


def test_leads_of_different_rates_are_refused(tmp_path: Path) -> None:
    one, two = ecg()
    with pytest.raises(ReadError, match=r"differ in rate \(I 250 Hz, II 125 Hz\)"):
        read(write(tmp_path / "x", ["I", "II"], [one, two[::2]]))


@pytest.mark.parametrize("change", [b"junk", bytes(998)])
def test_bytes_behind_the_stated_records_are_refused(tmp_path: Path, change: bytes) -> None:
    path = write(tmp_path / "x", ["I", "II"], ecg())
    path.write_bytes(path.read_bytes() + change)
    with pytest.raises(ReadError, match="10 data records make 10000 bytes"):
        read(path)


def test_a_header_size_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x", ["I", "II"], ecg())
    content = bytearray(path.read_bytes())
    content[184:192] = b"1024    "
    path.write_bytes(content)
    with pytest.raises(ReadError, match="states a size of 1024 bytes, 2 signals make 768"):
        read(path)


def test_messages_are_one_line_whatever_a_label_holds(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="signal V1 x: damaged file") as caught:
        read(write(tmp_path / "x", ["V1\n\x85x"], ecg(1), physical=("a\nb", "1")))
    assert len(str(caught.value).splitlines()) == 1
