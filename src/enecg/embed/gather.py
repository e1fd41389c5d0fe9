"""A cohort together with its experts' embeddings: what fitting and evaluating start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enecg.embed.pipeline import Skipped, embed
from enecg.embed.store import Store
from enecg.errors import InputError
from enecg.experts.base import Expert

if TYPE_CHECKING:
    from enecg.cohort.manifest import Cohort


@dataclass(frozen=True, eq=False)
class Gathered:
    """Recordings that all experts have seen, with what they saw.

    Attributes:
        cohort: those recordings only, sorted by name: no result depends on the order of a manifest's rows.
        embeddings: expert name -> float32 `[recording, dim]`, in the same order.
        skipped: the others, with reasons.
    """

    cohort: Cohort
    embeddings: dict[str, np.ndarray]
    skipped: list[Skipped]

    def take(self, rows: np.ndarray) -> Gathered:
        """Some of the recordings."""
        embeddings = {name: matrix[rows] for name, matrix in self.embeddings.items()}
        return Gathered(self.cohort.take(rows), embeddings, self.skipped)


def gather(
    cohort: Cohort, experts: Sequence[Expert], store: Store, *, progress: bool = True, workers: int | None = None
) -> Gathered:
    """Embed what the store lacks, then load the embeddings of all recordings that every expert has seen.

    Raises:
        InputError: no recording of the cohort can be used.
    """
    cohort = cohort.take(np.argsort(cohort.records, kind="stable"))
    report = embed(cohort, experts, store, progress=progress, workers=workers)
    lost = {each.record for each in report.skipped}
    kept = np.flatnonzero([record not in lost for record in cohort.records])
    if not len(kept):
        first = report.skipped[0]
        raise InputError(
            f"{cohort.name}: none of {len(cohort)} recordings can be used; first: {first.record}: {first.reason}"
        )
    found = {expert.card.name: store.load(expert, cohort) for expert in experts}
    every = np.ones(len(cohort), bool)
    for _, rows in found.values():
        every &= np.isin(np.arange(len(cohort)), rows)
    embeddings = {name: matrix[every[rows]] for name, (matrix, rows) in found.items()}
    return Gathered(cohort.take(np.flatnonzero(every)), embeddings, report.skipped)
