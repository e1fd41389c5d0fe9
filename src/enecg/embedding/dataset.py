"""A cohort together with its experts' embeddings: what fitting and evaluating start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from enecg.embedding.pipeline import Skipped, embed
from enecg.embedding.store.store import Store, file_stamps
from enecg.errors import InputError
from enecg.experts.base import Expert

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort


@dataclass(frozen=True, eq=False)
class Gathered:
    """Recordings with what the experts saw in them.

    Attributes:
        cohort: recordings that an expert has seen, sorted by name: no result depends on the order of a manifest's rows.
        embeddings: expert name -> float32 `[recording, dim]`, in the same order; a row of NaN where the expert's
            contract refuses the recording, as in prediction.
        skipped: recordings that no expert has seen, with reasons.
        refused: recordings that some of the experts have not seen, with reasons.
        quality: codes of what the quality check found in each recording, from the store.
        notes: what was left out of each recording's file, in sentences, from the store.
        contents: content hash of each recording, hexadecimal.
        copies: a sentence for each recording that is there twice under two subjects, who count as one here.
    """

    cohort: Cohort
    embeddings: dict[str, np.ndarray]
    skipped: list[Skipped]
    refused: list[Skipped]
    quality: Sequence[tuple[str, ...]] = ()
    notes: Sequence[tuple[str, ...]] = ()
    contents: Sequence[str] = ()
    copies: Sequence[str] = ()

    def take(self, rows: np.ndarray) -> Gathered:
        """Return some of the recordings, by number or by a mask."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        embeddings = {name: matrix[rows] for name, matrix in self.embeddings.items()}
        quality = [self.quality[row] for row in rows] if self.quality else ()
        notes = [self.notes[row] for row in rows] if self.notes else ()
        contents = [self.contents[row] for row in rows] if self.contents else ()
        return replace(
            self,
            cohort=self.cohort.take(rows),
            embeddings=embeddings,
            quality=quality,
            notes=notes,
            contents=contents,
        )


def gather(
    cohort: Cohort, experts: Sequence[Expert], store: Store, *, progress: bool = True, workers: int | None = None
) -> Gathered:
    """Embed what the store lacks, then load the embeddings of all recordings that an expert has seen.

    Raises:
        InputError: no recording of the cohort can be used.
    """
    cohort = cohort.take(np.argsort(cohort.records, kind="stable"))
    stamps = file_stamps(cohort, progress)
    report = embed(cohort, experts, store, progress=progress, workers=workers, stamps=stamps)
    found = {expert.card.name: store.load(expert, cohort, stamps) for expert in experts}
    seen = np.zeros(len(cohort), bool)
    for expert in experts:
        if not expert.gate_input:  # a gate input sees whatever can be read
            seen[found[expert.card.name][1]] = True
    if not seen.any():
        first = report.skipped[0]
        raise InputError(
            f"{cohort.name}: none of {len(cohort)} recordings can be used; first: {first.record}: {first.reason}"
        )
    embeddings = {name: _placed(matrix, rows, seen) for name, (matrix, rows) in found.items()}
    contents = np.full(len(cohort), "", dtype="U64")
    for expert in experts:
        if (lacking := np.flatnonzero(seen & (contents == ""))).size:
            contents[lacking] = np.array(store.contents(expert, cohort, stamps), dtype="U64")[lacking]
    hashes = contents[seen].tolist()
    kept, copies = with_copies_joined(cohort.take(np.flatnonzero(seen)), hashes)
    held = set(kept.records)
    checked = store.quality(experts, kept, [stamps[row] for row in np.flatnonzero(seen)])
    return Gathered(
        kept,
        embeddings,
        [each for each in report.skipped if each.record not in held],
        [each for each in report.skipped if each.record in held],
        [each[0] if each else () for each in checked],
        [each[1] if each else () for each in checked],
        contents=hashes,
        copies=copies,
    )


def with_copies_joined(cohort: Cohort, contents: Sequence[str]) -> tuple[Cohort, list[str]]:
    """Give one subject to all who hold the same recording: a split by subject then keeps copies together.

    Args:
        cohort: the recordings.
        contents: content hash of each.

    Returns:
        The cohort, and a sentence for each recording that another subject holds as well.
    """
    subjects = cohort.subjects.tolist()
    first: dict[str, int] = {}
    joined: dict[str, str] = {}
    notes = []

    def head(subject: str) -> str:
        while subject in joined:
            subject = joined[subject]
        return subject

    for row, content in enumerate(contents):
        other = first.setdefault(content, row) if content else row
        one, two = head(subjects[other]), head(subjects[row])
        if one != two:
            joined[max(one, two)] = min(one, two)
            pair = f"{cohort.records[other]} and {cohort.records[row]}"
            notes.append(f"{pair} are one recording under two subjects, who are taken as one")
    if not notes:
        return cohort, []
    table = cohort.table.assign(subject_id=[head(subject) for subject in subjects])
    return replace(cohort, table=table), notes


def gather_first(
    cohort: Cohort, experts: Sequence[Expert], store: Store, *, progress: bool = True, workers: int | None = None
) -> Gathered:
    """As `gather`, of each subject the first recording, in the cohort's order, that an expert can see.

    Where the first one cannot be used, it is among `skipped`, and the subject's next one is tried.

    Raises:
        InputError: no recording of the cohort can be used.
    """
    waiting: dict[str, list[int]] = {}
    for row, subject in enumerate(cohort.subjects.tolist()):
        waiting.setdefault(subject, []).append(row)
    chosen: dict[str, int] = {}
    skipped: list[Skipped] = []
    asked = list(waiting)
    while asked:
        for subject in asked:
            chosen[subject] = waiting[subject].pop(0)
        part = cohort.take(np.array([chosen[subject] for subject in asked]))
        report = embed(part, experts, store, progress=progress, workers=workers)
        looking = {expert.card.name for expert in experts if not expert.gate_input}
        lost = {each.record: each for each in report.skipped if looking <= set(each.experts)}
        failed = [subject for subject, record in zip(asked, part.records, strict=True) if record in lost]
        asked = [subject for subject in failed if waiting[subject]]
        again = {cohort.records[chosen[subject]] for subject in asked}
        skipped += [each for record, each in lost.items() if record in again]
    data = gather(cohort.take(np.array(sorted(chosen.values()))), experts, store, progress=progress, workers=workers)
    return replace(data, skipped=[*skipped, *data.skipped])


def _placed(matrix: np.ndarray, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The rows of the matrix that are of `seen` recordings, with rows of NaN between for those it has not."""
    count = int(seen.sum())
    if len(rows) == count and seen[rows].all():
        return matrix
    place, wanted = np.cumsum(seen) - 1, seen[rows]
    placed = np.full((count, matrix.shape[1]), np.nan, np.float32)
    placed[place[rows[wanted]]] = matrix[wanted]
    return placed
