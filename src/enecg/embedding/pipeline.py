"""From recordings to embeddings: the one way that training and prediction share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enecg.embedding.blocks import PooledRecording, judged_blocks, usable_pieces
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
from enecg.readers import opened
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
        walk = _CohortWalk(cohort, stamps, sessions)
        answers = stack.enter_context(prepared_recordings(walk.paths(todo), specs_of(experts), workers))
        counted = stack.enter_context(closing(bar(answers, len(todo), walk.skipped, progress and len(todo) > 0)))
        encoded = stack.enter_context(
            closing(encode(walk.jobs(counted), batch, cpus() if workers is None else max(workers, 1)))
        )
        for encoding, expert, embedding in encoded:
            walk.take(encoding, expert, embedding)
    skipped = [walk.skipped[row] for row in sorted(walk.skipped)]
    lost = sum(len(each.experts) == len(experts) for each in skipped)
    return EmbedReport(len(cohort), walk.encoded, len(cohort) - walk.encoded - lost, skipped)


@dataclass(frozen=True, eq=False)
class _Encoding:
    """What is encoded: a recording of the cohort, or a piece of a long one with the pool that it goes to."""

    row: int
    source: Source
    whole: PooledRecording | None = None
    seconds: float = 0.0


class _CohortWalk:
    """One walk over a cohort's recordings: whom each is shown to, and which are skipped.

    Attributes:
        encoded: recordings shown to an expert so far.
        skipped: by row of the cohort.
    """

    def __init__(self, cohort: Cohort, stamps: Sequence[str], sessions: Mapping[str, StoreSession]) -> None:
        self._cohort, self._records, self._stamps, self._sessions = cohort, cohort.records, stamps, sessions
        self._asked: deque[int] = deque()
        self.encoded = 0
        self.skipped: dict[int, Skipped] = {}

    def paths(self, rows: Iterable[int]) -> Iterator[Place]:
        """Files of the rows, for `prepared_recordings`, whose answers are then expected in `jobs`."""
        for row in rows:
            try:
                path = self._cohort.path(row)
            except InputError as error:
                self._skip(row, str(error), self._sessions)
                continue
            self._asked.append(row)
            yield path

    def jobs(self, answers: Iterable[Prepared | Unusable]) -> Iterator[EncodingJob[_Encoding]]:
        """What has to be encoded."""
        for found in answers:
            row = self._asked.popleft()
            for session in self._sessions.values():
                session.writer.reach(row)
            if isinstance(found, Unusable):
                self._skip(row, found.reason, self._sessions)
            elif not self._stamps[row]:
                self._skip(row, "its files appeared only now; run again", self._sessions)
            else:
                source = Source(self._records[row], found.content, self._stamps[row], found.findings, found.notes)
                experts = self._wanting(row, source, found)
                self.encoded += bool(experts)
                if experts and found.in_blocks:
                    yield from self._blocks(row, source, experts)
                elif experts:
                    yield EncodingJob(_Encoding(row, source), found.batches, experts)

    def _blocks(self, row: int, source: Source, experts: Sequence[Expert]) -> Iterator[EncodingJob[_Encoding]]:
        """The pieces of a long recording, which is read once more: memory does not grow with its length."""
        whole = PooledRecording.of(experts)
        with opened(self._cohort.path(row)) as recording:
            for _, found in usable_pieces(judged_blocks(recording)):
                for piece in found:
                    yield EncodingJob(_Encoding(row, source, whole, piece.seconds), *whole.prepare(piece))
        whole.closed = True
        self._finish(row, source, whole)

    def take(self, encoding: _Encoding, expert: Expert, embedding: np.ndarray) -> None:
        """Take an embedding `[dim]` of a recording, or of a piece of a long one."""
        if encoding.whole is None:
            self._sessions[expert.card.name].writer.add(encoding.row, encoding.source, embedding)
            return
        encoding.whole.pooled[expert.card.name].add(embedding, encoding.seconds)
        self._finish(encoding.row, encoding.source, encoding.whole)

    def _finish(self, row: int, source: Source, whole: PooledRecording) -> None:
        if whole.complete:
            for name, embedding in whole.embeddings().items():
                self._sessions[name].writer.add(row, source, embedding)

    def _wanting(self, row: int, source: Source, found: Prepared) -> list[Expert]:
        wanting, refused = [], {}
        for name, session in self._sessions.items():
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
