"""The same work as `pipeline.embed` on a cluster: Ray Data hands out portions of a cohort, its actors write the shards.

A portion is what becomes one shard for each expert, so that whoever does it, and however often, the same files are
left. The driver finds out what is missing; an actor reads, prepares and encodes as one machine alone would. When a
node is lost, its portions are given to others; when the driver is lost, the next run finds in the store what was done.

The recordings and the store must be reachable from all nodes under the same path or URL. The experts' weights are
carried to the nodes by Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enecg.embedding.cluster import answers, cluster
from enecg.embedding.pipeline import EmbedReport, Skipped, carry_out
from enecg.embedding.progress import bar
from enecg.embedding.store import shard as shards
from enecg.embedding.store.index import Index
from enecg.embedding.store.session import StoreSession
from enecg.embedding.store.shard import Damaged, Origin
from enecg.embedding.store.store import Store, file_stamps
from enecg.experts.base import Expert
from enecg.files import Place

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort


@dataclass(frozen=True)
class Portion:
    """Neighbouring recordings of a cohort.

    Attributes:
        cohort: the recordings, without their labels.
        stamps: stamps of their files.
        missing: by expert, which of them it has not seen; bool `[recording]`.
        known: by expert, shards with older contents of these recordings.
    """

    cohort: Cohort
    stamps: Sequence[str]
    missing: Mapping[str, np.ndarray]
    known: Mapping[str, Sequence[Place]]


def embed(
    cohort: Cohort, experts: Sequence[Expert], store: Store, *, address: str | None = None, progress: bool = True
) -> EmbedReport:
    """As `pipeline.embed`, with the same result, by the processors of a Ray cluster.

    Content that the store has under another record id only is computed again here, to the same numbers.

    Args:
        cohort: the recordings.
        experts: who looks at them.
        store: where the embeddings are kept.
        address: of the cluster, such as `auto` or `ray://host:10001`; by default one on this machine, for this run.
        progress: show a bar on standard error.

    Raises:
        InputError: Ray is not installed or the cluster cannot be reached; the store cannot be read or written from a
            node.
    """
    with cluster(address):
        portions = plan(cohort, experts, store, progress)
        total = sum(len(each.cohort) for each in portions)
        found = answers(Embedder, (list(experts), store), portions)
        skipped: list[Skipped] = []
        computed = 0

        def reports() -> Iterator[None]:
            nonlocal computed
            for report in found:
                skipped.extend(report.skipped)
                computed += report.computed
                yield from [None] * report.n

        with closing(bar(reports(), total, skipped, progress and total > 0)) as counted:
            for _ in counted:
                pass
    order = {record: row for row, record in enumerate(cohort.records)}
    skipped.sort(key=lambda each: order[each.record])
    lost = sum(len(each.experts) == len(experts) for each in skipped)
    return EmbedReport(len(cohort), computed, len(cohort) - computed - lost, skipped)


def plan(cohort: Cohort, experts: Sequence[Expert], store: Store, progress: bool = False) -> list[Portion]:
    """What is missing, in portions of `store.shard_rows` recordings of the cohort."""
    stamps = file_stamps(cohort, progress)
    sessions = [StoreSession.of(expert, store, stamps) for expert in experts]
    todo = np.flatnonzero(np.any([session.missing for session in sessions], axis=0))
    bare = cohort.bare()
    portions = []
    for rows in filter(len, np.split(todo, np.flatnonzero(np.diff(todo // store.shard_rows)) + 1)):
        part = bare.take(rows)
        missing = {session.expert.card.name: session.missing[rows] for session in sessions}
        known = {session.expert.card.name: session.index.holding(part.records) for session in sessions}
        portions.append(Portion(part, [stamps[row] for row in rows], missing, known))
    return portions


class Embedder:
    """`carry_out` on a node."""

    def __init__(self, experts: Sequence[Expert], store: Store) -> None:
        self._experts, self._store = experts, store

    def __call__(self, portion: Portion) -> EmbedReport:
        """Embed the portion's recordings, and write its shards."""
        sessions = [self._session(expert, portion) for expert in self._experts]
        return carry_out(portion.cohort, portion.stamps, sessions)

    def _session(self, expert: Expert, portion: Portion) -> StoreSession:
        name, origin = expert.card.name, Origin.of(expert)
        try:
            index = Index(origin, [shards.read_keys(path, origin) for path in portion.known[name]])
        except Damaged:  # or moved meanwhile
            index = self._store.index(expert)
        return StoreSession(expert, self._store, index, portion.missing[name])
