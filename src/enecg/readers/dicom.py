"""DICOM ECG waveforms: the 12-lead, general and ambulatory ECG storage classes (PS3.3, section C.10.9)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np

from enecg.errors import DAMAGE, InputError, ReadError, require
from enecg.leads import STANDARD, canonical
from enecg.readers.common import (
    age_in_years,
    caught_warnings,
    choose_leads,
    common_amplitude,
    first_line,
    sex_of,
    stated_or_given,
)
from enecg.recording import Recording, Subject

_STORAGE: Final = {
    "1.2.840.10008.5.1.4.1.1.9.1.1",  # 12-lead ECG
    "1.2.840.10008.5.1.4.1.1.9.1.2",  # general ECG
    "1.2.840.10008.5.1.4.1.1.9.1.3",  # ambulatory ECG
    "1.2.840.10008.5.1.4.1.1.9.1.4",  # general 32-bit ECG
}
# Last part of a channel source code, the same in SCP-ECG (5.6.3-9-n) and MDC (2:n): PS3.16, context group 3001.
_LEAD_NUMBERS: Final = {1: "I", 2: "II", **{n: f"V{n - 2}" for n in range(3, 9)}, 61: "III", 62: "aVR", 63: "aVL",
                        64: "aVF"}  # fmt: skip
_COMPANDED: Final = ("MB", "AB")  # mu-law and A-law bytes; pydicom hands them out undecoded


def recognises(path: Path, head: bytes) -> bool:
    """The magic word behind the preamble."""
    return head[128:132] == b"DICM"


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the longest multiplex group: the rhythm, not the median beat.

    A sample is stored x Channel Sensitivity x Correction Factor + Channel Baseline, in Channel Sensitivity Units;
    the padding value becomes NaN. `band` is set where every lead states both its filter frequencies.
    """
    pydicom = require("pydicom", "dicom", "reading DICOM")
    where = str(path)
    try:
        with caught_warnings():  # of values that break the standard; what a measurement needs is checked here
            return _recording(pydicom.dcmread(path), rate, unit, where)
    except InputError:
        raise
    except (*DAMAGE, pydicom.errors.BytesLengthException) as error:
        raise ReadError(f"{where}: damaged DICOM file: {first_line(error)}") from error


def _recording(dataset: Any, rate: float | None, unit: str | None, where: str) -> Recording:
    groups = dataset.get("WaveformSequence")
    if dataset.get("SOPClassUID") not in _STORAGE or not groups:
        kind = getattr(dataset.get("SOPClassUID"), "name", "unknown class")
        raise ReadError(f"{where}: a DICOM object of {kind}, not an ECG waveform")
    if not dataset.file_meta.TransferSyntaxUID.is_little_endian:
        raise ReadError(f"{where}: big-endian DICOM is not read here; convert it to Explicit VR Little Endian")
    sizes = [(int(group.NumberOfWaveformSamples) / float(group.SamplingFrequency), len(group.ChannelDefinitionSequence))
             for group in groups]  # fmt: skip
    longest = sizes.index(max(sizes))
    group = groups[longest]
    channels = group.ChannelDefinitionSequence
    names = [_lead(channel) for channel in channels]
    rows, notes = choose_leads(names)
    names, channels = [names[row] for row in rows], [channels[row] for row in rows]

    units = [stated_or_given(_unit(channel), unit, "unit", f"{where}, lead {name}")
             for channel, name in zip(channels, names, strict=True)]  # fmt: skip
    factors, amplitude = common_amplitude(units, names, where)
    gains = np.array(
        [float(c.ChannelSensitivity) * float(c.get("ChannelSensitivityCorrectionFactor") or 1) for c in channels]
    )
    baselines = np.array([float(channel.get("ChannelBaseline") or 0) for channel in channels])
    stored = _stored(dataset, longest, where)[:, rows]
    return Recording(
        signal=((stored * gains + baselines) * factors).T,
        rate=stated_or_given(float(group.SamplingFrequency), rate, "rate", where),
        leads=tuple(names),
        amplitude=amplitude,
        subject=_subject(dataset),
        source=where,
        band=_band(channels),
        notes=notes,
    )


def _stored(dataset: Any, index: int, where: str) -> np.ndarray:
    """The group's samples as stored, float64 `[sample, channel]`; the padding value is NaN."""
    from pydicom.waveforms.numpy_handler import multiplex_array

    group = dataset.WaveformSequence[index]
    if group.WaveformSampleInterpretation in _COMPANDED:
        raise ReadError(f"{where}: samples are companded ({group.WaveformSampleInterpretation}); store them linearly")
    bits, channels, samples = group.WaveformBitsAllocated, group.NumberOfWaveformChannels, group.NumberOfWaveformSamples
    needed, size = bits // 8 * channels * samples, len(group.WaveformData)
    if size < needed:
        raise ReadError(f"{where}: waveform is truncated: {size} bytes of the {needed} that its header promises")
    raw = multiplex_array(dataset, index, as_raw=True)
    padding = group.get("WaveformPaddingValue")
    if padding is None:
        return raw.astype(np.float64)
    if isinstance(padding, bytes):
        padding = np.frombuffer(padding[: raw.itemsize], raw.dtype)[0]
    return np.where(raw == padding, np.nan, raw)


def _lead(channel: Any) -> str:
    """The lead by its code, else by the code's meaning or the channel's label."""
    source = channel.ChannelSourceSequence[0]
    code = str(source.CodeValue)
    number = re.fullmatch(r"(?:2:|5\.6\.3-9-)(\d+)", code)
    if number and int(number[1]) in _LEAD_NUMBERS:
        return _LEAD_NUMBERS[int(number[1])]
    said = [code, str(source.get("CodeMeaning", "")), str(channel.get("ChannelLabel", ""))]
    return next((canonical(text) for text in said if canonical(text) in STANDARD), said[1] or code)


def _unit(channel: Any) -> str | None:
    units = channel.get("ChannelSensitivityUnitsSequence")
    return str(units[0].CodeValue) if units else None


def _band(channels: Sequence[Any]) -> tuple[float, float] | None:
    """The widest (low, high) over the leads, where each of them states both."""
    lows = [channel.get("FilterLowFrequency") for channel in channels]
    highs = [channel.get("FilterHighFrequency") for channel in channels]
    if None in lows or None in highs:
        return None
    return float(min(lows)), float(max(highs))


def _subject(dataset: Any) -> Subject:
    age = age_in_years(dataset.get("PatientAge"))
    if age is None:
        born, then = (
            _day(dataset.get("PatientBirthDate")),
            _day(dataset.get("AcquisitionDateTime") or dataset.get("StudyDate")),
        )
        age = age_in_years(f"{(then - born).days / 365.25:.1f}") if born and then else None
    return Subject(id=dataset.get("PatientID") or None, age=age, sex=sex_of(dataset.get("PatientSex")))


def _day(text: str | None) -> date | None:
    match = re.match(r"(\d{4})(\d\d)(\d\d)", text or "")
    return date(*map(int, match.groups())) if match else None
