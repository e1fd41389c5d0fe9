"""DICOM ECG waveforms: the 12-lead, general, ambulatory and hemodynamic storage classes (PS3.3, section C.10.9)."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from enecg.errors import DAMAGE, InputError, ReadError, require
from enecg.readers._channels import recording_of
from enecg.readers._dates import age_of, day
from enecg.readers._elements import begins_with_elements, check_elements, file_meta
from enecg.readers._multiplex import Group, channels_of, simultaneous
from enecg.readers.common import age_in_years, caught_warnings, choose_leads, first_line, sex_of, stated_or_given
from enecg.recording import Recording, Subject

NAME: Final = "DICOM"
ENDINGS: Final = (".dcm",)
PACKAGES: Final = ("pydicom",)
RECOGNISED_BY: Final = "content"

_HEMODYNAMIC: Final = "1.2.840.10008.5.1.4.1.1.9.2.1"
_STORAGE: Final = {
    "1.2.840.10008.5.1.4.1.1.9.1.1",  # 12-lead ECG
    "1.2.840.10008.5.1.4.1.1.9.1.2",  # general ECG
    "1.2.840.10008.5.1.4.1.1.9.1.3",  # ambulatory ECG
    "1.2.840.10008.5.1.4.1.1.9.1.4",  # general 32-bit ECG
    _HEMODYNAMIC,  # with ECG leads beside the pressures
}
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"  # the transfer syntax
_META_BYTES: Final = 4096  # within which the file meta information lies
_MOST_INFLATED: Final = 256 * 2**20  # bytes that a deflated file may grow to


def recognises(path: Path, head: bytes) -> bool:
    """The magic word behind the preamble; without a preamble, as some archives write, well-formed first elements."""
    return head[128:132] == b"DICM" or begins_with_elements(head)


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the rhythm, not the median beat; leads of several simultaneous multiplex groups are joined.

    A sample is stored x Channel Sensitivity x Correction Factor + Channel Baseline, in Channel Sensitivity Units;
    the padding value becomes NaN. Channels that the file calls disconnected or invalid are left out, and channels
    with a skew are moved, each with a note. `band` is set where every lead states both its filter frequencies.
    """
    pydicom = require("pydicom", "dicom", "reading DICOM")
    where = str(path)
    try:
        with caught_warnings():  # of values that break the standard; what a measurement needs is checked here
            return _recording(_dataset(path, where), rate, unit, where)
    except InputError:
        raise
    except (OSError, *DAMAGE, pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        raise ReadError(f"{where}: damaged DICOM file: {first_line(error)}") from error


def _dataset(path: Path, where: str) -> Any:
    """The data set, after its lengths were checked; pydicom would inflate without a bound and read on after damage."""
    import pydicom

    with path.open("rb") as file:
        raw = file.read(_META_BYTES)
        has_preamble = raw[128:132] == b"DICM"
        storage, syntax, begin = file_meta(raw) if has_preamble else ("", "", 0)
        if storage and storage not in _STORAGE:  # such as an image, which need not be read to be refused
            raise _not_an_ecg(pydicom.uid.UID(storage), where)
        raw += file.read()
    if syntax == _DEFLATED:
        raw, has_preamble = _inflated(raw[begin:], where), False
    dataset = pydicom.dcmread(io.BytesIO(raw), force=not has_preamble)
    if dataset.get("SOPClassUID") not in _STORAGE:
        raise _not_an_ecg(dataset.get("SOPClassUID"), where)
    implicit, is_little_endian = dataset.original_encoding
    if not is_little_endian:
        raise ReadError(f"{where}: big-endian DICOM is not read here; convert it to Explicit VR Little Endian")
    check_elements(raw, bool(implicit), _is_sequence, where)
    return dataset


def _not_an_ecg(storage: Any, where: str) -> ReadError:
    name = getattr(storage, "name", "")  # the identifier itself, or what stands for it, where it is not known
    return ReadError(
        f"{where}: a DICOM object of {name if name != storage else 'an unknown class'}, not an ECG waveform"
    )


def _is_sequence(tag: tuple[int, int]) -> bool:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return bool(dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ")


def _inflated(packed: bytes, where: str) -> bytes:
    """The data set of a deflated file, as explicit little-endian elements; pydicom would inflate without a bound."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(packed, _MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise ReadError(f"{where}: inflates to more than {_MOST_INFLATED >> 20} MB; store it without deflation")
    if not inflater.eof:
        raise ReadError(f"{where}: truncated: its deflated data set ends early")
    return data


def _recording(dataset: Any, rate: float | None, unit: str | None, where: str) -> Recording:
    items, storage = dataset.get("WaveformSequence"), dataset.get("SOPClassUID")
    if not items:
        raise ReadError(f"{where}: a DICOM ECG that holds no waveform; export it with its Waveform Sequence")
    groups = [Group(item, where) for item in items]
    if storage == _HEMODYNAMIC and not any(group.leads for group in groups):
        raise ReadError(f"{where}: a hemodynamic waveform without an ECG lead")
    chosen, notes = simultaneous(groups, where)
    names = [name for group in chosen for name in group.names]
    rows, skipped = choose_leads(names, where)
    notes.update(skipped)
    wanted = {names[row] for row in rows}
    channels = [channel for group in chosen for channel in channels_of(group, wanted, notes)]
    if not channels:
        raise ReadError(f"{where}: the file says of all channels that they hold no voltages (Channel Status)")
    definitions = [item for group in chosen for item in group.item.ChannelDefinitionSequence]
    recorded = day(_eight(dataset.get("AcquisitionDateTime") or dataset.get("StudyDate")), "%Y%m%d")
    subject = _subject(dataset, recorded, notes)
    used = {channel.name for channel in channels}
    return recording_of(
        channels,
        rate=stated_or_given(chosen[0].rate, rate, "rate", where),
        unit=unit,
        where=where,
        notes=notes,
        subject=subject,
        band=_band([item for name, item in zip(names, definitions, strict=True) if name in used]),
        facts={"recorded": f"{recorded:%Y-%m-%d}"} if recorded else {},
    )


def _band(channels: Sequence[Any]) -> tuple[float, float] | None:
    """The widest (low, high) over the leads, where each of them states both."""
    lows = [channel.get("FilterLowFrequency") for channel in channels]
    highs = [channel.get("FilterHighFrequency") for channel in channels]
    if None in lows or None in highs:
        return None
    return float(min(lows)), float(max(highs))


def _subject(dataset: Any, recorded: date | None, notes: dict[str, str]) -> Subject:
    """The stated age, else that of the dates. A date that is none (`00000000`) costs the age, not the recording."""
    born = day(_eight(dataset.get("PatientBirthDate")), "%Y%m%d")
    age, doubt = age_of(age_in_years(dataset.get("PatientAge")), born, recorded)
    notes.update(doubt)
    return Subject(id=dataset.get("PatientID") or None, age=age, sex=sex_of(dataset.get("PatientSex")))


def _eight(text: Any) -> str:
    """The day of a date or a time stamp: its first eight digits."""
    match = re.match(r"\d{8}", str(text or ""))
    return match[0] if match else ""
