"""The process that reads uploads: for each file it forks one of its own, which has little memory and little time.

A hostile file can at most end the fork that reads it. Nothing of one file is left for the next.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from enecg.errors import EnecgError, ReadError
from enecg.readers import format_of, read
from enecg.readers.registry import packages
from enecg.recording import Recording
from enecg.workers.framing import LARGEST, LENGTH, pack, recording_out, unpack
from enecg.workers.pool import answering, place_of

MIB: Final = 2**20
OPEN_FILES: Final = 32


def main() -> None:
    """Answer requests to read a file: `{"file", "shown", "rate", "unit"}`; limits are the command's only argument."""
    limits = json.loads(sys.argv[1])
    for name in packages():  # loaded before the first fork, so that no file waits for them
        with suppress(ImportError):  # of an extra that is not installed: its reader says so
            import_module(name)
    forks = _Forks(limits)
    answering({"pid": os.getpid()}, lambda request, _: forks.read(request), forks.prepare)


@dataclass(frozen=True)
class _Fork:
    """A process that waits for the one file that it will read."""

    pid: int
    questions: int  # file descriptors
    answers: int


class _Forks:
    """One process for each file, forked before the file is there: no request waits for a fork, or for its end."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._next: _Fork | None = None
        self._gone: list[int] = []

    def prepare(self) -> None:
        """Have one process ready, and let those that have answered go."""
        while self._gone:
            os.kill(self._gone[-1], signal.SIGKILL)  # it should have ended by itself
            os.waitpid(self._gone.pop(), 0)
        if self._next is None:
            self._next = self._forked()

    def _forked(self) -> _Fork:
        question, questions = os.pipe()
        answers, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(questions)
            os.close(answers)
            _read_and_exit(question, answer, self._limits)
        os.close(question)
        os.close(answer)
        return _Fork(pid, questions, answers)

    def read(self, request: dict[str, Any]) -> tuple[object, list[bytes]]:
        """Read in the fork. What it answers is checked by the service; what ends it is told as a reason."""
        fork, self._next = self._next or self._forked(), None
        begun = time.monotonic()
        with suppress(BrokenPipeError):  # something has ended it while it waited
            os.write(fork.questions, pack(request))
        os.close(fork.questions)
        answer, in_time = _message(fork.answers, begun + 2 * self._limits["read_seconds"])
        os.close(fork.answers)
        if answer is not None:
            self._gone.append(fork.pid)
            with suppress(ValueError, struct.error):
                header, blobs = unpack(answer)
                return header, [bytes(blob) for blob in blobs]
        else:
            if not in_time:
                os.kill(fork.pid, signal.SIGKILL)
            _, status = os.waitpid(fork.pid, 0)
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
            in_time = in_time and not killed
        seconds = f"{self._limits['read_seconds']:g} s"
        told = "needs too much memory, or is damaged" if in_time else f"took longer than {seconds} to read"
        return {"reason": f"{request['shown']}: {told}"}, []


def _message(pipe: int, until: float) -> tuple[bytes | None, bool]:
    """A whole message, without its length, or None when it did not come to its end; and whether that was in time."""
    got = bytearray()
    while (left := until - time.monotonic()) > 0:
        if select.select([pipe], [], [], min(left, 60.0))[0]:
            part = os.read(pipe, MIB)
            got += part
            whole = LENGTH.size + LENGTH.unpack_from(got)[0] if len(got) >= LENGTH.size else None
            if whole is not None and (len(got) >= whole or whole > LARGEST):
                return (bytes(got[LENGTH.size :]), True) if len(got) == whole else (None, True)
            if not part:
                return None, True
    return None, False


def _read_and_exit(question: int, answer: int, limits: dict[str, Any]) -> NoReturn:
    """The fork: no way leads from here back into the process that it came from."""
    code = 1
    try:
        asked, _ = _message(question, float("inf"))
        if asked is not None:  # else there will be no file
            request, _ = unpack(asked)
            _confine(limits)
            message = pack(*_read(request, limits))
            sent = 0
            while sent < len(message):
                sent += os.write(answer, message[sent : sent + MIB])
            code = 0
    finally:
        os._exit(code)


def _confine(limits: dict[str, Any]) -> None:
    """Memory beyond what is there already, processor time, no written file, few open ones, no core dump."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + limits["read_mib"] * MIB
    seconds = max(1, round(limits["read_seconds"]))
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def _read(request: dict[str, Any], limits: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    path, shown = Path(request["file"]), request["shown"]
    try:
        recording = read(path, rate=request["rate"], unit=request["unit"])
        _check(recording, limits)
        facts, samples = recording_out(recording)
    except EnecgError as error:
        if isinstance(error.__cause__, MemoryError):
            return {"reason": f"{shown}: needs too much memory to read"}, []
        reason = _without_folder(str(error), path, shown)
        return {"reason": reason, "needs": _needs(reason)}, []
    except MemoryError:
        return {"reason": f"{shown}: needs too much memory to read"}, []
    except Exception as error:
        return {"reason": f"{shown}: could not be read (an error of enecg)", "broken": place_of(error)}, []
    found = format_of(path)
    assert found is not None, "it was read"
    return {**facts, "source": shown, "format": found.key}, [samples]


def _check(recording: Recording, limits: dict[str, Any]) -> None:
    if recording.seconds > limits["max_seconds"]:
        told = f"{recording.seconds:.0f} s are more than the {limits['max_seconds']:g} s that are taken; cut it"
        raise ReadError(f"{recording.source}: {told}")
    if len(recording.leads) > limits["max_leads"]:
        told = f"{len(recording.leads)} leads are more than the {limits['max_leads']} that are taken"
        raise ReadError(f"{recording.source}: {told}")


def _without_folder(text: str, path: Path, shown: str) -> str:
    """A reason under the name that the client has for the file."""
    return text.replace(str(path), shown).replace(f"{path.parent}{os.sep}", "")


def _needs(reason: str) -> list[str]:
    return [what for what in ("rate", "unit") if f"no {what} is stated" in reason]
