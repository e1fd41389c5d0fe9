"""The process that reads uploads: it forks one of its own for each file, which has little memory and little time.

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
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from enecg.errors import EnecgError, ReadError
from enecg.readers import FAMILIES, family_of, read
from enecg.recording import Recording
from enecg.serve.children import answering, place_of
from enecg.serve.wire import LENGTH, pack, recording_out, unpack

MIB: Final = 2**20
OPEN_FILES: Final = 32
# Loaded before the first fork, so that no file waits for them.
_PACKAGES: Final = ("wfdb", "pydicom", "pydicom.waveforms.numpy_handler", "scipy.signal", "defusedxml.ElementTree",
                    *(f"ecgdatakit.parsing.parsers.{name}" for name in ("ge_muse_xml", "sierra_xml", "edf")),
                    *(f"enecg.readers.{family}" for family in FAMILIES))  # fmt: skip


def main() -> None:
    """Answer requests to read a file: `{"file", "shown", "rate", "unit"}`; limits are the command's only argument."""
    limits = json.loads(sys.argv[1])
    for name in _PACKAGES:
        with suppress(ImportError):  # of an extra that is not installed: its reader says so
            import_module(name)
    answering({"pid": os.getpid()}, lambda request, _: _in_fork(request, limits))


def _in_fork(request: dict[str, Any], limits: dict[str, Any]) -> tuple[object, list[bytes]]:
    """Read in a fork. What it answers is checked by the service; what ends it is told as a reason."""
    begun = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _read_and_exit(request, limits, writer)
    os.close(writer)
    answer, in_time = _all_of(reader, begun + 2 * limits["read_seconds"])
    os.close(reader)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if in_time and status == 0:
        with suppress(ValueError, struct.error):
            header, blobs = unpack(answer[LENGTH.size :])
            return header, [bytes(blob) for blob in blobs]
    late = not in_time or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL))
    told = f"took longer than {limits['read_seconds']:g} s to read" if late else "needs too much memory, or is damaged"
    return {"reason": f"{request['shown']}: {told}"}, []


def _all_of(reader: int, until: float) -> tuple[bytes, bool]:
    """Everything that comes through a pipe, and whether it came to its end in time."""
    parts: list[bytes] = []
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            part = os.read(reader, MIB)
            if not part:
                return b"".join(parts), True
            parts.append(part)
    return b"".join(parts), False


def _read_and_exit(request: dict[str, Any], limits: dict[str, Any], writer: int) -> NoReturn:
    """The fork: no way leads from here back into the process that it came from."""
    code = 1
    try:
        _confine(limits)
        message = pack(*_read(request, limits))
        sent = 0
        while sent < len(message):
            sent += os.write(writer, message[sent : sent + MIB])
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
    return {**facts, "source": shown, "format": family_of(path)}, [samples]


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
