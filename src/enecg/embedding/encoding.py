"""The encoding stage: windows of several recordings joined, looked at by the experts, pooled again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np

from enecg.experts.base import Expert
from enecg.experts.inputs import Batch
from enecg.workers.threads import in_order, one_torch_thread

BATCH: Final = 16  # windows that an expert sees at a time: fewer steps in which threads wait for the interpreter

T = TypeVar("T")


@dataclass(frozen=True)
class EncodingJob(Generic[T]):
    """A recording to encode: the windows by `InputSpec.key`, and which experts are to look at it."""

    tag: T
    batches: Mapping[str, Batch]
    experts: Sequence[Expert]


def encode(
    jobs: Iterable[EncodingJob[T]], batch: int = BATCH, threads: int = 1, fill: bool = True
) -> Generator[tuple[T, Expert, np.ndarray]]:
    """Join the windows of several recordings, run the experts on them, and pool each recording's windows.

    Memory: a few batches, whatever the number of jobs. On the processor each batch is encoded by one thread.

    Args:
        jobs: recordings, taken as they are needed.
        batch: windows that an expert sees at a time.
        threads: batches that are encoded at a time; with 0 this thread encodes. The result does not depend on it.
        fill: repeat a window in the last batch until it is full. Some kernels round differently for another number
            of windows (by about 1e-6); in full batches a recording's embedding does not depend on what else is
            encoded, bit for bit.

    Yields:
        The job's tag, the expert and its embedding, float32 `[dim]`; in the order of jobs for each expert.
    """
    begun: dict[tuple[str, ...], list[np.ndarray]] = {}
    run = partial(_run, size=batch if fill else 0)
    with one_torch_thread(), closing(_each(run, _joined(jobs, batch), threads)) as encoded:
        for group, results in encoded:
            for expert, embedded in zip(group.experts, results, strict=True):
                parts = begun.setdefault((expert.card.name, *group.name), [])
                for piece, windows in zip(group.pieces, embedded, strict=True):
                    parts.append(windows)
                    if piece.last:
                        yield piece.tag, expert, expert.pool(np.concatenate(parts))
                        parts.clear()


def _each(
    run: Callable[[_Group[T]], list[list[np.ndarray]]], groups: Iterable[_Group[T]], threads: int
) -> Generator[tuple[_Group[T], list[list[np.ndarray]]]]:
    """`(group, run(group))` in order; what was not begun is given up when the generator is closed."""
    if threads == 0:
        yield from ((group, run(group)) for group in groups)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="enecg-encoder")
    try:
        yield from in_order(pool, run, groups, threads + 1)
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Piece(Generic[T]):
    """Windows of one recording; its last ones, or more are to come in the next batch."""

    tag: T
    windows: Batch
    last: bool


@dataclass(frozen=True)
class _Group(Generic[T]):
    """Windows that the same experts are to look at; `name` is that of their input contract, then theirs."""

    name: tuple[str, ...]
    experts: Sequence[Expert]
    pieces: list[_Piece[T]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(piece.windows) for piece in self.pieces)


def _joined(jobs: Iterable[EncodingJob[T]], batch: int) -> Iterator[_Group[T]]:
    """Groups of `batch` windows each, and those that are left at the end."""
    waiting: dict[tuple[str, ...], _Group[T]] = {}
    for job in jobs:
        by_spec: dict[str, list[Expert]] = {}
        for expert in job.experts:
            by_spec.setdefault(expert.card.input.key, []).append(expert)
        for key, experts in by_spec.items():
            name = (key, *(expert.card.name for expert in experts))
            windows, done = job.batches[key], 0
            while done < len(windows):
                group = waiting.setdefault(name, _Group(name, experts))
                part = windows[done : done + batch - len(group)]
                done += len(part)
                group.pieces.append(_Piece(job.tag, part, done == len(windows)))
                if len(group) == batch:
                    yield waiting.pop(name)
    yield from waiting.values()


def _run(group: _Group[T], size: int) -> list[list[np.ndarray]]:
    """Embeddings `[window, dim]` of each piece, by expert; in a batch of at least `size` windows."""
    joined = Batch.join([piece.windows for piece in group.pieces])
    count = len(joined)
    if count < size:
        joined = joined[np.minimum(np.arange(size), count - 1)]
    ends = np.cumsum([len(piece.windows) for piece in group.pieces])
    found = []
    for expert in group.experts:
        embedded = expert.encode(joined)
        if embedded.shape != (len(joined), expert.card.dim):
            told = f"{embedded.shape}, its card promises {(len(joined), expert.card.dim)}"
            raise ValueError(f"expert {expert.card.name} gives an array of shape {told}")
        found.append(np.split(embedded[:count], ends[:-1]))
    return found
