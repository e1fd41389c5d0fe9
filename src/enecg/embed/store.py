"""The embedding store: Parquet shards, one folder for each expert, addressed by what made them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from enecg.embed import shard as shards
from enecg.embed.shard import Damaged, Row, Shard
from enecg.embed.source import stamp
from enecg.errors import InputError
from enecg.experts.base import Expert

if TYPE_CHECKING:
    from enecg.cohort.manifest import Cohort

NO_ROW: Final = -1
Key = Literal["record", "content", "stamp"]


@dataclass(frozen=True)
class Shelf:
    """What a store holds of one expert."""

    expert: str
    title: str
    fingerprint: str
    dim: int
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

    def folder(self, expert: Expert) -> Path:
        """Folder of one expert's shards."""
        return self.path / f"{expert.card.name}-{expert.fingerprint[:12]}"

    def index(self, expert: Expert) -> Index:
        """What is stored of an expert, read without the embeddings. A damaged shard is reported and left out."""
        found = []
        for path in sorted(self.folder(expert).glob("shard-*.parquet")):
            try:
                found.append(shards.read_keys(path, expert))
            except Damaged as why:
                shards.set_aside(path, why)
        return Index(expert, found)

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
        shelves: dict[tuple[str, str], Shelf] = {}
        for path in sorted(self.path.glob("*/shard-*.parquet")):
            try:
                with pq.ParquetFile(path) as file:
                    rows, facts = file.metadata.num_rows, json.loads(file.schema_arrow.metadata[b"enecg"])
            except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
                continue  # reported by whoever wants its rows
            name, fingerprint = facts["expert"], facts["fingerprint"]
            new = Shelf(name, facts["title"], fingerprint, facts["dim"], rows, 1, path.stat().st_size)
            old = shelves.get((name, fingerprint))
            if old is not None:
                new = replace(new, rows=old.rows + new.rows, shards=old.shards + 1, bytes=old.bytes + new.bytes)
            shelves[name, fingerprint] = new
        return [shelves[key] for key in sorted(shelves)]


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

    def __init__(self, expert: Expert, found: Sequence[Shard]) -> None:
        self.expert = expert
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
        matrix = np.empty((len(rows), self.expert.card.dim), np.float32)
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

    def generation(self, rows: Sequence[Row]) -> int:
        """Generation for a shard of new rows: above that of each row of the same id with other content."""
        at = self.find("record", [row.record for row in rows])
        content = np.array([row.content for row in rows], dtype="S64")
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
                held = shards.read_embeddings(self.shards[number], self.expert)
            except Damaged as why:
                shards.set_aside(self.shards[number].path, why)
                held = None
            self._last = number, held
        return self._last[1]


class Writer:
    """Collects an expert's rows and writes a shard whenever there are enough; the rest when the context is left."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index
        self._rows: list[Row] = []
        shards.clean(store.folder(index.expert))

    def add(self, row: Row) -> None:
        """Take one row; its embedding is copied."""
        self._rows.append(replace(row, embedding=np.array(row.embedding, np.float32)))
        if len(self._rows) >= self._store.shard_rows:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self._rows:
            rows, self._rows = self._rows, []
            expert = self._index.expert
            shards.write(self._store.folder(expert), expert, rows, self._index.generation(rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
