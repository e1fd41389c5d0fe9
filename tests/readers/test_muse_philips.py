"""MUSE and Philips XML: real files with one field changed, as it is found in exports."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from enecg import read
from enecg.errors import ReadError
from enecg.leads import STANDARD

pytest.importorskip("ecgdatakit")

MUSE = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.fixture
def muse(shared_data: Path, tmp_path: Path) -> Callable[..., Path]:
    """A real MUSE file with the first match of a pattern within its rhythm (or, `whole`, anywhere) replaced."""

    def write(
        pattern: bytes, by: bytes, *, count: int = 1, whole: bool = False, name: str = "formats/ge_muse_909.xml"
    ) -> Path:
        content = (shared_data / name).read_bytes()
        start = 0 if whole else content.rindex(b"<WaveformType>")
        changed, found = re.subn(pattern, by, content[start:], count=count, flags=re.DOTALL)
        assert found
        (tmp_path / "x.xml").write_bytes(content[:start] + changed)
        return tmp_path / "x.xml"

    return write


@pytest.fixture
def philips(shared_data: Path, tmp_path: Path) -> Callable[..., Path]:
    """The Philips file of the cases, 12 uncompressed leads of 10 s, with matches of patterns replaced."""
    content = (shared_data.parent / "cases" / "remedy-turns-counts-into-volts" / "philips.xml").read_bytes()
    content = content.replace(b"<signalresolution></signalresolution>", b"<signalresolution>5</signalresolution>")

    def write(*changes: tuple[bytes, bytes]) -> Path:
        changed = content
        for pattern, by in changes:
            changed, found = re.subn(pattern, by, changed, flags=re.DOTALL)
            assert found
        (tmp_path / "x.xml").write_bytes(changed)
        return tmp_path / "x.xml"

    return write


def test_a_lead_that_was_off_is_left_out(muse: Callable[..., Path]) -> None:
    recording = read(muse(rb"<LeadOff>FALSE<", b"<LeadOff>TRUE<"))
    assert recording.leads == MUSE[1:]
    assert recording.notes == {"leads_off": "left out: I; the file says that the lead was off (LeadOff)"}
    with pytest.raises(ReadError, match="all its leads were off"):
        read(muse(rb"<LeadOff>FALSE<", b"<LeadOff>TRUE<", count=8))


def test_a_rate_that_is_no_whole_number_is_kept(muse: Callable[..., Path]) -> None:
    recording = read(muse(rb"<SampleBase>500<", b"<SampleBase>499.7<"))
    assert recording.rate == pytest.approx(499.7)
    assert "500 Hz beside its measurements and 499.7 Hz" in recording.notes["rates"]


def test_an_exponent_belongs_to_the_rate(muse: Callable[..., Path]) -> None:
    path = muse(rb"<SampleBase>500</SampleBase>\s*<SampleExponent>0<", b"<SampleBase>5</SampleBase><SampleExponent>2<")
    assert read(path).rate == 500.0


@pytest.mark.parametrize("tag", [b"FirstSampleBaseline", b"LeadOffsetFirstSample"])
def test_a_baseline_whose_meaning_is_not_documented_is_a_note(muse: Callable[..., Path], tag: bytes) -> None:
    recording = read(muse(rb"<" + tag + rb">0<", b"<" + tag + b">12<"))
    assert recording.notes == {tag.decode(): f"not applied: {tag.decode()} of I 12; its meaning is not documented"}


def test_a_lead_that_is_scaled_unlike_the_others_is_named(muse: Callable[..., Path]) -> None:
    recording = read(muse(rb"(<LeadAmplitudeUnitsPerBit>)4.88<", rb"\g<1>2.44<"))
    assert recording.notes == {"scales": "the step or offset of I is not that of the other leads; check these leads"}


@pytest.mark.parametrize(
    ("age", "unit", "expected"),
    [("18", "MONTHS", 1.5), ("10", "DAYS", 10 / 365.25), ("3", "WEEKS", 21 / 365.25), ("36", "HOURS", 36 / 8766),
     ("72", "YEARS", 72.0), ("999", "YEARS", None), ("18", "", None), ("18", "MOONS", None)],
)  # fmt: skip
def test_ages(muse: Callable[..., Path], age: str, unit: str, expected: float | None) -> None:
    new = f"<PatientAge>{age}</PatientAge><AgeUnits>{unit}</AgeUnits>".encode()
    recording = read(muse(rb"<PatientAge>11</PatientAge>\s*<AgeUnits>YEARS</AgeUnits>", new, whole=True))
    assert recording.subject.age == (pytest.approx(expected) if expected else None)
    assert ("age" in recording.notes) == (expected is None)


def test_an_age_that_its_dates_contradict_is_a_note(muse: Callable[..., Path]) -> None:
    recording = read(muse(rb"<DateofBirth>01-01-1900<", b"<DateofBirth>03-04-1950<", whole=True))
    assert recording.subject.age == 11.0
    assert recording.notes["age"].startswith("the file states an age of 11 years, its dates give ")


@pytest.mark.parametrize(
    ("pattern", "by", "message"),
    [
        (rb"(<LeadAmplitudeUnitsPerBit>)4.88<", rb"\g<1>nan<", "lead I: the step per bit is not stated"),
        (rb"(<LeadAmplitudeUnitsPerBit>)4.88<", rb"\g<1>0<", "lead I: a step per bit of 0 is impossible"),
        (rb"(<LeadAmplitudeUnitsPerBit>)4.88<", rb"\g<1>-4.88<", "a step per bit of -4.88 is impossible"),
        (rb"<LeadTimeOffset>0<", b"<LeadTimeOffset>100<", "start at different times"),
        (rb"<NumberofLeads>8<", b"<NumberofLeads>12<", "NumberofLeads is 12, 8 leads are there"),
        (rb"<LeadSampleCountTotal>5000<", b"<LeadSampleCountTotal>4999<", "LeadSampleCountTotal is 4999"),
        (rb"<LeadByteCountTotal>10000<", b"<LeadByteCountTotal>9999<", "LeadByteCountTotal is 9999"),
        (rb"<LeadDataCRC32>\d", b"<LeadDataCRC32>x", "LeadDataCRC32 is x"),
        (rb"<LeadSampleSize>2<", b"<LeadSampleSize>3<", "no whole number of samples"),
        (rb"<LeadSampleSize>2<", b"<LeadSampleSize>4<", "LeadSampleCountTotal is 5000, the samples give 2500"),
        (rb"<SampleType>CONT\w+<", b"<SampleType>COMPRESSED<", "samples of type COMPRESSED"),
        (rb"<LeadID>II<", b"<LeadID>I<", "lead I occurs twice"),
        (rb"<LeadID>II<", b"<LeadID><", "a lead without LeadID"),
        (rb"<WaveFormData>\s*\w", b"<WaveFormData>!", "invalid base64"),
        (rb"<WaveformType>Rhythm<", b"<WaveformType>Median<", "no rhythm waveform"),
    ],
)
def test_what_muse_contradicts_is_refused(muse: Callable[..., Path], pattern: bytes, by: bytes, message: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(muse(pattern, by))
    assert message in str(caught.value)


def test_a_rate_at_which_beats_lie_behind_the_end_is_refused(muse: Callable[..., Path]) -> None:
    path = muse(rb"<SampleBase>500<", b"<SampleBase>1000<", name="formats_more/muse_909_8lead_paced_statement.xml")
    with pytest.raises(ReadError, match=r"a beat at 9\.816 s, its waveform lasts 5 s at 1000 Hz"):
        read(path)


def test_philips_uncompressed(philips: Callable[..., Path]) -> None:
    recording = read(philips())
    assert (recording.leads, recording.rate, recording.seconds) == (STANDARD, 250.0, 10.0)
    raw = base64.b64decode(re.search(rb"<parsedwaveforms[^>]*>([^<]*)<", philips().read_bytes())[1])  # type: ignore[index]
    stored = np.frombuffer(raw, "<i2").reshape(12, 2500)
    np.testing.assert_allclose(recording.signal, stored * 0.005, rtol=1e-6)
    moved = read(philips((rb"<signaloffset>0<", b"<signaloffset>100<")))
    np.testing.assert_allclose(moved.signal, (stored - 100) * 0.005, rtol=1e-5, atol=1e-6)
    text = " ".join(map(str, stored.ravel())).encode()
    plain = read(philips((rb"(<parsedwaveforms[^>]*>)[^<]*<", rb"\g<1>" + text + b"<"), (rb'"Base64"', b'"Plain"')))
    np.testing.assert_array_equal(plain.signal, recording.signal)


@pytest.mark.parametrize(
    ("pattern", "by", "message"),
    [
        (rb"<samplingrate>250<", b"<samplingrate>500<", "its sampling rate contradict each other (250, 500)"),
        (rb'durationperchannel="10000"', b'durationperchannel="9000"', "holds 30000 samples"),
        (rb'durationperchannel="10000"', b'durationperchannel="10001"', "no valid durationperchannel"),
        (rb'numberofleads="12"', b'numberofleads="8"', "labels 12 leads"),
        (rb'leadlabels="[^"]*"', b'leadlabels="I II"', "labels 2 leads (I II) and states 12 channels"),
        (rb'leadlabels="[^"]*"', b'leadlabels="I II III aVR aVL aVF V1 V2 V3 V4 V5 V5"', "lead V5 occurs twice"),
        (rb'nbitspersample="16"', b'nbitspersample="12"', "samples of 12 bits are not read here"),
        (rb'compressflag="False"', b'compressflag="True" compressmethod="ZIP"', "compression ZIP is not read"),
        (rb'dataencoding="Base64"', b'dataencoding="Hex"', "samples written as Hex"),
        (rb"<signalresolution>5<", b"<signalresolution>0<", "a step per bit of 0 is impossible"),
        (rb"<signalresolution>5<", b"<signalresolution>five<", "its resolution contradict each other (five)"),
        (rb"</parsedwaveforms>", b"</parsedwaveforms><parsedwaveforms/>", "2 elements parsedwaveforms, one is read"),
    ],
)
def test_what_philips_contradicts_is_refused(
    philips: Callable[..., Path], pattern: bytes, by: bytes, message: str
) -> None:
    with pytest.raises(ReadError) as caught:
        read(philips((pattern, by)))
    assert message in str(caught.value)


def test_channels_that_are_not_valid_and_faults_of_leads_are_notes(philips: Callable[..., Path]) -> None:
    assert read(philips((rb"(numberchannelsvalid>)12", rb"\g<1>11"))).notes == {
        "valid_channels": "the file states that 11 of its 12 channels are valid"
    }
    fault = b'<leadmeasurement leadname="V3"><leadqualitystates><inops>LEADOFF</inops></leadqualitystates>'
    path = philips((rb"</restingecgdata>", fault + b"</leadmeasurement></restingecgdata>"))
    assert read(path).notes == {"lead_faults": "the device reports faults of leads: V3 (LEADOFF)"}


@pytest.mark.parametrize(
    ("age", "expected"),
    [(b"<months>18</months>", 1.5), (b"<dateofbirth>1900-01-01</dateofbirth>", None), (b"<years>---</years>", None)],
)
def test_ages_of_philips(philips: Callable[..., Path], age: bytes, expected: float | None) -> None:
    assert read(philips((rb"<years>60</years>", age))).subject.age == expected


def test_the_calibration_pulse_shows_a_wrong_scale(shared_data: Path, tmp_path: Path) -> None:
    content = (shared_data / "formats" / "philips_sierra_103.xml").read_bytes()
    path = tmp_path / "x.xml"
    path.write_bytes(content.replace(b"<signalresolution>5<", b"<signalresolution>2.5<"))
    assert read(path).notes["pulse_height"].startswith("the calibration pulse is 0.5 mV high by the stated resolution")
    path.write_bytes(content.replace(b"<signaloffset>0<", b"<signaloffset>396<"))
    with pytest.raises(ReadError, match="signaloffset is 396, its unused channels rest at 0"):
        read(path)


def test_damage_of_compressed_samples_shows_in_the_calibration_pulse(shared_data: Path, tmp_path: Path) -> None:
    content = (shared_data / "formats" / "philips_sierra_103.xml").read_bytes()
    match = re.search(rb"<parsedwaveforms[^>]*>([^<]*)<", content)
    assert match
    raw = bytearray(base64.b64decode(match[1]))
    raw[1000] ^= 1
    (tmp_path / "x.xml").write_bytes(content.replace(match[1], base64.b64encode(raw)))
    with pytest.raises(ReadError, match="damaged file"):
        read(tmp_path / "x.xml")
