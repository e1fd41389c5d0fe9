"""The middleware that every request passes first: id, security, admission, limits of its body, log and metrics."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enecg.serve.admission import Admission
from enecg.serve.body import RequestBody
from enecg.serve.problems import Problem, answer
from enecg.serve.settings import LOOPBACK, MIB, Settings
from enecg.serve.telemetry import REQUEST_ID, Metrics, event

PUBLIC: Final = ("/", "/v1/health", "/v1/ready", "/v1/service", "/openapi.json")  # and /page/
ANSWERED: Final = ("POST", "/v1/predict")  # a request that holds a worker until it is answered
JOBS: Final = (("POST", "/v1/jobs"), ("POST", "/v1/explain"))
NOT_LOGGED: Final = ("health", "ready", "metrics")  # monitors ask for them every few seconds
SMALL: Final = 65536  # bytes of the body of a request that needs none
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


class RequestGuard:
    """ASGI middleware. Unexpected errors end here; the log has their kind and place, not their text."""

    def __init__(self, app: ASGIApp, settings: Settings, admission: Admission, metrics: Metrics) -> None:
        self._app, self._settings, self._admission, self._metrics = app, settings, admission, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or refuse it, and record the outcome in metrics and log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        name = asked if re.fullmatch(r"[A-Za-z0-9-]{1,64}", asked) else secrets.token_hex(8)
        REQUEST_ID.set(name)
        reply, body = GuardedReply(send, name), self._body(receive, headers, scope)
        begun = time.perf_counter()
        try:
            await self._admit(scope, headers, body, reply)
        except Problem as problem:
            await self._refuse(problem, scope, receive, reply)
        except ClientDisconnect:
            pass  # nobody waits for an answer
        except Exception as error:
            event("error", kind=type(error).__name__, where=_where(error))
            await self._refuse(Problem("internal"), scope, receive, reply)
        finally:
            self._record(scope, reply, body, time.perf_counter() - begun)

    def _body(self, receive: Receive, headers: Headers, scope: Scope) -> RequestBody:
        settings, route = self._settings, (scope["method"], scope["path"])
        mib = settings.job_mib if route == JOBS[0] else settings.max_mib
        largest = mib * MIB if route == ANSWERED or route in JOBS else SMALL
        return RequestBody(receive, headers, largest, settings.idle_seconds, settings.body_seconds)

    async def _admit(self, scope: Scope, headers: Headers, body: RequestBody, reply: GuardedReply) -> None:
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
        release = scope["state"]["release"] = self._admission.expect() if holds else lambda: None
        try:
            await self._app(scope, body.receive, reply.send)
        finally:
            release()
            body.finish()

    def _arrived(self) -> None:
        self._admission.arriving -= 1

    def _owner(self, path: str, headers: Headers) -> str:
        """Return whose request it is: a hash of the token, or `open` for everybody when no token is asked for."""
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
        """Refuse pages of other sites, which could reach a service without a token through its user's browser."""
        host, origin = _host_of("Host", f"//{headers.get('host', '')}"), headers.get("origin")
        if origin is not None:
            _host_of("Origin", origin)
        if not self._settings.open:
            return
        other = origin is not None and urlsplit(origin).netloc != headers.get("host")
        foreign = other or headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if path != "/v1/health" and (foreign or host not in LOOPBACK):
            raise Problem("forbidden", "an open service answers this machine's own pages and programs only")

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, reply: GuardedReply) -> None:
        if reply.status == 0:
            await answer(problem)(scope, receive, reply.send)

    def _record(self, scope: Scope, reply: GuardedReply, body: RequestBody, seconds: float) -> None:
        route, status = route_name(scope["path"]), reply.status or 499  # the client went away
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if route not in NOT_LOGGED:
            event("request", method=method, route=route, status=status, ms=round(seconds * 1e3, 1), bytes_in=body.size)


class GuardedReply:
    """Adds the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send, name: str) -> None:
        self._send, self._name, self.status = send, name, 0

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._name
            headers.setdefault("Cache-Control", "no-store")
            for key, value in SECURITY.items():
                headers[key] = value
        await self._send(message)


def _host_of(header: str, url: str) -> str | None:
    """Return the host in a header's address (`http://host:port`, or `//host:port`).

    Raises:
        Problem: it is no address.
    """
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError:
        raise Problem("bad_request", f"{header}: not an address, such as 127.0.0.1:8000") from None
    if re.search(r"[\s\\@]", found.netloc) or (header == "Host" and found.netloc != url[2:]):
        raise Problem("bad_request", f"{header}: not an address, such as 127.0.0.1:8000")
    return found.hostname


def route_name(path: str) -> str:
    """Return the name of a path for log and metrics: never the path itself, which a client may have made up."""
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
    """Return file, line and function of the innermost calls, without any values."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
