"""Long recordings: judged and encoded block by block, in memory that does not grow with their length.

A block has 120 s (`enecg.recording.LONG_SECONDS`), the last one what is left. Blocks that may not be interpreted are
left out. The others are cut into pieces that every expert sees to their end, and an expert's embedding of the
recording is the mean over its pieces, each with the weight of its length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.quality import Finding, Quality, check
from enecg.readers.opened import OpenedRecording
from enecg.recording import LONG_SECONDS, WINDOW_SECONDS, Recording, block_edges

NOTE: Final = "long_recording"  # key of the note that says how a long recording was read


@dataclass(frozen=True)
class RecordingBlock:
    """A block of a long recording.

    Attributes:
        start: seconds from the start of the recording.
        recording: its samples.
        verdict: of the quality check.
    """

    start: float
    recording: Recording
    verdict: Quality


def judged_blocks(opened: OpenedRecording, seconds: float = LONG_SECONDS) -> Iterator[RecordingBlock]:
    """Yield the blocks of a recording in their order, each read when it is asked for."""
    for start, stop in pairwise(block_edges(opened.n_samples, opened.rate, seconds)):
        recording = opened.read_span(start, stop)
        yield RecordingBlock(start / opened.rate, recording, check(recording))


def pieces(block: Recording) -> list[Recording]:
    """Cut a block where windows of 10 s end; the last piece then is the last 10 s, so that nothing is left unseen."""
    size, count = round(WINDOW_SECONDS * block.rate), block.signal.shape[1]
    whole = count // size * size
    if whole in (0, count):
        return [block]
    return [block.span(0, whole), block.span(count - size, count)]


def prepare_piece(piece: Recording, spec: InputSpec) -> Batch:
    """Prepare a piece for an expert; where the expert sees fewer seconds of a recording, in several parts.

    Raises:
        InputError: as for `prepare`.
    """
    reach = (spec.max_windows - 1) * (spec.hop_seconds or spec.seconds) + spec.seconds
    step = max(int(reach / WINDOW_SECONDS), 1) * round(WINDOW_SECONDS * piece.rate)
    count = piece.signal.shape[1]
    if count <= step:
        return prepare(piece, spec)
    edges = [*range(0, count, step), count]
    return Batch.join([prepare(piece.span(*ends), spec) for ends in pairwise(edges)])


@dataclass
class PooledPieces:
    """The mean of one expert's embeddings over pieces, by their seconds; only known numbers count.

    Attributes:
        expert: whose embeddings.
        count: pieces so far.
    """

    expert: Expert
    count: int = 0
    _sum: np.ndarray = field(init=False)
    _seconds: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._sum, self._seconds = np.zeros(self.expert.card.dim), np.zeros(self.expert.card.dim)

    def add(self, embedding: np.ndarray, seconds: float) -> None:
        """Take the embedding `[dim]` of a piece."""
        known = np.isfinite(embedding)
        self._sum[known] += seconds * embedding[known]
        self._seconds[known] += seconds
        self.count += 1

    def merge(self, other: PooledPieces) -> None:
        """Take the pieces of another part of the recording."""
        self._sum += other._sum
        self._seconds += other._seconds
        self.count += other.count

    def result(self) -> np.ndarray:
        """Return the embedding, float32 `[dim]`; NaN where no piece has a number."""
        mean = np.full(len(self._sum), np.nan)
        np.divide(self._sum, self._seconds, out=mean, where=self._seconds > 0)
        return self.expert.pool(mean.astype(np.float32)[None])


@dataclass(eq=False)
class PooledRecording:
    """The experts' embeddings of a long recording, or of a part of it, while its pieces are encoded.

    Attributes:
        pooled: expert name -> its embeddings so far.
        expected: expert name -> pieces that it is to see.
        closed: no more pieces will come.
    """

    pooled: dict[str, PooledPieces]
    expected: Counter[str] = field(default_factory=Counter)
    closed: bool = False

    @classmethod
    def of(cls, experts: Iterable[Expert]) -> PooledRecording:
        """Return one without pieces."""
        return cls({expert.card.name: PooledPieces(expert) for expert in experts})

    def prepare(self, piece: Recording) -> tuple[dict[str, Batch], list[Expert]]:
        """Prepare a piece, and return its windows and the experts that are to see them, which is then expected."""
        experts = [pooled.expert for pooled in self.pooled.values()]
        batches: dict[str, Batch] = {}
        for key, spec in {expert.card.input.key: expert.card.input for expert in experts}.items():
            with suppress(InputError):  # its experts refuse the leads or the amplitude
                batches[key] = prepare_piece(piece, spec)
        able = [expert for expert in experts if expert.card.input.key in batches]
        self.expected.update(expert.card.name for expert in able)
        return batches, able

    @property
    def complete(self) -> bool:
        """Whether the embeddings of all its pieces are here."""
        return self.closed and all(self.pooled[name].count == count for name, count in self.expected.items())

    def embeddings(self) -> dict[str, np.ndarray]:
        """Return expert name -> float32 `[dim]`, NaN where nothing is known."""
        return {name: pooled.result() for name, pooled in self.pooled.items()}


@dataclass
class QualitySummary:
    """What the quality check found in a long recording, over all blocks.

    Attributes:
        seconds: of all blocks so far.
        seen: seconds of the blocks that may be interpreted.
        notes: what was left out of the file, from all blocks.
    """

    seconds: float = 0.0
    seen: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)
    _found: dict[str, tuple[Finding, float, dict[str, None]]] = field(default_factory=dict)

    def add(self, block: RecordingBlock) -> None:
        """Count a block."""
        seconds = block.recording.seconds
        self.seconds += seconds
        self.seen += seconds if block.verdict.usable else 0.0
        for key, note in block.recording.notes.items():
            self.notes.setdefault(key, note)
        for finding in {each.code: each for each in reversed(block.verdict.findings)}.values():
            first, before, leads = self._found.get(finding.code, (finding, 0.0, {}))
            leads |= dict.fromkeys(finding.leads)
            self._found[finding.code] = first, before + seconds, leads

    def quality(self) -> Quality:
        """Return the findings of all blocks, one for each kind; fatal ones only where no block may be interpreted."""
        found = []
        for code, (first, seconds, leads) in self._found.items():
            text = first.text
            if seconds < self.seconds - 0.5:
                text = f"{text} (in {seconds / self.seconds:.0%} of the time; this is the first place)"
            found.append(Finding(code, text, tuple(leads), fatal=first.fatal and not self.seen))
        return Quality(tuple(found))

    def all_notes(self) -> dict[str, str]:
        """Return the notes of the file, and one that says how much of the recording was seen."""
        text = f"{duration(self.seen)} of {duration(self.seconds)} were interpreted; the answers are means over them"
        return {**self.notes, NOTE: text}


def duration(seconds: float) -> str:
    """Return a length of time for people, such as `23 h 59 min` or `45 s`."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def refusals(block: Recording, specs: Mapping[str, InputSpec]) -> dict[str, str]:
    """Return the keys of the contracts that the leads or the amplitude of a block do not meet, with the reasons."""
    found = {}
    start = block.span(0, min(block.signal.shape[1], math.ceil(WINDOW_SECONDS * block.rate)))
    for key, spec in specs.items():
        try:
            prepare(start, spec)
        except InputError as error:
            found[key] = str(error)
    return found


def usable_pieces(blocks: Iterable[RecordingBlock]) -> Iterator[tuple[RecordingBlock, Sequence[Recording]]]:
    """Yield each block with its pieces; none for a block that may not be interpreted."""
    for block in blocks:
        yield block, pieces(block.recording) if block.verdict.usable else ()
