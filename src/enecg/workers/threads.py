"""Doing several things at once without losing their order, and without two pools fighting for the processors."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cpus() -> int:
    """Processors that this process may use: by affinity, and by the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            count = min(count, -(-int(allowed) // int(period)))
    return count


def in_order(
    pool: ThreadPoolExecutor, call: Callable[[T], R], items: Iterable[T], ahead: int
) -> Generator[tuple[T, R]]:
    """`(item, call(item))` in the order of items, which are taken at most `ahead` before their result is given."""
    asked = ((item, pool.submit(call, item)) for item in items)
    waiting = deque(islice(asked, ahead))
    while waiting:
        item, answer = waiting.popleft()
        result = answer.result()
        waiting.extend(islice(asked, 1))
        yield item, result


@contextmanager
def one_torch_thread() -> Generator[None]:
    """Let torch, if it is loaded, use one thread for each operation.

    Its threads wait for each other by spinning: where processors are shared, two take many times as long as one.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread_each() -> Generator[None]:
    """Let every operation of torch and of BLAS use one thread, for work that is spread over threads itself.

    What is fitted then does not depend on the number of processors either.
    """
    from threadpoolctl import threadpool_limits

    with one_torch_thread(), threadpool_limits(1, "blas"):
        yield
