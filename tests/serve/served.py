"""A running `enecg serve` as tests see it: over HTTP, and through its processes and folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

LIMITS = {"WORKERS": "2", "MAX_MIB": "4", "JOB_MIB": "8", "MAX_FILES": "12", "READ_SECONDS": "3", "IDLE_SECONDS": "1",
          "BODY_SECONDS": "3", "HEADER_SECONDS": "1.5", "STOP_SECONDS": "20"}  # fmt: skip
READY_SECONDS = 120


@dataclass
class Server:
    """A running `enecg serve`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    temp: Path
    token: str | None = None
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self.client = httpx2.Client(base_url=self.url, headers=headers, timeout=60)

    def wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while self.client.get("/v1/ready").status_code != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def children(self, kind: str) -> list[int]:
        """Process ids of its own processes that do `reading` or `answering`."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        named = ((int(pid), Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in found)
        return [pid for pid, words in named if f"enecg.serve.{kind}_process".encode() in words]

    def left(self) -> list[str]:
        """Files in its private folders."""
        return [path.name for path in self.temp.rglob("*") if path.is_file()]

    def predict(self, *files: Path | tuple[str, bytes], **options: str) -> httpx2.Response:
        """POST files to /v1/predict; `rate` and `unit` as fields, all else in the query."""
        fields = {key: options.pop(key) for key in ("rate", "unit") if key in options}
        return self.client.post("/v1/predict", files=parts(*files), data=fields, params=options)


def parts(*files: Path | tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """The field `files` of a form."""
    return [("files", (f.name, f.read_bytes()) if isinstance(f, Path) else f) for f in files]


Start = Callable[..., Server]


def launch(home: Path, bundle: Path, token: str | None = None, **settings: str) -> Server:
    """Start a service in a process of its own; it is bound, and not yet ready, when this returns."""
    temp = home / "temp"
    temp.mkdir()
    told = {**LIMITS, **settings, "TEMP": str(temp)} | ({"TOKEN": token} if token else {})
    environment = {**os.environ, **{f"ENECG_SERVE_{key}": value for key, value in told.items()}}
    words = [sys.executable, "-c", "from enecg.cli import main; main()", "serve", str(bundle), "--port", "0"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(words, stderr=log, env=environment)
    until = time.monotonic() + READY_SECONDS
    while b"serving on " not in (said := (home / "log").read_bytes()):
        assert process.poll() is None and time.monotonic() < until, said.decode()
        time.sleep(0.05)
    return Server(process, said.split(b"serving on ")[1].split()[0].decode(), home / "log", temp, token)


def waited(server: Server, begun: Any) -> dict[str, Any]:
    """A job's last state."""
    assert begun.status_code == 202, begun.text
    seen = []
    while True:
        job: dict[str, Any] = server.client.get(begun.headers["Location"]).json()
        seen.append(job["done"])
        assert seen == sorted(seen)
        if job["state"] not in ("queued", "running"):
            return job
        time.sleep(0.05)
