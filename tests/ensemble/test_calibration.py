"""Intervals and thresholds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from enecg.ensemble.calibration import Calibrator, choose_thresholds, cross_calibrated, residual_quantiles
from enecg.tasks import Target, Task


def test_quantiles_cover_nine_tenths() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(50, 10, (4000, 1))
    honest = y + rng.normal(2, 5, y.shape)
    bounds = residual_quantiles(Target(Task("age", "regression", "age"), y), honest)
    assert bounds is not None
    fresh = rng.normal(-2, 5, 4000)
    assert 0.88 < ((fresh > bounds[0]) & (fresh < bounds[1])).mean() < 0.92


def test_threshold_finds_the_step_and_leaves_rare_classes_alone() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((500, 2))
    y = np.stack([p[:, 0] > 0.3, np.arange(500) < 5], axis=1).astype(float)
    found = choose_thresholds(Target(Task("t", "multilabel", "t", classes=("a", "b")), y), p)
    assert found is not None
    assert abs(found[0] - 0.3) < 0.02
    assert found[1] == 0.5


def test_nothing_where_it_has_no_meaning() -> None:
    y = np.zeros((30, 1))
    assert choose_thresholds(Target(Task("t", "regression", "t"), y), y) is None
    assert residual_quantiles(Target(Task("t", "binary", "t", classes=("a", "b")), y), y) is None


def _overconfident(n: int, seed: int) -> tuple[Target, np.ndarray, np.ndarray]:
    """Labels, probabilities that claim twice the log odds, and the true ones."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 1.5, (n, 1))
    true = 1 / (1 + np.exp(-logit))
    y = (rng.random((n, 1)) < true).astype(float)
    return Target(Task("t", "binary", "t", classes=("a", "b")), y), 1 / (1 + np.exp(-2 * logit)), true


@pytest.mark.parametrize(("n", "method"), [(600, "temperature"), (8000, "isotonic")])
def test_calibration_undoes_overconfidence_by_a_method_that_fits_the_size(n: int, method: str) -> None:
    target, said, _ = _overconfident(n, 0)
    calibrator = Calibrator.fit(target, said)
    assert calibrator.method == method
    _, fresh, true = _overconfident(2000, 1)
    mended = calibrator(fresh)
    assert np.abs(mended - true).mean() < 0.4 * np.abs(fresh - true).mean()
    order = np.argsort(fresh[:, 0])
    assert (np.diff(mended[order, 0]) >= 0).all()
    again = Calibrator.from_dict(json.loads(json.dumps(calibrator.as_dict())))
    np.testing.assert_array_equal(again(fresh), mended)


def test_calibrated_classes_still_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 2, 3], 300)
    y = np.eye(3)[[rng.choice(3, p=row) for row in p]]
    found = Calibrator.fit(Target(Task("t", "multiclass", "t", classes=("a", "b", "c")), y), p)
    assert found.temperature == pytest.approx(1, abs=0.25)
    np.testing.assert_allclose(found(p).sum(1), 1)


def test_honest_calibration_is_blind_to_a_subjects_own_labels() -> None:
    target, said, _ = _overconfident(400, 2)
    subjects = np.array([f"s{i // 4}" for i in range(400)])
    before = cross_calibrated(target, said, subjects, 5, seed=0)
    changed = Target(target.task, target.y.copy())
    changed.y[:4] = 1 - changed.y[:4]
    after = cross_calibrated(changed, said, subjects, 5, seed=0)
    np.testing.assert_array_equal(before[:4], after[:4])
    assert (before[4:] != after[4:]).any()


def test_a_temperature_that_noise_could_have_made_is_not_used() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(0, 2, (600, 1))
    y = (rng.random((600, 1)) < 1 / (1 + np.exp(-z))).astype(float)
    target = Target(Task("t", "binary", "t", classes=("a", "b")), y)
    assert Calibrator.fit(target, 1 / (1 + np.exp(-z))).temperature == 1
    assert Calibrator.fit(target, 1 / (1 + np.exp(-2 * z))).temperature == pytest.approx(2, rel=0.3)
