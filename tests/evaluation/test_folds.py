"""Folds: the same whoever fits them and when, kept as files, and told apart by all that determines them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import INFOS, make

from enecg.cohorts.split import subject_folds
from enecg.ensemble.fitting.recipes import Recipe
from enecg.errors import InputError
from enecg.evaluation import folds
from enecg.evaluation.folds import CrossValidation, Fold, run_folds

RECIPE = Recipe("small", landmarks=32, gate_input="", closed_form=True)


def _plan(n: int = 160) -> CrossValidation:
    embeddings, targets, subjects = make(n)
    fold = subject_folds(subjects, 3, 0)
    return CrossValidation(embeddings, targets[:3], subjects, fold, INFOS, RECIPE, 0, {"numpy": "2"})


def _same(one: Fold, other: Fold) -> None:
    np.testing.assert_array_equal(one.rows, other.rows)
    assert one.outputs.keys() == other.outputs.keys()
    for name, output in one.outputs.items():
        again = other.outputs[name]
        assert output.task == again.task
        for part in ("value", "low", "high", "thresholds"):
            np.testing.assert_array_equal(getattr(output, part), getattr(again, part))
        np.testing.assert_equal(vars(output.baselines), vars(again.baselines))
        np.testing.assert_equal(output.weights, again.weights)
        np.testing.assert_equal(output.raw, again.raw)


@pytest.fixture(scope="module")
def fitted() -> list[Fold]:
    return run_folds(_plan(), 3)


def test_every_recording_is_answered_once_by_a_fit_that_has_not_seen_its_subject(fitted: list[Fold]) -> None:
    plan = _plan()
    rows = np.concatenate([fold.rows for fold in fitted])
    assert sorted(rows) == list(range(len(plan.subjects)))
    for fold in fitted:
        outside = np.setdiff1d(np.arange(len(plan.subjects)), fold.rows)
        assert not set(plan.subjects[fold.rows]) & set(plan.subjects[outside])
        assert all(len(output.value) == len(fold.rows) for output in fold.outputs.values())
        assert fold.facts["seconds"] > 0
        assert fold.facts["peak_bytes"] > 1e7
        assert fold.facts["trained"] > 100


def test_labels_of_a_fold_do_not_reach_its_answers(fitted: list[Fold]) -> None:
    plan = _plan()
    spoilt = []
    for target in plan.targets:
        y = target.y.copy()
        y[plan.fold == 1] = y[plan.fold == 1][::-1]
        spoilt.append(replace(target, y=y))
    _same(replace(plan, targets=spoilt).run(1, lambda _: None), fitted[1])


def test_processes_give_the_same_folds(fitted: list[Fold]) -> None:
    told: list[str] = []
    for one, other in zip(run_folds(_plan(), 3, jobs=2, progress=told.append), fitted, strict=True):
        _same(one, other)
    assert {line.split(":")[0] for line in told} == {f"fold {k} of 3" for k in (1, 2, 3)}


def test_a_refusal_in_a_process_is_told_here() -> None:
    plan = _plan()
    known = np.arange(len(plan.subjects)) < 15
    few = replace(plan.targets[0], y=np.where(known[:, None], plan.targets[0].y, np.nan))
    with pytest.raises(InputError, match=r"task rr_interval: .* are too few to fit"):
        run_folds(replace(plan, targets=[few]), 3, jobs=2)


def test_an_interrupted_run_goes_on(fitted: list[Fold], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = CrossValidation.run
    asked: list[int] = []

    def interrupted(plan: CrossValidation, k: int, progress: folds.Progress) -> Fold:
        if k == 1 and 1 not in asked:
            asked.append(k)
            raise KeyboardInterrupt
        asked.append(k)
        return fit(plan, k, progress)

    monkeypatch.setattr(CrossValidation, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_folds(_plan(), 3, work=tmp_path)
    told: list[str] = []
    found = run_folds(_plan(), 3, work=tmp_path, progress=told.append)
    assert told[0].startswith("fold 1 of 3: found in")
    assert asked == [0, 1, 1, 2]
    for one, other in zip(found, fitted, strict=True):
        _same(one, other)
    monkeypatch.setattr(CrossValidation, "run", None)  # nothing is left to fit
    for one, other in zip(run_folds(_plan(), 3, work=tmp_path), fitted, strict=True):
        _same(one, other)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".npz"}


def test_a_fold_is_known_by_all_that_determines_it() -> None:
    plan = _plan()
    assert plan.key == _plan().key
    y = plan.targets[0].y.copy()
    y[0] += 1
    matrix = plan.embeddings["shapes"].copy()
    matrix[0, 0] += 1
    others = [
        replace(plan, seed=1),
        replace(plan, recipe=replace(RECIPE, landmarks=33)),
        replace(plan, versions={"numpy": "3"}),
        replace(plan, fold=np.roll(plan.fold, 1)),
        replace(plan, subjects=np.roll(plan.subjects, 1)),
        replace(plan, targets=plan.targets[:2]),
        replace(plan, targets=[replace(plan.targets[0], y=y), *plan.targets[1:]]),
        replace(plan, embeddings={**plan.embeddings, "shapes": matrix}),
        replace(plan, experts=[replace(INFOS[0], fingerprint="e" * 64), *INFOS[1:]]),
        replace(plan, experts=[replace(INFOS[0], network_input="beat"), *INFOS[1:]]),
    ]
    keys = {each.key for each in (plan, *others)}
    assert len(keys) == len(others) + 1
