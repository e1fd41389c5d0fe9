"""The gate: helps where the recording says whom to trust, and is not kept where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from enecg.ensemble.combine import Combiner
from enecg.ensemble.gate import Gate, _principal, best_gate, fit_gate
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
        view[:, 0] = 3 * np.where(sign[:, 0], 1, -1)
    target = Target(Task("t", "regression", "t", loss="l1"), y)
    return [first, second], target, view, np.array([f"s{i // 2}" for i in range(n)])


def _fit(informative: bool) -> tuple[Gate, bool, float, float]:
    scores, target, view, subjects = _problem(informative)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    gate, verdict = fit_gate(combiner, scores, target, view, subjects, seed=0)
    fresh, truth, new_view, _ = _problem(informative, seed=1)
    static = np.abs(combiner.predict(fresh) - truth.y).mean()
    gated = np.abs(combiner.predict(fresh, gate.residual(new_view)) - truth.y).mean()
    return gate, verdict.helps, float(static), float(gated)


def test_kept_where_it_helps_and_then_helps_on_new_recordings() -> None:
    _, helps, static, gated = _fit(informative=True)
    assert helps
    assert gated < 0.75 * static


def test_not_kept_where_the_view_says_nothing() -> None:
    _, helps, _, _ = _fit(informative=False)
    assert not helps


def test_restores_bit_for_bit() -> None:
    gate, *_ = _fit(informative=True)
    view = _problem(True, seed=2)[2]
    assert (Gate.restore(gate.state()).residual(view) == gate.residual(view)).all()


def test_the_view_that_tells_is_chosen_and_unknown_ones_are_passed_over() -> None:
    scores, target, view, subjects = _problem(informative=True)
    noise = np.random.default_rng(3).normal(size=view.shape).astype(np.float32)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    embeddings = {"dull": noise, "telling": view}
    found = best_gate(combiner, scores, target, embeddings, ["absent", "dull", "outputs", "telling"], subjects)
    assert found is not None
    name, _, verdict = found
    assert name == "telling"
    assert verdict.helps
    assert best_gate(combiner, scores, target, embeddings, ["absent"], subjects) is None


def test_several_tries_ask_for_more() -> None:
    scores, target, view, subjects = _problem(informative=True)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    _, one = fit_gate(combiner, scores, target, view, subjects)
    _, many = fit_gate(combiner, scores, target, view, subjects, tries=4)
    assert many.change == one.change
    assert many.high - many.low > 1.2 * (one.high - one.low)


@pytest.mark.parametrize("dim", [12, 400])
def test_components_of_a_view_have_unit_variance_however_wide_it_is(dim: int) -> None:
    z = np.random.default_rng(0).normal(size=(120, dim)).astype(np.float32) * np.linspace(3, 0.5, dim)
    seen = z @ _principal(z)
    np.testing.assert_allclose(seen.T @ seen / len(z), np.eye(seen.shape[1]), atol=2e-3)
