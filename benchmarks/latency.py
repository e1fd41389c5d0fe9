"""Latency: from one file to five answers, warm against the experts' own time, cold against importing torch."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import TASKS, Measured, median, offline, run, side_by_side, simulated, told

import enecg
from enecg.experts.inputs import prepare
from enecg.readers import read
from enecg.workers.threads import one_torch_thread


def measure(quick: bool, folder: Path) -> Measured:
    """`warm_overhead` and `cold_over_import`, with the set `offline` and a bundle of five tasks.

    The experts' own time is that of each alone: bring one recording at hand into the shape that its input contract
    asks for, and encode it. What the answer takes beyond their sum is reading, the quality check, heads, weights and
    gate; what it takes less, they share.
    """
    cohort = simulated(folder / "cohort", 100 if quick else 240)
    bundle = enecg.fit(cohort, TASKS, "offline", folder / "store", recipe="light" if quick else "default")
    bundle.save(folder / "bundle")
    file = cohort.path(len(cohort) - 1)
    warm, warm_overhead = _warm(folder / "bundle", file, 5 if quick else 60)
    cold, cold_over_import = _cold(folder / "bundle", file, 1 if quick else 7)
    ratios = {"warm_overhead": warm_overhead, "cold_over_import": cold_over_import}
    return ratios, {"tasks": TASKS.split(","), "recipe": bundle.ensemble.recipe["name"], "warm": warm, "cold": cold}


def _warm(bundle: Path, file: Path, repeats: int) -> tuple[dict[str, Any], float]:
    loaded, recording, experts = enecg.load(bundle), read(file), offline()
    ready = {expert.card.name: prepare(recording, expert.card.input) for expert in experts}

    def answer() -> None:
        assert len(enecg.predict(loaded, file)["predictions"][0]["tasks"]) == 5

    def own(index: int, encode_only: bool) -> Callable[[], None]:
        expert = experts[index]

        def call() -> None:
            # A slice is a batch of its own: nothing is found in it that was computed before.
            batch = ready[expert.card.name][0:] if encode_only else prepare(recording, expert.card.input)
            expert.encode(batch)

        return call

    names = [expert.card.name for expert in experts]
    calls = {"answer": answer}
    calls |= {f"own/{name}": own(index, False) for index, name in enumerate(names)}
    calls |= {f"encode/{name}": own(index, True) for index, name in enumerate(names)}
    with one_torch_thread():
        side_by_side(calls, 2)  # what is loaded or planned at first use
        taken = side_by_side(calls, repeats)
    sums = {kind: sum(median(taken[f"{kind}/{name}"]) for name in names) for kind in ("own", "encode")}
    answered = median(taken["answer"])
    figures = {
        **told(taken),
        "own_sum_s": round(sums["own"], 5),
        "encode_sum_s": round(sums["encode"], 5),
        "beyond_encode_s": round(answered - sums["encode"], 5),
        "over_encode_alone": round(answered / sums["encode"] - 1, 4),
    }
    return figures, answered / sums["own"] - 1


def _cold(bundle: Path, file: Path, repeats: int) -> tuple[dict[str, Any], float]:
    def started(*command: str) -> Callable[[], None]:
        def call() -> None:
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)

        return call

    program = "from enecg.cli import main; main()"
    calls = {
        "import_torch": started("-c", "import torch"),
        "predict": started("-c", program, "predict", str(bundle), str(file), "--format", "json"),
    }
    side_by_side(calls, 1)  # bytecode is written and files are in the cache
    taken = side_by_side(calls, repeats)
    figures = {**told(taken), "measured_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
    return figures, median(taken["predict"]) / median(taken["import_torch"])


if __name__ == "__main__":
    run("latency", measure)
