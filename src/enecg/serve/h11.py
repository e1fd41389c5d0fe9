"""uvicorn's HTTP/1.1 protocol with a limit on how long a request's header may take to arrive.

uvicorn has none (0.54): a client that sends one byte a second holds its connection for ever. The same timer ends a
connection whose client goes on sending a body after the answer to it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Closes connections on which no request begins in time."""

    header_seconds: float = 5.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection: its first header has to come."""
        super().connection_made(transport)
        self._arm(self.header_seconds, None)

    def on_response_complete(self) -> None:
        """After an answer: the next request may take as long as a connection may be idle, and its header."""
        answered = self.cycle  # a pipelined request may begin within the call
        super().on_response_complete()
        self._arm(self.timeout_keep_alive + self.header_seconds, answered)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _arm(self, seconds: float, seen: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._close_unless_begun, seen)

    def _close_unless_begun(self, seen: Any) -> None:
        if self.cycle is seen and not self.transport.is_closing():
            self.transport.close()
