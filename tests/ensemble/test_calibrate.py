"""Intervals and thresholds."""

from __future__ import annotations

import numpy as np

from enecg.ensemble.calibrate import choose_thresholds, residual_quantiles
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
