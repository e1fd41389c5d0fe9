"""Networks that see one lead at a time: is it worth keeping the leads apart, or would their mean do?

    ENECG_DATA=FOLDER python benchmarks/leads.py [--quick] [--json FILE]

FOLDER holds manifest.csv with PTB-XL. The same embeddings, leads side by side and averaged over them, under a kernel
or ridge head (as `fit` chooses by width), cross-fitted by subject in five folds; differences are paired, with 95 %
bootstrap intervals over subjects. The networks have generated weights of the published layout: what is measured is what
the structure alone keeps of a recording, not what the published weights would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from common import Measured, data_folder, network, run

from enecg.cohort.manifest import Cohort
from enecg.cohort.split import subject_folds
from enecg.embed.gather import gather
from enecg.embed.store import Store
from enecg.ensemble.fit import FEWEST_OF_CLASS, learnable
from enecg.ensemble.heads.linear import Kernel, Ridge
from enecg.ensemble.recipe import WIDE
from enecg.evaluate.bootstrap import bootstrap
from enecg.evaluate.score import estimate_values
from enecg.metrics import evaluate, higher_is_better
from enecg.tasks import Target, parse_tasks

TASKS: Final = "rr_interval=rr_mean_ms[rr_ok == 1],age,sex,arrhythmia=rhythm,superclass:multilabel"
WHERE: Final = 'record.str.startswith("ptbxl_filtered_100hz/") and strat_fold <= 5'
LEADS: Final = {"clef-small": 8, "moment-small": 8, "chronos-bolt-tiny": 12}  # that stand side by side
FOLDS: Final = 5


def measure(quick: bool, folder: Path) -> Measured:
    """`tasks_better_apart`, of all networks: in how many tasks leads apart are better, and in how many worse."""
    home = data_folder()
    if home is None:
        raise SystemExit("set ENECG_DATA to the folder that holds manifest.csv")
    cohort = Cohort.load(home / "manifest.csv", WHERE)
    if quick:
        cohort = cohort.take(range(200))
    figures: dict[str, Any] = {}
    for name in list(LEADS)[: 1 if quick else None]:
        expert = network(name, folder)
        data = gather(cohort, [expert], Store(folder / "store"))
        subjects, apart = data.cohort.subjects, data.embeddings[name]
        fold = subject_folds(subjects, FOLDS, 0)
        parts = [fold != k for k in range(FOLDS)]
        targets = [learnable(data.cohort.target(task), FEWEST_OF_CLASS, parts) for task in parse_tasks(TASKS)]
        said = {}
        for label, x in (("apart", apart), ("averaged", _averaged(apart, LEADS[name]))):
            head = Ridge() if x.shape[1] > WIDE else Kernel()
            said[label] = head.cross_fit(x, targets, subjects, fold, 0)[0]
        figures[name] = {
            "recordings": len(data.cohort),
            "numbers_apart": apart.shape[1],
            "tasks": {
                target.task.name: _compared(target, said["apart"][i], said["averaged"][i], subjects)
                for i, target in enumerate(targets)
            },
        }
    verdicts = [task["verdict"] for network_ in figures.values() for task in network_["tasks"].values()]
    ratios = {f"tasks_{verdict}_apart": float(verdicts.count(verdict)) for verdict in ("better", "worse")}
    return {"tasks": float(len(verdicts)), **ratios}, figures


def _averaged(apart: np.ndarray, leads: int) -> np.ndarray:
    """The mean over the leads that are there."""
    each = apart.reshape(len(apart), leads, -1)
    there = np.isfinite(each)
    total = np.where(there, each, 0).sum(1) / np.maximum(there.sum(1), 1)
    return np.asarray(np.where(there.any(1), total, np.nan), np.float32)


def _compared(target: Target, apart: np.ndarray, averaged: np.ndarray, subjects: np.ndarray) -> dict[str, Any]:
    known, task = target.known, target.task
    y = target.y[known]

    def values(weights: np.ndarray) -> dict[str, np.ndarray]:
        both = {"apart": apart, "averaged": averaged}
        return {
            label: evaluate(task.kind, y, scores[known], weights, names=(task.metric,))[task.metric]
            for label, scores in both.items()
        }

    found = bootstrap(values, subjects[known], 1000, 0)
    change = found["apart"] - found["averaged"]
    return {
        "metric": task.metric,
        "n": int(known.sum()),
        **{label: estimate_values(each) for label, each in found.items()},
        "apart_minus_averaged": estimate_values(change),
        "verdict": change.verdict(higher_is_better(task.metric)),
    }


if __name__ == "__main__":
    run("leads", measure)
