"""Fitting an ensemble from stored embeddings: heads, out-of-fold outputs, weights, gate, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from enecg.cohort.split import subject_folds
from enecg.ensemble.calibrate import choose_thresholds, residual_quantiles
from enecg.ensemble.combine import Combiner
from enecg.ensemble.gate import fit_gate
from enecg.ensemble.heads.base import Head
from enecg.ensemble.heads.linear import Joint
from enecg.ensemble.model import Embeddings, Ensemble, Predictor, TaskModel, side_by_side
from enecg.ensemble.recipe import ExpertInfo, Recipe
from enecg.errors import InputError
from enecg.tasks import Target

Scores = dict[str, dict[str, np.ndarray]]  # predictor -> task -> out-of-fold [recording, output]
FEWEST = 20  # labelled recordings below which a task cannot be fitted and judged
JOINT = "all/joint"  # the baseline: one head on all embeddings side by side; no member of the ensemble
FEWEST_OF_CLASS = 10  # labelled recordings below which a class is not offered


def fit(
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    training: dict[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """Fit an ensemble.

    Args:
        embeddings: expert name -> float32 `[recording, dim]`.
        targets: labels of the same recordings; NaN rows are masked, task by task.
        subjects: `[recording]`; everything held out inside is held out by subject.
        experts: facts of the experts in `embeddings`.
        recipe: the default one when None.
        seed: of everything random.
        training: facts to be kept in the bundle about what it was trained on.
        progress: called with a line before each part.

    Raises:
        InputError: too few labelled recordings or subjects, or a class task with one class only.
    """
    recipe = recipe or Recipe()
    subjects = np.asarray(subjects, dtype=str)
    targets = [checked(target, subjects, recipe) for target in targets]
    _check_seen(embeddings, targets)
    by_name = {target.task.name: target for target in targets}
    predictors, scores = _fit_heads(embeddings, targets, subjects, experts, recipe, seed, progress)
    view = _view(experts)
    models = {}
    for target in targets:
        progress(f"weights for {target.task.name}")
        models[target.task.name] = _fit_task(target, predictors, scores, embeddings[view], subjects, recipe, seed)
    assert by_name.keys() == models.keys()
    return Ensemble(list(experts), models, predictors, view, {**asdict(recipe), "seed": seed}, training or {})


def checked(target: Target, subjects: np.ndarray, recipe: Recipe) -> Target:
    """The target with the classes that can be learned.

    Raises:
        InputError: the task cannot be fitted; why.
    """
    task, known = target.task, target.known
    people = len(np.unique(subjects[known]))
    if known.sum() < FEWEST or people < 2 * recipe.folds:
        raise InputError(
            f"task {task.name}: {int(known.sum())} labelled recordings of {people} subjects are too few to fit; "
            f"{FEWEST} recordings of {2 * recipe.folds} subjects are needed"
        )
    if task.kind == "binary":
        positives = int(target.y[known].sum())
        if positives in (0, known.sum()):
            raise InputError(f"task {task.name}: all training labels are {task.classes[int(positives > 0)]}")
    return learnable(target, FEWEST_OF_CLASS)


def _check_seen(embeddings: Embeddings, targets: Sequence[Target]) -> None:
    """Raise `InputError` when an expert has seen too few of a task's labelled recordings to be weighed."""
    for name, matrix in embeddings.items():
        seen = np.isfinite(matrix).any(1)
        for target in targets:
            count = int((target.known & seen).sum())
            if count < FEWEST:
                raise InputError(
                    f"task {target.task.name}: the expert {name} could look at {count} of {int(target.known.sum())} "
                    f"labelled recordings, and needs {FEWEST}; leave out the expert or the task"
                )


def learnable(target: Target, fewest: int, parts: Sequence[np.ndarray] = (np.array(True),)) -> Target:
    """Drop classes with fewer than `fewest` recordings; in a multiclass task these recordings become unlabelled.

    A class of a handful cannot be told from noise, and its noise would take probability from the others.

    Args:
        target: labels.
        fewest: labelled recordings that a class must have.
        parts: bool `[recording]` each; a class must have as many in each of them.

    Raises:
        InputError: fewer than two classes of a multiclass task, or none of a multilabel one, are left.
    """
    task = target.task
    if task.kind not in ("multiclass", "multilabel"):
        return target
    counts = np.min([np.nansum(target.y, axis=0, where=part[..., None]) for part in parts], axis=0).astype(int)
    kept = counts >= fewest
    told = tuple(
        f"task {task.name}: class {name} has {count} labelled recordings, fewer than {fewest}, and is left out"
        for name, count, stays in zip(task.classes, counts, kept, strict=True)
        if not stays
    )
    if kept.sum() < (2 if task.kind == "multiclass" else 1):
        raise InputError(f"task {task.name}: too few classes have {fewest} labelled recordings or more")
    y = target.y[:, kept]
    if task.kind == "multiclass":
        y = np.where((y.sum(1) > 0)[:, None], y, np.nan)
    classes = tuple(name for name, stays in zip(task.classes, kept, strict=True) if stays)
    return Target(replace(task, classes=classes), y, (*target.problems, *told))


def _view(experts: Sequence[ExpertInfo]) -> str:
    """The expert that the gate looks at: measurements if an expert has them, else the cheapest."""
    tabular = [info.name for info in experts if info.tabular]
    return tabular[0] if tabular else min(experts, key=lambda info: info.cost_ms or np.inf).name


def _fit_heads(
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    recipe: Recipe,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[list[Predictor], Scores]:
    """All heads of all experts, and the concatenation baseline, with their out-of-fold scores."""
    tasks = [target.task for target in targets]
    plan: list[tuple[str, tuple[str, ...], Head, list[int]]] = [
        (f"{info.name}/{head.kind}", (info.name,), head, its_tasks)
        for info in experts
        for head, its_tasks in recipe.heads(info, tasks)
    ]
    sizes = [info.dim for info in experts]
    plan.append((JOINT, tuple(info.name for info in experts), Joint(sizes), list(range(len(tasks)))))
    folds = {n: subject_folds(subjects, n, seed) for n in (recipe.folds, recipe.bag_folds)}
    predictors, scores = [], {}
    for name, names, head, its_tasks in plan:
        progress(f"head {name}")
        own = [targets[i] for i in its_tasks]
        x = side_by_side(embeddings, names)
        oof, fitted = head.cross_fit(x, own, subjects, folds[recipe.bag_folds if head.bag else recipe.folds], seed)
        silent = ~np.isfinite(x).any(1)
        for found in oof:
            found[silent] = np.nan
        task_names = tuple(target.task.name for target in own)
        predictors.append(Predictor(name, names, task_names, fitted))
        scores[name] = dict(zip(task_names, oof, strict=True))
    return predictors, scores


def _fit_task(
    target: Target,
    predictors: Sequence[Predictor],
    scores: Scores,
    view: np.ndarray,
    subjects: np.ndarray,
    recipe: Recipe,
    seed: int,
) -> TaskModel:
    """Weights, gate, baselines and calibration of one task, all from out-of-fold scores."""
    name = target.task.name
    members = [p for p in predictors if name in p.tasks and p.name != JOINT]

    def of(chosen: Sequence[str]) -> list[np.ndarray]:
        return [scores[member][name] for member in chosen]

    def alone(expert: str) -> Combiner:
        chosen = [p.name for p in members if p.experts == (expert,)]
        return Combiner.fit(chosen, of(chosen), target, "non-negative").passed_through(of(chosen), target)

    names = [p.name for p in members]
    own = of(names)
    combiner = Combiner.fit(names, own, target, "non-negative")
    gate, verdict = None, None
    if recipe.gate and len(names) > 1:
        tried, verdict = fit_gate(combiner, own, target, view, subjects, folds=recipe.folds, seed=seed)
        gate = tried if verdict.helps else None
    if gate is None:  # which needs the other members at hand
        combiner = combiner.passed_through(own, target)
    honest = _second_stage(names, own, target, subjects, recipe.folds, seed)
    known = target.known
    constant = np.median(target.y[known], axis=0) if target.task.kind == "regression" else target.y[known].mean(0)
    experts = dict.fromkeys(p.experts[0] for p in members)
    return TaskModel(
        target.task,
        combiner,
        gate,
        verdict,
        {expert: alone(expert) for expert in experts},
        Combiner.fit(names, own, target, "free"),
        Combiner.fit([JOINT], of([JOINT]), target, "non-negative"),
        constant,
        residual_quantiles(target, honest),
        choose_thresholds(target, honest),
    )


def _second_stage(
    names: Sequence[str], scores: Sequence[np.ndarray], target: Target, subjects: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """The combination's answers where its weights, too, have not seen the subject: `[recording, output]`."""
    fold = subject_folds(subjects, folds, seed + 1)
    out = np.full(target.y.shape, np.nan)
    for k in range(folds):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        own = [score[inside] for score in scores]
        part = Combiner.fit(names, own, target.take(inside), "non-negative").passed_through(own, target.take(inside))
        out[outside] = part.predict([score[outside] for score in scores])
    return out
