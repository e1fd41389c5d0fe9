"""The pipeline: `embed` against bare encoding of tensors in memory, and against the loop that people write."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wfdb
from common import Measured, median, network, offline, real, run, side_by_side, simulated, told

from enecg.cohorts.manifest import Cohort
from enecg.embedding.encoding import BATCH
from enecg.embedding.pipeline import embed
from enecg.embedding.store.store import Store
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch, prepare
from enecg.readers import read
from enecg.recording import Recording
from enecg.workers.threads import cpus, one_torch_thread

NETWORK_RECORDINGS, LOOP_RECORDINGS, REAL_RECORDINGS, REPEATS = 64, 1000, 300, 3


def measure(quick: bool, folder: Path) -> Measured:
    """`of_encode` and `over_loop`, the second on so many recordings that starting the readers does not decide."""
    first, of_encode = _against_encode(quick, folder)
    many = simulated(folder / "loop", 16 if quick else LOOP_RECORDINGS, seed=2)
    second, over_loop = _against_loop(many, folder / "many", 1 if quick else REPEATS)
    figures = {"of_encode": first, "over_loop": second}
    if not quick and (few := real(REAL_RECORDINGS)) is not None:
        figures["over_loop_few_real"], _ = _against_loop(few, folder / "few", REPEATS)
    return {"of_encode": of_encode, "over_loop": over_loop}, figures


def _embedding(cohort: Cohort, experts: Sequence[Expert], folder: Path) -> Any:
    """A call that embeds a cohort into a store of its own, each time a new one."""
    stores = count()

    def call() -> None:
        report = embed(cohort, experts, Store(folder / f"store-{next(stores)}"), progress=False)
        assert report.computed == len(cohort)

    return call


def _against_encode(quick: bool, folder: Path) -> tuple[dict[str, Any], float]:
    """A network of ECG-FM's size: all that `embed` does, against its encoder on batches that lie ready in memory.

    Both use all processors in the same way: one batch for each, one thread for a batch.
    """
    expert = network("merl" if quick else "ecg-fm", folder)
    cohort = simulated(folder / "cohort", 16 if quick else NETWORK_RECORDINGS, seed=1)
    joined = Batch.join([prepare(read(cohort.path(row)), expert.card.input) for row in range(len(cohort))])
    batches = [joined[start : start + BATCH] for start in range(0, len(joined), BATCH)]

    def bare() -> None:
        with one_torch_thread(), ThreadPoolExecutor(cpus()) as pool:
            assert sum(map(len, pool.map(expert.encode, batches))) == len(joined)

    expert.encode(batches[0])
    taken = side_by_side(
        {"encode": bare, "embed": _embedding(cohort, [expert], folder / "one")}, 1 if quick else REPEATS
    )
    figures = {
        "expert": expert.card.name,
        "parameters": expert.card.parameters,
        "recordings": len(cohort),
        "windows": len(joined),
        **told(taken),
        "recordings_per_s": {name: round(len(cohort) / median(each), 2) for name, each in taken.items()},
    }
    return figures, median(taken["encode"]) / median(taken["embed"])


def _against_loop(cohort: Cohort, folder: Path, repeats: int) -> tuple[dict[str, Any], float]:
    """The set `offline`: `embed` against reading, preparing and encoding one recording after the other."""
    experts = offline()
    paths = [cohort.path(row) for row in range(len(cohort))]
    threads = torch.get_num_threads()

    def loop() -> None:
        """For each file and each expert: what its input contract asks for, then its embedding."""
        for path in paths:
            recording = _by_wfdb(path)
            rows = [expert.encode(prepare(recording, expert.card.input)) for expert in experts]
            assert all(len(row) == 1 for row in rows)

    def prepared_once() -> None:
        """The same by somebody who saw that all of them want the same input."""
        for path in paths:
            batch = prepare(_by_wfdb(path), experts[0].card.input)
            for expert in experts:
                expert.encode(batch)

    calls = {"loop": loop, "loop_prepared_once": prepared_once, "embed": _embedding(cohort, experts, folder)}
    taken = side_by_side(calls, repeats)
    over_loop = median(taken["loop"]) / median(taken["embed"])
    figures = {
        "experts": [expert.card.name for expert in experts],
        "recordings": len(cohort),
        "torch_threads_in_loop": threads,
        **told(taken),
        "recordings_per_s": {name: round(len(cohort) / median(each), 2) for name, each in taken.items()},
        "over_loop": round(over_loop, 4),
        "over_loop_prepared_once": round(median(taken["loop_prepared_once"]) / median(taken["embed"]), 4),
    }
    return figures, over_loop


def _by_wfdb(path: Path) -> Recording:
    record = wfdb.rdrecord(str(path))
    return Recording(np.asarray(record.p_signal, np.float32).T, record.fs, tuple(record.sig_name))


if __name__ == "__main__":
    run("pipeline", measure)
