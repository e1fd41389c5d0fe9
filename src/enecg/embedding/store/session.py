"""One expert's part of a run: what it has not seen yet, and where its embeddings go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from enecg.embedding.store.index import NO_ROW, Index
from enecg.embedding.store.shard import Vanished
from enecg.embedding.store.source import Source
from enecg.embedding.store.store import Store
from enecg.experts.base import Expert


class StoreSession:
    """One expert's part of a run.

    Attributes:
        expert: whose.
        missing: bool `[recording]`, those of the cohort that it has not seen.
        writer: takes its embeddings.
        index: what it has seen, or as much of it as concerns the cohort.
    """

    def __init__(self, expert: Expert, store: Store, index: Index, missing: np.ndarray) -> None:
        self.expert, self.index, self.missing = expert, index, missing
        self.writer = store.writer(expert, index)

    @classmethod
    def of(cls, expert: Expert, store: Store, stamps: Sequence[str]) -> StoreSession:
        """The session for recordings with these stamps."""
        index = store.index(expert)
        return cls(expert, store, index, index.find("stamp", stamps) == NO_ROW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.flush()

    def reuse_content(self, row: int, source: Source) -> bool:
        """Whether the same content is stored under another name or time; then it is stored under these too."""
        try:
            held, _ = self.index.embeddings(self.index.find("content", [source.content]))
        except Vanished:  # it is computed again, to the same numbers
            return False
        if len(held):
            self.writer.add(row, source, held[0])
        return len(held) > 0
