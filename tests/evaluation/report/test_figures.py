"""Curves, bins and counts behind the charts, against the metrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from enecg.evaluation.report.figures import CURVE_POINTS, figures, reliability, roc_curve
from enecg.evaluation.scores import TaskPredictions
from enecg.tasks import BUILT_IN, Task
from plain_values import auroc, metric_value


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=150))
def test_area_under_the_curve_is_the_auroc(pairs: list[tuple[bool, int]]) -> None:
    y, score = np.array(pairs, float).T
    curve = roc_curve(y, score)
    if 0 < y.sum() < len(y):
        assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(auroc(y, score))
        assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1]
        assert (np.diff(curve, axis=0) >= 0).all()
    else:
        assert curve.shape == (0, 2)


def test_long_curve_is_thinned() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(5000) < 0.5).astype(float)
    score = y + rng.normal(size=5000)
    curve = roc_curve(y, score)
    assert len(curve) == CURVE_POINTS
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(auroc(y, score), abs=2e-3)


@given(st.integers(0, 999))
def test_reliability_bins_make_up_the_ece(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random((60, 1)) ** 2
    y = (rng.random((60, 1)) < p).astype(float)
    found = reliability(p[:, 0], y[:, 0], "x")
    assert found.n.sum() == 60
    ece = (found.n * np.abs(found.predicted - found.observed)).sum() / 60
    assert ece == pytest.approx(metric_value("binary", "ece", y, p))
    assert (found.low <= found.observed + 1e-12).all() and (found.observed <= found.high + 1e-12).all()
    assert (found.low >= -1e-12).all() and (found.high <= 1 + 1e-12).all()


def test_wilson_interval() -> None:
    found = reliability(np.full(10, 0.5), np.array([1.0] * 8 + [0.0] * 2), "x")
    assert (found.low[0], found.high[0]) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_regression_agreement_leaves_out_what_has_no_label() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(60, 10, (900, 1))
    output = y + rng.normal(2, 3, y.shape)
    y[::9] = np.nan
    known = np.isfinite(y[:, 0])
    found = figures(BUILT_IN["age"], y, TaskPredictions(output), points=300).agreement
    assert found is not None
    difference = (output - y)[known]
    assert (found.n, found.points.shape) == (800, (300, 2))
    assert found.bias == pytest.approx(difference.mean())
    assert found.limits == pytest.approx(
        (difference.mean() - 1.96 * difference.std(), difference.mean() + 1.96 * difference.std()), rel=1e-4
    )
    drawn = {tuple(point) for point in found.points.tolist()}
    assert drawn <= {tuple(pair) for pair in np.hstack([y, output])[known].tolist()}


def test_classifications() -> None:
    rng = np.random.default_rng(1)
    binary = (rng.random((80, 1)) < 0.4).astype(float)
    p = np.clip(0.3 * binary + 0.7 * rng.random((80, 1)), 0, 1)
    given_ = TaskPredictions(p, {"a": rng.random((80, 1))}, {"mean": p}, thresholds=np.array([0.3]))
    found = figures(BUILT_IN["sex"], binary, given_)
    assert found.roc.keys() == {"ensemble", "a"}
    assert found.confusion is not None and found.reliability is not None
    np.testing.assert_array_equal(found.confusion, confusion_matrix(binary[:, 0], p[:, 0] >= 0.3))
    assert found.reliability.about == "F"

    classes = ("a", "b", "c", "never")
    y = np.eye(4)[rng.integers(0, 3, 80)]
    p = rng.dirichlet(np.ones(4), 80)
    found = figures(Task("t", "multiclass", "t", classes=classes), y, TaskPredictions(p))
    assert found.roc.keys() == {"a", "b", "c"}  # a class that does not occur has no curve
    assert found.confusion is not None and found.reliability is not None
    np.testing.assert_array_equal(found.confusion, confusion_matrix(y.argmax(1), p.argmax(1), labels=range(4)))
    assert found.reliability.n.sum() == 80

    found = figures(Task("t", "multilabel", "t", classes=classes), y, TaskPredictions(p))
    assert found.confusion is None and found.reliability is not None
    assert found.reliability.n.sum() == 4 * 80
