"""DICOM waveforms: two real files against other decoders, and variations of one of them."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import REAL, changing, rhythm, set_rhythm

from enecg import read
from enecg.errors import MissingExtra, ReadError
from enecg.leads import STANDARD

pydicom = pytest.importorskip("pydicom")
from pydicom.data import get_testdata_file  # noqa: E402


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """The real file, changed by a function, at a new place."""
    return changing(tmp_path)


def test_mortara_as_pydicom_scales_it() -> None:
    recording = read(REAL)
    microvolts = pydicom.dcmread(REAL).waveform_array(0)
    np.testing.assert_allclose(recording.signal, microvolts.T / 1000, rtol=1e-6)
    assert (recording.leads, recording.rate, recording.seconds) == (STANDARD, 1000.0, 10.0)
    assert (recording.amplitude, recording.band) == ("mV", (0.05, 300.0))
    assert (recording.subject.age, recording.subject.sex) == (42.0, "F")


def test_ge_as_its_own_xml_says(shared_data: Path) -> None:
    """The same recording as GE MUSE XML holds the eight measured leads as base64 of 16-bit integers."""
    recording = read(shared_data / "formats" / "ge_muse_909.dcm")
    assert (recording.leads, recording.rate, recording.seconds) == (STANDARD, 500.0, 10.0)
    assert (recording.band, recording.subject.age, recording.subject.sex) == ((0.56, 150.0), 11.0, "M")
    muse = ET.parse(shared_data / "formats" / "ge_muse_909.xml")
    waveform = next(w for w in muse.iter("Waveform") if w.findtext("WaveformType") == "Rhythm")
    leads = list(waveform.iter("LeadData"))
    assert len(leads) == 8
    for lead in leads:
        steps = np.frombuffer(base64.b64decode(lead.findtext("WaveFormData")), "<i2")
        microvolts = steps * float(lead.findtext("LeadAmplitudeUnitsPerBit"))
        # the converter wrote whole microvolts
        np.testing.assert_allclose(recording.lead(lead.findtext("LeadID")), microvolts / 1000, atol=0.00051)


def test_sensitivity_correction_and_baseline(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        for number, channel in enumerate(rhythm(dataset).ChannelDefinitionSequence):
            channel.ChannelSensitivity = 0.5 + number
            channel.ChannelSensitivityCorrectionFactor = 1.25
            channel.ChannelBaseline = 100 - number

    path = changed(change)
    microvolts = pydicom.dcmread(path).waveform_array(0)
    np.testing.assert_allclose(read(path).signal, microvolts.T / 1000, rtol=1e-6)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1.0), ("uV", 1e-3), ("V", 1e3)])
def test_units(changed: Callable[..., Path], unit: str, factor: float) -> None:
    def change(dataset: Any) -> None:
        for channel in rhythm(dataset).ChannelDefinitionSequence:
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = unit

    np.testing.assert_allclose(read(changed(change)).signal, read(REAL).signal * (factor / 1e-3), rtol=1e-5)


@pytest.mark.parametrize(
    ("code", "meaning", "expected"),
    [
        ("2:3", "whatever", "V1"),
        ("2:64", "aVF, augmented voltage, foot", "aVF"),
        ("5.6.3-9-62", "", "aVR"),
        ("MDC_ECG_LEAD_AVL", "", "aVL"),
        ("LOCAL-1", "Lead II", "II"),
    ],
)
def test_lead_codes(changed: Callable[..., Path], code: str, meaning: str, expected: str) -> None:
    def change(dataset: Any) -> None:
        group = rhythm(dataset)
        source = group.ChannelDefinitionSequence[0].ChannelSourceSequence[0]
        source.CodeValue, source.CodeMeaning = code, meaning
        group.ChannelDefinitionSequence = group.ChannelDefinitionSequence[:1]
        raw = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)
        group.NumberOfWaveformChannels, group.WaveformData = 1, raw[:, 0].tobytes()

    recording = read(changed(change))
    assert recording.leads == (expected,)
    np.testing.assert_array_equal(recording.signal[0], read(REAL).signal[0])


def test_the_rhythm_is_taken_wherever_it_stands(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        dataset.WaveformSequence = list(reversed(dataset.WaveformSequence))

    np.testing.assert_array_equal(read(changed(change)).signal, read(REAL).signal)


def test_a_channel_that_is_no_lead_is_left_out(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        channel = rhythm(dataset).ChannelDefinitionSequence[11]
        channel.ChannelSourceSequence[0].CodeValue = "2:131"
        channel.ChannelSourceSequence[0].CodeMeaning = "Respiration"
        channel.ChannelSensitivityUnitsSequence[0].CodeValue = "ohm"

    recording = read(changed(change))
    assert recording.leads == STANDARD[:11]
    assert recording.notes == {"skipped_signals": "left out: Respiration (no ECG leads)"}


def test_padding_is_no_sample(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        group = rhythm(dataset)
        raw = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).copy()
        raw[5:9, 3] = -32768
        group.WaveformData = raw.tobytes()
        group.add_new("WaveformPaddingValue", "OW", np.int16(-32768).tobytes())

    gaps = np.isnan(read(changed(change)).signal)
    assert gaps.sum() == 4
    assert gaps[3, 5:9].all()


def test_band_only_where_every_lead_states_both_edges(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        del rhythm(dataset).ChannelDefinitionSequence[7].FilterLowFrequency

    assert read(changed(change)).band is None


@pytest.mark.parametrize(("age", "born", "expected"), [("018M", "", 1.5), ("", "19710125", 42.0), (None, "", None)])
def test_age(changed: Callable[..., Path], age: str | None, born: str, expected: float | None) -> None:
    def change(dataset: Any) -> None:
        dataset.PatientAge, dataset.PatientBirthDate = age, born

    assert read(changed(change)).subject.age == (pytest.approx(expected) if expected else None)


def drop_channel_field(name: str) -> Callable[[Any], None]:
    def change(dataset: Any) -> None:
        delattr(rhythm(dataset).ChannelDefinitionSequence[2], name)

    return change


def other_class(dataset: Any) -> None:
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"


def unknown_class(dataset: Any) -> None:
    dataset.SOPClassUID = "1.2.3"


def big_endian(dataset: Any) -> None:
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian


def no_waveform(dataset: Any) -> None:
    del dataset.WaveformSequence


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_class, "Secondary Capture Image Storage, not an ECG waveform"),
        (no_waveform, "a DICOM ECG that holds no waveform"),
        (unknown_class, "a DICOM object of an unknown class"),
        (big_endian, "big-endian DICOM is not read here"),
        (set_rhythm(WaveformData=bytes(1000)), "truncated: 1000 bytes of the 240000"),
        (set_rhythm(WaveformSampleInterpretation="MB", WaveformBitsAllocated=8), "companded"),
        (set_rhythm(WaveformSampleInterpretation="XX"), "damaged DICOM"),
        (set_rhythm(SamplingFrequency="0"), "damaged DICOM"),
        (set_rhythm(ChannelDefinitionSequence=[]), "damaged DICOM"),
        (drop_channel_field("ChannelSensitivity"), "lead III: the step per bit is not stated (Channel Sensitivity)"),
        (drop_channel_field("ChannelSensitivityUnitsSequence"), "lead III: no unit is stated"),
        (drop_channel_field("ChannelSourceSequence"), "damaged DICOM"),
    ],
)
def test_what_is_refused(changed: Callable[..., Path], change: Callable[[Any], None], told: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(changed(change))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [140, 1000, 1034, 20000, 100000])  # 1034: within a length
def test_a_file_cut_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.dcm"
    path.write_bytes(Path(REAL).read_bytes()[:size])
    with pytest.raises(ReadError):
        read(path)


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm", "rtplan.dcm"])
def test_an_image_is_refused_for_what_it_is(name: str) -> None:
    with pytest.raises(ReadError, match=r"a DICOM object of [\w ]+ Storage, not an ECG waveform"):
        read(get_testdata_file(name))


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"pip install 'enecg\[dicom\]'"):
        read(REAL)


def test_values_that_break_the_standard_are_no_talk_on_the_screen(tmp_path: Path) -> None:
    """pydicom warns of them, and a warning would be an error here."""
    path = tmp_path / "odd.dcm"
    path.write_bytes(Path(REAL).read_bytes().replace(b"20130125", b"2OI3OI25"))
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        str(pydicom.dcmread(path))
    np.testing.assert_array_equal(read(path).signal, read(REAL).signal)
