"""The embedding store: Parquet shards, one folder for each expert, addressed by what made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np

from enecg.embed import shard as shards
from enecg.embed.shard import Damaged, Origin, Shard
from enecg.embed.source import Source, stamp
from enecg.errors import InputError
from enecg.experts.base import Expert

if TYPE_CHECKING:
    from enecg.cohort.manifest import Cohort

NO_ROW: Final = -1
Key = Literal["record", "content", "stamp"]


@dataclass(frozen=True)
class Shelf:
    """What a store holds of one expert."""

    origin: Origin
    rows: int
    shards: int
    bytes: int


class Store:
    """Embeddings by expert and recording.

    `PATH/<expert>-<fingerprint[:12]>/shard-<digest>.parquet` holds the columns `record` (id as in the manifest),
    `content` (`Recording.content_hash`), `stamp` (`enecg.embed.source.stamp`) and `embedding` (fixed-size list of
    float32; NaN marks a number that is not known), with facts on the expert as JSON in the schema's metadata,
    key `enecg`. A shard appears whole or not at all, and its name follows from its content: several writers may
    work on one store. A recording that could not be read has no row. Nothing of the subject is stored.

    A cohort's recordings are found by the stamp of their files, so a changed file is missing until it is embedded
    again. Record ids alone are enough too, where the files are not at hand; of several contents of one id, the
    one stored last counts.

    Args:
        path: the folder; made when something is first written.
        shard_rows: recordings in a shard, which is what a kill loses at most.

    Raises:
        InputError: `path` is a file.
    """

    def __init__(self, path: str | Path, shard_rows: int = 256) -> None:
        self.path = Path(path)
        self.shard_rows = shard_rows
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a store is a folder, and this is a file; choose another place")

    def folder(self, origin: Origin) -> Path:
        """Folder of one expert's shards."""
        return self.path / f"{origin.expert}-{origin.fingerprint[:12]}"

    def index(self, expert: Expert) -> Index:
        """What is stored of an expert, read without the embeddings. A damaged shard is reported and left out."""
        origin, found = Origin.of(expert), []
        for path in sorted(self.folder(origin).glob("shard-*.parquet")):
            try:
                found.append(shards.read_keys(path, origin))
            except Damaged as why:
                shards.set_aside(path, why)
        return Index(origin, found)

    def missing(self, expert: Expert, cohort: Cohort | Sequence[str]) -> np.ndarray:
        """Rows of a cohort, or of record ids, that have no embedding, int64 ascending."""
        return np.flatnonzero(_locate(self.index(expert), cohort) == NO_ROW)

    def load(self, expert: Expert, cohort: Cohort | Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The embeddings of a cohort, or of record ids. Memory: the result and one shard.

        Returns:
            float32 `[found, dim]`, and the rows of the cohort they belong to, int64 `[found]` ascending.
        """
        index = self.index(expert)
        return index.embeddings(_locate(index, cohort))

    def writer(self, expert: Expert, index: Index | None = None) -> Writer:
        """A writer for one expert, a context manager; `index` when the caller has it already."""
        return Writer(self, self.index(expert) if index is None else index)

    def info(self) -> list[Shelf]:
        """One entry for each expert with embeddings here, by name and fingerprint."""
        shelves: dict[Origin, Shelf] = {}
        for path in sorted(self.path.glob("*/shard-*.parquet")):
            try:
                origin, rows = shards.read_origin(path)
            except Damaged:
                continue  # said by whoever wants its rows
            old = shelves.get(origin, Shelf(origin, 0, 0, 0))
            shelves[origin] = Shelf(origin, old.rows + rows, old.shards + 1, old.bytes + path.stat().st_size)
        return list(shelves.values())


def _locate(index: Index, cohort: Cohort | Sequence[str]) -> np.ndarray:
    if isinstance(cohort, Sequence):
        return index.find("record", cohort)
    return index.find("stamp", stamps(cohort))


def stamps(cohort: Cohort) -> list[str]:
    """The stamp of each recording's files; empty for a file that is not there or outside the cohort's folder."""
    found = []
    for row in range(len(cohort)):
        try:
            found.append(stamp(cohort.path(row)) or "")
        except InputError:  # said when the recording is read
            found.append("")
    return found


class Index:
    """Keys of an expert's rows over all shards, in the order of writing; a position counts through them."""

    def __init__(self, origin: Origin, found: Sequence[Shard]) -> None:
        self.origin = origin
        self.shards = sorted(found, key=lambda shard: (shard.generation, shard.path.name))
        self._starts = np.cumsum([0, *(len(shard.record) for shard in self.shards)], dtype=np.int64)
        self._sorted: dict[Key, tuple[np.ndarray, np.ndarray]] = {}
        self._last: tuple[int, np.ndarray | None] = (NO_ROW, None)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, key: Key, wanted: Sequence[str]) -> np.ndarray:
        """Position of each wanted key, int64, `NO_ROW` where there is none; of several rows, the one stored last."""
        at = np.full(len(wanted), NO_ROW, np.int64)
        if not len(self) or not len(wanted):
            return at
        column, order = self._column(key)
        ask = np.array(wanted, dtype=object).astype(column.dtype)
        last = np.searchsorted(column, ask, side="right") - 1
        found = (last >= 0) & (column[last] == ask)
        at[found] = order[last[found]]
        return at

    def embeddings(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings at positions as `find` gives them.

        Returns:
            float32 `[found, dim]`, and which of `at` they belong to: those with a row whose shard is sound.
        """
        rows = np.flatnonzero(at != NO_ROW)
        matrix = np.empty((len(rows), self.origin.dim), np.float32)
        number = np.searchsorted(self._starts, at[rows], side="right") - 1
        sound = np.ones(len(rows), bool)
        for i in np.unique(number):
            here = np.flatnonzero(number == i)
            held = self._embeddings(int(i))
            if held is None:
                sound[here] = False
            else:
                matrix[here] = held[at[rows[here]] - self._starts[i]]
        return (matrix, rows) if sound.all() else (matrix[sound], rows[sound])

    def generation(self, sources: Sequence[Source]) -> int:
        """Generation for a shard of new rows: above that of each row of the same id with other content."""
        at = self.find("record", [source.record for source in sources])
        content = np.array([source.content for source in sources], dtype="S64")
        known = np.flatnonzero(at != NO_ROW)
        shard = np.searchsorted(self._starts, at[known], side="right") - 1
        newest = 0
        for i, number in zip(known, shard, strict=True):
            held = self.shards[number]
            if held.content[at[i] - self._starts[number]] != content[i]:
                newest = max(newest, held.generation + 1)
        return newest

    def _column(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        """A key of all rows, sorted, and the positions in that order."""
        if key not in self._sorted:
            column = np.concatenate([getattr(shard, key) for shard in self.shards])
            order = np.argsort(column, kind="stable")
            self._sorted[key] = column[order], order
        return self._sorted[key]

    def _embeddings(self, number: int) -> np.ndarray | None:
        """Embeddings of one shard, kept until another is asked for; None when it is damaged."""
        if self._last[0] != number:
            try:
                held = shards.read_embeddings(self.shards[number], self.origin)
            except Damaged as why:
                shards.set_aside(self.shards[number].path, why)
                held = None
            self._last = number, held
        return self._last[1]


class Writer:
    """Collects an expert's embeddings; writes a shard whenever there are enough, and the rest when the context ends."""

    def __init__(self, store: Store, index: Index) -> None:
        self._index, self._size = index, store.shard_rows
        self._folder = store.folder(index.origin)
        self._sources: list[Source] = []
        self._embeddings: list[np.ndarray] = []
        shards.clean(self._folder)

    def add(self, source: Source, embedding: np.ndarray) -> None:
        """Take one recording's embedding, `[dim]`; it is copied."""
        self._sources.append(source)
        self._embeddings.append(np.array(embedding, np.float32))
        if len(self._sources) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self._sources:
            sources, matrix = self._sources, np.stack(self._embeddings)
            self._sources, self._embeddings = [], []
            shards.write(self._folder, self._index.origin, sources, matrix, self._index.generation(sources))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
