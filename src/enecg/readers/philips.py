"""Philips (Sierra) ECG XML 1.03 and 1.04: one `restingecgdata` element, plain or compressed (XLI, an LZW).

The samples are decompressed by ecgdatakit. Its reader of the whole file cuts or shifts leads where the stated
durations, labels and channels do not fit the bytes; so these are read and compared here.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np

from enecg.errors import DAMAGE, ReadError, require
from enecg.leads import LIMB, STANDARD, canonical
from enecg.readers._channels import Channel, recording_of, step_of
from enecg.readers._dates import age_of, day, possible_age
from enecg.readers._xml import document, number, text
from enecg.readers.common import choose_leads, first_line, sex_of, stated_or_given
from enecg.recording import Recording, Subject

NAME: Final = "Philips XML"
ENDINGS: Final = (".xml",)
PACKAGES: Final = ("defusedxml.ElementTree", "ecgdatakit.parsing.codecs.xli")
RECOGNISED_BY: Final = "content"

_KINDS: Final = ("SierraECG", "PhilipsECG")
_VERSIONS: Final = ("1.03", "1.04", "1.04.01", "1.04.02")
_STANDARD_SETS: Final = ("STD-12", "10-WIRE")  # acquisitions whose first twelve channels are the standard leads
_YEARS_PER: Final = {"years": 1.0, "months": 1 / 12, "weeks": 7 / 365.25, "days": 1 / 365.25, "hours": 1 / 8766}
_DATES: Final = ("%Y-%m-%d", "%m/%d/%Y")
_PULSE: Final = 1000.0  # microvolts
_TRUE: Final = ("true", "yes", "t", "1")


def recognises(path: Path, head: bytes) -> bool:
    """XML whose root is `restingecgdata`, in UTF-8 or UTF-16."""
    return b"<restingecgdata" in head.replace(b"\x00", b"")


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the rhythm, not the representative beats; limb leads that are stored as differences are made whole.

    A sample is (stored - signaloffset) x resolution, in microvolts. The calibration pulse that a monitor may add at
    the end is left out, with a note.
    """
    where = str(path)
    root = document(path)
    if root.tag != "restingecgdata":
        raise ReadError(f"{where}: damaged file: its root element is {root.tag}, not restingecgdata")
    kind, version = text(root, "documentinfo/documenttype"), text(root, "documentinfo/documentversion")
    if kind not in _KINDS or version not in _VERSIONS:
        raise ReadError(f"{where}: a Philips file of type {kind or 'unknown'} {version} is not read here; "
                        f"export it as version {_VERSIONS[-1]}")  # fmt: skip
    layout = _Layout.of(root, where)
    notes = _doubts(root, layout)
    stored = _leads(layout, notes, where)
    rows, skipped = choose_leads(layout.names, where)
    notes.update(skipped)
    recorded = day(_attribute(root.find("dataacquisition"), "date"), *_DATES)
    return _without_pulse(
        recording_of(
            [Channel(layout.names[row], stored[row], layout.step, "uV", -layout.zero * layout.step) for row in rows],
            rate=stated_or_given(layout.rate, rate, "rate", where),
            unit=unit,
            where=where,
            notes=notes,
            subject=_subject(root.find("patient/generalpatientdata"), recorded, notes),
            band=layout.band,
            facts={"recorded": f"{recorded:%Y-%m-%d}"} if recorded else {},
        )
    )


@dataclass(frozen=True)
class _Layout:
    """What the file states of its rhythm: how many samples of which leads, how they are written and scaled."""

    element: Element
    names: list[str]
    rate: float
    count: int  # samples of each lead
    step: float  # microvolts
    zero: int  # the stored value of 0 V
    signed: bool
    compressed: bool
    band: tuple[float, float] | None

    @classmethod
    def of(cls, root: Element, where: str) -> _Layout:
        found = list(root.iter("parsedwaveforms"))
        if len(found) != 1:
            raise ReadError(f"{where}: it holds {len(found)} elements parsedwaveforms, one is read; export it again")
        waves, signal = found[0], root.find("dataacquisition/signalcharacteristics")
        rate = _agreed(waves, signal, where, "sampling rate", "samplespersecond", "samplingrate")
        if rate is None or rate <= 0:
            raise ReadError(f"{where}: damaged file: no valid sampling rate")
        duration = number(waves.get("durationperchannel", ""))
        if duration is None or duration <= 0 or not (duration * rate / 1000).is_integer():
            raise ReadError(f"{where}: damaged file: no valid durationperchannel")
        bits = _agreed(waves, None, where, "bits per sample", "bitspersample", "nbitspersample")
        if bits not in (None, 16):
            raise ReadError(f"{where}: samples of {bits:g} bits are not read here; export it again with 16")
        step = _agreed(waves, signal, where, "resolution", "resolution", "signalresolution")
        zero = _agreed(waves, signal, where, "signal offset", "signaloffset") or 0.0
        signed = {value.lower() in _TRUE for value in _stated(waves, signal, "signalsigned")} or {True}
        if len(signed) > 1:
            raise ReadError(f"{where}: signalsigned is stated both as True and as False; export it again")
        return cls(
            element=waves,
            names=_names(waves, signal, where),
            rate=rate,
            count=round(duration * rate / 1000),
            step=step_of(step, "resolution", where),
            zero=round(zero),
            signed=signed.pop(),
            compressed=_compressed(waves, where),
            band=_band(waves, signal),
        )


def _stated(waves: Element, signal: Element | None, *names: str) -> list[str]:
    """All that the waveform and the acquisition state under `names`, without blanks."""
    values = [waves.get(name, "").strip() for name in names] + [text(signal, name) for name in names]
    return [value for value in values if value]


def _agreed(waves: Element, signal: Element | None, where: str, what: str, *names: str) -> float | None:
    """The one number that is stated under `names`; None when there is none."""
    values = {number(value) for value in _stated(waves, signal, *names)}
    if None in values or len(values) > 1:
        stated = ", ".join(_stated(waves, signal, *names))
        raise ReadError(f"{where}: the statements of its {what} contradict each other ({stated}); export it again")
    return values.pop() if values else None


def _names(waves: Element, signal: Element | None, where: str) -> list[str]:
    """The leads in stored order: as labelled, else those of the lead set."""
    labels = waves.get("leadlabels", "").split()
    counts = {number(value) for value in _stated(waves, signal, "numberofleads", "numberchannelsallocated")}
    if not labels:
        sets = _stated(waves, signal, "acquisitiontype", "leadset")
        size = counts.pop() if len(counts) == 1 else None
        if size is None or not size.is_integer() or not any(each in _STANDARD_SETS for each in sets):
            raise ReadError(f"{where}: neither its leads nor a known lead set is stated ({', '.join(sets) or 'none'}); "
                            "export it again")  # fmt: skip
        return [STANDARD[row] if row < len(STANDARD) else f"channel {row + 1}" for row in range(int(size))]
    if counts - {float(len(labels))}:
        others = ", ".join(f"{count:g}" for count in counts if count is not None)
        raise ReadError(f"{where}: it labels {len(labels)} leads ({' '.join(labels)}) and states {others} channels; "
                        "export it again")  # fmt: skip
    return labels


def _doubts(root: Element, layout: _Layout) -> dict[str, str]:
    """Notes on leads of which the device itself says that they are not sound."""
    notes = {}
    valid = number(text(root, "dataacquisition/signalcharacteristics/numberchannelsvalid"))
    if valid is not None and valid != len(layout.names):
        notes["valid_channels"] = f"the file states that {valid:g} of its {len(layout.names)} channels are valid"
    states = {lead.get("leadname", "?"): text(lead, "leadqualitystates/inops") for lead in root.iter("leadmeasurement")}
    faults = [f"{name} ({state})" for name, state in states.items() if state.strip("- ")]
    if faults:
        notes["lead_faults"] = f"the device reports faults of leads: {', '.join(faults)}"
    return notes


def _compressed(waves: Element, where: str) -> bool:
    method = waves.get("compression", "") or waves.get("compressmethod", "")
    flag = waves.get("compressflag", "").lower()
    if (flag and flag not in _TRUE) or method.lower() in ("", "uncompressed", "none"):
        return False
    if method.upper() != "XLI":
        raise ReadError(f"{where}: compression {method} is not read here; export it as XLI or uncompressed")
    return True


def _leads(layout: _Layout, notes: dict[str, str], where: str) -> list[np.ndarray]:
    """The stored integers of each lead; their number must be the stated one exactly."""
    encoding, content = layout.element.get("dataencoding", ""), "".join(layout.element.itertext())
    if encoding == "Plain" and not layout.compressed:
        try:
            values = np.array([int(value) for value in content.split()], np.int32)
        except (ValueError, OverflowError) as error:
            raise ReadError(f"{where}: damaged file: {first_line(error)}") from error
        return _divided(values, layout, where)
    if encoding != "Base64":
        raise ReadError(f"{where}: samples written as {encoding or 'an unknown encoding'} are not read here")
    try:
        raw = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ReadError(f"{where}: damaged file: invalid base64; export it again") from error
    if layout.compressed:
        return _decompressed(raw, layout, notes, where)
    if len(raw) % 2:
        raise ReadError(f"{where}: damaged file: {len(raw)} bytes are no whole number of samples of 16 bits")
    return _divided(np.frombuffer(raw, "<i2" if layout.signed else "<u2"), layout, where)


def _divided(values: np.ndarray, layout: _Layout, where: str) -> list[np.ndarray]:
    promised = len(layout.names) * layout.count
    if len(values) != promised:
        raise ReadError(f"{where}: damaged file: it holds {len(values)} samples, {len(layout.names)} leads of "
                        f"{layout.count} samples ({layout.count / layout.rate:g} s) make {promised}; "
                        "export it again")  # fmt: skip
    return list(values.reshape(len(layout.names), layout.count))


def _decompressed(raw: bytes, layout: _Layout, notes: dict[str, str], where: str) -> list[np.ndarray]:
    package = require("ecgdatakit", "formats", "reading compressed Philips XML")
    from ecgdatakit.parsing.codecs.xli import xli_decode

    try:
        leads: list[np.ndarray] = xli_decode(raw)
    except (package.ECGDataKitError, *DAMAGE) as error:
        raise ReadError(f"{where}: damaged file: {first_line(error)}") from error
    count = len(layout.names)
    for row, samples in enumerate(leads):
        if len(samples) != layout.count:
            raise ReadError(f"{where}: damaged file: lead {row + 1} holds {len(samples)} samples, "
                            f"{layout.count} expected")  # fmt: skip
    leads, spare = leads[:count], leads[count:]
    if len(leads) < count or any(len(np.unique(samples)) > 2 for samples in spare):
        raise ReadError(f"{where}: damaged file: {count} leads are named, {len(leads) + len(spare)} are stored; "
                        "export it again")  # fmt: skip
    names = [canonical(name) for name in layout.names]
    if tuple(names[:6]) == LIMB:
        leads = [*_whole_limb_leads(leads[:6]), *leads[6:]]
    elif set(names) & set(LIMB[2:]):
        raise ReadError(f"{where}: compressed leads in the order {' '.join(names)} are not read here; "
                        "export it in the standard order")  # fmt: skip
    for samples in spare:
        _check_pulse(leads, samples, layout, notes, where)
    return leads


def _check_pulse(
    leads: list[np.ndarray], spare: np.ndarray, layout: _Layout, notes: dict[str, str], where: str
) -> None:
    """A spare channel holds nothing but the calibration pulse; every lead that is decoded rightly holds it too.

    Each sample is stored as a difference from those before it, so any damage shows in the pulse at the end. The pulse
    also shows the scale: it starts from 0 V and is 1 mV high.
    """
    if spare[0] != layout.zero:
        raise ReadError(
            f"{where}: signaloffset is {layout.zero}, its unused channels rest at {spare[0]}; export it again"
        )
    height = np.ptp(spare) * layout.step
    if height and abs(height - _PULSE) > layout.step:
        notes["pulse_height"] = (f"the calibration pulse is {height / 1000:g} mV high by the stated resolution, "
                                 "1 mV is usual; check the amplitudes")  # fmt: skip
    rises = np.flatnonzero(spare != spare[0])
    begin = int(rises[0]) if len(rises) else len(spare)
    for name, samples in zip(layout.names, leads, strict=True):
        if not np.array_equal(samples[begin:], spare[begin:]):
            raise ReadError(f"{where}: damaged file: the calibration pulse at the end of lead {name} is not whole; "
                            "export it again")  # fmt: skip


def _whole_limb_leads(stored: list[np.ndarray]) -> list[np.ndarray]:
    """Limb leads from I, II and what the others differ by from what these two give (whole steps, rounded down)."""
    one, two, three, right, left, foot = (lead.astype(np.int64) for lead in stored)
    three = two - one - three
    return [one, two, three, -right - (one + two) // 2, (one - three) // 2 - left, (two + three) // 2 - foot]


def _band(waves: Element, signal: Element | None) -> tuple[float, float] | None:
    """The band-pass of the stored waveform; what is stated of the waveform comes before the acquisition's."""
    low, high = (number(waves.get(name, "") or text(signal, name)) for name in ("hipass", "lowpass"))
    if low is None and high is None:
        edges = text(signal, "signalbandwidth").split("-")
        low, high = map(number, edges) if len(edges) == 2 else (None, None)
    return (low, high) if low and high else None


def _attribute(element: Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def _subject(person: Element | None, recorded: date | None, notes: dict[str, str]) -> Subject:
    """The stated age, of which the device's default is none, or the one that the dates give."""
    stated = next((unit for unit in _YEARS_PER if number(text(person, f"age/{unit}")) is not None), None)
    value = number(text(person, f"age/{stated}")) if stated else None
    age = possible_age(value * _YEARS_PER[stated]) if stated and value is not None else None
    if stated and age is None:
        notes["age"] = f"not used: the age {text(person, f'age/{stated}')} {stated}"
    born = day(text(person, "age/dateofbirth") or text(person, "dateofbirth"), *_DATES)
    age, doubt = age_of(age, born, recorded)
    notes.update(doubt)
    key = text(person, "patientid") or text(person, "MRN")
    return Subject(key if key.strip("- ") else None, age, sex_of(text(person, "sex")))


def _without_pulse(recording: Recording) -> Recording:
    """Cut off an end at which all leads are one, as no heart can give it (aVR + aVL + aVF = 0)."""
    if len(recording.leads) < 3:
        return recording
    apart = np.flatnonzero(np.ptp(recording.signal, axis=0) > 0)
    if len(apart) == 0:
        raise ReadError(f"{recording.source}: all leads are one and the same; this is no ECG")
    kept = int(apart[-1]) + 1
    cut = (recording.signal.shape[1] - kept) / recording.rate
    if cut == 0:
        return recording
    notes = {**recording.notes, "calibration_pulse": f"left out: the calibration pulse in the last {cut:g} s"}
    return replace(recording, signal=recording.signal[:, :kept], notes=notes)
