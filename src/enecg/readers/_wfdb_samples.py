"""Signal files of WFDB records: stored samples of every format, and whether they are those of their header.

Formats: signal(5) of the WFDB Applications Guide, https://physionet.org/physiotools/wag/signal-5.htm
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.readers._wfdb_header import FLAC, NO_FILE, UNSTORED, SignalLine, WfdbHeader, check_file_name
from enecg.readers.common import first_line

# Bytes of a whole block of samples, and of its first samples, by format.
_BLOCKS: Final[Mapping[str, tuple[int, ...]]] = {
    "8": (1,), "80": (1,), "16": (2,), "61": (2,), "160": (2,), "24": (3,), "32": (4,),
    "212": (2, 3), "310": (2, 4, 4), "311": (2, 3, 4),
}  # fmt: skip

# The stored value that means "no sample", by format; format 8 has none.
_MISSING: Final[Mapping[str, int]] = {
    "80": -(2**7), "508": -(2**7), "310": -(2**9), "311": -(2**9), "212": -(2**11), "16": -(2**15), "61": -(2**15),
    "160": -(2**15), "516": -(2**15), "24": -(2**23), "524": -(2**23), "32": -(2**31),
}  # fmt: skip

_SPAN: Final = 6 * 2**17  # frames that are verified at a time
_ALIGNED: Final = 6  # a block of bytes holds 1, 2 or 3 samples: so many frames are whole blocks
_TRUST: Final = "read it all the same with --ignore-checksums (in Python ignore_checksums=True)"


def physical(header: WfdbHeader, folder: Path, ignore_checksums: bool) -> tuple[list[np.ndarray], dict[str, str]]:
    """Read all signals of one segment.

    Args:
        header: of a record that has signals, not segments.
        folder: where its signal files lie.
        ignore_checksums: take samples that do not fit the header's checksums, with a note.

    Returns:
        Each signal in its own unit, float64 `[sample]`, NaN where there is no sample; uncalibrated signals in steps.
        Notes on what was left out or could not be used.

    Raises:
        ReadError: a signal file is missing, damaged, of another length, or does not fit the checksums.
    """
    stored, surplus = _stored(header, folder)
    notes = _verify(header, [_StoredSignal.of(steps) for steps in stored], surplus, ignore_checksums)
    signals = []
    for line, steps in zip(header.signals, stored, strict=True):
        signal = _physical(line, steps)
        if line.skew:  # in frames; what lies behind the last frame is not known
            shift = min(line.skew * line.per_frame, len(signal))
            signal = np.concatenate([signal[shift:], np.full(shift, np.nan)])
        signals.append(signal)
    return signals, notes


def physical_span(header: WfdbHeader, folder: Path, start: int, stop: int) -> list[np.ndarray]:
    """Read the frames from `start` to before `stop` of all signals of one segment, as `physical` does.

    The header states its frames, no signal has format 8, and `verify` has found nothing wrong.
    """
    last = min(stop + max(line.skew for line in header.signals), header.frames or 0)
    stored, _ = _stored_span(header, folder, start, last)
    signals = []
    for line, steps in zip(header.signals, stored, strict=True):
        count, shift = (stop - start) * line.per_frame, line.skew * line.per_frame
        part = _physical(line, steps[shift : shift + count])
        signals.append(np.concatenate([part, np.full(count - len(part), np.nan)]))
    return signals


def verify(header: WfdbHeader, folder: Path, ignore_checksums: bool) -> tuple[WfdbHeader, dict[str, str]]:
    """Compare one segment with its header, span by span, as `physical` does.

    Returns:
        The header with its number of frames, and notes on what was left out or could not be used.
    """
    header = replace(header, frames=header.frames or _frames(header, folder))
    total = header.frames or 0
    found: list[_StoredSignal] = []
    surplus: dict[str, int] = {}
    for start in range(0, total, _SPAN):
        stored, surplus = _stored_span(header, folder, start, min(start + _SPAN, total))
        parts = [_StoredSignal.of(steps) for steps in stored]
        found = [one.joined(other) for one, other in zip(found, parts, strict=True)] if found else parts
    return header, _verify(header, found, surplus, ignore_checksums)


@dataclass(frozen=True)
class _StoredSignal:
    """What verifying needs of the stored samples of a signal: their sum, the first one, and whether any is not 0."""

    sum: int
    first: int
    any: bool

    @classmethod
    def of(cls, steps: np.ndarray) -> _StoredSignal:
        return cls(_sum(steps), int(steps[0]), bool(steps.any()))

    def joined(self, later: _StoredSignal) -> _StoredSignal:
        return _StoredSignal(self.sum + later.sum, self.first, self.any or later.any)


def _physical(line: SignalLine, steps: np.ndarray) -> np.ndarray:
    """Stored samples in the signal's unit, NaN where there is no sample."""
    signal: np.ndarray = (steps - float(line.baseline)) / (line.gain or 1.0)
    if line.format in _MISSING:
        signal[steps == _MISSING[line.format]] = np.nan
    elif line.format == UNSTORED:
        signal[:] = np.nan
    return signal


def _stored_span(header: WfdbHeader, folder: Path, start: int, stop: int) -> tuple[list[np.ndarray], dict[str, int]]:
    """As `_stored`, for the frames from `start` to before `stop`; reading begins where a block of bytes begins."""
    begin = start - start % _ALIGNED
    widths: Counter[str] = Counter()
    for line in header.signals:
        widths[line.file] += line.per_frame
    lines = []
    for line in header.signals:
        if line.format in FLAC:
            offset = begin * line.per_frame
        elif line.format == UNSTORED or line.file == NO_FILE:
            offset = 0
        else:
            sizes = _BLOCKS[line.format]
            offset = begin * widths[line.file] // len(sizes) * sizes[-1]
        lines.append(replace(line, offset=line.offset + offset))
    stored, surplus = _stored(replace(header, frames=stop - begin, signals=tuple(lines)), folder)
    dropped = [(start - begin) * line.per_frame for line in lines]
    return [steps[count:] for steps, count in zip(stored, dropped, strict=True)], surplus


def _frames(header: WfdbHeader, folder: Path) -> int:
    """The number of frames of a segment whose header does not state it, by the size of its first signal file."""
    first = next((line for line in header.signals if line.file != NO_FILE), None)
    if first is None:
        raise ReadError(f"{header.where}: no signal has a signal file")
    lines = [line for line in header.signals if line.file == first.file]
    file = _find(folder, first.file, header.where)
    if first.format in FLAC:
        import soundfile

        return int(soundfile.info(file).frames - first.offset) // first.per_frame
    return _frames_by_size(file, lines, header.where)


def _stored(header: WfdbHeader, folder: Path) -> tuple[list[np.ndarray], dict[str, int]]:
    """The stored samples of each signal, integer `[sample]`, and the bytes of each file that lie behind the last."""
    groups: dict[str, list[int]] = {}
    for row, line in enumerate(header.signals):
        groups.setdefault(line.file, []).append(row)
    frames, surplus = header.frames, {}
    stored: dict[int, np.ndarray] = {}
    for name, rows in groups.items():
        if name == NO_FILE:
            continue
        lines = [header.signals[row] for row in rows]
        if len({(line.format, line.offset) for line in lines}) > 1 or lines[0].format == UNSTORED:
            raise ReadError(f"{header.where}: signals of {name} state different formats or offsets")
        file = _find(folder, name, header.where)
        block, surplus[name] = (_flac if lines[0].format in FLAC else _packed)(file, lines, frames, header.where)
        if frames is None:
            frames = len(block)
        ends = np.cumsum([line.per_frame for line in lines])
        if lines[0].format == "8":
            block = _undone_differences(block, lines)
        columns = np.ascontiguousarray(block.T) if ends[-1] == len(lines) else None
        for at, (row, line) in enumerate(zip(rows, lines, strict=True)):
            stored[row] = block[:, ends[at] - line.per_frame : ends[at]].ravel() if columns is None else columns[at]
    if not stored or frames is None:
        raise ReadError(f"{header.where}: no signal has a signal file")
    empty = {row: np.zeros(frames * header.signals[row].per_frame, "i2") for row in groups.get(NO_FILE, ())}
    return [(stored | empty)[row] for row in range(len(header.signals))], surplus


def _find(folder: Path, name: str, where: str) -> Path:
    """A signal file; an accent may be written as one character or two, as file systems do."""
    check_file_name(name, where)
    for form in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        if (folder / form).is_file():
            return folder / form
    raise ReadError(f"{where}: signal file {name} is missing; put it beside the header")


def _packed(file: Path, lines: Sequence[SignalLine], frames: int | None, where: str) -> tuple[np.ndarray, int]:
    """Samples of a binary signal file, integer `[frame, sample of the frame]`, and the bytes behind them."""
    format_, offset, width = lines[0].format, lines[0].offset, sum(line.per_frame for line in lines)
    sizes, size = _BLOCKS[format_], file.stat().st_size
    if frames is None:
        frames = _frames_by_size(file, lines, where)
    whole, part = divmod(frames * width, len(sizes))
    needed = offset + whole * sizes[-1] + (sizes[part - 1] if part else 0)
    if size < needed:
        raise ReadError(f"{where}: {file.name} is truncated: {size} bytes of the {needed} that the header promises")
    blocks = whole + bool(part)
    raw = np.fromfile(file, np.uint8, needed - offset, offset=offset)
    raw = np.pad(raw, (0, blocks * sizes[-1] - len(raw))) if part else raw
    samples = _unpacked(raw, format_)[: frames * width]
    return samples.reshape(frames, width), max(0, size - offset - blocks * sizes[-1])


def _frames_by_size(file: Path, lines: Sequence[SignalLine], where: str) -> int:
    """The whole frames that a binary signal file holds."""
    sizes, width = _BLOCKS[lines[0].format], sum(line.per_frame for line in lines)
    whole, part = divmod(max(file.stat().st_size - lines[0].offset, 0), sizes[-1])
    there = whole * len(sizes) + sum(part >= each for each in sizes[:-1])
    frames = there // width
    if frames == 0 or there % width >= len(sizes):
        raise ReadError(f"{where}: {file.name} does not end with a whole frame of {width} samples; it is damaged")
    return frames


def _unpacked(raw: np.ndarray, format_: str) -> np.ndarray:
    """Samples of whole blocks of bytes, integer `[sample]`."""
    if format_ in ("16", "32"):
        return raw.view(f"<i{int(format_) // 8}")
    if format_ == "61":
        return raw.view(">i2").astype(np.int16)
    if format_ == "8":
        return raw.view(np.int8)
    if format_ == "80":
        return raw.astype(np.int16) - 128
    if format_ == "160":
        return (raw.view("<u2").astype(np.int32) - 32768).astype(np.int16)
    if format_ == "24":
        low, middle, high = raw.reshape(-1, 3).T.astype(np.int32)
        return _signed(low | middle << 8 | high << 16, 24)
    if format_ == "212":  # two samples in three bytes; the middle one has the upper four bits of both
        first, both, second = raw.reshape(-1, 3).T.astype(np.int16)
        return _signed(np.stack([first | (both & 0x0F) << 8, second | (both & 0xF0) << 4], axis=1).ravel(), 12)
    words = raw.view("<u4").astype(np.int64)
    if format_ == "310":  # three samples in two words of 16 bits: two behind their lowest bits, one in the top bits
        three = [words >> 1, words >> 17, (words >> 11 & 0x1F) | (words >> 27 & 0x1F) << 5]
    else:
        three = [words, words >> 10, words >> 20]
    return _signed(np.stack(three, axis=1).ravel().astype(np.int32) & 0x3FF, 10).astype(np.int16)


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement of `bits` bits."""
    top = 1 << bits - 1
    return (values ^ top) - top


def _undone_differences(block: np.ndarray, lines: Sequence[SignalLine]) -> np.ndarray:
    """Format 8 stores differences; the first is that to the initial value."""
    whole, start = np.empty(block.shape, np.int32), 0
    for line in lines:
        part = block[:, start : start + line.per_frame]
        summed = part.ravel().cumsum(dtype=np.int32) + (line.initial or 0)
        whole[:, start : start + line.per_frame] = summed.reshape(part.shape)
        start += line.per_frame
    return whole


def _flac(file: Path, lines: Sequence[SignalLine], frames: int | None, where: str) -> tuple[np.ndarray, int]:
    """As `_packed`, of a compressed signal file; the second value counts samples."""
    import soundfile

    per_frame, offset, bits = lines[0].per_frame, lines[0].offset, int(lines[0].format) - 500
    if any(line.per_frame != per_frame for line in lines):
        raise ReadError(f"{where}: signals of {file.name} state different samples in a frame; FLAC has one rate")
    try:
        with soundfile.SoundFile(file) as sound:
            there = sound.frames - offset
            depth = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}.get(sound.subtype, 99)
            if sound.channels != len(lines) or depth > bits or sound.format != "FLAC":
                stated = f"{sound.channels} signals of {depth} bits"
                raise ReadError(f"{where}: {file.name} holds {stated}, the header states {len(lines)} of {bits}")
            count = there if frames is None else frames * per_frame
            if count > there or count <= 0 or count % per_frame:
                raise ReadError(f"{where}: {file.name} holds {there} samples of the {count} that the header promises")
            sound.seek(offset)
            values = sound.read(count, dtype="int32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"{where}: {file.name} and its header do not fit together: {first_line(error)}") from error
    if len(values) < count:
        raise ReadError(f"{where}: {file.name} is truncated: {len(values)} samples of the {count} that it promises")
    values >>= 32 - depth  # the decoder fills up each sample behind its last bit
    ordered = values.reshape(-1, per_frame, len(lines)).transpose(0, 2, 1)
    return np.ascontiguousarray(ordered).reshape(len(ordered), -1), there - count


def _verify(
    header: WfdbHeader, stored: Sequence[_StoredSignal], surplus: Mapping[str, int], ignore: bool
) -> dict[str, str]:
    """Compare the samples with the header's checksums and initial values, and the files with the stated length.

    A checksum that does not fit means that the file is damaged or belongs to another header. Checksums that are all 0
    while no signal sums to 0 were left out by the writer of the header. More bytes than promised are harmless only
    where the checksums prove that the promised ones are the right ones.
    """
    kept = [(line, steps) for line, steps in zip(header.signals, stored, strict=True) if line.file != NO_FILE]
    lines = [line for line, _ in kept]
    sums = [signal.sum for _, signal in kept]
    fits = [
        line.checksum is not None and (line.checksum - each) % 65536 == 0
        for line, each in zip(lines, sums, strict=True)
    ]
    stated = [line.checksum is not None for line in lines]
    problems, notes = [], {}
    proof = any(fit and signal.any for fit, (_, signal) in zip(fits, kept, strict=True))
    if not any(line.checksum for line in lines) and any(stated) and not proof and not all(fits):
        notes["checksums_unset"] = "the header's checksums are all 0: the samples could not be verified"
        stated = [False] * len(stated)
    for line, fit, said, each in zip(lines, fits, stated, sums, strict=True):
        if said and not fit:
            found = each % 65536 if (line.checksum or 0) > 32767 else (each + 32768) % 65536 - 32768
            problems.append(
                f"the header's checksum of signal {line.name or line.file} is {line.checksum}, its samples give {found}"
            )
    problems += _initial_values(kept, fits, not any(stated), notes)
    for name, extra in surplus.items():
        if extra:
            what = f"{name} holds {extra} {_counted(lines, name)} more than the header promises"
            if all(said and fit for line, said, fit in zip(lines, stated, fits, strict=True) if line.file == name):
                notes["surplus_samples"] = f"left out: {what}"
            else:
                problems.append(what)
    if problems and not ignore:
        raise ReadError(f"{header.where}: {problems[0]}; the file is damaged or belongs to another header; {_TRUST}")
    if problems:
        more = f" (and {len(problems) - 1} more such)" if problems[1:] else ""
        notes["checksums_ignored"] = f"read although {problems[0]}{more}"
    return notes


def _initial_values(
    kept: Sequence[tuple[SignalLine, _StoredSignal]], fits: Sequence[bool], unverified: bool, notes: dict[str, str]
) -> list[str]:
    """What the first samples contradict in the header; where the checksum fits, a few may be out of date (a note).

    MIMIC-IV-WDB writes 0 where the first sample is missing. In more than half of the signals, misfits speak for frames
    in another order. In format 8 the value is no sample.
    """
    if unverified and not any(line.initial for line, _ in kept):
        return []
    old: list[str] = []
    wrong: list[str] = []
    for (line, signal), fit in zip(kept, fits, strict=True):
        if line.initial is None or line.format == "8" or signal.first == line.initial:
            continue
        if fit and signal.first == _MISSING[line.format]:
            continue
        first = f"the header's initial value of signal {line.name or line.file} is {line.initial}"
        (old if fit else wrong).append(f"{first}, its first sample is {signal.first}")
    if wrong or 2 * len(old) > len(kept):
        return wrong + old
    if old:
        notes["initial_values"] = f"{old[0]}; the checksum fits"
    return []


def _sum(steps: np.ndarray) -> int:
    """The sum of the samples; only its lowest 16 bits count, which 16-bit samples keep in 16 bits."""
    return int(steps.sum(dtype=np.int16 if steps.dtype.itemsize <= 2 else np.int64))


def _counted(lines: Sequence[SignalLine], name: str) -> str:
    return "samples" if any(line.file == name and line.format in FLAC for line in lines) else "bytes"
