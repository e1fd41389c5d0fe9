"""Fitting an ensemble from stored embeddings: heads, out-of-fold outputs, weights, gate, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from enecg.cohorts.split import subject_folds
from enecg.ensemble.baselines import CONCAT, RANDOM, Rivals, is_member, out_of_fold_loss
from enecg.ensemble.budget.selection import cheaper_versions, cost_of, cost_share
from enecg.ensemble.calibration import Calibrator, calibrated_honestly, choose_thresholds, residual_quantiles
from enecg.ensemble.combiner import Combiner, experts_of
from enecg.ensemble.ensemble import Embeddings, Ensemble, Predictor, TaskModel, side_by_side, silent_rows
from enecg.ensemble.fitting.recipes import ExpertInfo, Recipe
from enecg.ensemble.gates.clusters import best_gate, tell_kinds, view_of
from enecg.ensemble.heads.base import Head
from enecg.ensemble.heads.ridge import Joint, Kernel
from enecg.errors import InputError
from enecg.tasks import Target
from enecg.workers.threads import cpus, one_thread_each

Scores = dict[str, dict[str, np.ndarray]]  # predictor -> task -> out-of-fold [recording, output]
FEWEST = 20  # labelled recordings below which a task cannot be fitted and judged
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
    _check_seen({info.name: embeddings[info.name] for info in experts if not info.view}, targets)
    heads = fit_heads(embeddings, targets, subjects, experts, recipe, seed, progress)
    return weigh(heads, embeddings, targets, subjects, experts, recipe, seed, training, progress)


def weigh(
    heads: tuple[list[Predictor], Scores],
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    recipe: Recipe,
    seed: int = 0,
    training: dict[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """The ensemble of fitted heads: weights, gate, rivals and calibration, from what the heads said out of fold.

    Args:
        heads: from `fit_heads` with the same recordings, experts and recipe.
        embeddings: as for `fit`, and so are the others.
    """
    predictors, scores = heads

    def weighed(target: Target) -> TaskModel:
        progress(f"weights for {target.task.name}")
        return _fit_task(target, predictors, scores, embeddings, subjects, experts, recipe, seed)

    members = {p.name: scores[p.name] for p in predictors if is_member(p.name)}
    with one_thread_each():
        with ThreadPoolExecutor(cpus()) as pool:
            models = {model.task.name: model for model in pool.map(weighed, targets)}
        cheaper = cheaper_versions([info for info in experts if not info.view], models, targets, members)
    settings = {**asdict(recipe), "seed": seed}
    return Ensemble(list(experts), models, predictors, settings, training or {}, cheaper)


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
    return Target(replace(task, classes=classes), y, (*target.problems, *told), target.notes)


def fit_heads(
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    recipe: Recipe,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[list[Predictor], Scores]:
    """All heads of all experts, and those of the baselines, with their out-of-fold scores.

    Experts whose numbers are measurements get heads on all of these side by side besides their own: trees find what a
    rhythm means together with a wave. So do they with the other experts that are best alone, and once more without the
    dearest expert.
    """
    fold = subject_folds(subjects, recipe.folds, seed)
    members = [info for info in experts if not info.view]
    names = [info.name for info in members]
    tasks = [target.task for target in targets]
    measured = {quantity for info in members for quantity in info.measurements}
    tables = tuple(info.name for info in members if info.tabular)
    plan = [
        _Plan(f"{info.name}/{head.kind}", (info.name,), head, [targets[i] for i in its_tasks])
        for info in members
        for head, its_tasks in recipe.heads(info, tasks, measured, beside=info.tabular and len(tables) > 1)
    ]
    if len(tables) > 1:
        for head, its_tasks in recipe.measured(tasks):
            plan.append(_Plan(f"{'+'.join(tables)}/{head.kind}", tables, head, [targets[i] for i in its_tasks]))
    apart = [_Plan(CONCAT, tuple(names), Joint([info.dim for info in members]), targets)]  # the longest comes first
    if RANDOM in embeddings:
        apart.append(_Plan(f"{RANDOM}/kernel", (RANDOM,), Kernel(recipe.landmarks), targets))

    def fitted(one: _Plan) -> tuple[Predictor, dict[str, np.ndarray]]:
        progress(f"head {one.name}")
        x = side_by_side(embeddings, one.experts)
        oof, head = one.head.cross_fit(x, one.targets, subjects, fold, seed)
        silent = silent_rows(embeddings, one.experts)
        for found in oof:
            found[silent] = np.nan
        task_names = tuple(target.task.name for target in one.targets)
        return Predictor(one.name, one.experts, task_names, head), dict(zip(task_names, oof, strict=True))

    with one_thread_each(), ThreadPoolExecutor(cpus()) as pool:
        baselines = pool.map(fitted, apart)
        found = list(pool.map(fitted, plan))
        scores = {predictor.name: own for predictor, own in found}
        units = [*([tables] if tables else []), *((info.name,) for info in members if info.name not in tables)]
        if recipe.common > 1 and len(members) > 1:
            learned = [target for target in targets if target.task.name not in measured]
            together = _together(units, members, learned or targets, scores, recipe)
            found += pool.map(fitted, [_Plan(*one, targets) for one in together])
        found += baselines
    return [predictor for predictor, _ in found], {predictor.name: own for predictor, own in found}


@dataclass(frozen=True)
class _Plan:
    """A head to be fitted."""

    name: str
    experts: tuple[str, ...]
    head: Head
    targets: Sequence[Target]


def _together(
    units: Sequence[tuple[str, ...]],
    members: Sequence[ExpertInfo],
    targets: Sequence[Target],
    scores: Scores,
    recipe: Recipe,
) -> list[tuple[str, tuple[str, ...], Head]]:
    """Heads on several experts at once: on those that are best alone, and on the best ones but for the dearest expert.

    Without the second, a version that does without that expert would have no such head. Name, experts and head of each.
    """
    dear = max(members, key=cost_of).name
    without = [unit for unit in units if dear not in unit]
    chosen = [_best_alone(some, targets, scores, recipe.common) for some in (units, without)]
    found = {}
    for names in ({name for unit in best for name in unit} for best in chosen):
        infos = [info for info in members if info.name in names]
        if len(infos) > 1:
            head, experts = recipe.together(infos), tuple(info.name for info in infos)
            found[experts] = (f"{'+'.join(experts)}/{head.kind}", experts, head)
    return list(found.values())


def _best_alone(
    units: Sequence[tuple[str, ...]], targets: Sequence[Target], scores: Scores, count: int
) -> list[tuple[str, ...]]:
    """The experts, those of measurements as one, whose own heads have the best mean rank over the tasks out of fold."""
    ranks = np.zeros(len(units))
    for target in targets:
        name = target.task.name
        losses = []
        for unit in units:
            own = {h: found[name] for h, found in scores.items() if {*experts_of(h)} <= {*unit} and name in found}
            losses.append(out_of_fold_loss(own, target))
        ranks += np.argsort(np.argsort(losses, kind="stable"), kind="stable")
    return [units[i] for i in np.argsort(ranks, kind="stable")[:count]]


def _fit_task(
    target: Target,
    predictors: Sequence[Predictor],
    scores: Scores,
    embeddings: Embeddings,
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    recipe: Recipe,
    seed: int,
) -> TaskModel:
    """Weights, gate, rivals and calibration of one task, all from out-of-fold scores."""
    name = target.task.name
    own = {p.name: scores[p.name][name] for p in predictors if name in p.tasks}
    names = [member for member in own if is_member(member)]
    members = [own[member] for member in names]
    charges = recipe.charge * np.array([cost_share(member, experts) for member in names])
    combiner = Combiner.fit(names, members, target, recipe.rule, charges)
    tried = None
    if len(names) > 1:
        tried = best_gate(
            combiner, members, target, embeddings, recipe.gates, subjects,
            rule=recipe.rule, folds=recipe.folds, seed=seed,
        )  # fmt: skip
    view, gate, verdict = tried or ("", None, None)
    if verdict is None or not verdict.helps:
        gate, combiner = None, combiner.passed_through(members, target)  # a gate needs the other members at hand
    seen = None if gate is None else view_of(view, embeddings, combiner, members)
    honest = _second_stage(names, members, target, subjects, charges, seen, recipe, seed)
    calibrated = calibrated_honestly(target, honest, subjects, recipe.folds, seed + 2)
    return TaskModel(
        target.task,
        combiner,
        gate,
        verdict,
        view,
        Rivals.fit(names, own, target),
        None if target.task.kind == "regression" else Calibrator.fit(target, honest),
        residual_quantiles(target, calibrated),
        choose_thresholds(target, calibrated),
    )


def _second_stage(
    names: Sequence[str],
    scores: Sequence[np.ndarray],
    target: Target,
    subjects: np.ndarray,
    charges: np.ndarray,
    view: np.ndarray | None,
    recipe: Recipe,
    seed: int,
) -> np.ndarray:
    """The combination's answers where its weights and gate, too, have not seen the subject: `[recording, output]`."""
    fold = subject_folds(subjects, recipe.folds, seed + 1)
    out = np.full(target.y.shape, np.nan)
    for k in range(recipe.folds):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        own, labels = [score[inside] for score in scores], target.take(inside)
        part = Combiner.fit(names, own, labels, recipe.rule, charges)
        left = [score[outside] for score in scores]
        if view is None:
            out[outside] = part.passed_through(own, labels).predict(left)
        else:
            gate = tell_kinds(part, own, labels, view[inside], recipe.rule, seed)
            out[outside] = part.predict(left, gate.gated(view[outside], part))
    return out
