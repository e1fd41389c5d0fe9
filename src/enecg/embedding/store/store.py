"""The embedding store: Parquet shards, one folder for each expert, addressed by what made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np

from enecg import files
from enecg.embedding.progress import bar
from enecg.embedding.store import shard as shards
from enecg.embedding.store import source
from enecg.embedding.store.index import NO_ROW, Index
from enecg.embedding.store.shard import Damaged, Origin, Vanished
from enecg.embedding.store.source import Source
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.files import Place

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort

SHARD_ROWS: Final = 256
MANY: Final = 10_000  # recordings whose files are looked at in about two seconds
TRIES: Final = 5  # while another process moves rows from shard to shard
T = TypeVar("T")


@dataclass(frozen=True)
class ExpertSummary:
    """What a store holds of one expert."""

    origin: Origin
    rows: int
    shards: int
    bytes: int


class Store:
    """Embeddings by expert and recording.

    `PATH/<expert>-<fingerprint[:12]>/shard-<digest>.parquet` holds the columns `record` (id as in the manifest),
    `content` (`Recording.content_hash`), `stamp` (`enecg.embedding.store.source.file_stamp`), `quality`
    (codes of what the quality check found in the recording), `notes` (what was left out of its file) and `embedding`
    (fixed-size list of float32; NaN marks a number that is not known), with facts on the expert as JSON in the
    schema's metadata, key `enecg`. A shard appears whole or not at all, and its name follows from its content: several
    writers may work on one store. A recording that could not be read has no row. Nothing of the subject is stored.

    A cohort's recordings are found by the stamp of their files, so a changed file is missing until it is embedded
    again. Record ids alone are enough too, where the files are not at hand; of several contents of one id, the
    one stored last counts.

    Args:
        path: the folder, on disk or by URL; made when something is first written.
        shard_rows: recordings in a shard, which is what a kill loses at most.

    Raises:
        InputError: `path` is a file.
    """

    def __init__(self, path: str | Place, shard_rows: int = SHARD_ROWS) -> None:
        self.path = files.place(path)
        self.shard_rows = shard_rows
        if isinstance(self.path, Path) and self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a store is a folder, and this is a file; choose another place")

    def folder(self, origin: Origin) -> Place:
        """Folder of one expert's shards."""
        return files.join(self.path, f"{origin.expert}-{origin.fingerprint[:12]}")

    def index(self, expert: Expert) -> Index:
        """What is stored of an expert, read without the embeddings. A damaged shard is reported and left out."""
        origin = Origin.of(expert)
        return _steady(lambda: self._index(origin), self.path)

    def _index(self, origin: Origin) -> Index:
        found = []
        for path in files.files(self.folder(origin), "shard-*.parquet"):
            try:
                found.append(shards.read_keys(path, origin))
            except Vanished:
                raise
            except Damaged as why:
                shards.set_aside(path, why)
        return Index(origin, found)

    def missing(self, expert: Expert, cohort: Cohort | Sequence[str]) -> np.ndarray:
        """Rows of a cohort, or of record ids, that have no embedding, int64 ascending."""
        return np.flatnonzero(_locate(self.index(expert), cohort, None) == NO_ROW)

    def load(
        self, expert: Expert, cohort: Cohort | Sequence[str], stamps: Sequence[str] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The embeddings of a cohort, or of record ids. Memory: the result and one shard.

        Args:
            expert: whose.
            cohort: the recordings.
            stamps: `file_stamps` of a cohort, where they are known; else its files are looked at.

        Returns:
            float32 `[found, dim]`, and the rows of the cohort they belong to, int64 `[found]` ascending.
        """

        def loaded() -> tuple[np.ndarray, np.ndarray]:
            index = self.index(expert)
            return index.embeddings(_locate(index, cohort, stamps))

        return _steady(loaded, self.path)

    def contents(self, expert: Expert, cohort: Cohort, stamps: Sequence[str] | None = None) -> list[str]:
        """Return the content hash of each recording of a cohort; empty where this expert's embedding is missing."""
        index = self.index(expert)
        return index.contents(_locate(index, cohort, stamps))

    def quality(
        self, experts: Sequence[Expert], cohort: Cohort, stamps: Sequence[str]
    ) -> list[tuple[tuple[str, ...], tuple[str, ...]] | None]:
        """Return what the quality check found in each recording of a cohort, and its notes.

        Args:
            experts: whose embeddings are here; the first that has seen a recording tells it.
            cohort: the recordings.
            stamps: `file_stamps` of the cohort.

        Returns:
            Codes of findings and notes in sentences; None for a recording of which they are not stored.
        """

        def found(expert: Expert) -> list[tuple[tuple[str, ...], tuple[str, ...]] | None]:
            index = self.index(expert)
            return index.quality(_locate(index, cohort, stamps))

        known: list[tuple[tuple[str, ...], tuple[str, ...]] | None] = [None] * len(cohort)
        for expert in experts:
            if all(each is not None for each in known):
                break
            more = _steady(partial(found, expert), self.path)
            known = [one if one is not None else other for one, other in zip(known, more, strict=True)]
        return known

    def writer(self, expert: Expert, index: Index | None = None) -> Writer:
        """A writer for one expert, a context manager; `index` when the caller has it already."""
        return Writer(self, self.index(expert) if index is None else index)

    def info(self) -> list[ExpertSummary]:
        """One entry for each expert with embeddings here, by name and fingerprint."""
        summaries: dict[Origin, ExpertSummary] = {}
        for path in files.files(self.path, "*/shard-*.parquet"):
            try:
                origin, rows = shards.read_origin(path)
            except Damaged:
                continue  # said by whoever wants its rows
            old = summaries.get(origin, ExpertSummary(origin, 0, 0, 0))
            summaries[origin] = ExpertSummary(origin, old.rows + rows, old.shards + 1, old.bytes + files.size(path))
        return list(summaries.values())


def _steady(call: Callable[[], T], path: Place) -> T:
    """The result of reading, again from the start where a shard vanished meanwhile."""
    for _ in range(TRIES):
        try:
            return call()
        except Vanished:
            continue
    raise InputError(f"{path}: shards vanish while they are read; wait until other work on the store has ended")


def _locate(index: Index, cohort: Cohort | Sequence[str], stamps: Sequence[str] | None) -> np.ndarray:
    if isinstance(cohort, Sequence):
        return index.find("record", cohort)
    return index.find("stamp", file_stamps(cohort) if stamps is None else stamps)


def file_stamps(cohort: Cohort, progress: bool = False) -> list[str]:
    """The stamp of each recording's files; empty for a file that is not there or outside the cohort's folder.

    Args:
        cohort: the recordings.
        progress: show a bar on standard error where there are many.
    """

    def wanted() -> Iterator[Place | None]:
        for row in range(len(cohort)):
            try:
                yield cohort.path(row)
            except InputError:  # said when the recording is read
                yield None

    found = source.file_stamps(wanted())
    show = progress and len(cohort) >= MANY
    return list(bar(found, len(cohort), (), show, "Looking for what is new") if show else found)


class Writer:
    """Writes an expert's embeddings: one shard for each portion of a cohort, as soon as the portion is complete.

    A portion is `Store.shard_rows` neighbouring recordings of the cohort, less those that are stored already and
    those that have no embedding. What is in a shard follows from the cohort and not from the order of the work: an
    interrupted run, and several processes that share the portions, leave the same files.
    """

    def __init__(self, store: Store, index: Index) -> None:
        self._index, self._size = index, store.shard_rows
        self._folder = store.folder(index.origin)
        self._reached = 0
        self._expected: dict[int, int] = {}
        self._held: dict[int, dict[int, tuple[Source, np.ndarray]]] = {}
        for path in shards.leftovers(self._folder):
            files.remove(path)

    def reach(self, row: int) -> None:
        """Nothing will be expected of recordings before `row` any more."""
        if row // self._size > self._reached:
            self._reached = row // self._size
            for portion in sorted(self._held):
                self._settle(portion)

    def expect(self, row: int) -> None:
        """The embedding of recording `row` is to come."""
        self.reach(row)
        portion = row // self._size
        self._expected[portion] = self._expected.get(portion, 0) + 1

    def add(self, row: int, source: Source, embedding: np.ndarray) -> None:
        """Take the embedding of recording `row`, `[dim]`; it is copied."""
        self.reach(row)
        portion = row // self._size
        self._held.setdefault(portion, {})[row] = source, np.array(embedding, np.float32)
        self._expected[portion] = max(0, self._expected.get(portion, 0) - 1)
        self._settle(portion)

    def _settle(self, portion: int) -> None:
        over = portion < self._reached or len(self._held[portion]) == self._size
        if over and not self._expected[portion]:
            self._write(portion)

    def flush(self) -> None:
        """Write what has come."""
        for portion in sorted(self._held):
            self._write(portion)

    def _write(self, portion: int) -> None:
        held = self._held.pop(portion)
        sources = [held[row][0] for row in sorted(held)]
        matrix = np.stack([held[row][1] for row in sorted(held)])
        shards.write(self._folder, self._index.origin, sources, matrix, self._index.generation(sources))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
