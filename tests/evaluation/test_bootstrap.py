"""Resampling by subject, intervals, and the verdict on a paired difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enecg.errors import InputError
from enecg.evaluation import bootstrap as module
from enecg.evaluation.bootstrap import Estimate, bootstrap, resamples


def all_weights(subjects: list[str], replicates: int, seed: int) -> np.ndarray:
    return np.vstack(list(resamples(subjects, replicates, seed)))


@given(subjects=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_a_subject_is_drawn_whole(subjects: list[str], seed: int) -> None:
    weights = all_weights(subjects, 7, seed)
    names = np.array(subjects)
    assert weights.shape == (7, len(subjects))
    first = [int(np.flatnonzero(names == name)[0]) for name in np.unique(names)]
    np.testing.assert_array_equal(weights[:, first].sum(1), len(first))
    for name in np.unique(names):
        assert (np.ptp(weights[:, names == name], axis=1) == 0).all()


def test_weights_depend_on_the_seed_and_not_on_the_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [str(i // 2) for i in range(40)]
    whole = all_weights(subjects, 50, seed=3)
    np.testing.assert_array_equal(all_weights(subjects, 50, seed=3), whole)
    assert (all_weights(subjects, 50, seed=4) != whole).any()
    monkeypatch.setattr(module, "_CELLS", 40 * 7)
    assert len(list(resamples(subjects, 50, 3))) == 8
    np.testing.assert_array_equal(all_weights(subjects, 50, seed=3), whole)


@given(n=st.integers(20, 80), seed=st.integers(0, 999))
def test_interval_contains_the_point(n: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=n)
    mean = bootstrap(lambda w: {"mean": w @ x / w.sum(1)}, np.arange(n), 200, seed)["mean"]
    low, high = mean.interval
    assert low < mean.value < high
    assert mean.value == pytest.approx(x.mean())


def test_interval_has_the_width_that_theory_gives() -> None:
    x = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(lambda w: {"m": w @ x / w.sum(1)}, np.arange(400), 4000)["m"].interval
    assert high - low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.05)
    # Four copies of each subject's recording say nothing new: the interval stays, it does not halve.
    copies, names = np.repeat(x, 4), np.repeat(np.arange(400), 4)
    again = bootstrap(lambda w: {"m": w @ copies / w.sum(1)}, names, 4000)["m"].interval
    assert again == pytest.approx((low, high))


def test_interval_leaves_out_what_cannot_be_said() -> None:
    draws = np.array([np.nan, 1.0, 2.0, np.nan, 3.0])
    assert Estimate(2.0, draws).interval == Estimate(2.0, draws[[1, 2, 4]]).interval
    assert np.isnan(Estimate(np.nan, draws).interval).all()
    assert np.isnan(Estimate(2.0, draws[:1]).interval).all()


@pytest.mark.parametrize(
    ("draws", "higher", "lower"),
    [
        ([0.1, 0.2, 0.3], "better", "worse"),
        ([-0.3, -0.2, -0.1], "worse", "better"),
        ([-0.1, 0.0, 0.1], "no difference shown", "no difference shown"),
        ([np.nan], "no difference shown", "no difference shown"),
    ],
)
def test_verdict(draws: list[float], higher: str, lower: str) -> None:
    difference = Estimate(float(np.mean(draws)), np.array(draws))
    assert difference.verdict(higher_is_better=True) == higher
    assert difference.verdict(higher_is_better=False) == lower


@given(seed=st.integers(0, 999))
def test_nothing_differs_from_itself(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=30)
    found = bootstrap(lambda w: {name: w @ x / w.sum(1) for name in "ab"}, np.arange(30), 50, seed)
    difference = found["a"] - found["b"]
    assert difference.interval == (0, 0)
    assert difference.verdict(higher_is_better=True) == "no difference shown"


def test_pairing_shows_a_small_constant_gain() -> None:
    error = np.random.default_rng(5).exponential(size=100)
    found = bootstrap(lambda w: {g: w @ (error - g) / w.sum(1) for g in (0.0, 0.02)}, np.arange(100), 100)
    assert (found[0.02] - found[0.0]).verdict(higher_is_better=False) == "better"
    assert found[0.0].interval[0] < found[0.02].value < found[0.0].interval[1]


def test_refuses_nothing_to_resample() -> None:
    for subjects, replicates in (([], 10), (["a"], 0)):
        with pytest.raises(InputError, match="at least one of each"):
            bootstrap(lambda w: {"n": w.sum(1)}, subjects, replicates)
