"""The door to all recipes: an ensemble from embeddings and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.heads import fit_heads
from enecg.ensemble.fitting.labels import MIN_LABELLED, validated_target
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.fitting.weights import fit_combination
from enecg.ensemble.outputs import Embeddings
from enecg.errors import InputError
from enecg.tasks import Target


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
    """Fit an ensemble by any recipe.

    With joint training, the baselines come from heads that are fitted one by one: EnECG's mixture is compared with
    heads that know of no other expert.

    Args:
        embeddings: expert name -> float32 `[recording, dim]`.
        targets: labels of the same recordings; NaN rows are masked, task by task.
        subjects: `[recording]`; everything that is held out inside is held out by subject.
        experts: facts of the experts in `embeddings`.
        recipe: the default one when None.
        seed: of everything random.
        training: facts for the bundle about what it was trained on.
        progress: called with a line before each part.

    Raises:
        InputError: too few labelled recordings or subjects, or a task with one class only.
    """
    recipe = recipe or Recipe()
    subjects = np.asarray(subjects, dtype=str)
    targets = [validated_target(target, subjects, recipe) for target in targets]
    _check_seen({info.name: embeddings[info.name] for info in experts if not info.gate_input}, targets)
    heads = fit_heads(embeddings, targets, subjects, experts, recipe, seed, progress)
    ensemble = fit_combination(heads, embeddings, targets, subjects, experts, recipe, seed, training, progress)
    if recipe.joint_training is None:
        return ensemble
    from enecg.ensemble.fitting.joint import with_joint_training

    return with_joint_training(ensemble, embeddings, targets, subjects, recipe.joint_training, seed, progress)


def _check_seen(embeddings: Embeddings, targets: Sequence[Target]) -> None:
    """Raise `InputError` when an expert has embeddings of too few labelled recordings of a task."""
    for name, matrix in embeddings.items():
        seen = np.isfinite(matrix).any(1)
        for target in targets:
            count = int((target.known & seen).sum())
            if count < MIN_LABELLED:
                raise InputError(
                    f"task {target.task.name}: the expert {name} has embeddings of {count} of "
                    f"{int(target.known.sum())} labelled recordings, and needs {MIN_LABELLED}; leave out the expert or "
                    f"the task"
                )
