"""Answers for recordings of hours and days: one for the whole, and one for each period."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final

from enecg.documents import PeriodAnswers, SecondsSeen, TaskAnswer
from enecg.embedding.blocks import PooledRecording, QualitySummary, judged_blocks, usable_pieces
from enecg.embedding.encoding import EncodingJob, encode
from enecg.ensemble.budget.cascade import Cascade
from enecg.ensemble.outputs import Answering, TaskOutput
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.quality import Quality
from enecg.readers.opened import OpenedRecording
from enecg.recording import LONG_SECONDS, WINDOW_SECONDS, Recording
from enecg.workers.threads import cpus

_UNITS: Final = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERIOD: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")

AnswerOf = Callable[[TaskOutput, int], TaskAnswer]


def period(text: str) -> float:
    """Return the seconds of a period such as `1h`, `30min`, `90s` or `1d`.

    Raises:
        InputError: it is no period, or shorter than the windows that experts see.
    """
    found = _PERIOD.fullmatch(text.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < WINDOW_SECONDS:
        raise InputError(f"--every {text}: write a period of {WINDOW_SECONDS:g} s or more, such as 1h, 30min or 60s")
    return seconds


@dataclass(eq=False)
class Period:
    """A part of a recording.

    Attributes:
        start: seconds from the start of the recording.
        experts: what the experts see in it.
        summary: what the quality check found.
    """

    start: float
    experts: PooledRecording
    summary: QualitySummary = field(default_factory=QualitySummary)


@dataclass(frozen=True)
class LongAnswer:
    """The answers for a long recording.

    Attributes:
        quality: findings over all blocks.
        notes: what was left out, and how much was seen.
        seconds: how much was seen, of how much.
        tasks: task name -> answer for the whole; empty when nothing may be interpreted.
        periods: one entry each, where periods were asked for.
    """

    quality: Quality
    notes: list[str]
    seconds: SecondsSeen
    tasks: dict[str, TaskAnswer]
    periods: list[PeriodAnswers]


def answer_long(
    ensemble: Answering,
    experts: Sequence[Expert],
    opened: OpenedRecording,
    answer: AnswerOf,
    every: float | None = None,
) -> LongAnswer:
    """Answer all tasks for a recording of any length, in constant memory.

    Args:
        ensemble: fitted.
        experts: those that it was fitted with.
        opened: the recording.
        answer: makes an answer of a task's output and a row.
        every: seconds of a period; None for no periods.

    Raises:
        ReadError: the file turns out to be damaged.
    """
    wanted = {*ensemble.needed, *(ensemble.later if isinstance(ensemble, Cascade) else ())}
    looking = [expert for expert in experts if expert.card.name in wanted]
    whole = Period(0.0, PooledRecording.of(looking))
    periods: list[PeriodAnswers] = []
    for part in _periods(opened, looking, every, whole.summary):
        for name, pooled in part.experts.pooled.items():
            whole.experts.pooled[name].merge(pooled)
        if every is not None:
            tasks = _tasks(ensemble, part, answer)
            periods.append(
                {"start": part.start, "seconds": _seconds(part.summary), "usable": bool(tasks), "tasks": tasks}
            )
    return LongAnswer(
        quality=whole.summary.quality(),
        notes=list({**opened.notes, **whole.summary.all_notes()}.values()),
        seconds=_seconds(whole.summary),
        tasks=_tasks(ensemble, whole, answer),
        periods=periods,
    )


def _seconds(summary: QualitySummary) -> SecondsSeen:
    return {"seen": round(summary.seen, 3), "of": round(summary.seconds, 3)}


def _tasks(ensemble: Answering, part: Period, answer: AnswerOf) -> dict[str, TaskAnswer]:
    if not part.summary.seen:
        return {}
    embeddings = {name: pooled[None] for name, pooled in part.experts.embeddings().items()}
    return {name: answer(output, 0) for name, output in ensemble.predict(embeddings).items()}


def _periods(
    opened: OpenedRecording, experts: Sequence[Expert], every: float | None, total: QualitySummary
) -> Iterator[Period]:
    """Yield the periods of a recording in their order, each as soon as all experts have seen it."""
    per_period = math.ceil(every / LONG_SECONDS) if every else 0
    seconds = every / per_period if every else LONG_SECONDS
    waiting: deque[Period] = deque()

    def jobs() -> Iterator[EncodingJob[tuple[Period, float]]]:
        for number, (block, found) in enumerate(usable_pieces(judged_blocks(opened, seconds))):
            if not waiting or (per_period and number % per_period == 0):
                if waiting:
                    waiting[-1].experts.closed = True
                waiting.append(Period(block.start, PooledRecording.of(experts)))
            current = waiting[-1]
            current.summary.add(block)
            total.add(block)
            for piece in found:
                yield EncodingJob((current, piece.seconds), *current.experts.prepare(piece))

    with closing(encode(jobs(), threads=cpus())) as encoded:
        for (part, length), expert, embedding in encoded:
            part.experts.pooled[expert.card.name].add(embedding, length)
            while len(waiting) > 1 and waiting[0].experts.complete:
                yield waiting.popleft()
    yield from waiting


def with_name(opened: OpenedRecording, name: str) -> OpenedRecording:
    """Return the same under the name that the caller has for it."""
    return replace(opened, source=name, read_span=lambda *ends: _named(opened.read_span(*ends), name))


def _named(recording: Recording, name: str) -> Recording:
    return replace(recording, source=name)
