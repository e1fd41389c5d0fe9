"""The gate: helps where the recording says whom to trust, and is not kept where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from enecg.ensemble.combiner import Combiner
from enecg.ensemble.gates.base import restore_gate
from enecg.ensemble.gates.clusters import ClusterGate, _principal, fit_cluster_gate, gate_effect
from enecg.tasks import Target, Task


def _problem(informative: bool, seed: int = 0, n: int = 900) -> tuple[list[np.ndarray], Target, np.ndarray, np.ndarray]:
    """Two members; which of them is good depends on a sign that the view shows, or does not show."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 10, (n, 1))
    sign = rng.random((n, 1)) < 0.5
    noise = rng.normal(0, 1, (n, 2))
    first = y + noise[:, :1] * np.where(sign, 1, 12)
    second = y + noise[:, 1:] * np.where(sign, 12, 1)
    view = rng.normal(size=(n, 40)).astype(np.float32)
    if informative:
        view[:, :12] += 3 * np.where(sign, 1, -1)
    target = Target(Task("t", "regression", "t", loss="l1"), y)
    return [first, second], target, view, np.array([f"s{i // 2}" for i in range(n)])


def _fit(informative: bool) -> tuple[ClusterGate, bool, float, float]:
    scores, target, view, subjects = _problem(informative)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    effect = gate_effect(combiner, scores, target, view, subjects, seed=0)
    gate = fit_cluster_gate(combiner, scores, target, view)
    fresh, truth, new_view, _ = _problem(informative, seed=1)
    static = np.abs(combiner.predict(fresh) - truth.y).mean()
    gated = np.abs(combiner.predict(fresh, gate.gated(new_view, combiner)) - truth.y).mean()
    return gate, effect.helps, float(static), float(gated)


def test_kept_where_it_helps_and_then_helps_on_new_recordings() -> None:
    _, helps, static, gated = _fit(informative=True)
    assert helps
    assert gated < 0.75 * static


def test_not_kept_where_the_view_says_nothing() -> None:
    _, helps, _, _ = _fit(informative=False)
    assert not helps


def test_restores_bit_for_bit() -> None:
    gate, *_ = _fit(informative=True)
    scores, target, view, _ = _problem(True, seed=2)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    again, before = restore_gate(gate.state()).gated(view, combiner), gate.gated(view, combiner)
    assert (again.weights == before.weights).all()
    assert (again.bias == before.bias).all()


def test_a_kind_has_weights_of_its_own_and_an_unknown_view_the_static_ones() -> None:
    gate, *_ = _fit(informative=True)
    scores, target, view, _ = _problem(True)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    view[:3] = np.nan
    found = gate.gated(view, combiner)
    assert (gate.clusters(view)[:3] == -1).all()
    assert (found.weights[:, :3] == combiner.weights[:, None]).all()
    trusted = found.weights[0, 3:, 0] > found.weights[1, 3:, 0]
    assert (trusted == (view[3:, 0] > 0)).mean() > 0.9


def test_recordings_that_are_all_alike_are_of_one_kind() -> None:
    scores, target, view, subjects = _problem(True)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    effect = gate_effect(combiner, scores, target, np.ones_like(view), subjects)
    gate = fit_cluster_gate(combiner, scores, target, np.ones_like(view))
    assert len(gate.centres) == 1
    assert abs(effect.change) < 0.05


def test_a_view_in_which_nothing_varies_tells_no_kinds() -> None:
    scores, target, _, subjects = _problem(informative=True)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    for view in (np.ones((900, 3), np.float32), np.zeros((900, 0), np.float32)):
        gate = fit_cluster_gate(combiner, scores, target, view)
        assert gate.clusters(view).max() <= 0  # one cluster, or unknown
        assert not gate_effect(combiner, scores, target, view, subjects).helps


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_few_recordings_of_a_kind_stay_near_the_static_weights(kind: str) -> None:
    rng = np.random.default_rng(5)
    y = np.eye(3)[rng.integers(0, 3, 600)]
    y = y[:, :1] if kind == "binary" else 10 * y[:, :1] + 50 if kind == "regression" else y
    scores = [y + rng.normal(0, sd, y.shape) for sd in (0.5, 1.0)]
    names = ("a", "b", "c")[: 2 if kind == "binary" else 3] if kind != "regression" else ()
    target = Target(Task("t", kind, "t", classes=names), y)  # type: ignore[arg-type]
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    calibrated = combiner.calibrated(scores)
    calibrated[0] = calibrated[0][rng.permutation(600)]  # the first head is of no use here
    few, many = (combiner.refit_towards(calibrated[:, :n], y[:n])[0] for n in (20, 600))
    assert (many[0] < combiner.weights[0]).all()
    assert np.abs(few - combiner.weights).mean() < np.abs(many - combiner.weights).mean()


@pytest.mark.parametrize("dim", [12, 400])
def test_components_of_a_view_lie_apart_and_the_first_has_unit_variance_however_wide_it_is(dim: int) -> None:
    z = np.random.default_rng(0).normal(size=(120, dim)).astype(np.float32) * np.linspace(3, 0.5, dim)
    seen = z @ _principal(z)
    products = seen.T @ seen / len(z)
    assert np.isclose(products[0, 0], 1, atol=2e-3)
    assert (np.diff(np.diag(products)) <= 1e-6).all()
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=2e-3)
