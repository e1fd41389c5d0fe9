"""A real service in a process of its own, with tight limits, shared by the tests of this folder."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from served import Server, Start, launch

from generated import Trained


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Generator[Start]:
    """Start a service for a bundle; ended after the tests."""
    running: list[Server] = []

    def begin(bundle: Path, token: str | None = None, **settings: str) -> Server:
        running.append(launch(tmp_path_factory.mktemp("serve"), bundle, token, **settings))
        return running[-1]

    yield begin
    for server in running:
        server.client.close()
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
    for server in running:
        server.process.wait(60)


@pytest.fixture(scope="session")
def shared_server(start: Start, trained: Trained) -> Server:
    """An open service of the generated bundle."""
    return start(trained.bundle)


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The same, ready."""
    shared_server.wait()
    return shared_server
