"""Probes of what `encode` does beside its result: files that it writes, and state that two threads would share."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import numpy as np

from enecg.experts.base import Expert
from enecg.experts.inputs import Batch

STEPS: Final = 400  # lines of the expert's own code after which a thread pauses, at most
PAUSE: Final = 1e-4  # seconds
# Audit events that change the file system; see the table of audit events in Python's documentation.
_CHANGES: Final = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_IGNORED: Final = ("__pycache__", "/dev/")  # compiled imports and devices

_active = threading.local()
_hooked: list[bool] = []  # an audit hook cannot be removed, so it is installed once


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """Note the file that an event writes, when the thread is watched."""
    found: list[str] | None = getattr(_active, "files", None)
    if found is None or not args:
        return
    writes = event in _CHANGES
    if event == "open":
        mode, flags = args[1], args[2]
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & 3)
    path = str(args[0])
    if writes and not any(part in path for part in _IGNORED):
        found.append(path)


@contextmanager
def written_files() -> Generator[list[str]]:
    """Yield a list that collects the files that the calling thread writes, renames or removes meanwhile."""
    if not _hooked:
        sys.addaudithook(_audit)
        _hooked.append(True)
    found: list[str] = []
    _active.files = found
    try:
        yield found
    finally:
        del _active.files


def encode_in_threads(expert: Expert, batches: list[Batch], rounds: int) -> list[list[np.ndarray]]:
    """Encode each batch in a thread of its own, all at the same time, `rounds` times.

    The threads pause after lines of the expert's own modules, so that they interleave. State that one call leaves in
    the expert for a later line is then changed by the other call.

    Returns:
        For each batch its embeddings, one for each round.

    Raises:
        Exception: whatever `encode` raises in a thread.
    """
    codes = (getattr(each, "__code__", None) for kind in type(expert).__mro__ for each in vars(kind).values())
    modules = {code.co_filename for code in codes if code is not None}
    barrier = threading.Barrier(len(batches))
    found: list[list[np.ndarray]] = [[] for _ in batches]
    errors: list[Exception] = []

    def work(number: int) -> None:
        pause = _pausing(modules, STEPS)
        try:
            for _ in range(rounds):
                barrier.wait()
                sys.settrace(pause)
                try:
                    found[number].append(expert.encode(batches[number]))
                finally:
                    sys.settrace(None)
        except threading.BrokenBarrierError:
            pass
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found


def _pausing(modules: set[str], steps: int) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that sleeps after each of the first `steps` lines of these modules."""
    left = steps

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if left <= 0 or frame.f_code.co_filename not in modules:
            return None
        if event == "line":
            left -= 1
            time.sleep(PAUSE)
        return trace

    return trace
