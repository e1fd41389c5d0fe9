"""Fitting: heads, weights and gate against stacking in the manner of AutoGluon, from the same embeddings.

The stack is made with scikit-learn on all experts' embeddings side by side: base models (linear, neighbours, random
forest, extremely randomised trees) bagged over five folds by subject, the same models once more on the base models'
out-of-fold answers, and a weighted ensemble chosen greedily among both layers (Caruana et al. 2004; Erickson et al.
2020). It is fitted once for each task, as such tools are; ours answers all tasks, with intervals and thresholds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import Measured, data_folder, offline, run, simulated
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import gather
from enecg.embedding.store.store import Store
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.recipes import find_recipe
from enecg.tasks import Target, parse_tasks

FOLDS: Final = 5
STEPS: Final = 50  # of the greedy choice
REAL: Final = "dataset == 'PTB-XL (filtered)'"


def measure(quick: bool, folder: Path) -> Measured:
    """`time` (theirs over ours, all tasks) and the quality on held-out subjects: ours against theirs."""
    cohort, held, tasks, kind = _cohort(quick, folder)
    experts = offline()
    data = gather(cohort, experts, Store(folder / "store"), progress=False)
    test = np.asarray(data.cohort.table["held"], bool)
    train = data.take(np.flatnonzero(~test))
    targets = [train.cohort.target(task) for task in parse_tasks(tasks)]

    start = time.perf_counter()
    recipe = find_recipe("light" if quick else "default")
    people = np.asarray(train.cohort.subjects)
    ensemble = fit(train.embeddings, targets, people, [ExpertInfo.of(e) for e in experts], recipe=recipe)
    ours_s = time.perf_counter() - start
    outputs = ensemble.predict(data.take(np.flatnonzero(test)).embeddings)

    x = np.concatenate([data.embeddings[expert.card.name] for expert in experts], axis=1)
    theirs_s, scores = 0.0, {}
    for task in parse_tasks(tasks):
        learned = ensemble.models[task.name].task
        whole = data.cohort.target(learned)
        start = time.perf_counter()
        answers = _stack(x[~test], whole.take(np.flatnonzero(~test)), people, x[test], trees=5 if quick else 300)
        theirs_s += time.perf_counter() - start
        truth = whole.take(np.flatnonzero(test))
        scores[task.name] = {"n": int(truth.known.sum()), "ours": _score(truth, outputs[task.name].value),
                             "stack": _score(truth, answers)}  # fmt: skip
    ratios = {"time": theirs_s / ours_s}
    figures = {
        "kind": kind, "recipe": recipe.name, "train": int((~test).sum()), "test": int(test.sum()),
        "ours_s": round(ours_s, 2), "stack_s": round(theirs_s, 2), "held_out": held,
        "metric": "MAE for age, macro AUROC for classes", "scores": scores,
    }  # fmt: skip
    return ratios, figures


def _cohort(quick: bool, folder: Path) -> tuple[Cohort, str, str, str]:
    """Recordings with a column `held`, what is held out, the tasks, and whether they are real."""
    found = None if quick else data_folder()
    if found is None:
        cohort = simulated(folder / "cohort", 100 if quick else 500, seed=6)
        held, tasks, kind = "fold > 8", "age,sex,potassium", "generated"
    else:
        cohort = Cohort.load(found / "manifest.csv", REAL)
        held, tasks, kind = "strat_fold == 9", "age,sex,superclass:multilabel", "real"
    table = cohort.table.assign(held=cohort.table.eval(held))
    return Cohort.from_table(table, cohort.root, cohort.name), held, tasks, kind


def _models(regression: bool, trees: int, wide: bool) -> list[Any]:
    """The base models; linear ones and neighbours on standardised numbers, these on principal components."""
    forest, extra = (RandomForestRegressor, ExtraTreesRegressor) if regression else (RandomForestClassifier,
                                                                                     ExtraTreesClassifier)  # fmt: skip
    linear = RidgeCV(np.logspace(0, 6, 13)) if regression else LogisticRegression(C=0.01 if wide else 1.0, max_iter=300)
    neighbours = (KNeighborsRegressor if regression else KNeighborsClassifier)(20, weights="distance")
    reduced = [PCA(50, random_state=0)] if wide else []
    filled = {"strategy": "median", "keep_empty_features": True}
    return [
        make_pipeline(SimpleImputer(**filled), StandardScaler(), *reduced, linear),
        make_pipeline(SimpleImputer(**filled), StandardScaler(), *reduced, neighbours),
        make_pipeline(SimpleImputer(**filled), forest(trees, max_features="sqrt", min_samples_leaf=3, random_state=0)),
        make_pipeline(SimpleImputer(**filled), extra(trees, max_features="sqrt", min_samples_leaf=3, random_state=0)),
    ]


def _stack(x: np.ndarray, target: Target, people: np.ndarray, later: np.ndarray, trees: int) -> np.ndarray:
    """Answers `[recording, output]` for `later`; each output of a task of several is stacked by itself."""
    columns = []
    for column in range(target.y.shape[1]):
        rows = target.known
        y = target.y[rows, column]
        columns.append(_stack_one(x[rows], y, people[rows], later, target.task.kind == "regression", trees))
    return np.stack(columns, axis=1)


def _stack_one(
    x: np.ndarray, y: np.ndarray, people: np.ndarray, later: np.ndarray, regression: bool, trees: int
) -> np.ndarray:
    first, first_later = _bagged(_models(regression, trees, wide=True), x, y, people, later, regression)
    second, second_later = _bagged(_models(regression, trees, wide=False), first, y, people, first_later, regression)
    honest, answers = np.hstack([first, second]), np.hstack([first_later, second_later])
    chosen: list[int] = []
    for _ in range(STEPS):  # with replacement: how often a model is chosen is its weight
        total = honest[:, chosen].sum(1)
        errors = [_error(y, (total + honest[:, k]) / (len(chosen) + 1), regression) for k in range(honest.shape[1])]
        chosen.append(int(np.argmin(errors)))
    averaged: np.ndarray = answers[:, chosen].mean(1)
    return averaged


def _bagged(
    models: list[Any], x: np.ndarray, y: np.ndarray, people: np.ndarray, later: np.ndarray, regression: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Out-of-fold answers `[recording, model]`, and the folds' mean for `later`."""
    honest, answers = np.zeros((len(x), len(models))), np.zeros((len(later), len(models)))
    for inside, outside in GroupKFold(FOLDS).split(x, y, people):
        for column, model in enumerate(models):
            fitted = model.fit(x[inside], y[inside])
            says = fitted.predict if regression else lambda rows, fitted=fitted: fitted.predict_proba(rows)[:, -1]
            honest[outside, column] = says(x[outside])
            answers[:, column] += says(later) / FOLDS
    return honest, answers


def _error(y: np.ndarray, answer: np.ndarray, regression: bool) -> float:
    if regression:
        return float(np.abs(y - answer).mean())
    p = np.clip(answer, 1e-6, 1 - 1e-6)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def _score(target: Target, answers: np.ndarray) -> float:
    rows = target.known
    if target.task.kind == "regression":
        return round(float(mean_absolute_error(target.y[rows], answers[rows])), 4)
    columns = [k for k in range(target.y.shape[1]) if 0 < target.y[rows, k].sum() < rows.sum()]
    return round(float(np.mean([roc_auc_score(target.y[rows, k], answers[rows, k]) for k in columns])), 4)


if __name__ == "__main__":
    run("fit", measure)
