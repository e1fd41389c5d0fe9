"""The labels of a fit: read once, without the classes that are too rare to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from enecg.ensemble.fitting.recipes import Recipe
from enecg.errors import InputError
from enecg.tasks import Target, Task

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort

MIN_LABELLED: Final = 20  # recordings that a task needs to be fitted and judged
MIN_OF_CLASS: Final = 10  # labelled recordings that a class needs


def prepare(
    cohort: Cohort, tasks: Sequence[Task], recipe: Recipe | None = None, parts: Sequence[np.ndarray] | None = None
) -> list[Target]:
    """Return the labels of a cohort for a fit, one `Target` per task in their order.

    The cells of the manifest are parsed here and nowhere else in a fit: everything later takes these targets, or some
    of their recordings (`Target.take`). `Target.problems` names what is left out.

    Args:
        cohort: the recordings.
        tasks: what to predict.
        recipe: of the fit; with it, a task that cannot be fitted is an error already here.
        parts: bool `[recording]` each: the training parts in which every class must have enough recordings, such as
            those of the folds of a cross-validation; by default the whole cohort.

    Raises:
        InputError: a column is missing, a task has too few labels, or too few classes are left.
    """
    targets = [cohort.target(task) for task in tasks]
    if recipe is not None:
        for target in targets:
            check_target(target, cohort.subjects, recipe)
    return [drop_rare_classes(target, parts=parts) for target in targets]


def validated_target(target: Target, subjects: np.ndarray, recipe: Recipe) -> Target:
    """Return the target without rare classes.

    Raises:
        InputError: the task cannot be fitted; the message says why.
    """
    check_target(target, subjects, recipe)
    return drop_rare_classes(target)


def check_target(target: Target, subjects: np.ndarray, recipe: Recipe) -> None:
    """Check that a task has enough labels for a fit.

    Raises:
        InputError: too few labelled recordings or subjects, or a binary task with one class only.
    """
    task, known = target.task, target.known
    people = len(np.unique(subjects[known]))
    if known.sum() < MIN_LABELLED or people < 2 * recipe.folds:
        raise InputError(
            f"task {task.name}: {int(known.sum())} labelled recordings of {people} subjects are too few to fit; "
            f"{MIN_LABELLED} recordings of {2 * recipe.folds} subjects are needed"
        )
    if task.kind == "binary":
        positives = int(target.y[known].sum())
        if positives in (0, known.sum()):
            raise InputError(f"task {task.name}: all training labels are {task.classes[int(positives > 0)]}")


def drop_rare_classes(target: Target, minimum: int = MIN_OF_CLASS, parts: Sequence[np.ndarray] | None = None) -> Target:
    """Return the target without classes of fewer than `minimum` recordings; `Target.problems` names them.

    In a multiclass task their recordings become unlabelled. A class with few recordings cannot be told from noise, and
    would take probability from the others.

    Args:
        target: labels.
        minimum: labelled recordings that a class must have.
        parts: bool `[recording]` each; a class must have as many in each of them. By default all recordings.

    Raises:
        InputError: fewer than two classes of a multiclass task, or none of a multilabel one, are left.
    """
    task = target.task
    if task.kind not in ("multiclass", "multilabel"):
        return target
    parts = (np.array(True),) if parts is None else parts
    counts = np.min([np.nansum(target.y, axis=0, where=part[..., None]) for part in parts], axis=0).astype(int)
    kept = counts >= minimum
    dropped = tuple(
        f"task {task.name}: class {name} has {count} labelled recordings, fewer than {minimum}, and is left out"
        for name, count, stays in zip(task.classes, counts, kept, strict=True)
        if not stays
    )
    if kept.sum() < (2 if task.kind == "multiclass" else 1):
        raise InputError(f"task {task.name}: too few classes have {minimum} labelled recordings or more")
    y = target.y[:, kept]
    if task.kind == "multiclass":
        y = np.where((y.sum(1) > 0)[:, None], y, np.nan)
    classes = tuple(name for name, stays in zip(task.classes, kept, strict=True) if stays)
    return Target(replace(task, classes=classes), y, (*target.problems, *dropped), target.notes)
