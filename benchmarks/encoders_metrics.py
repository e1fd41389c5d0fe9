"""What a runtime or precision does to answers: the same cross-validation on the embeddings of each.

Real recordings (PTB-XL folds 1 and 2 beside the checkout, or where `ENECG_DATA` says), real weights: tiny and openecg.
The heads are the closed-form ones of the recipe `light`; folds and resamples are the same for all options.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import torch
from common import Measured, run

import enecg
from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.experts.runtimes.runtime import Runtime

EXPERTS: Final = ("tiny", "openecg")
TASKS: Final = "age,sex,arrhythmia=rhythm"
WANTED: Final = {"age": "mae", "sex": "auroc", "arrhythmia": "auroc"}


def cohort(quick: bool) -> Cohort:
    """The recordings."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    manifest = Path(os.environ.get("ENECG_DATA", beside)) / "manifest.csv"
    found = Cohort.load(manifest, "dataset == 'PTB-XL (filtered)' and strat_fold <= 2")
    return found.take(range(120)) if quick else found


def metrics_of(name: str, runtime: Runtime, recordings: Cohort, folder: Path) -> dict[str, Any]:
    """Each task's metric with its interval, and that of atrial fibrillation among the rhythms."""
    store = folder / "store"
    document = enecg.crossval(
        recordings, TASKS, name, store, folds=5, recipe="light", runtime=runtime, replicates=500
    ).document
    found = {task: document["tasks"][task]["ensemble"][metric] for task, metric in WANTED.items()}
    found["AFIB"] = document["tasks"]["arrhythmia"]["ensemble"]["per_class"]["AFIB"]["auroc"]
    return {task: {key: round(value[key], 4) for key in ("value", "low", "high")} for task, value in found.items()}


def measure(quick: bool, folder: Path) -> Measured:
    """Both experts in all ways that they can be run."""
    torch.set_num_threads(1)
    os.environ.setdefault("ENECG_CACHE", str(folder / "cache"))
    recordings = cohort(quick)
    figures: dict[str, Any] = {"recordings": len(recordings), "experts": {}}
    ratios: dict[str, float] = {}
    for name in EXPERTS[:1] if quick else EXPERTS:
        found: dict[str, Any] = {}
        for runtime in Runtime.every():
            try:
                # A store for each: in float32 the runtimes would share one, and nothing would be computed twice.
                found[str(runtime)] = metrics_of(name, runtime, recordings, folder / str(runtime))
            except InputError as error:
                found[str(runtime)] = {"refused": str(error)}
            print(name, runtime, found[str(runtime)], file=sys.stderr)
        exact = dict(found["torch float32"])
        for about in found.values():
            if "refused" not in about:
                about["difference"] = {task: round(about[task]["value"] - exact[task]["value"], 5) for task in exact}
        figures["experts"][name] = found
    return ratios, figures


if __name__ == "__main__":
    run("encoders_metrics", measure)
