"""What every request passes before its handler sees it: id, security, admission, a clock and a scale for its body."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enecg.serve.problems import Problem, answer
from enecg.serve.settings import LOOPBACK, MIB, Settings
from enecg.serve.telemetry import REQUEST_ID, Metrics, event

PUBLIC: Final = ("/", "/v1/health", "/v1/ready", "/v1/service", "/openapi.json")  # and /page/
ANSWERED: Final = ("POST", "/v1/predict")  # a request that holds a worker until it is answered
JOBS: Final = (("POST", "/v1/jobs"), ("POST", "/v1/explain"))
WATCHED: Final = ("health", "ready", "metrics")  # asked every few seconds by monitors, and not logged
PROMPT_SECONDS: Final = 1.0  # for which a worker is kept for a body that arrives
SMALL: Final = 65536  # bytes of a body where none is asked for
SECURITY: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Admission:
    """How many recordings' requests are worked on, and how many bodies arrive, at a time."""

    def __init__(self, slots: int, uploads: int, metrics: Metrics) -> None:
        self._slots, self._uploads, self._metrics = slots, uploads, metrics
        self._free = asyncio.Semaphore(slots)
        self._working = self._waiting = self._expected = self.arriving = 0

    def reason_to_refuse(self, holds_worker: bool) -> str | None:
        """Why a request is to be turned away before its body is read; None when it is welcome."""
        if self.arriving >= self._uploads:
            return "uploads"
        return "workers" if holds_worker and self._working + self._expected >= self._slots else None

    def expect(self) -> Callable[[], None]:
        """Keep a worker for a request that was let in; what is returned ends it, and so does a slow body."""
        self._expected += 1
        clock = asyncio.get_running_loop().call_later(PROMPT_SECONDS, lambda: come())

        def come() -> None:
            if not clock.cancelled():
                clock.cancel()
                self._expected -= 1

        return come

    @asynccontextmanager
    async def slot(self, come: Callable[[], None]) -> AsyncGenerator[None]:
        """Hold a worker. Whose body was slow may find none; a few of them wait for each other, more are turned away.

        Args:
            come: from `expect`.
        """
        if self._free.locked() and self._waiting >= self._slots:
            self._metrics.rejected.labels("workers").inc()
            raise Problem("busy")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        come()
        self._working += 1
        self._metrics.in_flight.inc()
        try:
            yield
        finally:
            self._working -= 1
            self._metrics.in_flight.dec()
            self._free.release()


class Gate:
    """ASGI middleware; errors that nobody foresaw end here, told to the log without their text."""

    def __init__(self, app: ASGIApp, settings: Settings, admission: Admission, metrics: Metrics) -> None:
        self._app, self._settings, self._admission, self._metrics = app, settings, admission, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it; tell metrics and log what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        name = asked if re.fullmatch(r"[A-Za-z0-9-]{1,64}", asked) else secrets.token_hex(8)
        REQUEST_ID.set(name)
        reply, body = _Reply(send, name), _Body(receive, headers, self._settings, scope)
        begun = time.perf_counter()
        try:
            await self._admit(scope, headers, body, reply)
        except Problem as problem:
            await self._refuse(problem, scope, receive, reply)
        except ClientDisconnect:
            pass  # there is nobody to tell
        except Exception as error:
            event("error", kind=type(error).__name__, where=_where(error))
            await self._refuse(Problem("internal"), scope, receive, reply)
        finally:
            self._tell(scope, reply, body, time.perf_counter() - begun)

    async def _admit(self, scope: Scope, headers: Headers, body: _Body, reply: _Reply) -> None:
        method, path = scope["method"], scope["path"]
        self._check_origin(path, headers)
        scope.setdefault("state", {})["owner"] = self._owner(path, headers)
        body.check_size()
        holds = (method, path) == ANSWERED
        if not holds and (method, path) not in JOBS:
            await self._app(scope, body.receive, reply.send)
            return
        reason = self._admission.reason_to_refuse(holds)
        if reason is not None:
            self._metrics.rejected.labels(reason).inc()
            raise Problem("busy")
        self._admission.arriving += 1
        body.when_complete = self._arrived
        come = scope["state"]["come"] = self._admission.expect() if holds else lambda: None
        try:
            await self._app(scope, body.receive, reply.send)
        finally:
            come()
            body.finish()

    def _arrived(self) -> None:
        self._admission.arriving -= 1

    def _owner(self, path: str, headers: Headers) -> str:
        """Whose request it is: a hash of the token, the same for all when none is asked for."""
        if self._settings.open:
            return "open"
        scheme, _, token = headers.get("authorization", "").partition(" ")
        shown = token.strip().encode()
        known = [hmac.compare_digest(shown, each.encode()) for each in self._settings.tokens]  # all, at any time
        if scheme.lower() == "bearer" and any(known):
            return hashlib.sha256(shown).hexdigest()[:16]
        if path in PUBLIC or path.startswith("/page/"):
            return ""
        raise Problem("unauthorised", "send the token as  Authorization: Bearer TOKEN",
                      headers={"WWW-Authenticate": "Bearer"})  # fmt: skip

    def _check_origin(self, path: str, headers: Headers) -> None:
        """In the open, pages of other sites must not reach the service through a user's browser."""
        if not self._settings.open:
            return
        host = urlsplit(f"//{headers.get('host', '')}").hostname
        origin = headers.get("origin")
        other = origin is not None and urlsplit(origin).netloc != headers.get("host")
        foreign = other or headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if path != "/v1/health" and (foreign or host not in LOOPBACK):
            raise Problem("forbidden", "an open service answers this machine's own pages and programs only")

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, reply: _Reply) -> None:
        if reply.status == 0:
            await answer(problem)(scope, receive, reply.send)

    def _tell(self, scope: Scope, reply: _Reply, body: _Body, seconds: float) -> None:
        route, status = route_name(scope["path"]), reply.status or 499  # the client went away
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if route not in WATCHED:
            event("request", method=method, route=route, status=status, ms=round(seconds * 1e3, 1), bytes_in=body.size)


class _Reply:
    """Adds the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send, name: str) -> None:
        self._send, self._name, self.status = send, name, 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._name
            headers.setdefault("Cache-Control", "no-store")
            for key, value in SECURITY.items():
                headers[key] = value
        await self._send(message)


class _Body:
    """A body that may not be too large and must arrive in time."""

    def __init__(self, receive: Receive, headers: Headers, settings: Settings, scope: Scope) -> None:
        self._receive, self._settings = receive, settings
        self._declared = headers.get("content-length", "0")
        place = (scope["method"], scope["path"])
        mib = settings.job_mib if place == JOBS[0] else settings.max_mib
        self._largest = mib * MIB if place == ANSWERED or place in JOBS else SMALL
        self._until: float | None = None
        self._complete = False
        self.size = 0
        self.when_complete: Callable[[], None] = lambda: None

    def check_size(self) -> None:
        """Refuse a body that says that it is too large before any of it is read."""
        if not self._declared.isdigit():
            raise Problem("bad_request", "Content-Length is not a number")
        if int(self._declared) > self._largest:
            raise Problem("too_large", f"a body of at most {self._largest} bytes is taken")

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # for the handler that waits for its client to go away
        now = time.monotonic()
        self._until = self._until or now + self._settings.body_seconds
        try:
            async with asyncio.timeout(min(self._settings.idle_seconds, self._until - now)):
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
        """The body has arrived, or nobody waits for it any more."""
        if not self._complete:
            self._complete = True
            self.when_complete()


def route_name(path: str) -> str:
    """What a path is called in logs and metrics: never the path itself, which a client may have made up."""
    if path.startswith("/page/"):
        return "page"
    for pattern, name in (("/v1/jobs/", "job"), ("/v1/examples/", "example")):
        if path.startswith(pattern):
            return name
    known = ("predict", "explain", "jobs", "model", "experts", "examples", "service", "health", "ready")
    if path.removeprefix("/v1/") in known:
        return path.removeprefix("/v1/")
    return {"/": "page", "/metrics": "metrics", "/openapi.json": "openapi"}.get(path, "other")


def _where(error: BaseException) -> list[str]:
    """File, line and function of the innermost calls: nothing of the values."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
