"""GE MUSE XML: one `RestingECG` element with base64 of the leads as measured, mostly I, II and V1 to V6.

The fields are those of GE's restecg.dtd. They are read here and not through ecgdatakit 2.0.3, which takes the first
of several rhythm waveforms, cuts ages to whole years and rounds the sampling rate.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np

from enecg.errors import ReadError
from enecg.readers._channels import Channel, recording_of, step_of
from enecg.readers._dates import age_of, day, possible_age
from enecg.readers._xml import document, number, text
from enecg.readers.common import choose_leads, sex_of, stated_or_given
from enecg.recording import Recording, Subject

NAME: Final = "MUSE XML"
ENDINGS: Final = (".xml",)
PACKAGES: Final = ("defusedxml.ElementTree",)
RECOGNISED_BY: Final = "content"

_DATES: Final = ("%m-%d-%Y", "%m/%d/%Y", "%Y-%m-%d", "%Y%m%d", "%d-%b-%Y")
_YEARS_PER: Final = {"YEARS": 1.0, "MONTHS": 1 / 12, "WEEKS": 7 / 365.25, "DAYS": 1 / 365.25, "HOURS": 1 / 8766}
_NOT_APPLIED: Final = ("FirstSampleBaseline", "LeadOffsetFirstSample")  # their meaning is not documented
_STEP: Final = "LeadAmplitudeUnitsPerBit"
_LATE_BEAT: Final = 1.0  # seconds that a beat's time may lie behind the end: times are rounded


def recognises(path: Path, head: bytes) -> bool:
    """XML whose root is `RestingECG`, in UTF-8 or UTF-16."""
    return re.search(rb"<RestingECG[\s>]", head.replace(b"\x00", b"")) is not None


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the longest rhythm waveform, not the median beat; further ones are named in a note.

    A sample is stored x LeadAmplitudeUnitsPerBit, in LeadAmplitudeUnits. Counts of leads, bytes and samples and the
    CRC32 must fit what is there. A lead that was off (LeadOff) is left out. `band` is what the file says of the
    filters before storage.
    """
    where = str(path)
    root = document(path)
    if root.tag != "RestingECG":
        raise ReadError(f"{where}: damaged file: its root element is {root.tag}, not RestingECG")
    rhythms = [
        wave for wave in root.findall("Waveform") if (text(wave, "WaveformType") or "Rhythm").lower() == "rhythm"
    ]
    if not rhythms:
        raise ReadError(f"{where}: it holds no rhythm waveform; export it with its waveforms")
    waves = sorted((_Rhythm(wave, where) for wave in rhythms), key=lambda wave: -wave.seconds)
    chosen, notes = waves[0], {}
    if len(waves) > 1:
        others = "; ".join(
            f"{len(wave.names)} leads ({', '.join(wave.names)}), {wave.seconds:g} s" for wave in waves[1:]
        )
        notes["other_rhythms"] = f"left out: another rhythm waveform of the file: {others}"
    channels = chosen.channels(notes)
    _check_beats(root, chosen, where)
    _check_rates(root, chosen, notes)
    low, high = number(text(chosen.wave, "HighPassFilter")), number(text(chosen.wave, "LowPassFilter"))
    recorded = day(text(root, "TestDemographics/AcquisitionDate"), *_DATES)
    return recording_of(
        channels,
        rate=stated_or_given(chosen.rate, rate, "rate", where),
        unit=unit,
        where=where,
        notes=notes,
        subject=_subject(root.find("PatientDemographics"), recorded, notes),
        band=(low / 100, high) if low and high else None,  # the high-pass is stored in hundredths of a hertz
        facts={"recorded": f"{recorded:%Y-%m-%d}"} if recorded else {},
    )


class _Rhythm:
    """One rhythm waveform: its rate and leads."""

    def __init__(self, wave: Element, where: str) -> None:
        self.wave, self._where = wave, where
        base, exponent = number(text(wave, "SampleBase")), number(text(wave, "SampleExponent") or "0")
        if not base or base <= 0 or exponent is None or not -6 <= exponent <= 6:
            raise ReadError(f"{where}: damaged file: no valid SampleBase and SampleExponent")
        self.rate = base * 10**exponent
        kind = text(wave, "SampleType")
        if kind and kind != "CONTINUOUS_SAMPLES":
            raise ReadError(f"{where}: samples of type {kind} are not read; export them as CONTINUOUS_SAMPLES")
        self._leads = wave.findall("LeadData")
        self.names = [text(lead, "LeadID") for lead in self._leads]
        if not self._leads or not all(self.names):
            raise ReadError(f"{where}: damaged file: a rhythm waveform without leads, or a lead without LeadID")
        stated = text(wave, "NumberofLeads")
        if stated and stated != str(len(self._leads)):
            raise ReadError(f"{where}: damaged file: NumberofLeads is {stated}, {len(self._leads)} leads are there")
        self._stored = [
            _samples(lead, f"{where}, lead {name}") for lead, name in zip(self._leads, self.names, strict=True)
        ]
        self.seconds = max(map(len, self._stored)) / self.rate

    def channels(self, notes: dict[str, str]) -> list[Channel]:
        """The leads that can be used; `notes` gets what cannot."""
        where = self._where
        delays = [text(lead, "LeadTimeOffset") or "0" for lead in self._leads]
        if len({number(delay) for delay in delays}) > 1:
            raise ReadError(f"{where}: its leads start at different times (LeadTimeOffset {', '.join(delays)}); "
                            "they cannot be read as one recording")  # fmt: skip
        for tag in _NOT_APPLIED:
            some = [f"{name} {text(lead, tag)}" for lead, name in zip(self._leads, self.names, strict=True)
                    if text(lead, tag) and number(text(lead, tag)) != 0]  # fmt: skip
            if some:
                notes[tag] = f"not applied: {tag} of {', '.join(some)}; its meaning is not documented"
        off = {name for lead, name in zip(self._leads, self.names, strict=True)
               if text(lead, "LeadOff").upper() in ("TRUE", "1", "YES")}  # fmt: skip
        if off:
            gone = ", ".join(name for name in self.names if name in off)
            notes["leads_off"] = f"left out: {gone}; the file says that the lead was off (LeadOff)"
        rows, skipped = choose_leads(self.names, where)
        notes.update(skipped)
        found = [
            Channel(
                self.names[row],
                self._stored[row],
                step_of(number(text(self._leads[row], _STEP)), _STEP, f"{where}, lead {self.names[row]}"),
                text(self._leads[row], "LeadAmplitudeUnits") or None,
            )
            for row in rows
            if self.names[row] not in off
        ]
        if not found:
            raise ReadError(f"{where}: all its leads were off (LeadOff); there is no ECG in it")
        return found


def _samples(lead: Element, where: str) -> np.ndarray:
    """The stored integers of a lead, checked against every count and checksum that is stated beside them."""
    try:
        payload = base64.b64decode("".join(text(lead, "WaveFormData").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ReadError(f"{where}: damaged file: invalid base64; export it again") from error
    size = text(lead, "LeadSampleSize") or "2"
    if size not in ("1", "2", "4") or not payload or len(payload) % int(size):
        raise ReadError(f"{where}: damaged file: {len(payload)} bytes are no whole number of samples of {size} bytes")
    samples = np.frombuffer(payload, f"<i{size}")
    counts: dict[str, Callable[[], int]] = {
        "LeadByteCountTotal": lambda: len(payload),
        "LeadSampleCountTotal": lambda: len(samples),
        "LeadDataCRC32": lambda: zlib.crc32(payload),
    }
    for tag, count in counts.items():
        stated = text(lead, tag)
        if stated and stated != str(count()):
            raise ReadError(f"{where}: damaged file: {tag} is {stated}, the samples give {count()}; export it again")
    return samples


def _check_beats(root: Element, chosen: _Rhythm, where: str) -> None:
    """The beats' times, in ms, must lie within the waveform: else its rate is not the stated one."""
    times = [number(text(beat, "Time")) for beat in root.findall("QRSTimesTypes/QRS")]
    last = max((time for time in times if time is not None), default=0.0) / 1000
    if last > chosen.seconds + _LATE_BEAT:
        raise ReadError(f"{where}: it lists a beat at {last:g} s, its waveform lasts {chosen.seconds:g} s "
                        f"at {chosen.rate:g} Hz; export it again")  # fmt: skip


def _check_rates(root: Element, chosen: _Rhythm, notes: dict[str, str]) -> None:
    measured = number(text(root, "RestingECGMeasurements/ECGSampleBase"))
    exponent = number(text(root, "RestingECGMeasurements/ECGSampleExponent") or "0")
    if measured and exponent is not None and abs(exponent) <= 6 and measured * 10**exponent != chosen.rate:
        notes["rates"] = (f"the file states {measured * 10**exponent:g} Hz beside its measurements and "
                          f"{chosen.rate:g} Hz beside its rhythm; the latter is used")  # fmt: skip


def _subject(person: Element | None, recorded: date | None, notes: dict[str, str]) -> Subject:
    stated, units = text(person, "PatientAge"), text(person, "AgeUnits").upper()
    value = number(stated)
    age = possible_age(value * _YEARS_PER[units]) if value is not None and units in _YEARS_PER else None
    if stated and age is None:
        notes["age"] = f"not used: the age {stated} {units or 'without a unit'}"
    age, doubt = age_of(age, day(text(person, "DateofBirth"), *_DATES), recorded)
    notes.update(doubt)
    return Subject(text(person, "PatientID") or None, age, sex_of(text(person, "Gender")))
