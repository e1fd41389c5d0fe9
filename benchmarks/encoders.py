"""What each runtime and precision brings per expert: speed, and how far its embeddings are from those of torch.

Speed is processor time of one thread, the options taken by turns with torch in float32, and a ratio is the median over
these pairs. Weights are generated in the published layouts, except those of tiny and openecg: differences of the others
only say what to expect. `ENECG_CACHE` keeps exports from one run to the next.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import Measured, median, run, simulated

from enecg.errors import InputError
from enecg.experts import registry
from enecg.experts.inputs import Batch, prepare
from enecg.experts.network import NetworkExpert
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import find
from enecg.experts.runtimes.export import difference, run_with
from enecg.experts.runtimes.runtime import TORCH, Runtime
from enecg.experts.weights import fold_weight_norm
from enecg.readers import read

EXPERTS: Final = (
    "tiny", "openecg", "merl", "ecgfounder", "ecg-fm", "st-mem", "moment-small", "hubert-ecg-small", "ecg-jepa",
    "tempo", "timesnet-enecg", "clef-small", "melp", "chronos-bolt-tiny", "xecg", "tirex",
    "mantis", "mantis-v2",  # whose package asks for pandas below 3
)  # fmt: skip
QUICK: Final = ("tiny", "merl")
WINDOWS: Final = 4  # in a batch
TURNS: Final = 5


def expert_of(name: str) -> NetworkExpert:
    """An expert with its own weights where it comes with some, else with generated ones."""
    published = find(name)
    if published is None:
        own = registry.create(name)
        assert isinstance(own, NetworkExpert)
        return own
    card = replace(published.card, weights=replace(published.card.weights, sha256=None))
    state = fold_weight_norm(generate.draw(generate.layout(published.layout)))
    return NetworkExpert(card, published.build(state, published.config), "cpu")


def batch_of(expert: NetworkExpert, folder: Path) -> Batch:
    """The first windows of generated recordings, as the expert wants to see them."""
    cohort = simulated(folder, WINDOWS)
    seen = [prepare(read(cohort.path(row)), expert.card.input) for row in range(len(cohort))]
    return Batch.join(seen)[:WINDOWS]


def pairs(one: Callable[[], Any], other: Callable[[], Any], turns: int) -> list[float]:
    """Processor time of `one` over that of `other`, by turns."""
    ratios = []
    for turn in range(turns):
        taken = {}
        for call in (one, other) if turn % 2 == 0 else (other, one):
            start = time.process_time()
            call()
            taken[call] = time.process_time() - start
        ratios.append(taken[one] / taken[other])
    return ratios


def options_of(expert: NetworkExpert, batch: Batch, turns: int) -> dict[str, Any]:
    """Each option of an expert: what it brings, or why it cannot be had."""
    exact = expert.encode(batch)
    found: dict[str, Any] = {}
    for runtime in Runtime.every():
        if runtime == TORCH:
            continue
        start = time.perf_counter()
        try:
            other = run_with(expert, runtime)
        except InputError as error:
            found[str(runtime)] = {"refused": str(error)}
            continue
        opened = time.perf_counter() - start
        embedded = other.encode(batch)  # the first call makes buffers
        ratios = pairs(partial(expert.encode, batch), partial(other.encode, batch), turns)
        known = ~np.isnan(exact).all(1)
        apart = [difference(embedded[i : i + 1], exact[i : i + 1]) for i in np.flatnonzero(known)]
        found[str(runtime)] = {
            "speed": round(median(ratios), 2), "speed_low": round(min(ratios), 2), "speed_high": round(max(ratios), 2),
            "difference_mean": float(f"{np.mean(apart):.2g}"), "difference_max": float(f"{max(apart):.2g}"),
            "opened_s": round(opened, 1),
        }  # fmt: skip
    return found


def threads(expert: NetworkExpert, batch: Batch, turns: int) -> dict[str, float]:
    """Two calls at a time with one thread each, as `embed` does, against one call after the other with two threads."""
    walls: dict[str, list[float]] = {"two_calls": [], "two_threads": []}
    cost: dict[str, list[float]] = {"two_calls": [], "two_threads": []}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(turns):
            for way, each in walls.items():
                torch.set_num_threads(1 if way == "two_calls" else 2)
                wall, processor = time.perf_counter(), time.process_time()
                if way == "two_calls":
                    list(pool.map(expert.encode, [batch, batch]))
                else:
                    for _ in range(2):
                        expert.encode(batch)
                each.append(time.perf_counter() - wall)
                cost[way].append(time.process_time() - processor)
    torch.set_num_threads(1)
    return {
        "wall_threads_over_calls": round(median(walls["two_threads"]) / median(walls["two_calls"]), 2),
        "cpu_threads_over_calls": round(median(cost["two_threads"]) / median(cost["two_calls"]), 2),
    }


def measure(quick: bool, folder: Path) -> Measured:
    """All experts, one after the other."""
    torch.set_num_threads(1)
    os.environ.setdefault("ENECG_CACHE", str(folder / "cache"))
    turns = 2 if quick else TURNS
    figures: dict[str, Any] = {"windows": WINDOWS, "turns": turns, "experts": {}}
    ratios: dict[str, float] = {}
    for name in QUICK if quick else EXPERTS:
        try:
            expert = expert_of(name)
        except InputError as error:  # its package is not here
            figures["experts"][name] = {"missing": str(error)}
            continue
        batch = batch_of(expert, folder / "cohort")
        start = time.process_time()
        expert.encode(batch)
        took = 1000 * (time.process_time() - start) / len(batch)
        options = options_of(expert, batch, turns)
        figures["experts"][name] = {"torch_ms_per_window": round(took, 1), "options": options}
        for option, about in options.items():
            if "speed" in about:
                ratios[f"{name} {option}"] = about["speed"]
        print(name, figures["experts"][name], file=sys.stderr)
        if name == "merl":
            figures["threads_merl"] = threads(expert, batch, turns)
    return ratios, figures


if __name__ == "__main__":
    run("encoders", measure)
