"""Headers of WFDB records (`.hea`), as header(5) of the WFDB Applications Guide defines them.

Source: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from enecg.errors import ReadError

NO_FILE: Final = "~"  # a signal without samples, or a gap between two segments
UNSTORED: Final = "0"  # the format of a signal without samples
FLAC: Final = ("508", "516", "524")
FORMATS: Final = (UNSTORED, "8", "16", "24", "32", "61", "80", "160", "212", "310", "311", *FLAC)

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_FORMAT: Final = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN: Final = re.compile(r"([^()/\s]+)(?:\(([^()\s]*)\))?(?:/(\S+))?")
_RATE: Final = re.compile(r"([^()/\s]+)(?:/([^()/\s]+)(?:\(([^()\s]+)\))?)?")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class SignalLine:
    """What a header says of one signal.

    Attributes:
        file: name of the signal file, in the folder of the header.
        format: how the samples are stored, one of `FORMATS`.
        per_frame: samples in each frame.
        skew: frames by which the signal is stored too late.
        offset: bytes before the first sample; in FLAC files samples.
        gain: steps per unit; None for an uncalibrated signal.
        baseline: the step that stands for 0.
        unit: physical unit; None for an uncalibrated signal.
        initial: the first stored sample, if stated.
        checksum: the sum of the stored samples modulo 65536, if stated.
        name: what the signal is, usually the name of a lead.
    """

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float | None
    baseline: int
    unit: str | None
    initial: int | None
    checksum: int | None
    name: str | None


@dataclass(frozen=True)
class SegmentLine:
    """One part of a record of several segments: a record of its own, or a gap (`NO_FILE`)."""

    name: str
    frames: int


@dataclass(frozen=True)
class WfdbHeader:
    """A parsed header.

    Attributes:
        where: the header's path, for messages.
        rate: frames per second, if stated.
        frames: length in frames, if stated.
        recorded: the date of the recording, as in ISO 8601, if stated.
        signals: one line for each signal; empty for a record of several segments.
        segments: the parts of a record of several segments.
        undeclared: signal lines beyond the number that the first line states.
        comments: the comment lines.
    """

    where: str
    rate: float | None
    frames: int | None
    recorded: str | None
    signals: tuple[SignalLine, ...]
    segments: tuple[SegmentLine, ...]
    undeclared: int
    comments: tuple[str, ...]


def parse(header_file: Path) -> WfdbHeader:
    """Read a header; nothing is taken from a field that is not wholly what header(5) defines.

    Raises:
        ReadError: a line is missing or breaks the format.
    """
    where = str(header_file)
    lines = [line.strip() for line in text_of(header_file.read_bytes()).splitlines() if line.strip()]
    comments = tuple(line.strip("# \t") for line in lines if line.startswith("#"))
    body = [line for line in lines if not line.startswith("#")]
    fields = body[0].split() if body else []
    name = re.fullmatch(r"[^\s/]+(?:/(\d+))?", fields[0], re.ASCII) if fields else None
    if name is None or len(fields) < 2 or not re.fullmatch(r"\d+", fields[1], re.ASCII):
        raise ReadError(f"{where}: not a WFDB header: its first line does not say record, signals and rate")
    count, segments = int(fields[1]), int(name[1]) if name[1] else None
    rate = _rate(fields[2], where) if len(fields) > 2 else None
    # The 2020 and 2021 Challenges write the date where the number of samples may stand.
    counted = len(fields) > 3 and not re.search(r"[/:]|\d-", fields[3])
    frames = _count(fields[3], "number of samples", where) if counted else 0
    rest = body[1:]
    promised, what = (count, "signals") if segments is None else (segments, "segments")
    if promised == 0 or len(rest) < promised:
        raise ReadError(f"{where}: the header promises {promised} {what} and describes {len(rest)}")
    return WfdbHeader(
        where=where,
        rate=rate,
        frames=frames or None,  # 0 means that the length is not stated
        recorded=_date(fields[3 + counted :]),
        signals=tuple(_signal(line, where) for line in rest[:promised]) if segments is None else (),
        segments=() if segments is None else tuple(_segment(line, where) for line in rest[:promised]),
        undeclared=len(rest) - promised,
        comments=comments,
    )


def text_of(raw: bytes) -> str:
    """The text of a header: UTF-8, else Latin-1."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def named_files(header: str) -> list[str]:
    """The files that a header's text names: signal files, or the headers of its segments."""
    lines = [line.split() for line in header.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    ending = ".hea" if lines and "/" in lines[0][0] else ""
    return list(dict.fromkeys(words[0] + ending for words in lines[1:] if words[0] != NO_FILE))


def check_file_name(name: str, where: str) -> None:
    """Raise `ReadError` for a name that leaves the header's folder."""
    if re.search(r"[/\\:~]", name) or name in (".", ".."):
        raise ReadError(f"{where}: signal file {name!r} is not a file name in the header's own folder")


def _rate(text: str, where: str) -> float:
    """Frames per second; a counter frequency and a first counter value may follow it."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ReadError(f"{where}: sampling rate {text!r} is not a number")
    for counter in match.groups()[1:]:
        if counter is not None:
            _number(counter, "counter frequency", where)
    return _number(match[1], "sampling rate", where)


def _signal(line: str, where: str) -> SignalLine:
    fields = line.split(None, 8)
    match = _FORMAT.fullmatch(fields[1]) if len(fields) > 1 else None
    if match is None:
        raise ReadError(f"{where}: signal line {line!r} does not say file and format")
    if match[1] not in FORMATS:
        raise ReadError(f"{where}: signal format {match[1]} is not known")
    if match[2] and int(match[2]) == 0:
        raise ReadError(f"{where}: signal line {line!r} says 0 samples in each frame")
    gain, baseline, unit = _gain(fields[2], where) if len(fields) > 2 else (None, None, None)
    integers, name = _integers(fields[3:], where)
    zero, initial, checksum = (integers + [None] * 5)[1:4]
    return SignalLine(
        file=fields[0],
        format=match[1],
        per_frame=int(match[2] or 1),
        skew=int(match[3] or 0),
        offset=int(match[4] or 0),
        gain=gain,
        baseline=baseline if baseline is not None else zero or 0,
        unit=unit,
        initial=initial,
        checksum=checksum,
        name=name,
    )


def _gain(text: str, where: str) -> tuple[float | None, int | None, str | None]:
    """Steps per unit, the step that stands for 0 if stated, and the unit, which is mV where none is stated."""
    match = _GAIN.fullmatch(text)
    if match is None:
        raise ReadError(f"{where}: gain {text!r} is not a number with (baseline) and /unit behind it")
    gain = _number(match[1], "gain", where)
    baseline = None if match[2] is None else _integer(match[2], "baseline", where)
    return (gain, baseline, match[3] or "mV") if gain else (None, baseline, None)


def _integers(fields: Sequence[str], where: str) -> tuple[list[int | None], str | None]:
    """ADC resolution, ADC zero, initial value, checksum and block size, as many as are stated; then the name.

    A line that has no integer at all behind its gain may still have a name, as the wfdb package reads it.
    """
    if fields and not _NUMBER.fullmatch(fields[0]):
        name = " ".join(fields)
        if not any(_NUMBER.fullmatch(word) for word in name.split()):
            return [], name
    names = ("ADC resolution", "ADC zero", "initial value", "checksum", "block size")
    integers: list[int | None] = [_integer(text, what, where) for text, what in zip(fields, names, strict=False)]
    return integers, fields[5].strip() if len(fields) > 5 else None


def _segment(line: str, where: str) -> SegmentLine:
    fields = line.split()
    if len(fields) != 2:
        raise ReadError(f"{where}: segment line {line!r} does not say a name and a number of samples")
    return SegmentLine(fields[0], _count(fields[1], "number of samples", where))


def _count(text: str, what: str, where: str) -> int:
    count = _integer(text, what, where)
    if count < 0:
        raise ReadError(f"{where}: {what} {text!r} is negative")
    return count


def _integer(text: str, what: str, where: str) -> int:
    if _INTEGER.fullmatch(text):  # so are nearly all
        return int(text)
    value = _number(text, what, where)
    if value != int(value):
        raise ReadError(f"{where}: {what} {text!r} is not a whole number")
    return int(value)


def _number(text: str, what: str, where: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ReadError(f"{where}: {what} {text!r} is not a number")
    value = float(text)
    vanished = value == 0 and re.match("[^eE]*[1-9]", text)
    if vanished or not math.isfinite(value):
        raise ReadError(f"{where}: {what} {text} is impossible")
    return value


def _date(fields: Sequence[str]) -> str | None:
    """The date among the last fields of the first line: `28/06/1987`, `23-Mar-2021` or a year alone."""
    for field in fields:
        if re.fullmatch(r"[12]\d{3}", field, re.ASCII):
            return field
        match = re.fullmatch(r"(\d{1,2})([/-])(\d{1,2}|[A-Za-z]{3})\2(\d{4})", field, re.ASCII)
        if match is not None:
            month = match[3].lower()
            number = int(month) if month.isdigit() else _MONTHS.index(month) + 1 if month in _MONTHS else 0
            try:
                return date(int(match[4]), number, int(match[1])).isoformat()
            except ValueError:
                return None
    return None
