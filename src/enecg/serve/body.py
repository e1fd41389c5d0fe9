"""The body of a request: it may not be too large, and must arrive in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from enecg.serve.problems import Problem


class RequestBody:
    """Stands between the server and the application, and counts the bytes of a body.

    Attributes:
        size: bytes that have arrived.
        when_complete: called once, when the body has arrived or nobody waits for it any more.
    """

    def __init__(
        self, receive: Receive, headers: Headers, largest: int, idle_seconds: float, body_seconds: float
    ) -> None:
        self._receive = receive
        self._declared = headers.get("content-length", "0")
        self._largest, self._idle_seconds, self._body_seconds = largest, idle_seconds, body_seconds
        self._until: float | None = None
        self._complete = False
        self.size = 0
        self.when_complete: Callable[[], None] = lambda: None

    def check_size(self) -> None:
        """Raise `Problem` for a body whose stated length is too large, before any of it is read."""
        if not self._declared.isdigit():
            raise Problem("bad_request", "Content-Length is not a number")
        if int(self._declared) > self._largest:
            raise Problem("too_large", f"a body of at most {self._largest} bytes is taken")

    async def receive(self) -> Message:
        """Return the next message of the body.

        Raises:
            Problem: it is larger than allowed, or slow.
        """
        if self._complete:
            return await self._receive()  # for the handler that waits for its client to go away
        now = time.monotonic()
        self._until = self._until or now + self._body_seconds
        try:
            async with asyncio.timeout(min(self._idle_seconds, self._until - now)):
                message = await self._receive()
        except TimeoutError:
            raise Problem("slow", headers={"Connection": "close"}) from None
        self.size += len(message.get("body", b""))
        if self.size > self._largest:
            raise Problem("too_large", f"a body of at most {self._largest} bytes is taken",
                          headers={"Connection": "close"})  # fmt: skip
        if not message.get("more_body", False):
            self.finish()
        return message

    def finish(self) -> None:
        """Report that the body has arrived, or that nobody waits for it any more."""
        if not self._complete:
            self._complete = True
            self.when_complete()
