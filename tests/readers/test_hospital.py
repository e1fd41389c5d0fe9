"""MUSE XML, Philips XML and EDF: real files against the same recordings in other formats, and variations of them."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enecg import read
from enecg.errors import MissingExtra, ReadError
from enecg.leads import LIMB, LIMB_ALGEBRA, STANDARD
from enecg.quality import check

pytest.importorskip("ecgdatakit")

MUSE, PHILIPS, EDF = "ge_muse_909.xml", "philips_sierra_103.xml", "cpsc_a0001.edf"
BOMB = '<!DOCTYPE {0} [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE {0} [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.fixture
def formats(shared_data: Path) -> Path:
    return shared_data / "formats"


@pytest.fixture
def changed(formats: Path, tmp_path: Path) -> Callable[..., Path]:
    """A real file with every match of a pattern replaced, at a new place."""

    def write(name: str, pattern: bytes, by: bytes, count: int = 0) -> Path:
        content, found = re.subn(pattern, by, (formats / name).read_bytes(), count=count, flags=re.DOTALL)
        assert found
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def test_muse_is_its_dicom(formats: Path) -> None:
    muse, dicom = read(formats / MUSE), read(formats / "ge_muse_909.dcm")
    assert muse.leads == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert (muse.rate, muse.seconds, muse.band, muse.amplitude) == (dicom.rate, dicom.seconds, dicom.band, "mV")
    assert (muse.subject.age, muse.subject.sex) == (dicom.subject.age, dicom.subject.sex) == (11.0, "M")
    for lead in muse.leads:  # the converter wrote whole microvolts
        np.testing.assert_allclose(muse.lead(lead), dicom.lead(lead), atol=0.00051, rtol=0)
    for lead in set(STANDARD) - set(muse.leads):  # derived here, in the DICOM from leads that were rounded
        np.testing.assert_allclose(muse.lead(lead), dicom.lead(lead), atol=0.0025, rtol=0)


def test_edf_is_its_wfdb(formats: Path) -> None:
    edf, wfdb = read(formats / EDF), read(formats / "A0001.hea")
    assert (edf.leads, edf.rate, edf.seconds, edf.amplitude) == (wfdb.leads, wfdb.rate, wfdb.seconds, "mV")
    np.testing.assert_allclose(edf.signal, wfdb.signal, atol=4e-5, rtol=0)  # a step of the widest lead
    assert (edf.subject.age, edf.subject.sex) == (None, None)  # its header says X


def test_philips_is_whole_and_in_microvolts_of_five(formats: Path) -> None:
    recording = read(formats / PHILIPS)
    assert (recording.leads, recording.rate, recording.band) == (STANDARD, 500.0, (0.05, 150.0))
    assert (recording.subject.age, recording.subject.sex) == (50.0, "M")
    steps = recording.signal / 0.005
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    for name in LIMB:  # rebuilt from differences: a wrong sign or order would be tenths of a millivolt off
        a, b = LIMB_ALGEBRA[name]
        expected = a * recording.lead("I") + b * recording.lead("II")
        np.testing.assert_allclose(recording.lead(name), expected, atol=0.0101)
    assert check(recording).findings == ()


def test_the_calibration_pulse_at_the_end_is_left_out(formats: Path) -> None:
    recording = read(formats / PHILIPS)
    assert recording.seconds == 10.528
    assert recording.facts == {"recorded": "2011-12-01"}
    assert recording.notes == {"calibration_pulse": "left out: the calibration pulse in the last 0.472 s"}


@pytest.mark.parametrize(("name", "root"), [(MUSE, b"RestingECG"), (PHILIPS, b"restingecgdata")])
@pytest.mark.parametrize("doctype", [BOMB, OUTSIDE])
def test_entities_are_refused(changed: Callable[..., Path], name: str, root: bytes, doctype: str) -> None:
    path = changed(name, rb"<!DOCTYPE[^>]*>", b"") if name == MUSE else changed(name, rb"\A", b"")
    head = doctype.format(root.decode()).encode()
    content = path.read_bytes().replace(b"<" + root, head + b"<" + root, 1)
    path.write_bytes(content.replace(b"<documentname>", b"<documentname>&c;").replace(b"<Site>1", b"<Site>&c;"))
    with pytest.raises(ReadError, match="declares entities"):
        read(path)


def test_xml_without_end_in_depth_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.xml"
    path.write_bytes(b"<RestingECG>" + b"<a>" * 5000)
    with pytest.raises(ReadError, match="nested over 64 deep"):
        read(path)


@pytest.mark.parametrize(
    ("name", "pattern", "by", "told"),
    [
        (
            MUSE,
            rb"(Rhythm.*?<LeadID>V2.*?<WaveFormData>\s*)\w{8}",
            rb"\1AAAABBBB",
            "lead V2: damaged file: LeadDataCRC32 is",
        ),
        (MUSE, rb"<LeadAmplitudeUnits>\w+<", b"<LeadAmplitudeUnits>FURLONGS<", "lead I: unit 'FURLONGS' is not known"),
        (MUSE, rb"<SampleBase>500<", b"<SampleBase>0<", "no valid SampleBase"),
        (MUSE, rb"</RestingECG>", b"", "damaged file: malformed XML"),
        (PHILIPS, rb"<signalresolution>5<", b"<signalresolution><", "the step per bit is not stated (resolution)"),
        (PHILIPS, rb"<documentversion>1.03<", b"<documentversion>9.99<", "SierraECG 9.99 is not read here"),
        (PHILIPS, rb'durationperchannel="11000"', b'durationperchannel="12000"', "5500 samples, 6000 expected"),
        (PHILIPS, rb"(<parsedwaveforms[^>]*>\s*)\w{8}", rb"\1AAAAAAAA", "damaged file"),
        (PHILIPS, rb"UTF-(?:8|16)", b"UTF-9", "unknown encoding: UTF-9"),
        (EDF, rb"(EDF\+C {39})15 ", rb"\g<1>16 ", "truncated"),
        (EDF, rb"\A0       ", b"\xffBIOSEMI", "truncated"),  # 16 bits are not 24
        (EDF, rb"mV      ", b"        ", "lead I: no unit is stated"),
        (EDF, rb"(?<= )32767   ", b"-32768  ", "the step per bit is not stated"),  # no range: not calibrated
    ],
)
def test_what_is_refused(changed: Callable[..., Path], name: str, pattern: bytes, by: bytes, told: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(changed(name, pattern, by))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(name) == 1


def test_of_files_read_at_once_none_is_blamed_for_the_damage_of_another(
    formats: Path, changed: Callable[..., Path]
) -> None:
    damaged = changed(EDF, rb"(EDF\+C {39})15 ", rb"\g<1>16 ")
    files, filters = [formats / EDF, damaged] * 20, list(warnings.filters)

    def told(path: Path) -> str:
        try:
            return str(read(path).rate)
        except ReadError as error:
            return "truncated" if "truncated" in str(error) else str(error)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(told, files)) == ["500.0", "truncated"] * 20
    assert warnings.filters == filters


def test_a_rate_between_whole_numbers_is_kept(changed: Callable[..., Path]) -> None:
    # 500 samples in a record of 1.5 s
    assert read(changed(EDF, rb"EDF\+C( {39})15      1  ", rb"EDF  \g<1>15      1.5")).rate == pytest.approx(1000 / 3)


def test_utf_16(formats: Path, tmp_path: Path) -> None:
    text = (formats / PHILIPS).read_text("utf-8").replace('encoding="UTF-8"', 'encoding="UTF-16"', 1)
    path = tmp_path / "wide.xml"
    path.write_bytes(text.encode("utf-16"))
    np.testing.assert_array_equal(read(path).signal, read(formats / PHILIPS).signal)


@pytest.mark.parametrize(("name", "package"), [(MUSE, "defusedxml"), (PHILIPS, "ecgdatakit")])
def test_without_the_package_the_extra_is_named(
    formats: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'enecg\[formats\]'"):
        read(formats / name)


@pytest.mark.parametrize("name", [MUSE, PHILIPS, EDF])
@given(at=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=12), cut=st.integers(0, 40))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused_in_one_line(
    formats: Path, tmp_path: Path, name: str, at: float, junk: bytes, cut: int
) -> None:
    content = (formats / name).read_bytes()
    place = int(at * len(content))
    (tmp_path / "file").write_bytes(content[:place] + junk + content[place + cut :])
    try:
        recording = read(tmp_path / "file", rate=500, unit="mV")
    except ReadError as error:
        assert "\n" not in str(error)
    else:
        assert recording.signal.ndim == 2
