"""The process that reads uploads: each file is read by a fork of its own, with little memory and little time.

A hostile file can end its fork, and nothing else. Nothing of one file is left for the next.
"""

from __future__ import annotations

import json
import os
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

from pydantic import ValidationError

from enecg.errors import EnecgError, ReadError
from enecg.readers import format_of, read
from enecg.readers.registry import packages
from enecg.recording import Recording
from enecg.serve.limits import limit_reading
from enecg.serve.schemas import SignalIn, validation_text
from enecg.workers.framing import LARGEST, LENGTH, pack, recording_out, unpack
from enecg.workers.pool import answering, place_of

CHUNK: Final = 2**20  # bytes that are passed on at a time


def main() -> None:
    """Answer requests to read a file: `{"file", "shown", "rate", "unit", "json"}`. The limits are the only argument."""
    limits = json.loads(sys.argv[1])
    for name in packages():  # loaded before the first fork, so that no file waits for them
        with suppress(ImportError):  # of an extra that is not installed: its reader says so
            import_module(name)
    forks = _Forks(limits)
    answering({"pid": os.getpid()}, lambda request, _: forks.read(request), forks.prepare)


@dataclass(frozen=True)
class _Fork:
    """A process that waits for the one file that it will read. Attributes are its id and two file descriptors."""

    pid: int
    questions: int
    answers: int


class _Forks:
    """One process for each file. It is forked before the file comes, so that no request waits for a fork."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._next: _Fork | None = None
        self._gone: list[int] = []

    def prepare(self) -> None:
        """Fork the process for the next file, and remove those that have answered."""
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
        """Read a file in the fork. The service checks what it answers. If the fork ends instead, that is the reason."""
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
        reason = "needs too much memory, or is damaged" if in_time else f"took longer than {seconds} to read"
        return {"reason": f"{request['shown']}: {reason}"}, []


def _message(pipe: int, until: float) -> tuple[bytes | None, bool]:
    """Return a whole message without its length, or None when it is cut off; and whether that was in time."""
    got = bytearray()
    while (left := until - time.monotonic()) > 0:
        if select.select([pipe], [], [], min(left, 60.0))[0]:
            part = os.read(pipe, CHUNK)
            got += part
            whole = LENGTH.size + LENGTH.unpack_from(got)[0] if len(got) >= LENGTH.size else None
            if whole is not None and (len(got) >= whole or whole > LARGEST):
                return (bytes(got[LENGTH.size :]), True) if len(got) == whole else (None, True)
            if not part:
                return None, True
    return None, False


def _read_and_exit(question: int, answer: int, limits: dict[str, Any]) -> NoReturn:
    """Read one file in the fork, and exit: it never returns to the code of the process that it was forked from."""
    code = 1
    try:
        asked, _ = _message(question, float("inf"))
        if asked is not None:  # else there will be no file
            request, _ = unpack(asked)
            limit_reading(limits["read_mib"], limits["read_seconds"])
            message = pack(*_read(request, limits))
            sent = 0
            while sent < len(message):
                sent += os.write(answer, message[sent : sent + CHUNK])
            code = 0
    finally:
        os._exit(code)


def _read(request: dict[str, Any], limits: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    path, shown = Path(request["file"]), request["shown"]
    try:
        if request["json"]:
            return _read_json(path.read_bytes(), limits)
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


def _read_json(text: bytes, limits: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Return the recording that a JSON body is, or the reason why it is none, marked as `invalid`."""
    try:
        sent = SignalIn.model_validate_json(text)
        recording = sent.recording()
        _check(recording, limits)
    except ValidationError as error:
        return {"reason": validation_text(error.errors()), "invalid": True}, []
    except ValueError as error:
        return {"reason": str(error), "invalid": True}, []
    facts, samples = recording_out(recording)
    return {**facts, "format": "json", "start": sent.start.isoformat() if sent.start else None}, [samples]


def _check(recording: Recording, limits: dict[str, Any]) -> None:
    if recording.seconds > limits["max_seconds"]:
        text = f"{recording.seconds:.0f} s are more than the {limits['max_seconds']:g} s that are taken; cut it"
        raise ReadError(f"{recording.source}: {text}")
    if len(recording.leads) > limits["max_leads"]:
        text = f"{len(recording.leads)} leads are more than the {limits['max_leads']} that are taken"
        raise ReadError(f"{recording.source}: {text}")


def _without_folder(text: str, path: Path, shown: str) -> str:
    """Return a reason with the name that the client has for the file."""
    return text.replace(str(path), shown).replace(f"{path.parent}{os.sep}", "")


def _needs(reason: str) -> list[str]:
    return [what for what in ("rate", "unit") if f"no {what} is stated" in reason]
