"""The server: uvicorn with this service's protocol, on one address."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from enecg.errors import InputError
from enecg.serve.app import create_app
from enecg.serve.h11 import PatientProtocol
from enecg.serve.settings import Settings
from enecg.serve.telemetry import log_to

BACKLOG = 2048  # connections that wait to be accepted
IDLE_SECONDS = 60  # a connection is kept so long between two requests


def serve(bundle: str | Path, settings: Settings, log: Callable[[str], object] = print) -> None:
    """Serve a bundle until the process is stopped.

    Args:
        bundle: folder that `enecg fit --out` wrote.
        settings: how to serve it.
        log: called with the address when the service listens.

    Raises:
        InputError: the address is taken, or the bundle cannot be loaded.
    """
    folder = Path(bundle)
    if not (folder / "bundle.json").is_file():
        raise InputError(f"{folder}: no bundle.json in it; give the folder that `enecg fit --out` wrote")
    log_to()
    app = create_app(folder, settings)
    protocol = type("Protocol", (PatientProtocol,), {"header_seconds": settings.header_seconds})
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="on", access_log=False, log_config=None, log_level="error",
        server_header=False, date_header=True, proxy_headers=False, timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=round(settings.stop_seconds),
    )  # fmt: skip
    server = uvicorn.Server(config)
    app.state.service.when_failed = lambda: setattr(server, "should_exit", True)
    with _bound(settings) as listening:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        log(f"serving on http://{host}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])
    if app.state.service.failure:
        raise InputError(app.state.service.failure)


def _bound(settings: Settings) -> socket.socket:
    """Return a socket that listens at the address."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise InputError(f"{place}: {error.strerror or error}; choose another --host or --port") from None
    # Connections inherit it. asyncio does not set it for sockets that it did not make, and an answer's body, sent after
    # its headers, would wait for the client's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
