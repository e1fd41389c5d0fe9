"""The settings of the service, from the command line and from `ENECG_SERVE_...` in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from enecg.errors import InputError
from enecg.workers.threads import cpus

PREFIX: Final = "ENECG_SERVE_"
MIB: Final = 2**20
SHORTEST_TOKEN: Final = 16
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """How a service runs. The environment can set every field: `ENECG_SERVE_PORT=8080`.

    Attributes:
        host: address to listen on; without a token a loopback address only.
        port: 0 takes a free one.
        tokens: a client needs one of these. Empty: the service is open to the users of this machine.
        workers: processes that hold the bundle; so many requests are answered at a time.
        max_mib: size of a request's body.
        max_files: files in a request.
        job_mib: size of a batch job's body.
        job_files: files in a batch job.
        jobs: batch jobs and explanations that wait or run; one more is turned away.
        job_minutes: how long a job's result is kept.
        max_seconds: length of a recording.
        max_leads: leads of a recording.
        read_seconds: processor time, and twice that by the clock, for reading one file.
        read_mib: memory for reading one file.
        answer_seconds: for answering one request, by the clock; then its process is killed.
        answer_mib: memory for answering, for each process, beyond what the loaded bundle takes.
        header_seconds: for a request's header to arrive.
        idle_seconds: without a byte of a request's body.
        body_seconds: for a request's body to arrive.
        uploads: bodies that arrive at a time.
        stop_seconds: for requests and jobs that have begun, when the service stops.
        temp: folder in which the private folder for uploads is made; by default the system's.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tokens: tuple[str, ...] = field(default=(), repr=False)
    workers: int = field(default_factory=cpus)
    max_mib: int = 32
    max_files: int = 32
    job_mib: int = 256
    job_files: int = 256
    jobs: int = 8
    job_minutes: float = 15.0
    max_seconds: float = 120.0
    max_leads: int = 64
    read_seconds: float = 5.0
    read_mib: int = 768
    answer_seconds: float = 60.0
    answer_mib: int = 4096
    header_seconds: float = 5.0
    idle_seconds: float = 5.0
    body_seconds: float = 60.0
    uploads: int = 16
    stop_seconds: float = 30.0
    temp: str = ""

    def __post_init__(self) -> None:
        if not self.tokens and self.host not in LOOPBACK:
            raise InputError(
                f"host {self.host}: without a token only this machine may be served (127.0.0.1); "
                f"set {PREFIX}TOKEN_FILE to a file with a token"
            )
        for token in self.tokens:
            if not re.fullmatch(rf"[\x21-\x7e]{{{SHORTEST_TOKEN},}}", token):
                raise InputError(
                    f"a token needs {SHORTEST_TOKEN} or more printable characters without blanks; make one with  "
                    f"python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and each.name != "port" and not 0 < value < 1e9:
                raise InputError(f"{each.name} {value}: must be above 0")
        if not 0 <= self.port < 65536:
            raise InputError(f"port {self.port}: must be 0 to 65535")
        if self.temp and not (Path(self.temp).is_dir() and os.access(self.temp, os.W_OK)):
            raise InputError(f"temp {self.temp}: not a folder that can be written to")

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """Read the settings from the environment; what is `given` and not None goes first.

        Raises:
            InputError: a name that is no setting, a value that is none, or a token file that others may read.
        """
        found: dict[str, Any] = {}
        kinds: dict[str, Any] = {each.name: each.type for each in fields(cls) if each.name != "tokens"}
        for key in sorted(key for key in environment if key.startswith(PREFIX)):
            name, text = key.removeprefix(PREFIX).lower(), environment[key]
            if name in ("token", "token_file"):
                found["tokens"] = found.get("tokens", ()) + (_tokens(key, text) if name == "token_file" else (text,))
            elif name not in kinds:
                raise InputError(f"{key}: no such setting; there are {', '.join([*kinds, 'token', 'token_file'])}")
            else:
                found[name] = _value(key, text, kinds[name])
        if given.get("token_file") is not None:
            found["tokens"] = _tokens("--token-file", str(given["token_file"]))
        found |= {name: value for name, value in given.items() if value is not None and name != "token_file"}
        return cls(**found)

    @property
    def open(self) -> bool:
        """Whether no token is needed: all users of this machine are let in."""
        return not self.tokens


def _value(key: str, text: str, kind: str) -> Any:
    try:
        return {"int": int, "float": float, "str": str}[kind](text)
    except ValueError:
        raise InputError(f"{key}: {text!r} is not a {'whole number' if kind == 'int' else 'number'}") from None


def _tokens(key: str, name: str) -> tuple[str, ...]:
    """Read tokens from a file, one a line; blank lines and lines that begin with # are skipped."""
    path = Path(name)
    try:
        if path.stat().st_mode & 0o007:
            raise InputError(f"{key}: {path} can be read by others; run  chmod 600 {path}")
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"{key}: {path} cannot be read: {error.strerror or error}") from None
    found = tuple(line for line in lines if line and not line.startswith("#"))
    if not found:
        raise InputError(f"{key}: {path} holds no token; write one on a line")
    return found
