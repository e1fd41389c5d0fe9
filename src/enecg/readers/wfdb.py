"""WFDB records: a text header (.hea) beside its signal files (.dat, .mat), as PhysioNet publishes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.leads import canonical
from enecg.readers._wfdb_comments import person_and_facts
from enecg.readers._wfdb_header import NO_FILE, SignalLine, WfdbHeader, check_file_name, named_files, parse, text_of
from enecg.readers._wfdb_samples import physical, physical_span, verify
from enecg.readers.common import band_of, choose_leads, common_amplitude, stated_or_given
from enecg.readers.opened import OpenedRecording
from enecg.recording import LONG_SECONDS, Amplitude, Recording, implausible_length

NAME: Final = "WFDB"
ENDINGS: Final = (".hea",)
PACKAGES: Final = ("soundfile",)
RECOGNISED_BY: Final = "name"

_FINEST: Final = 1e-12  # mV a step; median beats of PTB-XL+ have 1e-7
_COARSEST: Final = 1e3  # mV a step, so that a record in whole volts is still read, and found to have no ECG


def recognises(path: Path, head: bytes) -> bool:
    """A header, a record whose header lies beside, or a signal file that such a header names."""
    if path.suffix == ".hea" and head:
        return True
    if not path.is_file():
        return _header_file(path).is_file()
    header = path.with_suffix(".hea")
    return header != path and header.is_file() and path.name in named_files(text_of(header.read_bytes()))


def read(path: Path, rate: float | None, unit: str | None, ignore_checksums: bool = False) -> Recording:
    """Read a WFDB record: every storage format, several signal files, several segments.

    A gain without a unit means mV: the format defines it so. Signals without a gain are uncalibrated and refused.
    Signals that are none of the twelve leads are left out where any of the twelve is there, and leads of another rate
    than most (`notes` names them). Gaps between segments are NaN.

    Args:
        path: the header, a signal file, or the record without ending.
        rate: frames per second, for a header that does not state it.
        unit: amplitude unit, for a header that does not state it.
        ignore_checksums: take samples that do not fit the header's checksums, initial values or length, with a note.

    Raises:
        ReadError: the header breaks the format, a file is missing or damaged, or header and samples contradict each
            other.
    """
    plan = _Record.planned(path, rate, unit, ignore_checksums)
    return plan.recording(*plan.signal(None))


def open_recording(path: Path, rate: float | None, unit: str | None, ignore_checksums: bool = False) -> OpenedRecording:
    """Open a WFDB record: its samples are verified at once, span by span, and then read when they are needed.

    Args:
        path, rate, unit, ignore_checksums: as for `read`.

    Raises:
        ReadError: as for `read`.
    """
    record = _Record.planned(path, rate, unit, ignore_checksums)
    header, folder = record.header, record.source.folder
    if header.frames is not None and header.frames <= LONG_SECONDS * record.frame_rate:
        return OpenedRecording.of(record.recording(*record.signal(None)))
    if header.segments:
        frames = sum(part.frames for part in header.segments)
        names = {part.name for part in header.segments if part.frames and part.name != NO_FILE}
        segments = [_segment_header(header, name, folder) for name in names]
    else:
        segments = [header]
    if any(line.format == "8" for segment in segments for line in segment.signals):  # differences from the start on
        return OpenedRecording.of(record.recording(*record.signal(None)))
    for segment in segments:
        verified, notes = verify(segment, folder, ignore_checksums)
        record.source.notes.update(notes)
        if not header.segments:
            record, frames = replace(record, header=verified, layout=verified), verified.frames or 0
    per_frame = record.chosen[0].per_frame

    def read_span(start: int, stop: int) -> Recording:
        first, last = start // per_frame, -(-stop // per_frame)
        signal, amplitude = record.signal((first, last))
        return record.recording(signal[:, start - first * per_frame : stop - first * per_frame], amplitude)

    return OpenedRecording(
        source=header.where,
        rate=record.frame_rate * per_frame,
        n_samples=frames * per_frame,
        leads=tuple(canonical(str(line.name)) for line in record.chosen),
        read_span=read_span,
        read_all=lambda: record.recording(*record.signal(None)),
        notes=record.source.notes,
    )


@dataclass(frozen=True)
class _Record:
    """A record whose headers are read.

    Attributes:
        header: of the record.
        layout: the header that names its signals.
        rows: of the chosen signals in the layout.
        frame_rate: frames per second.
        source: how its signal files are read.
    """

    header: WfdbHeader
    layout: WfdbHeader
    rows: list[int]
    frame_rate: float
    source: _Source

    @property
    def chosen(self) -> list[SignalLine]:
        return [self.layout.signals[row] for row in self.rows]

    @classmethod
    def planned(cls, path: Path, rate: float | None, unit: str | None, ignore_checksums: bool) -> _Record:
        header_file = _header_file(path)
        where = str(header_file)
        header = parse(header_file)
        layout = _layout(header, header_file.parent) if header.segments else header
        names = [line.name for line in layout.signals if line.name]
        if len(names) < len(layout.signals):
            raise ReadError(f"{where}: signals have no names; write the lead's name at the end of each signal line")
        rows, notes = choose_leads(names, where)
        rows = _of_one_rate(layout.signals, rows, notes)
        frame_rate = stated_or_given(header.rate, rate, "rate", where)
        if header.undeclared:
            notes["undeclared"] = f"left out: {header.undeclared} lines behind the ones that the header promises"
        return cls(header, layout, rows, frame_rate, _Source(header_file.parent, unit, ignore_checksums, notes))

    def signal(self, span: tuple[int, int] | None) -> tuple[np.ndarray, Amplitude]:
        """The chosen leads of some frames, or of all: float `[lead, sample]`, in mV or normalised."""
        if self.header.segments:
            return _joined(self.header, self.layout, self.chosen, self.source, self.frame_rate, span)
        return _leads(self.header, self.rows, self.source, span)

    def recording(self, signal: np.ndarray, amplitude: Amplitude) -> Recording:
        """The recording with these samples, and what the header says of it."""
        header, notes = self.header, dict(self.source.notes)
        subject, facts = person_and_facts(header.comments, notes)
        if header.recorded:
            facts["recorded"] = header.recorded
        return Recording(
            signal=signal,
            rate=self.frame_rate * self.chosen[0].per_frame,
            leads=tuple(str(line.name) for line in self.chosen),
            amplitude=amplitude,
            subject=subject,
            source=header.where,
            band=band_of("\n".join(header.comments)),
            notes=notes,
            facts=facts,
        )


@dataclass(frozen=True)
class _Source:
    """How the signal files of a record are read.

    Attributes:
        folder: where they lie.
        unit: what the caller says of signals without a unit.
        ignore_checksums: as in `read`.
        notes: what is left out, gathered while they are read.
    """

    folder: Path
    unit: str | None
    ignore_checksums: bool
    notes: dict[str, str] = field(default_factory=dict)


def _header_file(path: Path) -> Path:
    if path.suffix == ".hea":
        return path
    beside = path.with_suffix(".hea")
    return beside if path.is_file() and beside.is_file() else path.with_name(f"{path.name}.hea")


def _of_one_rate(signals: Sequence[SignalLine], rows: list[int], notes: dict[str, str]) -> list[int]:
    """The rows whose rate most of them share, the higher one if two are as frequent; a note on the others."""
    counts = Counter(signals[row].per_frame for row in rows)
    per_frame = max(counts, key=lambda each: (counts[each], each))
    others = [str(signals[row].name) for row in rows if signals[row].per_frame != per_frame]
    if others:
        notes["other_rate"] = f"left out: {', '.join(others)} (another sampling rate than the other leads)"
    return [row for row in rows if signals[row].per_frame == per_frame]


def _leads(
    header: WfdbHeader, rows: Sequence[int], source: _Source, span: tuple[int, int] | None = None
) -> tuple[np.ndarray, Amplitude]:
    """Signals of one segment in mV or normalised, float64 `[lead, sample]`; of some frames or all."""
    where, lines = header.where, [header.signals[row] for row in rows]
    uncalibrated = [str(line.name) for line in lines if line.unit is None]
    if uncalibrated:
        raise ReadError(
            f"{where}: no gain for {', '.join(uncalibrated)}; write gain/unit into the header's signal lines"
        )
    units = [stated_or_given(line.unit, source.unit, "unit", where) for line in lines]
    factors, amplitude = common_amplitude(units, [str(line.name) for line in lines], where)
    for line, factor in zip(lines, factors, strict=True):
        step = abs(factor / (line.gain or 1.0))
        if not _FINEST <= step <= _COARSEST:
            raise ReadError(f"{where}: by its gain one step of lead {line.name} is {step:g} mV; correct the gain")
    if span is None:
        signals, notes = physical(header, source.folder, source.ignore_checksums)
        source.notes.update(notes)
    else:
        signals = physical_span(header, source.folder, *span)
    return np.stack([signals[row] for row in rows]) * factors[:, None], amplitude


def _layout(header: WfdbHeader, folder: Path) -> WfdbHeader:
    """The header that names the signals of all segments.

    Where the layout varies it is a segment of its own, the first, of length 0; else it is the first segment.
    """
    first = next((segment for segment in header.segments if segment.name != NO_FILE), None)
    if first is None:
        raise ReadError(f"{header.where}: a record of several segments without any segment")
    return _segment_header(header, first.name, folder)


def _segment_header(header: WfdbHeader, name: str, folder: Path) -> WfdbHeader:
    check_file_name(name, header.where)
    file = folder / f"{name}.hea"
    if not file.is_file():
        raise ReadError(f"{header.where}: segment {name}.hea is missing; put it beside the header")
    segment = parse(file)
    if segment.segments:
        raise ReadError(f"{header.where}: segment {name} has segments itself; only one level is allowed")
    if segment.rate != header.rate:
        raise ReadError(f"{header.where}: the record states {header.rate} Hz, its segment {name} {segment.rate} Hz")
    return segment


def _joined(
    header: WfdbHeader,
    layout: WfdbHeader,
    chosen: Sequence[SignalLine],
    source: _Source,
    rate: float,
    span: tuple[int, int] | None = None,
) -> tuple[np.ndarray, Amplitude]:
    """The chosen leads over all segments, float32 `[lead, sample]`; NaN in gaps and where a segment lacks a lead.

    With `span`, only these frames; only the segments that they touch are read.
    """
    where, per_frame = header.where, chosen[0].per_frame
    parts = header.segments
    variable = parts[0].frames == 0
    frames = sum(part.frames for part in parts)
    if header.frames is not None and header.frames != frames:
        raise ReadError(f"{where}: the record states {header.frames} samples, its segments sum to {frames}")
    if reason := implausible_length(rate * per_frame, frames * per_frame):  # gaps cost no bytes, but memory here
        raise ReadError(f"{where}: {reason}")
    names = [line.name for line in chosen]
    first, last = span or (0, frames)
    joined = np.full((len(chosen), (last - first) * per_frame), np.nan, np.float32)
    amplitudes, start = set[Amplitude](), 0
    for part in parts[1:] if variable else parts:
        begin, end = max(first - start, 0), min(last - start, part.frames)
        if part.name != NO_FILE and begin < end:
            segment = _segment_header(header, part.name, source.folder)
            if segment.frames not in (None, part.frames):
                raise ReadError(
                    f"{where}: segment {part.name} has {segment.frames} samples, the record states {part.frames}"
                )
            present = [line.name for line in segment.signals]
            if not variable and present != [line.name for line in layout.signals]:
                raise ReadError(f"{where}: segment {part.name} has other signals than the first segment")
            rows = [present.index(name) for name in names if name in present]
            if any(segment.signals[row].per_frame != per_frame for row in rows):
                raise ReadError(f"{where}: segment {part.name} has another sampling rate than the first segment")
            if rows:
                inside = None if span is None else (begin, end)
                whole = segment if span is None else replace(segment, frames=part.frames)
                signal, amplitude = _leads(whole, rows, source, inside)
                if signal.shape[1] != (end - begin) * per_frame:
                    raise ReadError(f"{where}: segment {part.name} has not the {part.frames} samples that are stated")
                at = [names.index(present[row]) for row in rows]
                to = (start + begin - first) * per_frame
                joined[at, to : to + signal.shape[1]] = signal
                amplitudes.add(amplitude)
        start += part.frames
    if span is not None and not amplitudes:  # a gap
        return joined, "mV"
    if len(amplitudes) != 1:
        raise ReadError(f"{where}: no segment has the leads, or some are in volts and some normalised")
    return joined, amplitudes.pop()
