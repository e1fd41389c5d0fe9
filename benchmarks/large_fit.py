"""Fitting on many recordings: five tasks from the embeddings of five experts, 768 numbers each, on 30,000 recordings.

Embeddings and labels are made up: a few hidden numbers of each recording show through in both. A twentieth of the
labels of each task is missing, each task's own. Time and peak memory are those of a process that does nothing else;
the largest fit is set beside one of a tenth of the recordings.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import Measured, apart, run

from enecg.ensemble.fit import fit
from enecg.ensemble.recipe import ExpertInfo
from enecg.tasks import Target, parse_tasks

TASKS: Final = "rr_interval,age,sex,arrhythmia,superclass:multilabel"
EXPERTS: Final = 5
DIM: Final = 768
HIDDEN: Final = 40
CLASSES: Final = tuple("abcde")
MISSING: Final = 0.05
SEED: Final = 0


def measure(quick: bool, folder: Path) -> Measured:
    """`time`: of the largest fit over that of a tenth."""
    sizes = (300, 3_000) if quick else (3_000, 30_000)
    small, large = (apart(fitted, size) for size in sizes)
    return {"time": large["seconds"] / small["seconds"]}, {
        str(n): each for n, each in zip(sizes, (small, large), strict=True)
    }


def fitted(recordings: int) -> dict[str, Any]:
    """Seconds of a fit with the recipe `default`."""
    rng = np.random.default_rng(SEED)
    hidden = rng.normal(size=(recordings, HIDDEN)).astype(np.float32)
    embeddings = {f"expert{i}": _embedded(hidden, rng) for i in range(EXPERTS)}
    infos = [ExpertInfo(name, name, DIM, cost_ms=1.0 + i) for i, name in enumerate(embeddings)]
    targets = [_labelled(i, hidden, rng) for i in range(len(parse_tasks(TASKS)))]
    subjects = np.array([f"subject{i // 2}" for i in range(recordings)])
    began = time.perf_counter()
    fit(embeddings, targets, subjects, infos)
    return {"seconds": round(time.perf_counter() - began, 1)}


def _embedded(hidden: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shown = np.tanh(hidden @ rng.normal(size=(HIDDEN, DIM)).astype(np.float32) / 6)
    return np.asarray(shown + 0.7 * rng.normal(size=shown.shape), np.float32)


def _labelled(position: int, hidden: np.ndarray, rng: np.random.Generator) -> Target:
    task = parse_tasks(TASKS)[position]
    if task.kind in ("multiclass", "multilabel"):
        task = replace(task, classes=CLASSES)
    score = hidden[:, position : position + task.outputs] + rng.normal(size=(len(hidden), task.outputs))
    if task.kind == "regression":
        y = 60 + 10 * score
    elif task.kind == "multiclass":
        y = np.eye(len(CLASSES))[score.argmax(1)]
    else:
        y = (score > 0.5).astype(float)
    y = np.where(rng.random((len(y), 1)) < MISSING, np.nan, y)
    return Target(task, np.asarray(y, float), ())


if __name__ == "__main__":
    run("large_fit", measure)
