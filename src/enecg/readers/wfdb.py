"""WFDB records: a text header (.hea) beside its signal files (.dat, .mat), as PhysioNet publishes them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import DAMAGE, ReadError
from enecg.readers.common import (
    age_in_years,
    band_of,
    choose_leads,
    common_amplitude,
    first_line,
    sex_of,
    stated_or_given,
)
from enecg.recording import Recording, Subject

# Bits that a sample takes in a signal file, by format; the FLAC formats (508, 516, 524) are checked by their decoder.
_BITS: Final = {"8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 32 / 3,
                "311": 32 / 3}  # fmt: skip
_FLAC: Final = ("508", "516", "524")

# A signal line of format 16 with all its fields, as nearly every archive has it. What is rarer is left to the wfdb
# package: skew, several samples per frame, fields left out, a name that is not plain ASCII.
_PLAIN: Final = re.compile(
    r"[-\w]+\.?\w*\s+16(?:x1)?(?::0)?(?:\+\d+)?"
    r"\s+(?P<gain>-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?:\((?P<baseline>-?\d+)\))?(?:/[\w^\-?%/µμ]*)?"
    r"\s+\d+\s+(?P<zero>-?\d+)(?:\s+-?\d+){2}\s+\d+\s+(?P<name>[!-~][ -~]*)",
    re.ASCII,
)
_NO_SAMPLE: Final = -32768  # in format 16

# What the wfdb package raises on headers and samples that do not fit together.


@dataclass(frozen=True)
class _Signal:
    """A header's line about one signal: what wfdb does not check or, as it reads ASCII only, does not see."""

    file: str
    format: str
    per_frame: int
    offset: int
    unit: str | None  # None: uncalibrated
    line: str


@dataclass(frozen=True)
class _Samples:
    """Signals in their units, float64 `[sample]` each, and their names."""

    names: Sequence[str | None]
    signals: Sequence[np.ndarray]


@dataclass(frozen=True)
class _Header:
    rate: float | None
    frames: int | None
    signals: tuple[_Signal, ...]
    comments: tuple[str, ...]


def recognises(path: Path, head: bytes) -> bool:
    """A header, a record whose header lies beside, or a signal file that such a header names."""
    if path.suffix == ".hea" and head:
        return True
    if not path.is_file():
        return _header_file(path).is_file()
    header = path.with_suffix(".hea")
    return header != path and header.is_file() and path.name.encode() in header.read_bytes()


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read a WFDB record: every format that the wfdb package knows, several gains, several files.

    One file of format 16 is decoded here, to the same numbers: the package takes some 4 ms a record for its header.
    A gain without a unit means mV: the format defines it so. Signals without a gain are uncalibrated and refused.
    Signals that are none of the twelve leads are left out where any of the twelve is there (`notes` names them).
    """
    header_file = _header_file(path)
    where = str(header_file)
    header = _parse(header_file)
    _check_files(header, header_file.parent, where)
    found = _decoded(header, header_file.parent) or _by_package(header_file, where)
    all_names = [name for name in found.names if name is not None]
    if not all_names or len(all_names) < len(found.names):
        raise ReadError(f"{where}: signals have no names; write the lead's name at the end of each signal line")

    rows, notes = choose_leads(all_names)
    names = [all_names[row] for row in rows]
    per_frame = {header.signals[row].per_frame for row in rows}
    if len(per_frame) > 1:
        raise ReadError(f"{where}: leads have several sampling rates; resample them to one")
    frame_rate = stated_or_given(header.rate, rate, "rate", where)
    uncalibrated = [name for row, name in zip(rows, names, strict=True) if header.signals[row].unit is None]
    if uncalibrated:
        raise ReadError(
            f"{where}: no gain for {', '.join(uncalibrated)}; write gain/unit into the header's signal lines"
        )
    units = [stated_or_given(header.signals[row].unit, unit, "unit", where) for row in rows]
    factors, amplitude = common_amplitude(units, names, where)
    signal = np.stack([found.signals[row] for row in rows]) * factors[:, None]
    said = _facts(header.comments)
    return Recording(
        signal=signal,
        rate=frame_rate * per_frame.pop(),
        leads=tuple(names),
        amplitude=amplitude,
        subject=_subject(said),
        source=where,
        band=band_of("\n".join(header.comments)),
        notes=notes,
        facts=said,
    )


def _header_file(path: Path) -> Path:
    if path.suffix == ".hea":
        return path
    beside = path.with_suffix(".hea")
    return beside if path.is_file() and beside.is_file() else path.with_name(f"{path.name}.hea")


def _parse(header_file: Path) -> _Header:
    """The header's lines; wfdb parses it again, but drops the µ of µV and takes names that leave the folder."""
    where = str(header_file)
    raw = header_file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    comments = tuple(line.strip("# \t") for line in lines if line.startswith("#"))
    body = [line for line in lines if not line.startswith("#")]
    first = re.match(
        r"[^\s/]+(?P<segments>/\d+)?\s+(?P<count>\d+)(\s+(?P<rate>[\d.]+)\S*(\s+(?P<frames>\d+)(?!\S))?)?",
        " ".join(body[:1]),
    )
    if first is None:
        raise ReadError(f"{where}: not a WFDB header: its first line does not say record, signals and rate")
    if first["segments"]:
        raise ReadError(f"{where}: a record of several segments; read its segments one by one")
    count = int(first["count"])
    if count == 0 or len(body) < 1 + count:
        raise ReadError(f"{where}: the header promises {count} signals and describes {len(body) - 1}")
    try:
        rate = float(first["rate"]) if first["rate"] else None
    except ValueError:
        raise ReadError(f"{where}: sampling rate {first['rate']!r} is not a number") from None
    frames = int(first["frames"]) if first["frames"] else None
    return _Header(rate, frames, tuple(_signal(line, where) for line in body[1 : 1 + count]), comments)


def _signal(line: str, where: str) -> _Signal:
    fields = line.split()
    match = re.fullmatch(r"(\d+)(?:x(\d+))?(?::\d+)?(?:\+(\d+))?", fields[1] if len(fields) > 1 else "")
    if match is None:
        raise ReadError(f"{where}: signal line {line!r} does not say file and format")
    if match[1] not in _BITS and match[1] not in _FLAC:
        raise ReadError(f"{where}: signal format {match[1]} is not known")
    gain, _, unit = (fields[2] if len(fields) > 2 else "").partition("/")
    calibrated = re.match(r"-?[\d.]*[1-9]", gain) is not None
    unit_said = (unit or "mV") if calibrated else None
    return _Signal(fields[0], match[1], int(match[2] or 1), int(match[3] or 0), unit_said, line)


def _check_files(header: _Header, folder: Path, where: str) -> None:
    """Every signal file lies in the header's folder and holds the samples that the header promises."""
    for name in dict.fromkeys(signal.file for signal in header.signals):
        if re.search(r"[/\\:~]", name) or name in (".", ".."):
            raise ReadError(f"{where}: signal file {name!r} is not a file name in the header's own folder")
        file = folder / name
        if not file.is_file():
            raise ReadError(f"{where}: signal file {name} is missing; put it beside the header")
        signals = [signal for signal in header.signals if signal.file == name]
        if header.frames is None or signals[0].format in _FLAC:
            continue
        samples = header.frames * sum(signal.per_frame for signal in signals)
        needed = signals[0].offset + math.ceil(samples * _BITS[signals[0].format] / 8)
        size = file.stat().st_size
        if size < needed:
            raise ReadError(f"{where}: {name} is truncated: {size} bytes of the {needed} that the header promises")


def _decoded(header: _Header, folder: Path) -> _Samples | None:
    """The samples of an ordinary record, one file of format 16; None for any other.

    A sample is (stored - baseline) / gain; the baseline is the ADC's zero where it is not stated.
    """
    lines = [_PLAIN.fullmatch(signal.line) for signal in header.signals]
    plain = [line for line in lines if line is not None]
    several = len({signal.file for signal in header.signals}) > 1
    if several or len(plain) < len(lines) or not header.frames or None in [s.unit for s in header.signals]:
        return None
    first = header.signals[0]
    stored = np.fromfile(folder / first.file, "<i2", header.frames * len(lines), offset=first.offset)
    stored = np.ascontiguousarray(stored.reshape(header.frames, len(lines)).T)
    gains = np.array([float(line["gain"]) for line in plain])
    baselines = np.array([float(line["baseline"] or line["zero"]) for line in plain])
    signals = (stored - baselines[:, None]) / gains[:, None]
    signals[stored == _NO_SAMPLE] = np.nan
    return _Samples([line["name"] for line in plain], list(signals))


def _by_package(header_file: Path, where: str) -> _Samples:
    import wfdb

    try:
        # Unsmoothed: a signal with several samples per frame keeps its own rate.
        record = wfdb.rdrecord(str(header_file.with_suffix("")), smooth_frames=False)
    except DAMAGE as error:
        raise ReadError(f"{where}: header and samples do not fit together: {first_line(error)}") from error
    return _Samples(record.sig_name or (), record.e_p_signal)


def _facts(comments: Sequence[str]) -> dict[str, str]:
    """Comments such as `Age: 85`, `<age>: 67 <sex>: M`, `Dx: 426783006`; free lines go under `comment`."""
    facts: dict[str, list[str]] = {}
    for line in comments:
        pairs = re.findall(r"<([\w ]+)>\s*:?\s*([^<]*)", line) or re.findall(r"^([\w /.-]{1,40}?)\s*:\s*(.*)$", line)
        for key, value in pairs or [("comment", line)]:
            facts.setdefault(key.strip(), []).append(value.strip())
    joined = {key: "; ".join(filter(None, values)) for key, values in facts.items()}
    return {key: value for key, value in joined.items() if value}


def _subject(facts: dict[str, str]) -> Subject:
    """Take what concerns the person out of `facts`."""
    person = {
        key.lower(): facts.pop(key) for key in list(facts) if key.lower() in ("age", "sex", "gender", "patient_id")
    }
    sex = person.get("sex") or person.get("gender")
    return Subject(id=person.get("patient_id"), age=age_in_years(person.get("age")), sex=sex_of(sex))
