"""Jobs: work that takes longer than a request, and gives way to requests: many recordings, or an explanation."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from enecg.serve.problems import Problem
from enecg.serve.telemetry import Metrics, event
from enecg.workers.pool import Broken, Lost

State = Literal["queued", "running", "done", "failed", "cancelled"]
KEPT: Final = 64  # results


@dataclass
class Job:
    """One job.

    Attributes:
        kind: `predict` or `explain`.
        owner: the hash of its client's token; no other client sees it.
        total: number of steps.
        done: steps that have ended.
        result: JSON text.
        detail: reason of a failure.
        ended: time by the monotonic clock; None while it waits or runs.
    """

    kind: str
    owner: str
    total: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    done: int = 0
    result: bytes | None = None
    detail: str | None = None
    ended: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def text(self) -> bytes:
        """Return the `JobDocument` as JSON text."""
        facts = {"id": self.id, "kind": self.kind, "state": self.state, "done": self.done, "total": self.total,
                 "detail": self.detail}  # fmt: skip
        return json.dumps(facts)[:-1].encode() + b',"result":' + (self.result or b"null") + b"}"


Work = Callable[[Job], Awaitable[bytes]]


class Jobs:
    """The jobs of one service."""

    def __init__(self, most: int, minutes: float, metrics: Metrics) -> None:
        self._most, self._seconds, self._metrics = most, minutes * 60, metrics
        self._jobs: dict[str, Job] = {}
        self._reserved = 0

    def reserve(self) -> None:
        """Reserve room for one more job, which `add` or `release` gives back.

        Raises:
            Problem: too many wait or run.
        """
        self._forget_old()
        if self._reserved + sum(job.ended is None for job in self._jobs.values()) >= self._most:
            self._metrics.rejected.labels("jobs").inc()
            raise Problem("busy", "too many jobs wait already; try again later")
        self._reserved += 1

    def release(self) -> None:
        """Give back the room that was reserved: the job does not come."""
        self._reserved -= 1

    def add(self, kind: str, owner: str, total: int, work: Work, clean: Callable[[], None]) -> Job:
        """Begin a job for which room was reserved; `clean` is called when it has ended."""
        self.release()
        job = Job(kind, owner, total)
        self._jobs[job.id] = job
        self._metrics.jobs.inc()
        job.task = asyncio.create_task(self._run(job, work))
        job.task.add_done_callback(lambda _: self._finish(job, clean))
        return job

    async def _run(self, job: Job, work: Work) -> None:
        job.state = "running"
        try:
            job.result = await work(job)
            job.state = "done"
        except asyncio.CancelledError:
            job.state = "cancelled"
        except (Lost, Problem) as error:
            job.state, job.detail = "failed", str(getattr(error, "detail", error))
        except Exception as error:
            event("error", kind="job", where=str(error) if isinstance(error, Broken) else type(error).__name__)
            job.state, job.detail = "failed", "an error of enecg"

    def _finish(self, job: Job, clean: Callable[[], None]) -> None:
        job.state = "cancelled" if job.state in ("queued", "running") else job.state  # before its first step
        job.ended = time.monotonic()
        self._metrics.jobs.dec()
        clean()
        event("job", kind=job.kind, state=job.state, steps=job.done)

    def find(self, name: str, owner: str) -> Job:
        """Return a job by its id, for its owner only.

        Raises:
            Problem: there is none.
        """
        self._forget_old()
        job = self._jobs.get(name)
        if job is None or job.owner != owner:
            raise Problem("not_found", "no such job; results are kept for some minutes only")
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job, and forget it."""
        if job.task is not None:
            job.task.cancel()
        self._jobs.pop(job.id, None)

    def _forget_old(self) -> None:
        now = time.monotonic()
        ended = sorted((job.ended, job.id) for job in self._jobs.values() if job.ended is not None)
        for number, (then, name) in enumerate(reversed(ended)):
            if number >= KEPT or now - then > self._seconds:
                del self._jobs[name]

    async def stop(self, seconds: float) -> None:
        """Wait so long for jobs that run, then cancel them."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None and not job.task.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
