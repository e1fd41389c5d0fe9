from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enecg.workers import threads as parallel
from enecg.workers.threads import cpus, in_order, one_thread_each, one_torch_thread


@pytest.mark.parametrize("threads", [1, 3])
def test_results_keep_the_order_and_few_items_are_taken_ahead(threads: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(50):
            taken += 1
            yield item

    with ThreadPoolExecutor(threads) as pool:
        for given, (item, result) in enumerate(in_order(pool, lambda item: item * item, items(), 4)):
            assert (item, result) == (given, given * given)
            assert taken <= given + 1 + 4
    assert taken == 50


def test_items_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)  # passes only when two wait
    with ThreadPoolExecutor(2) as pool:
        assert len(list(in_order(pool, lambda _: both.wait(), range(6), 3))) == 6


def test_an_error_is_raised_where_its_result_is_due() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, lambda item: 1 // (item - 1), range(3), 3)
        assert next(results) == (0, -1)
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_torch_uses_one_thread_inside_and_what_it_used_before_outside() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), one_torch_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_blas_uses_one_thread_inside_and_what_it_used_before_outside() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(3, "blas"):
        with pytest.raises(KeyError), one_thread_each():
            assert threads() == {1}
            raise KeyError
        assert threads() == {3}


def test_torch_is_not_loaded_for_it() -> None:
    code = (
        "import sys, enecg.embedding.pipeline; from enecg.workers.threads import one_torch_thread\n"
        "with one_torch_thread(): sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("text", "expected"), [("max 100000", 8), ("150000 100000", 2), ("1600000 100000", 8)])
def test_a_quota_counts(text: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    monkeypatch.setattr(parallel, "Path", lambda _: tmp_path / "cpu.max")
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cpus() == expected
