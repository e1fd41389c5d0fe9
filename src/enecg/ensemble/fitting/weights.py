"""Fitting the combination of heads: weights, gate, baselines, calibration and reduced versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np

from enecg.cohorts.split import subject_folds
from enecg.ensemble.baselines import Baselines, is_member
from enecg.ensemble.budget.selection import reduced_ensembles
from enecg.ensemble.calibration import Calibrator, choose_thresholds, cross_calibrated, residual_quantiles
from enecg.ensemble.combiner import Combiner
from enecg.ensemble.ensemble import Ensemble, TaskModel
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.heads import OutOfFold
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.gates.clusters import fit_cluster_gate, gate_effect
from enecg.ensemble.outputs import Embeddings, FittedHeadOnExperts
from enecg.tasks import Target
from enecg.workers.threads import cpus, one_thread_each


def fit_combination(
    heads: tuple[list[FittedHeadOnExperts], OutOfFold],
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    recipe: Recipe,
    seed: int = 0,
    training: dict[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """Return the ensemble of fitted heads: weights, gate, baselines and calibration from out-of-fold scores.

    Args:
        heads: from `fit_heads` with the same recordings, experts and recipe.
        embeddings: expert name -> float32 `[recording, dim]`.
        targets: labels.
        subjects: `[recording]`.
        experts: facts of the experts in `embeddings`.
        recipe: how they are combined.
        seed: of everything random.
        training: facts for the bundle about what it was trained on.
        progress: called with a line before each task.
    """
    fitted, scores = heads

    def one_task(target: Target) -> TaskModel:
        progress(f"weights for {target.task.name}")
        return fit_task(target, fitted, scores, embeddings.get(recipe.gate_input), subjects, recipe, seed)

    members = {one.name: scores[one.name] for one in fitted if is_member(one.name)}
    with one_thread_each():
        with ThreadPoolExecutor(cpus()) as pool:
            models = {model.task.name: model for model in pool.map(one_task, targets)}
        reduced = reduced_ensembles([info for info in experts if not info.gate_input], models, targets, members)
    settings = {**asdict(recipe), "seed": seed}
    return Ensemble(list(experts), models, fitted, settings, training or {}, reduced)


def fit_task(
    target: Target,
    heads: Sequence[FittedHeadOnExperts],
    scores: OutOfFold,
    gate_input: np.ndarray | None,
    subjects: np.ndarray,
    recipe: Recipe,
    seed: int,
) -> TaskModel:
    """Return weights, gate, baselines and calibration of one task, all from out-of-fold scores.

    A gate is kept only where it helps on subjects that it was not fitted to.
    """
    name = target.task.name
    own = {one.name: scores[one.name][name] for one in heads if name in one.tasks}
    names = [member for member in own if is_member(member)]
    members = [own[member] for member in names]
    combiner = Combiner.fit(names, members, target, "shares")
    effect, gate = None, None
    if len(names) > 1 and gate_input is not None:
        effect = gate_effect(combiner, members, target, gate_input, subjects, folds=recipe.folds, seed=seed)
        if effect.helps:
            gate = fit_cluster_gate(combiner, members, target, gate_input, seed)
    if gate is None:
        combiner = combiner.select_single_if_as_good(members, target)  # a gate needs the other members
    out_of_fold = nested_out_of_fold(
        names, members, target, subjects, None if gate is None else gate_input, recipe, seed
    )
    calibrated = cross_calibrated(target, out_of_fold, subjects, recipe.folds, seed + 2)
    return TaskModel(
        target.task,
        combiner,
        gate,
        effect,
        "" if effect is None else recipe.gate_input,
        Baselines.fit(names, own, target),
        None if target.task.kind == "regression" else Calibrator.fit(target, out_of_fold),
        residual_quantiles(target, calibrated),
        choose_thresholds(target, calibrated),
    )


def nested_out_of_fold(
    names: Sequence[str],
    scores: Sequence[np.ndarray],
    target: Target,
    subjects: np.ndarray,
    gate_input: np.ndarray | None,
    recipe: Recipe,
    seed: int,
) -> np.ndarray:
    """Return answers of combinations whose weights and gate, too, have not seen the subject: `[recording, output]`."""
    fold = subject_folds(subjects, recipe.folds, seed + 1)
    out = np.full(target.y.shape, np.nan)
    for k in range(recipe.folds):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        own, labels = [score[inside] for score in scores], target.take(inside)
        part = Combiner.fit(names, own, labels, "shares")
        rest = [score[outside] for score in scores]
        if gate_input is None:
            out[outside] = part.select_single_if_as_good(own, labels).predict(rest)
        else:
            gate = fit_cluster_gate(part, own, labels, gate_input[inside], seed)
            out[outside] = part.predict(rest, gate.gated(gate_input[outside], part))
    return out
