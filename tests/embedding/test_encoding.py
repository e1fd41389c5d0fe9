from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from small_experts import Summary, beats

from enecg.embedding.encoding import EncodingJob, encode
from enecg.embedding.pipeline import embed_recordings
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.leads import STANDARD
from enecg.recording import Recording

COUNT = 30
WIDE = InputSpec(hop_seconds=5.0)


@pytest.fixture(scope="module")
def ready() -> list[Batch]:
    """Recordings of 10, 20 and 30 s: 1, 3 and 5 windows."""
    return [prepare(Recording(beats(row, 10.0 * (1 + row % 3)), 250.0, STANDARD), WIDE) for row in range(COUNT)]


def test_windows_of_several_recordings_are_joined_and_few_are_held(ready: list[Batch]) -> None:
    """Memory is constant: whatever the length of the stream, only a few batches of it are alive."""
    live, most = 0, 0
    wide, also = Summary("wide", WIDE), Summary("also", WIDE)

    def gone() -> None:
        nonlocal live
        live -= 1

    def jobs(count: int) -> Iterator[EncodingJob[int]]:
        nonlocal live, most
        for tag in range(count):
            windows = replace(ready[0], signal=ready[0].signal.copy())
            weakref.finalize(windows.signal, gone)
            live += 1
            most = max(live, most)
            yield EncodingJob(tag, {WIDE.key: windows}, [wide, also])

    for count in (80, 800):
        for threads in (1, 2):
            most = 0
            found = [tag for tag, expert, _ in encode(jobs(count), 8, threads) if expert is wide]
            assert found == list(range(count))
            assert most <= 8 * (threads + 3)
            assert live <= 1  # the loop variable of the generator
    assert wide.seen == also.seen


def test_an_expert_that_breaks_its_promise_is_named() -> None:
    class Short(Summary):
        def encode(self, batch: Batch) -> np.ndarray:
            return super().encode(batch)[:, :-1]

    with pytest.raises(ValueError, match=r"expert summary gives an array of shape \(1, 35\), its card promises"):
        embed_recordings([Recording(beats(0), 250.0, STANDARD)], [Short()])


@pytest.mark.parametrize("batch", [1, 4, 7])
def test_experts_see_full_batches_only_however_long_the_recordings(ready: list[Batch], batch: int) -> None:
    """Kernels that round differently for another number of windows then give the same for the same recording."""

    class Sensitive(Summary):
        def encode(self, batch: Batch) -> np.ndarray:
            return super().encode(batch) + np.float32(len(batch))

    whole, few = Sensitive("whole", WIDE), Sensitive("few", WIDE)
    found = {}
    for expert, rows in ((whole, range(COUNT)), (few, [4, 9, 23])):
        jobs = [EncodingJob(row, {WIDE.key: ready[row]}, [expert]) for row in rows]
        for threads in (1, 2):
            found[expert] = {tag: embedding for tag, _, embedding in encode(jobs, batch, threads)}
            assert list(found[expert]) == list(rows)
    assert set(whole.seen) == set(few.seen) == {batch}
    assert all(found[few][row].tobytes() == found[whole][row].tobytes() for row in (4, 9, 23))
    few.seen.clear()
    list(encode(jobs, batch, fill=False))
    assert sum(few.seen) == sum(len(ready[row]) for row in (4, 9, 23))
