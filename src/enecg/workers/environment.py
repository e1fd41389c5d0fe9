"""What every process that works for this one has in common: its command, its environment, and where it answers."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, Final

_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def python_command(code: str, *arguments: str) -> list[str]:
    """Return the command that runs code in a fresh interpreter, without this folder in the way of imports."""
    return [sys.executable, "-P", "-c", code, *arguments]


def child_environment() -> dict[str, str]:
    """Return the environment of such a process: one thread for each operation, and the same modules as here."""
    return {**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)}


def take_stdout() -> BinaryIO:
    """Return this process's standard output for answers alone; what a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers
