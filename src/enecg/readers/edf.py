"""European Data Format, EDF and EDF+, and BioSemi's BDF: a text header, then data records of 16 or 24-bit samples.

Source: www.edfplus.info/specs (edf.html, edfplus.html), www.biosemi.com/faq/file_format.htm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.leads import canonical
from enecg.readers._channels import Channel, recording_of, step_of
from enecg.readers._dates import age_of, day
from enecg.readers.common import choose_leads, sex_of, stated_or_given
from enecg.readers.opened import OpenedRecording
from enecg.recording import Recording, Subject

NAME: Final = "EDF"
ENDINGS: Final = (".edf", ".bdf")
PACKAGES: Final = ()
RECOGNISED_BY: Final = "content"

_BIOSEMI: Final = b"\xffBIOSEMI"
_ANNOTATIONS: Final = ("EDF Annotations", "BDF Annotations")
_STATUS: Final = "Status"  # BioSemi's channel of triggers
_FIELDS: Final = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes of a signal's header fields, in their order
_ONSET: Final = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15\d+(?:\.\d*)?)?\x14")
_REFERENCE: Final = re.compile(r"\s*-\s*ref$", re.IGNORECASE)  # the reference electrode, as in `ECG V1-Ref`
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_CLOCK: Final = 1e-3  # seconds that a data record may start early or late


def recognises(path: Path, head: bytes) -> bool:
    """The version `0` and header sizes where they have to stand; BDF by its own mark."""
    if head.startswith(_BIOSEMI):
        return True
    sizes = head[184:192], head[236:244], head[252:256]
    return head.startswith(b"0       ") and all(size.strip().lstrip(b"-").isdigit() for size in sizes)


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the signals named after leads. Annotations are left out, and a record with gaps is refused.

    A sample is scaled so that the digital range becomes the physical one; what lies outside the digital range is no
    measurement and becomes NaN, with a note. Signals of other rates are left out as long as the leads agree.
    """
    file = _EdfFile.of(path, rate, unit)
    return file.recording(file.data)


def open_recording(path: Path, rate: float | None, unit: str | None) -> OpenedRecording:
    """Open a file whose data records are read when they are needed; everything but the samples is checked at once."""
    file = _EdfFile.of(path, rate, unit)
    per_record = file.chosen[0].count

    def read_span(start: int, stop: int) -> Recording:
        first, last = start // per_record, -(-stop // per_record)
        found = file.recording(file.data[first:last])
        return found.span(start - first * per_record, stop - first * per_record)

    return OpenedRecording(
        source=file.where,
        rate=file.rate,
        n_samples=len(file.data) * per_record,
        leads=tuple(canonical(signal.name) for signal in file.chosen),
        read_span=read_span,
        read_all=lambda: file.recording(file.data),
        notes=file.notes,
    )


@dataclass(frozen=True)
class _EdfFile:
    """An open file.

    Attributes:
        where: its path.
        header: what it states.
        data: its data records, uint8 `[record, byte]`, on disk until they are used.
        chosen: the signals that are leads.
        rate: Hz.
        unit: what the caller says of signals without a unit.
        notes: what was left out.
    """

    where: str
    header: _Header
    data: np.ndarray
    chosen: list[_Signal]
    rate: float
    unit: str | None
    notes: dict[str, str]

    @classmethod
    def of(cls, path: Path, rate: float | None, unit: str | None) -> _EdfFile:
        where = str(path)
        notes: dict[str, str] = {}
        with path.open("rb") as file:
            header = _Header.of(file.read(256), file.read, where)
            begin, size = file.tell(), path.stat().st_size
        raw = np.memmap(path, np.uint8, "r", begin) if size > begin else np.empty(0, np.uint8)
        data = _records(header, raw, notes, where)
        signals = [signal for signal in header.signals if signal.label not in (*_ANNOTATIONS, _STATUS)]
        if not signals:
            raise ReadError(f"{where}: there is no signal in it")
        _check_times(header, data, where)
        rows, skipped = choose_leads([signal.name for signal in signals], where)
        chosen = [signals[row] for row in rows]
        counts = {signal.count for signal in chosen}
        if len(counts) > 1:
            rates = ", ".join(f"{signal.name} {signal.count / header.seconds:g} Hz" for signal in chosen)
            raise ReadError(f"{where}: its leads differ in rate ({rates}); export them at one rate")
        rate = stated_or_given(counts.pop() / header.seconds, rate, "rate", where)
        return cls(where, header, data, chosen, rate, unit, {**notes, **skipped})

    def recording(self, data: np.ndarray) -> Recording:
        """The recording of some data records, or of all."""
        notes = dict(self.notes)
        subject, recorded = _subject(self.header, notes)
        channels = [_channel(signal, data, self.header, notes, self.where) for signal in self.chosen]
        return recording_of(
            channels,
            rate=self.rate,
            unit=self.unit,
            where=self.where,
            notes=notes,
            subject=subject,
            band=_band([signal.filters for signal in self.chosen]),
            facts={"recorded": f"{recorded:%Y-%m-%d}"} if recorded else {},
        )


@dataclass(frozen=True)
class _Signal:
    """A signal's header, and where its samples stand in a data record."""

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[int, int]
    filters: str
    start: int
    count: int

    @property
    def name(self) -> str:
        """The label without its reference electrode."""
        return _REFERENCE.sub("", self.label)


@dataclass(frozen=True)
class _Header:
    """What the file states of itself; `n_records` is -1 when the recorder did not close the file."""

    width: int  # bytes of a sample
    person: str
    recording: str
    started: str
    version: str
    n_records: int
    seconds: float  # of a data record
    signals: tuple[_Signal, ...]

    @classmethod
    def of(cls, fixed: bytes, more: Callable[[int], bytes], where: str) -> _Header:
        sizes = {"header size": fixed[184:192], "number of data records": fixed[236:244],
                 "number of signals": fixed[252:256]}  # fmt: skip
        length, n_records, n_signals = (_whole(value, what, where) for what, value in sizes.items())
        seconds = _decimal(fixed[244:252], "duration of a data record", where)
        if n_signals < 1 or n_records < -1 or n_records == 0 or seconds < 0:
            raise ReadError(f"{where}: damaged file: {n_signals} signals in {n_records} data records of {seconds:g} s")
        if length != 256 * (n_signals + 1):
            raise ReadError(f"{where}: damaged file: its header states a size of {length} bytes, "
                            f"{n_signals} signals make {256 * (n_signals + 1)}; export it again")  # fmt: skip
        rest = more(256 * n_signals)
        if len(rest) < 256 * n_signals:
            raise ReadError(f"{where}: truncated: the header of {n_signals} signals is not whole")
        return cls(
            width=3 if fixed.startswith(_BIOSEMI) else 2,
            person=_text(fixed[8:88]),
            recording=_text(fixed[88:168]),
            started=_text(fixed[168:176]),
            version=_text(fixed[192:236]),
            n_records=n_records,
            seconds=seconds,
            signals=tuple(_signals(rest, n_signals, where)),
        )

    @property
    def size(self) -> int:
        """Samples in a data record, of all signals."""
        return sum(signal.count for signal in self.signals)


def _signals(rest: bytes, n_signals: int, where: str) -> Iterator[_Signal]:
    columns, at = [], 0
    for size in _FIELDS:  # a field of all signals, then the next field
        columns.append([rest[at + row * size : at + (row + 1) * size] for row in range(n_signals)])
        at += size * n_signals
    start = 0
    for label, _, unit, low, high, least, most, filters, count, _ in zip(*columns, strict=True):
        named = f"{where}, signal {_text(label)}"
        samples = _whole(count, "number of samples", named)
        if samples < 1:
            raise ReadError(f"{named}: damaged file: {samples} samples in a data record")
        yield _Signal(
            _text(label),
            _text(unit),
            (_decimal(low, "physical minimum", named), _decimal(high, "physical maximum", named)),
            (_whole(least, "digital minimum", named), _whole(most, "digital maximum", named)),
            _text(filters),
            start,
            samples,
        )
        start += samples


def _records(header: _Header, raw: np.ndarray, notes: dict[str, str], where: str) -> np.ndarray:
    """The data records as bytes, uint8 `[record, byte]`, as many as there are."""
    size = header.size * header.width
    there, over = divmod(len(raw), size)
    stated = header.n_records
    if there < max(stated, 1):
        promised = f"{stated} data records" if stated > 0 else "a data record"
        raise ReadError(
            f"{where}: truncated: the header promises {promised} of {size} bytes, {len(raw)} bytes are there"
        )
    if over and stated > 0:
        raise ReadError(f"{where}: damaged file: {stated} data records make {stated * size} bytes, "
                        f"{len(raw)} are there; export it again")  # fmt: skip
    if over:
        notes["cut_record"] = f"left out: the last data record, of which only {over} of {size} bytes are there"
    if there > stated > 0:
        notes["records"] = f"the header states {stated} data records, {there} are there; all are read"
    return raw[: there * size].reshape(there, size)


def _stored(signal: _Signal, data: np.ndarray, width: int) -> np.ndarray:
    """The integers of a signal, over all data records."""
    part = np.ascontiguousarray(data[:, signal.start * width : (signal.start + signal.count) * width])
    if width == 2:
        return part.view("<i2").ravel()
    wide = np.zeros((part.size // 3, 4), np.uint8)
    wide[:, 1:] = part.reshape(-1, 3)  # as the upper bytes of 32 bits: the sign comes by itself
    return wide.view("<i4").ravel() >> 8


def _channel(signal: _Signal, data: np.ndarray, header: _Header, notes: dict[str, str], where: str) -> Channel:
    (least, most), (low, high) = signal.digital, signal.physical
    field = f"its digital range is {least} to {most}, its physical one {low:g} to {high:g}"
    inside = 1 << (8 * header.width - 1)
    span = most - least if -inside <= least and most < inside else 0
    gain = abs(high - low) / span if span > 0 and high != low else None
    step = step_of(gain, field, f"{where}, lead {signal.name}") * (
        1 if high > low else -1
    )  # EDF may turn a signal over
    stored = _stored(signal, data, header.width)
    if stored.min() < least or stored.max() > most:
        outside = (stored < least) | (stored > most)
        stored = np.where(outside, np.nan, stored)
        notes[f"range_{signal.name}"] = (f"not used: {outside.sum()} samples of lead {signal.name} outside the stated "
                                         f"digital range {least} to {most}")  # fmt: skip
    return Channel(signal.name, stored, step, signal.unit or None, low - step * least)


def _check_times(header: _Header, data: np.ndarray, where: str) -> None:
    """The data records of EDF+ state when they start; they must follow each other without gaps."""
    if header.seconds == 0:
        raise ReadError(f"{where}: damaged file: its data records last 0 s")
    clock = next((signal for signal in header.signals if signal.label in _ANNOTATIONS), None)
    plus = header.version.startswith(("EDF+", "BDF+"))
    if clock is None or not plus:
        if header.version.startswith(("EDF+D", "BDF+D")):
            raise ReadError(f"{where}: a record with gaps (EDF+D) that does not state their times; export it again")
        return
    width = header.width
    blocks = data[:, clock.start * width : (clock.start + clock.count) * width]
    marks = [_ONSET.match(block.tobytes()) for block in blocks]
    onsets = np.array([float(mark[1]) if mark else np.nan for mark in marks])
    if np.isnan(onsets).all() and header.version[4:5] != "D":
        return  # EDF+C says that there are no gaps; some writers leave the times out
    expected = onsets[0] + header.seconds * np.arange(len(onsets))
    if not (np.abs(onsets - expected) <= _CLOCK).all():
        raise ReadError(f"{where}: gaps between data records: they do not start every {header.seconds:g} s; "
                        "export the stretches one by one")  # fmt: skip


def _subject(header: _Header, notes: dict[str, str]) -> tuple[Subject, date | None]:
    """Who it is, and the day. EDF+ has subfields (`code sex birthdate name`, X for unknown); EDF is free text."""
    recorded = day(header.started, "%d.%m.%y")
    if not header.version.startswith(("EDF+", "BDF+")):
        return Subject(header.person or None), recorded
    words = header.recording.split()
    if words[:1] == ["Startdate"] and len(words) > 1:
        recorded = _month_day(words[1]) or recorded  # with the year in four digits
    code, sex, born = [*header.person.split(), "X", "X", "X"][:3]
    age, doubt = age_of(None, _month_day(born), recorded)
    notes.update(doubt)
    return Subject(None if code == "X" else code.replace("_", " "), age, sex_of(sex)), recorded


def _month_day(text: str) -> date | None:
    """A day as EDF+ writes it (`02-MAR-2002`), in English whatever the machine speaks."""
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    parts = text.upper().split("-")
    if len(parts) != 3 or parts[1] not in months:
        return None
    return day(f"{parts[0]}-{months.index(parts[1]) + 1}-{parts[2]}", "%d-%m-%Y")


def _band(filters: Sequence[str]) -> tuple[float, float] | None:
    """The widest (low, high) over the leads, where each of them states both (`HP:0.05Hz LP:150Hz`)."""
    edges = [[re.search(rf"{edge}[:\s]*(\d*\.?\d+)\s*Hz", text, re.IGNORECASE) for edge in ("HP", "LP")]
             for text in filters]  # fmt: skip
    lows, highs = [float(low[1]) for low, _ in edges if low], [float(high[1]) for _, high in edges if high]
    if not len(lows) == len(highs) == len(filters) or min(lows) <= 0:
        return None
    return min(lows), max(highs)


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return _CONTROL.sub(" ", text).strip()  # a line of a message stays one line


def _whole(raw: bytes, what: str, where: str) -> int:
    value = _decimal(raw, what, where)
    if not value.is_integer():
        raise ReadError(f"{where}: damaged file: {what} {_text(raw)!r} is no whole number")
    return int(value)


def _decimal(raw: bytes, what: str, where: str) -> float:
    text = _text(raw).replace(",", ".")
    match = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, flags=re.ASCII)
    value = float(text) if match else math.nan
    if not math.isfinite(value):
        raise ReadError(f"{where}: damaged file: {what} {text!r} is no number")
    return value
