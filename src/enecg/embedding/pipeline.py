"""From recordings to embeddings: the one way that training and prediction share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enecg.embedding.encoding import BATCH, EncodingJob, encode
from enecg.embedding.progress import bar
from enecg.embedding.reading import Prepared, Unusable, prepare_all, prepared_recordings
from enecg.embedding.store.session import StoreSession
from enecg.embedding.store.source import Source
from enecg.embedding.store.store import Store, file_stamps
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import InputSpec
from enecg.files import Place
from enecg.recording import Recording
from enecg.workers.threads import cpus

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort


@dataclass(frozen=True)
class Skipped:
    """A recording without an embedding.

    Attributes:
        record: id as in the manifest.
        reason: one line.
        experts: names of the experts that have not seen it.
    """

    record: str
    reason: str
    experts: tuple[str, ...]


@dataclass(frozen=True)
class EmbedReport:
    """What `embed` did.

    Attributes:
        n: recordings in the cohort.
        computed: recordings that at least one expert looked at.
        reused: recordings whose embeddings were all in the store.
        skipped: recordings that all or some experts could not look at, in the cohort's order.
    """

    n: int
    computed: int
    reused: int
    skipped: list[Skipped]


def specs_of(experts: Iterable[Expert]) -> dict[str, InputSpec]:
    """The distinct input contracts of experts, by key."""
    return {expert.card.input.key: expert.card.input for expert in experts}


def embed_recordings(
    recordings: Sequence[Recording], experts: Sequence[Expert], batch: int = BATCH
) -> dict[str, np.ndarray]:
    """Embeddings of recordings at hand, as `embed` would store them (a last batch that is not full: to rounding).

    Returns:
        By expert's name, float32 `[recording, dim]`. A recording that an expert refuses (a lead or the amplitude
        is missing that its contract asks for) is a row of NaN: nothing is known.
    """
    specs = specs_of(experts)
    found = {each.card.name: np.full((len(recordings), each.card.dim), np.nan, np.float32) for each in experts}

    def jobs() -> Iterator[EncodingJob[int]]:
        for row, recording in enumerate(recordings):
            prepared = prepare_all(recording, specs)
            yield EncodingJob(row, prepared.batches, [e for e in experts if e.card.input.key in prepared.batches])

    for row, expert, embedding in encode(jobs(), batch, cpus() if len(recordings) > batch else 0, fill=False):
        found[expert.card.name][row] = embedding
    return found


def embed(
    cohort: Cohort,
    experts: Sequence[Expert],
    store: Store,
    *,
    progress: bool = True,
    workers: int | None = None,
    batch: int = BATCH,
    stamps: Sequence[str] | None = None,
) -> EmbedReport:
    """Bring the embeddings of a cohort's recordings into the store: whatever is missing, and nothing else.

    Each recording is read once, however many experts look at it, and prepared once for each distinct input
    contract. Memory does not grow with the cohort, apart from its table and the keys of the store. Interrupted at
    any moment, it goes on where it was when it is called again.

    Args:
        cohort: the recordings.
        experts: who looks at them.
        store: where the embeddings are kept.
        progress: show a bar on standard error.
        workers: threads and then processes that read and prepare, as for `prepared_recordings`, and threads that
            encode; by default as many as there are processors. With 0 this thread reads. The result does not depend
            on it.
        batch: windows that an expert sees at a time; with another number, embeddings may differ by rounding.
        stamps: `enecg.embedding.store.store.file_stamps` of the cohort, where they are known.

    Returns:
        What was done. A recording that cannot be read or interpreted is skipped with its reason.

    Raises:
        InputError: the store cannot be read or written.
    """
    stamps = file_stamps(cohort, progress) if stamps is None else stamps
    sessions = [StoreSession.of(each, store, stamps) for each in experts]
    return carry_out(cohort, stamps, sessions, progress=progress, workers=workers, batch=batch)


def carry_out(
    cohort: Cohort,
    stamps: Sequence[str],
    wanting: Sequence[StoreSession],
    *,
    progress: bool = False,
    workers: int | None = 0,
    batch: int = BATCH,
) -> EmbedReport:
    """The work of `embed`, once it is known what each expert has not seen yet.

    Args:
        cohort: the recordings.
        stamps: stamps of their files.
        wanting: one session for each expert.
        progress, workers, batch: as for `embed`.
    """
    experts = [session.expert for session in wanting]
    with ExitStack() as stack:
        sessions = {session.expert.card.name: stack.enter_context(session) for session in wanting}
        todo = np.flatnonzero(np.any([session.missing for session in sessions.values()], axis=0))
        visit = _CohortWalk(cohort, stamps, sessions)
        answers = stack.enter_context(prepared_recordings(visit.paths(todo), specs_of(experts), workers))
        counted = stack.enter_context(closing(bar(answers, len(todo), visit.skipped, progress and len(todo) > 0)))
        encoded = stack.enter_context(
            closing(encode(visit.jobs(counted), batch, cpus() if workers is None else max(workers, 1)))
        )
        for (row, source), expert, embedding in encoded:
            sessions[expert.card.name].writer.add(row, source, embedding)
    skipped = [visit.skipped[row] for row in sorted(visit.skipped)]
    lost = sum(len(each.experts) == len(experts) for each in skipped)
    return EmbedReport(len(cohort), visit.encoded, len(cohort) - visit.encoded - lost, skipped)


class _CohortWalk:
    """One walk over a cohort's recordings: whom each is shown to, and which are skipped.

    Attributes:
        encoded: recordings shown to an expert so far.
        skipped: by row of the cohort.
    """

    def __init__(self, cohort: Cohort, stamps: Sequence[str], sessions: Mapping[str, StoreSession]) -> None:
        self._cohort, self._records, self._stamps, self._desks = cohort, cohort.records, stamps, sessions
        self._asked: deque[int] = deque()
        self.encoded = 0
        self.skipped: dict[int, Skipped] = {}

    def paths(self, rows: Iterable[int]) -> Iterator[Place]:
        """Files of the rows, for `prepared_recordings`, whose answers are then expected in `jobs`."""
        for row in rows:
            try:
                path = self._cohort.path(row)
            except InputError as error:
                self._skip(row, str(error), self._desks)
                continue
            self._asked.append(row)
            yield path

    def jobs(self, answers: Iterable[Prepared | Unusable]) -> Iterator[EncodingJob[tuple[int, Source]]]:
        """What has to be encoded."""
        for found in answers:
            row = self._asked.popleft()
            for session in self._desks.values():
                session.writer.reach(row)
            if isinstance(found, Unusable):
                self._skip(row, found.reason, self._desks)
            elif not self._stamps[row]:
                self._skip(row, "its files appeared only now; run again", self._desks)
            else:
                source = Source(self._records[row], found.content, self._stamps[row])
                if experts := self._wanting(row, source, found):
                    self.encoded += 1
                    yield EncodingJob((row, source), found.batches, experts)

    def _wanting(self, row: int, source: Source, found: Prepared) -> list[Expert]:
        wanting, refused = [], {}
        for name, session in self._desks.items():
            key = session.expert.card.input.key
            if not session.missing[row] or session.reuse_content(row, source):
                continue
            if key in found.refused:
                refused[name] = found.refused[key]
            else:
                session.writer.expect(row)
                wanting.append(session.expert)
        if refused:
            reasons = dict.fromkeys(f"{name}: {reason}" for name, reason in refused.items())
            self._skip(row, "; ".join(reasons), refused)
        return wanting

    def _skip(self, row: int, reason: str, experts: Iterable[str]) -> None:
        self.skipped[row] = Skipped(self._records[row], reason, tuple(experts))
