"""Files that were once read wrongly without a word: DICOM, MUSE, Philips and EDF, each with the right answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from enecg import read
from enecg.errors import ReadError
from enecg.leads import STANDARD

pytest.importorskip("pydicom")
pytest.importorskip("ecgdatakit")


@pytest.fixture
def cases(shared_data: Path) -> Path:
    return shared_data.parent / "cases"


@pytest.fixture
def more(shared_data: Path) -> Path:
    return shared_data / "formats_more"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dicom-fewer-channel-definitions/eleven.dcm", "a group of 12 channels has 11 channel definitions"),
        ("dicom-leads-in-several-groups/printed.dcm", "I, II, III (2.5 s at 250 Hz from 0 s); aVR, aVL, aVF (2.5 s"),
        ("philips-layout-shifts-leads/short.xml", "holds 30000 samples, 12 leads of 2000 samples (8 s) make 24000"),
        ("philips-layout-shifts-leads/labels8.xml", "labels 8 leads (I II V1 V2 V3 V4 V5 V6) and states"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(cases: Path, name: str, message: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(cases / name)
    assert message in str(caught.value)


@pytest.mark.parametrize("unit", [None, "uV", "mV"])
@pytest.mark.parametrize("name", ["muse.xml", "philips.xml", "range.edf"])
def test_a_unit_cannot_stand_in_for_the_step_per_bit(cases: Path, name: str, unit: str | None) -> None:
    with pytest.raises(ReadError, match="the step per bit is not stated") as caught:
        read(cases / "remedy-turns-counts-into-volts" / name, unit=unit)
    assert "--unit" not in str(caught.value)


def test_simultaneous_groups_are_one_recording(cases: Path, more: Path) -> None:
    recording = read(cases / "dicom-leads-in-several-groups" / "two.dcm")
    assert (recording.leads, recording.seconds, dict(recording.notes)) == (STANDARD, 10.0, {})
    whole, parts = (read(more / "constructed" / name) for name in
                    ("noheader_implicit.dcm", "two_groups_limb_chest_same_time.dcm"))  # fmt: skip
    np.testing.assert_array_equal(parts.signal, whole.signal)


@pytest.mark.parametrize("name", ["four_groups_2.5s.dcm", "four_groups_plus_rhythm_strip_II.dcm"])
def test_a_printed_page_is_no_recording_of_2500_ms(more: Path, name: str) -> None:
    with pytest.raises(ReadError, match="not one recording, as on a printed page"):
        read(more / "constructed" / name)


@pytest.mark.parametrize("name", ["b0.dcm", "b1950.dcm"])
def test_a_placeholder_for_the_birth_date_costs_the_age_alone(cases: Path, name: str) -> None:
    recording = read(cases / "dicom-placeholder-birth-date" / name)
    assert (recording.leads, recording.subject.age) == (STANDARD, None)


@pytest.mark.parametrize(("name", "months"), [("m18.xml", 18), ("m8.xml", 8)])
def test_an_age_has_its_unit(cases: Path, name: str, months: int) -> None:
    assert read(cases / "muse-age-in-months" / name).subject.age == pytest.approx(months / 12)


def test_of_two_rhythm_waveforms_the_longer_is_read_and_the_other_named(cases: Path) -> None:
    recording = read(cases / "muse-two-rhythm-waveforms" / "two.xml")
    assert recording.seconds == 10.0
    assert recording.notes["other_rhythms"].startswith("left out: another rhythm waveform of the file: ")
    assert "2 s" in recording.notes["other_rhythms"]


def test_data_records_that_the_header_does_not_count_are_read_with_a_note(cases: Path) -> None:
    recording = read(cases / "edf-header-declares-fewer-records" / "less.edf")
    assert recording.seconds == 10.0
    assert recording.notes == {"records": "the header states 6 data records, 10 are there; all are read"}


def test_the_code_for_a_missing_sample_is_a_gap(cases: Path) -> None:
    recording = read(cases / "missing-sample-code-read-as-voltage" / "code.edf")
    gaps = np.isnan(recording.signal)
    assert gaps.all(axis=0).sum() == 10  # 40 ms
    assert gaps.sum() == 12 * 10
    assert "missing_samples" in recording.notes


@pytest.mark.parametrize(
    "name",
    [
        "dicom_ecgtoolkit_padding0_500hz.dcm",  # a padding value of 0, and zeros that are samples
        "muse_909_8lead_paced_statement.xml",
        "philips_103_mrx_noise_16mV.xml",
        "philips_104_xli.xml",
        "philips_10401_xli.xml",
    ],
)
def test_real_files_have_the_samples_of_a_second_implementation(more: Path, name: str) -> None:
    truth = np.load(more / "truth" / f"{name}.npz")
    recording = read(more / name)
    assert recording.rate == truth["rate"]
    kept = recording.signal.shape[1]  # without Philips' calibration pulse
    assert kept == truth["mv"].shape[1] or "calibration_pulse" in recording.notes
    for lead, expected in zip(truth["leads"], truth["mv"], strict=True):
        np.testing.assert_allclose(recording.lead(str(lead)), expected[:kept], atol=1e-6, rtol=0)
    assert not np.isnan(recording.signal).any()


def test_without_preamble(more: Path) -> None:
    recording = read(more / "constructed" / "noheader_implicit.dcm")
    assert (recording.leads, recording.rate, recording.subject.age) == (STANDARD, 1000.0, 42.0)
