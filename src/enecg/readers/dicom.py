"""DICOM ECG waveforms: the 12-lead, general, ambulatory and hemodynamic storage classes (PS3.3, section C.10.9)."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from enecg.errors import DAMAGE, InputError, ReadError, require
from enecg.leads import canonical
from enecg.readers._channels import recording_of
from enecg.readers._dates import age_of, day
from enecg.readers._multiplex import Group, channels_of, simultaneous
from enecg.readers.common import age_in_years, caught_warnings, first_line, sex_of, stated_or_given
from enecg.recording import Recording, Subject

_HEMODYNAMIC: Final = "1.2.840.10008.5.1.4.1.1.9.2.1"
_STORAGE: Final = {
    "1.2.840.10008.5.1.4.1.1.9.1.1",  # 12-lead ECG
    "1.2.840.10008.5.1.4.1.1.9.1.2",  # general ECG
    "1.2.840.10008.5.1.4.1.1.9.1.3",  # ambulatory ECG
    "1.2.840.10008.5.1.4.1.1.9.1.4",  # general 32-bit ECG
    _HEMODYNAMIC,  # with ECG leads beside the pressures
}
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_MOST_INFLATED: Final = 256 * 2**20  # bytes that a deflated file may grow to
_VALUE_TYPES: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split()
)
_LONG_TYPES: Final = (b"OB", b"OW", b"SQ", b"UN", b"UT")  # whose length takes four bytes behind two empty ones
_FIRST_ELEMENTS: Final = 3  # that must be well-formed before a file without preamble is taken for DICOM


def recognises(path: Path, head: bytes) -> bool:
    """The magic word behind the preamble; without a preamble, as some archives write, well-formed first elements."""
    return head[128:132] == b"DICM" or _begins_with_elements(head)


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
    except (*DAMAGE, pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        raise ReadError(f"{where}: damaged DICOM file: {first_line(error)}") from error


def _begins_with_elements(head: bytes) -> bool:
    """Elements of the file meta or identifying groups in rising order, explicit or implicit, little-endian."""
    at, last = 0, (0, 0)
    for _ in range(_FIRST_ELEMENTS):
        if len(head) < at + 12:
            return False
        tag = struct.unpack_from("<HH", head, at)
        if tag[0] not in (0x0002, 0x0008) or tag <= last:
            return False
        kind = head[at + 4 : at + 6]
        if kind in _LONG_TYPES:
            size, begin = struct.unpack_from("<I", head, at + 8)[0], 12
        elif kind in _VALUE_TYPES:
            size, begin = struct.unpack_from("<H", head, at + 6)[0], 8
        else:
            size, begin = struct.unpack_from("<I", head, at + 4)[0], 8
        if size % 2 or size > len(head):
            return False
        at, last = at + begin + size, tag
    return True


def _dataset(path: Path, where: str) -> Any:
    import pydicom

    with path.open("rb") as file:
        has_preamble = file.read(132)[128:] == b"DICM"
    if has_preamble and pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
        return pydicom.dcmread(io.BytesIO(_inflated(path.read_bytes(), where)), force=True)
    return pydicom.dcmread(path, force=not has_preamble)


def _inflated(raw: bytes, where: str) -> bytes:
    """The data set of a deflated file, as explicit little-endian elements; pydicom would inflate without a bound."""
    tag, kind, _, size = struct.unpack_from("<4s2sHI", raw, 132)
    if tag != b"\x02\x00\x00\x00" or kind != b"UL":
        raise ReadError(f"{where}: damaged DICOM file: the length of its file meta information is not stated")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(raw[144 + size :], _MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise ReadError(f"{where}: inflates to more than {_MOST_INFLATED >> 20} MB; store it without deflation")
    if not inflater.eof:
        raise ReadError(f"{where}: truncated: its deflated data set ends early")
    return data


def _recording(dataset: Any, rate: float | None, unit: str | None, where: str) -> Recording:
    items, storage = dataset.get("WaveformSequence"), dataset.get("SOPClassUID")
    if storage not in _STORAGE or not items:
        kind = getattr(storage, "name", "unknown class")
        raise ReadError(f"{where}: a DICOM object of {kind}, not an ECG waveform")
    meta = getattr(dataset, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta else None
    if (syntax is not None and not syntax.is_little_endian) or dataset.original_encoding[1] is False:
        raise ReadError(f"{where}: big-endian DICOM is not read here; convert it to Explicit VR Little Endian")
    groups = [Group(item, where) for item in items]
    if storage == _HEMODYNAMIC and not any(group.leads for group in groups):
        raise ReadError(f"{where}: a hemodynamic waveform without an ECG lead")
    chosen, notes = simultaneous(groups, where)
    channels = [channel for group in chosen for channel in channels_of(group, notes)]
    definitions = [item for group in chosen for item in group.item.ChannelDefinitionSequence]
    names = [name for group in chosen for name in group.names]
    recorded = day(_eight(dataset.get("AcquisitionDateTime") or dataset.get("StudyDate")), "%Y%m%d")
    subject = _subject(dataset, recorded, notes)
    recording = recording_of(
        channels,
        rate=stated_or_given(chosen[0].rate, rate, "rate", where),
        unit=unit,
        where=where,
        notes=notes,
        subject=subject,
        facts={"recorded": f"{recorded:%Y-%m-%d}"} if recorded else {},
    )
    used = [item for name, item in zip(names, definitions, strict=True) if canonical(name) in recording.leads]
    return replace(recording, band=_band(used))


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
