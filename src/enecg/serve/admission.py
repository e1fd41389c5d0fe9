"""Admission: how many requests are worked on, and how many bodies arrive, at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal

from enecg.serve.problems import Problem
from enecg.serve.telemetry import Metrics

PROMPT_SECONDS: Final = 1.0  # a worker is kept so long for a body that arrives


class Admission:
    """Counts requests and bodies, and turns away what is too many."""

    def __init__(self, slots: int, uploads: int, metrics: Metrics) -> None:
        self._slots, self._uploads, self._metrics = slots, uploads, metrics
        self._free = asyncio.Semaphore(slots)
        self._working = self._waiting = self._expected = self.arriving = 0

    def reason_to_refuse(self, holds_worker: bool) -> Literal["uploads", "workers"] | None:
        """Return what there is too much of before a request's body is read; None when the request is let in."""
        if self.arriving >= self._uploads:
            return "uploads"
        return "workers" if holds_worker and self._working + self._expected >= self._slots else None

    def expect(self) -> Callable[[], None]:
        """Keep a worker for a request that was let in. Calling what is returned ends it; so does a slow body."""
        self._expected += 1
        clock = asyncio.get_running_loop().call_later(PROMPT_SECONDS, lambda: release())

        def release() -> None:
            if not clock.cancelled():
                clock.cancel()
                self._expected -= 1

        return release

    @asynccontextmanager
    async def slot(self, release: Callable[[], None]) -> AsyncGenerator[None]:
        """Hold a worker while the context lasts.

        A request whose body was slow may find no free worker. A few of them wait; more are turned away.

        Args:
            release: from `expect`.

        Raises:
            Problem: too many wait already.
        """
        if self._free.locked() and self._waiting >= self._slots:
            self._metrics.rejected.labels("workers").inc()
            raise Problem("busy")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        release()
        self._working += 1
        self._metrics.in_flight.inc()
        try:
            yield
        finally:
            self._working -= 1
            self._metrics.in_flight.dec()
            self._free.release()
