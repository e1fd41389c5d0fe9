"""Fitting on many recordings: five tasks from the embeddings of five experts, 768 numbers each, on 30,000 recordings;
and from embeddings of the sizes of the set `offline`, with all the heads that it gets, on 20,000.

Embeddings and labels are made up: a few hidden numbers of each recording show through in both. A twentieth of the
labels of each task is missing, each task's own. Time and peak memory are those of a process that does nothing else;
the largest fit is set beside one of a tenth of the recordings.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import Measured, apart, offline, run

from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
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
    few, many, packaged = (300, 3_000, 300) if quick else (3_000, 30_000, 20_000)
    networks = [ExpertInfo(f"expert{i}", f"expert{i}", DIM, cost_ms=1.0 + i) for i in range(EXPERTS)]
    small, large = (apart(fitted, size, networks) for size in (few, many))
    own = apart(fitted, packaged, [ExpertInfo.of(expert) for expert in offline()])
    figures = {str(few): small, str(many): large, f"offline, {packaged}": own}
    return {"time": large["seconds"] / small["seconds"]}, figures


def fitted(recordings: int, infos: Sequence[ExpertInfo]) -> dict[str, Any]:
    """Seconds of a fit with the recipe `default`."""
    rng = np.random.default_rng(SEED)
    hidden = rng.normal(size=(recordings, HIDDEN)).astype(np.float32)
    embeddings = {info.name: _embedded(hidden, info.dim, rng) for info in infos}
    targets = [_labelled(i, hidden, rng) for i in range(len(parse_tasks(TASKS)))]
    subjects = np.array([f"subject{i // 2}" for i in range(recordings)])
    began = time.perf_counter()
    fit(embeddings, targets, subjects, infos)
    return {"seconds": round(time.perf_counter() - began, 1)}


def _embedded(hidden: np.ndarray, dim: int, rng: np.random.Generator) -> np.ndarray:
    shown = np.tanh(hidden @ rng.normal(size=(HIDDEN, dim)).astype(np.float32) / 6)
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
