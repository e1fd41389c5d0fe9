"""The labels of a fit: read once, with the limits below which a class or a task cannot be learned."""

from __future__ import annotations

import numpy as np
import pytest

from enecg.cohorts.manifest import Cohort
from enecg.ensemble.fitting.labels import MIN_LABELLED, MIN_OF_CLASS, drop_rare_classes, prepare, validated_target
from enecg.ensemble.fitting.recipes import Recipe
from enecg.errors import InputError
from enecg.tasks import Target, Task, parse_tasks
from generated import Trained

RHYTHM = Task("rhythm", "multiclass", "rhythm", classes=("SR", "AFIB", "PVC"))


def _rhythms(*counts: int) -> Target:
    y = np.repeat(np.eye(3), counts, axis=0)
    return Target(RHYTHM, y)


@pytest.mark.parametrize("count", [MIN_OF_CLASS - 1, MIN_OF_CLASS])
def test_a_class_needs_ten_recordings(count: int) -> None:
    left = drop_rare_classes(_rhythms(40, 30, count))
    kept = count >= MIN_OF_CLASS
    assert left.task.classes == (("SR", "AFIB", "PVC") if kept else ("SR", "AFIB"))
    assert left.known.sum() == 70 + (count if kept else 0)
    assert len(left.problems) == (0 if kept else 1)


def test_a_class_needs_them_in_every_part() -> None:
    target = _rhythms(40, 30, 15)
    inside = np.arange(85) < 78  # eight of the last class
    assert drop_rare_classes(target, parts=[np.ones(85, bool)]).task.classes == RHYTHM.classes
    assert drop_rare_classes(target, parts=[np.ones(85, bool), inside]).task.classes == ("SR", "AFIB")


@pytest.mark.parametrize("count", [MIN_LABELLED - 1, MIN_LABELLED])
def test_a_task_needs_twenty_recordings(count: int) -> None:
    y = np.where(np.arange(50) < count, 60.0, np.nan)[:, None]
    target = Target(Task("age", "regression", "age"), y)
    subjects = np.arange(50).astype(str)
    if count < MIN_LABELLED:
        with pytest.raises(InputError, match=f"{count} labelled recordings of {count} subjects are too few"):
            validated_target(target, subjects, Recipe())
    else:
        assert validated_target(target, subjects, Recipe()) is target


def test_labels_of_a_cohort_are_prepared_once(trained: Trained) -> None:
    cohort = Cohort.load(trained.manifest)
    age, findings = prepare(cohort, parse_tasks("age,findings:multilabel"), Recipe())
    assert age.task.name == "age" and age.known.any()
    whole = cohort.target(parse_tasks("findings:multilabel")[0])
    assert set(findings.task.classes) < set(whole.task.classes)
    assert sum("is left out" in problem for problem in findings.problems) == len(whole.task.classes) - len(
        findings.task.classes
    )
    with pytest.raises(InputError, match="too few to fit"):
        prepare(cohort.take(range(10)), parse_tasks("age"), Recipe())
