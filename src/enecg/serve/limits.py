"""Limits of the processes that read and that answer: what one request can cost the machine."""

from __future__ import annotations

import resource
from typing import Final

import psutil

from enecg.serve.settings import MIB

MOST_OPEN_FILES: Final = 32  # of a process that reads


def limit_memory(mib: float) -> None:
    """Let this process take so many MiB beyond what it has, and write no core dump, which would hold recordings."""
    memory = psutil.Process().memory_info().vms + round(mib * MIB)
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CORE, 0)


def limit_reading(mib: float, seconds: float) -> None:
    """Limit memory, processor time and open files of this process, and let it write to no file."""
    limit_memory(mib)
    _limit(resource.RLIMIT_CPU, max(1, round(seconds)))
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, MOST_OPEN_FILES)


def _limit(what: int, most: int) -> None:
    """Set a limit, or keep the machine's own where that is lower."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most, most) if hard == resource.RLIM_INFINITY or most < hard else (hard, hard))
