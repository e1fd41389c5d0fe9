"""The curve of quality against cost: what is lost when fewer experts look at a recording.

    ENECG_DATA=FOLDER python benchmarks/budget.py [--quick] [--json FILE]

FOLDER holds manifest.csv with PTB-XL folds 1 to 9. Cross-validated by subject in five folds, as `crossval` does. In
each fold heads are fitted once; then the ensemble, its versions for several budgets (`predict --budget`) and its fits
with several charges for cost (`fit --charge`) answer for the subjects left out. Differences from the whole are paired,
with 95 % bootstrap intervals over subjects. Costs are those of the cards. Embeddings come from the store in the user's
cache.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import Measured, run
from rich.progress import track

from enecg.cohort.manifest import Cohort
from enecg.cohort.split import subject_folds
from enecg.embed.gather import gather
from enecg.embed.store import Store
from enecg.ensemble.budget import cost_of, within
from enecg.ensemble.fit import FEWEST_OF_CLASS, fit_heads, learnable, weigh
from enecg.ensemble.model import Ensemble
from enecg.ensemble.recipe import ExpertInfo, Recipe
from enecg.errors import InputError
from enecg.evaluate.bootstrap import bootstrap
from enecg.evaluate.score import estimate_values
from enecg.experts import registry
from enecg.experts.weights import cache_folder
from enecg.metrics import evaluate, higher_is_better
from enecg.tasks import Target, parse_tasks

TASKS: Final = "rr_interval=rr_mean_ms[rr_ok == 1],age,sex,arrhythmia=rhythm,superclass:multilabel"
WHERE: Final = 'record.str.startswith("ptbxl_filtered_100hz/")'
BUDGETS: Final = (0.95, 0.9, 0.75, 0.5, 0.4, 0.3, 0.2, 0.1)
CHARGES: Final = (0.003, 0.01, 0.03, 0.1)
FOLDS: Final = 5
WHOLE: Final = "whole"


def measure(quick: bool, folder: Path) -> Measured:
    """`loss_at_half_cost`: the largest relative loss of a task's metric with at most half of the cost."""
    home = os.environ.get("ENECG_DATA")
    if home is None:
        raise SystemExit("set ENECG_DATA to the folder that holds manifest.csv")
    cohort = Cohort.load(Path(home) / "manifest.csv", WHERE + (" and strat_fold <= 2" if quick else ""))
    experts = [registry.create(name) for name in (*registry.resolve("offline"), *Recipe().views)]
    data = gather(cohort, experts, Store(cache_folder() / "store"))
    infos, subjects = [ExpertInfo.of(expert) for expert in experts], data.cohort.subjects
    fold = subject_folds(subjects, FOLDS, 0)
    parts = [fold != k for k in range(FOLDS)]
    targets = [learnable(data.cohort.target(task), FEWEST_OF_CLASS, parts) for task in parse_tasks(TASKS)]
    said: dict[str, dict[str, np.ndarray]] = {}
    spent: dict[str, list[float]] = {}
    for k in track(range(FOLDS), description="Folds"):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        there = {name: matrix[outside] for name, matrix in data.embeddings.items()}
        for label, version in _versions(data.embeddings, targets, subjects, infos, inside, quick).items():
            spent.setdefault(label, []).append(_cost(version))
            for name, answer in version.predict(there).items():
                own = said.setdefault(label, {t.task.name: np.full(t.y.shape, np.nan) for t in targets})
                own[name][outside] = answer.value
    full = [label for label, found in spent.items() if len(found) == FOLDS]
    figures: dict[str, Any] = {
        "recordings": len(data.cohort),
        "subjects": len(set(subjects)),
        "experts": {info.name: cost_of(info) for info in infos if not info.view},
        "versions": {
            label: {
                "cost": round(float(np.mean(spent[label])), 4),
                "tasks": {t.task.name: _scored(t, said[WHOLE], said[label], subjects, quick) for t in targets},
            }
            for label in full
        },
    }
    halves = [v for v in figures["versions"].values() if v["cost"] <= 0.5]  # type: ignore[operator]
    lost = [max(task["relative_loss"] for task in version["tasks"].values()) for version in halves]
    return {"loss_at_half_cost": min(lost)}, figures


def _versions(
    embeddings: Mapping[str, np.ndarray],
    targets: list[Target],
    subjects: np.ndarray,
    infos: list[ExpertInfo],
    inside: np.ndarray,
    quick: bool,
) -> dict[str, Ensemble]:
    """The ensemble of the training part, and its cheaper versions."""
    here, own = {name: matrix[inside] for name, matrix in embeddings.items()}, [t.take(inside) for t in targets]
    recipe = Recipe(closed_form=quick)
    heads = fit_heads(here, own, subjects[inside], infos, recipe, 0, lambda _: None)
    whole = weigh(heads, here, own, subjects[inside], infos, recipe)
    found = {WHOLE: whole}
    for budget in BUDGETS:
        try:
            found[f"budget {budget:g}"] = within(whole, budget)
        except InputError:  # no version is so cheap
            continue
    for charge in CHARGES[:1] if quick else CHARGES:
        charged = replace(recipe, charge=charge)
        found[f"charge {charge:g}"] = weigh(heads, here, own, subjects[inside], infos, charged)
    return found


def _cost(ensemble: Ensemble) -> float:
    """Of the experts that run, as a share of what all cost."""
    costs = {info.name: cost_of(info) for info in ensemble.experts if not info.view}
    return sum(costs[name] for name in ensemble.needed if name in costs) / sum(costs.values())


def _scored(
    target: Target, whole: Mapping[str, np.ndarray], said: Mapping[str, np.ndarray], subjects: np.ndarray, quick: bool
) -> dict[str, Any]:
    """The task's metric, its difference from the whole, and what that is of the whole's."""
    name, metric, kind = target.task.name, target.task.metric, target.task.kind
    rows = target.known & np.isfinite(whole[name]).all(1) & np.isfinite(said[name]).all(1)
    y = target.y[rows]

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        answers = {"whole": whole[name][rows], "own": said[name][rows]}
        return {who: evaluate(kind, y, each, weights, names=(metric,))[metric] for who, each in answers.items()}

    found = bootstrap(statistics, subjects[rows], 100 if quick else 1000, 0)
    change = found["own"] - found["whole"]
    worse = -1 if higher_is_better(metric) else 1
    return {
        "metric": metric,
        "n": int(rows.sum()),
        "value": estimate_values(found["own"]),
        "minus_whole": estimate_values(change),
        "relative_loss": round(worse * change.value / found["whole"].value, 5),
    }


if __name__ == "__main__":
    run("budget", measure)
