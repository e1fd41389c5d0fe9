"""The keys of an expert's stored rows, and the way from a key to its embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from enecg.embedding.store import shard as shards
from enecg.embedding.store.shard import Damaged, Origin, Shard, Vanished
from enecg.embedding.store.source import Source
from enecg.files import Place, name_of

NO_ROW: Final = -1
Key = Literal["record", "content", "stamp"]


class Index:
    """Keys of an expert's rows over all shards, in the order of writing; a position counts through them."""

    def __init__(self, origin: Origin, found: Sequence[Shard]) -> None:
        self.origin = origin
        self.shards = sorted(found, key=lambda shard: (shard.generation, name_of(shard.path)))
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

        Raises:
            Vanished: a shard is no longer there; another index will find its rows elsewhere.
        """
        rows = np.flatnonzero(at != NO_ROW)
        matrix = np.empty((len(rows), self.origin.dim), np.float32)
        number = np.searchsorted(self._starts, at[rows], side="right") - 1
        sound = np.ones(len(rows), bool)
        order = np.argsort(number, kind="stable")
        for here in np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(rows) else ():
            i = number[here[0]]
            held = self._embeddings(int(i))
            if held is None:
                sound[here] = False
            else:
                matrix[here] = held[at[rows[here]] - self._starts[i]]
        return (matrix, rows) if sound.all() else (matrix[sound], rows[sound])

    def contents(self, at: np.ndarray) -> list[str]:
        """Return the content hash of the recording at each position as `find` gives them; empty for `NO_ROW`."""
        if not len(self):
            return [""] * len(at)
        column = np.concatenate([shard.content for shard in self.shards])
        return [column[position].decode() if position != NO_ROW else "" for position in at.tolist()]

    def quality(self, at: np.ndarray) -> list[tuple[tuple[str, ...], tuple[str, ...]] | None]:
        """Return findings and notes of the recordings at positions as `find` gives them; None where they are not known.

        Raises:
            Vanished: as for `embeddings`.
        """
        number = np.searchsorted(self._starts, at, side="right") - 1
        found: list[tuple[tuple[str, ...], tuple[str, ...]] | None] = [None] * len(at)
        for i in np.unique(number[at != NO_ROW]):
            rows = np.flatnonzero((number == i) & (at != NO_ROW))
            held = shards.read_quality(self.shards[i], self.origin)
            for row in rows:
                found[row] = held[at[row] - self._starts[i]]
        return found

    def holding(self, records: Sequence[str]) -> list[Place]:
        """The shards that hold the rows of some record ids, as far as there are any."""
        at = self.find("record", records)
        numbers = np.searchsorted(self._starts, at[at != NO_ROW], side="right") - 1
        return [self.shards[number].path for number in np.unique(numbers)]

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
            except Vanished:
                raise
            except Damaged as why:
                shards.set_aside(self.shards[number].path, why)
                held = None
            self._last = number, held
        return self._last[1]
