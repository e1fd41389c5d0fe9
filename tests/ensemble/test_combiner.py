"""Weights: no expert counts against itself; honest about silent members, robust to bad ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from enecg.ensemble.combiner import Combiner, PlattScaling
from enecg.ensemble.losses import link, sigmoid, softmax
from enecg.ensemble.weight_solver import PULL, Rule, experts_of
from enecg.tasks import Target, Task


def _regression(seed: int = 0, n: int = 300) -> tuple[list[np.ndarray], Target]:
    rng = np.random.default_rng(seed)
    y = rng.normal(60, 15, (n, 1))
    members = [y + rng.normal(0, sd, (n, 1)) for sd in (3, 6, 200)]
    return members, Target(Task("age", "regression", "age", loss="l1"), y)


def _classes(kind: str, seed: int = 0, n: int = 400) -> tuple[list[np.ndarray], Target]:
    rng = np.random.default_rng(seed)
    one_hot = np.eye(3)[rng.choice(3, n, p=[0.6, 0.3, 0.1])]
    y = one_hot[:, 1:2] if kind == "binary" else one_hot
    members = [y + rng.normal(0, sd, y.shape) for sd in (0.5, 1.0, 30.0)]
    names = ("a", "b") if kind == "binary" else ("a", "b", "c")
    return members, Target(Task("t", kind, "t", classes=names), y)  # type: ignore[arg-type]


def test_regression_weights_are_not_negative_and_trust_the_better() -> None:
    members, target = _regression()
    combiner = Combiner.fit(["a/x", "b/x", "c/x"], members, target, "shares")
    weights = combiner.weights[:, 0]
    assert 0.9 < weights.sum() < 1.1 and (weights >= 0).all()
    assert weights[0] > weights[1] > weights[2]
    error = np.abs(combiner.predict(members) - target.y).mean()
    assert error < np.abs(members[0] - target.y).mean()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_class_weights_are_not_negative_and_probabilities_are_calibrated(kind: str) -> None:
    members, target = _classes(kind)
    combiner = Combiner.fit(["a/x", "b/x", "c/x"], members, target, "shares")
    assert (combiner.weights >= 0).all()
    assert (combiner.weights[0] > combiner.weights[2]).all()
    p = combiner.predict(members)
    assert np.allclose(p.mean(0), target.y.mean(0), atol=0.03)
    if kind == "multiclass":
        assert np.allclose(p.sum(1), 1)


def test_a_measurement_that_is_as_good_alone_is_select_single_if_as_good() -> None:
    members, target = _regression()
    exact = target.y + np.random.default_rng(1).normal(0, 0.01, target.y.shape)
    given_both = [exact, members[1]]
    combiner = Combiner.fit(["a/direct", "b/x"], given_both, target, "shares").select_single_if_as_good(
        given_both, target
    )
    assert (combiner.predict(given_both) == exact).all()
    needed = Combiner.fit(["a/x", "b/x"], members[:2], target, "shares")
    assert needed.select_single_if_as_good(members[:2], target) is needed


def _expert_shares(combiner: Combiner) -> np.ndarray:
    """`[expert, output]`."""
    experts = sorted({expert for member in combiner.members for expert in experts_of(member)})
    parts = np.array([[experts_of(member).get(expert, 0.0) for member in combiner.members] for expert in experts])
    return np.asarray(parts @ combiner.weights)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["regression", "binary", "multiclass", "multilabel"]))
def test_a_head_may_correct_another_but_no_expert_counts_against_itself(seed: int, kind: str) -> None:
    """Heads with common errors: free weights subtract one from another."""
    rng = np.random.default_rng(seed)
    members, target = _regression(seed, 200) if kind == "regression" else _classes(kind, seed, 200)
    common = rng.normal(0, 5 if kind == "regression" else 1, members[0].shape)
    members = [members[0] + common, members[1] + 0.6 * common, members[1] - common, 0.5 * (members[0] + members[1])]
    names = ["a/x", "a/y", "b/x", "a+b/z"]
    rules: tuple[Rule, ...] = ("shares", "free")
    found = {rule: Combiner.fit(names, members, target, rule) for rule in rules}
    assert (_expert_shares(found["shares"]) >= -1e-3).all()
    if target.y.shape[1] > 1:
        return  # weights of several outputs are fitted in two steps, each of which may cost the other something
    losses = {rule: _fit_loss(one, members, target) for rule, one in found.items()}
    assert losses["free"] <= losses["shares"] * (1 + 1e-3)


def _fit_loss(combiner: Combiner, members: list[np.ndarray], target: Target) -> float:
    """What the weights were fitted to, with the pull."""
    p, y = combiner.predict(members), target.y
    if target.task.kind == "regression":
        return float(np.abs(p - y).mean())
    log = -(y * np.log(p) if target.task.kind == "multiclass" else y * np.log(p) + (1 - y) * np.log(1 - p)).sum()
    shared = combiner.weights.mean(1, keepdims=True)
    return float(
        log + PULL * ((shared - 1 / len(members)) ** 2).sum() + PULL * ((combiner.weights - shared) ** 2).sum()
    )


def test_an_expert_without_a_head_of_its_own_does_not_count_against_itself() -> None:
    members, target = _classes("binary")
    one, other, noise = members
    combiner = Combiner.fit(["a/x", "a+b/z", "b+c/z"], [one, one + 0.5 * noise, other], target, "shares")
    assert (_expert_shares(combiner) >= -1e-6).all()


def test_what_corrects_a_silent_head_is_left_out() -> None:
    weights = np.array([[1.3], [-0.3], [0.2]])
    combiner = Combiner("regression", ("a/x", "a/y", "b/x"), [PlattScaling.identity(1)] * 3, weights, np.zeros(1))
    said = np.array([[[1.0], [np.nan]], [[1.0], [5.0]], [[1.0], [2.0]]])
    assert np.allclose(combiner.effective(said)[:, :, 0], [[1.3, 0], [-0.3, 0], [0.2, 1.2]])
    assert np.allclose(combiner.combine(said)[:, 0], [1.2, 2.4])


def test_heads_that_shrink_are_stretched() -> None:
    _, target = _regression()
    shrunk = [60 + 0.5 * (target.y - 60)]
    combiner = Combiner.fit(["a/x"], shrunk, target, "shares")
    assert np.abs(combiner.predict(shrunk) - target.y).max() < 0.5


def test_a_harmful_member_does_no_harm() -> None:
    members, target = _classes("binary")
    inverted = [*members[:2], -members[0]]
    combiner = Combiner.fit(["a/x", "b/x", "bad/x"], inverted, target, "shares")
    assert combiner.platt[2].slope[0] == 0  # worse than chance: says nothing
    assert combiner.shares()["bad"] == 0
    assert np.allclose(combiner.predict(inverted).mean(), target.y.mean(), atol=0.02)


def test_silent_members_hand_their_weight_to_the_others() -> None:
    members, target = _regression()
    combiner = Combiner.fit(["a/x", "b/x", "c/x"], members, target, "shares")
    silent = [m.copy() for m in members]
    silent[0][:5] = np.nan
    calibrated = combiner.calibrated(silent)
    weights = combiner.effective(calibrated)
    assert np.allclose(weights.sum(0), combiner.weights.sum(0))
    assert (weights[0, :5] == 0).all()
    assert np.isfinite(combiner.predict(silent)).all()
    everyone = [np.full_like(m, np.nan) for m in members]
    assert np.isnan(combiner.predict(everyone)).all()


def test_when_every_weighted_member_is_silent_the_others_answer() -> None:
    members, _ = _regression()
    combiner = Combiner(
        "regression", ("a/x", "b/x"), [PlattScaling.identity(1)] * 2, np.array([[1.0], [0.0]]), np.zeros(1)
    )
    given_up = [np.full_like(members[0], np.nan), members[1]]
    assert np.allclose(combiner.predict(given_up), members[1])


def test_fit_survives_members_with_gaps() -> None:
    members, target = _classes("binary")
    members[1][::2] = np.nan
    combiner = Combiner.fit(["a/x", "b/x", "c/x"], members, target, "shares")
    assert np.isfinite(combiner.predict(members)).all()


@pytest.mark.parametrize("prevalence", [0.3, 0.02])
@pytest.mark.parametrize("distance", [1.0, 6.0])
def test_platt_equals_logistic_regression(prevalence: float, distance: float) -> None:
    """Also for rare classes that stand far apart, where plain Newton steps run away."""
    rng = np.random.default_rng(0)
    y = (rng.random((2000, 1)) < prevalence).astype(float)
    scores = 7 + 3 * (distance * y + rng.standard_t(4, y.shape))
    ours = PlattScaling.fit(scores, y)
    theirs = LogisticRegression(C=1e6, max_iter=1000).fit(scores, y.ravel())
    assert np.isclose(ours.slope[0], theirs.coef_[0, 0], rtol=0.15)  # labels are softened
    assert np.abs(sigmoid(ours(scores))[:, 0] - theirs.predict_proba(scores)[:, 1]).max() < 0.05


def test_log_factors_keep_the_total_weight() -> None:
    members, target = _classes("multilabel")
    combiner = Combiner.fit(["a/x", "b/x", "c/x"], members, target, "shares")
    gated = combiner.scaled(np.random.default_rng(0).normal(size=(len(target.y), 3)))
    weights = combiner.effective(combiner.calibrated(members), gated)
    assert np.allclose(weights.sum(0), combiner.weights.sum(0))


def test_log_factors_of_zero_change_nothing() -> None:
    members, target = _regression()
    combiner = Combiner.fit(["a/x", "b/x", "c/x"], members, target, "shares")
    assert np.allclose(
        combiner.predict(members), combiner.predict(members, combiner.scaled(np.zeros((len(target.y), 3))))
    )


def test_shares_sum_to_one_over_experts() -> None:
    members, target = _regression()
    shares = Combiner.fit(["a/x", "a/y", "c/x"], members, target, "shares").shares()
    assert set(shares) == {"a", "c"}
    assert np.isclose(sum(shares.values()), 1)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_links_are_probabilities(z: list[float]) -> None:
    row = np.array([z])
    assert np.isclose(softmax(row).sum(), 1)
    assert ((sigmoid(row) >= 0) & (sigmoid(row) <= 1)).all()
    assert (link("regression", row) == row).all()


@pytest.mark.parametrize(("excess", "single"), [(0.004, True), (0.006, False)])
def test_a_single_measurement_replaces_the_combination_up_to_half_a_percent_of_its_error(
    excess: float, single: bool
) -> None:
    y = np.zeros((200, 1))
    error = np.where(np.arange(200) % 2, 1.0, -1.0)[:, None]
    members = [y + error * (1 + excess), y + 5 * error]
    combiner = Combiner(
        "regression", ("a/x", "b/x"), [PlattScaling.identity(1)] * 2, np.array([[1 / (1 + excess)], [0.0]]), np.zeros(1)
    )
    chosen = combiner.select_single_if_as_good(members, Target(Task("age", "regression", "age"), y))
    assert (chosen.weights[:, 0].tolist() == [1.0, 0.0]) == single
    assert (chosen is combiner) != single
