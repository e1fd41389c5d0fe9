"""The curve of quality against cost: what is lost when fewer experts look at a recording.

    ENECG_DATA=FOLDER python benchmarks/budget.py [--quick] [--json FILE]

FOLDER holds manifest.csv with PTB-XL folds 1 to 9. Cross-validated by subject in five folds, as `crossval` does. In
each fold heads are fitted once; then the ensemble, its versions for several budgets (`predict --budget`) and its fits
with several charges for cost (`fit --charge`) answer for the subjects left out. Differences from the whole are paired,
with 95 % bootstrap intervals over subjects. Costs are those of the cards. Embeddings come from the store in the user's
cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import FOLDS, Measured, compared, folded, offline, ptbxl, run
from rich.progress import track

from enecg.embedding.dataset import gather
from enecg.embedding.store.store import Store
from enecg.ensemble.budget.cascade import Cascade
from enecg.ensemble.budget.selection import within
from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.heads import fit_heads
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.fitting.weights import fit_combination
from enecg.errors import InputError
from enecg.experts import registry
from enecg.experts.weights import cache_folder
from enecg.metrics import higher_is_better
from enecg.tasks import Target

BUDGETS: Final = (0.9, 0.75, 0.6, 0.5, 0.48, 0.4, 0.3, 0.2, 0.1)
WHOLE: Final = "whole"


def measure(quick: bool, folder: Path) -> Measured:
    """`loss_at_half_cost`: the largest relative loss of a task's metric with at most half of the cost."""
    cohort = ptbxl(quick)
    experts = [*offline(), *(registry.create(name) for name in Recipe().auxiliary)]
    data = gather(cohort, experts, Store(cache_folder() / "store"))
    infos, subjects = [ExpertInfo.of(expert) for expert in experts], data.cohort.subjects
    fold, targets = folded(data.cohort)
    said: dict[str, dict[str, np.ndarray]] = {}
    spent: dict[str, list[float]] = {}
    for k in track(range(FOLDS), description="Folds"):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        there = {name: matrix[outside] for name, matrix in data.embeddings.items()}
        for label, version in _versions(data.embeddings, targets, subjects, infos, inside, quick).items():
            spent.setdefault(label, []).append(_cost(version, there))
            for name, answer in version.predict(there).items():
                own = said.setdefault(label, {t.task.name: np.full(t.y.shape, np.nan) for t in targets})
                own[name][outside] = answer.value
    full = [label for label, found in spent.items() if len(found) == FOLDS]
    figures: dict[str, Any] = {
        "recordings": len(data.cohort),
        "subjects": len(set(subjects)),
        "experts": {info.name: info.cost for info in infos if not info.gate_input},
        "versions": {
            label: {
                "cost": round(float(np.mean(spent[label])), 4),
                "tasks": {t.task.name: _scored(t, said[WHOLE], said[label], subjects, quick) for t in targets},
            }
            for label in full
        },
    }
    halves = [v for v in figures["versions"].values() if v["cost"] <= 0.5]
    lost = [max(task["relative_loss"] for task in version["tasks"].values()) for version in halves]
    return {"loss_at_half_cost": min(lost)}, figures


def _versions(
    embeddings: Mapping[str, np.ndarray],
    targets: list[Target],
    subjects: np.ndarray,
    infos: list[ExpertInfo],
    inside: np.ndarray,
    quick: bool,
) -> dict[str, Ensemble | Cascade]:
    """The ensemble of the training part, and its cheaper versions."""
    here, own = {name: matrix[inside] for name, matrix in embeddings.items()}, [t.take(inside) for t in targets]
    recipe = Recipe(closed_form=quick)
    heads = fit_heads(here, own, subjects[inside], infos, recipe, 0, lambda _: None)
    whole = fit_combination(heads, here, own, subjects[inside], infos, recipe)
    found: dict[str, Ensemble | Cascade] = {WHOLE: whole}
    for budget in BUDGETS:
        try:
            found[f"budget {budget:g}"] = within(whole, budget)
        except InputError:  # no version is so cheap
            continue
    return found


def _cost(ensemble: Ensemble | Cascade, there: Mapping[str, np.ndarray]) -> float:
    """Of the experts that run on some recordings, the second stage included, as a share of what all cost."""
    costs = {info.name: info.cost for info in ensemble.experts if not info.gate_input}
    first = {name for name in ensemble.needed if name in costs}
    spent = sum(costs[name] for name in first)
    if isinstance(ensemble, Cascade):
        share = ensemble.uncertain(ensemble.first.predict(there)).mean()
        spent += float(share) * sum(costs[name] for name in ensemble.later if name in costs)
    return spent / sum(costs.values())


def _scored(
    target: Target, whole: Mapping[str, np.ndarray], said: Mapping[str, np.ndarray], subjects: np.ndarray, quick: bool
) -> dict[str, Any]:
    """The task's metric, its difference from the whole, and what that is of the whole's."""
    name = target.task.name
    told = compared(target, {WHOLE: whole[name], "own": said[name]}, subjects, WHOLE, quick)
    worse = -1 if higher_is_better(target.task.metric) else 1
    return {**told, "relative_loss": worse * told["own"]["relative"]}


if __name__ == "__main__":
    run("budget", measure)
