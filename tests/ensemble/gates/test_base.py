"""The registry of gates, and the rule by which a gate is kept."""

from __future__ import annotations

import numpy as np
import pytest

from enecg.ensemble.combiner import Combiner, PlattScaling
from enecg.ensemble.gates.base import Gate, GateTest, gate_types, restore_gate
from enecg.ensemble.gates.clusters import MIN_RECORDINGS, ClusterGate, fit_cluster_gate
from enecg.ensemble.gates.perceptron import PerceptronGate
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.feature_maps import Standard
from enecg.ensemble.heads.lora import Adapter
from enecg.errors import InputError
from enecg.tasks import Target, Task

RNG = np.random.default_rng(0)
INPUT = RNG.normal(size=(6, 5)).astype(np.float32)


def _clusters() -> ClusterGate:
    arrays = RNG.normal(size=(2, 3, 1)), RNG.normal(size=(2, 1))
    return ClusterGate(Standard.fit(INPUT), np.eye(5, 2, dtype=np.float32), np.array([[1.0, 0], [-1, 0]]), *arrays)


def _perceptron() -> PerceptronGate:
    shapes = ((4, 5), (3, 4))
    weights = [RNG.normal(size=shape).astype(np.float32) for shape in shapes]
    layers = {
        name: (RNG.normal(size=(2, i)).astype(np.float32), RNG.normal(size=(o, 2)).astype(np.float32))
        for name, (o, i) in zip(("first", "second"), shapes, strict=True)
    }
    return PerceptronGate(weights, [np.zeros(4, np.float32), np.zeros(3, np.float32)], Adapter(4, layers))


GATES: dict[str, Gate] = {"clusters": _clusters(), "perceptron": _perceptron()}


def test_every_gate_is_tested_here() -> None:
    assert sorted(GATES) == gate_types()


@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_restored_by_its_type_with_weights_of_the_same_sum(name: str) -> None:
    gate = GATES[name]
    assert gate.type == name
    combiner = Combiner(
        "binary", ("a/x", "b/x", "c/x"), [PlattScaling.identity(1)] * 3, np.full((3, 1), 1 / 3), np.zeros(1)
    )
    found, again = gate.gated(INPUT, combiner), restore_gate(gate.state()).gated(INPUT, combiner)
    assert (found.weights == again.weights).all() and (found.bias == again.bias).all()
    assert found.weights.shape == (3, 6, 1) and found.bias.shape == (6, 1)
    if not gate.uses_static_weights:
        np.testing.assert_allclose(found.weights.sum(0), 1)


@pytest.mark.parametrize("name", ["base", "os", None])
def test_an_unknown_gate_is_refused(name: str | None) -> None:
    with pytest.raises(InputError, match="does not know"):
        restore_gate(HeadState({"type": name}))


def test_a_gate_helps_only_if_its_whole_interval_lies_below_zero() -> None:
    assert GateTest(-0.1, -0.2, -1e-9).helps
    assert not GateTest(-0.1, -0.2, 0.0).helps
    assert not GateTest(-0.1, -0.2, 0.05).helps


@pytest.mark.parametrize("count", [MIN_RECORDINGS - 1, MIN_RECORDINGS])
def test_a_cluster_needs_enough_recordings_for_weights_of_its_own(count: int) -> None:
    rng = np.random.default_rng(1)
    n = 300
    other = np.arange(n) < count  # far from all others
    gate_input = rng.normal(0, 0.01, (n, 3)).astype(np.float32) + np.where(other, 1.0, 0.0)[:, None].astype(np.float32)
    y = rng.normal(50, 10, (n, 1))
    scores = [y + np.where(other, 30, 0)[:, None] + rng.normal(0, 1, (n, 1)), y + rng.normal(0, 3, (n, 1))]
    target = Target(Task("t", "regression", "t", loss="l1"), y)
    combiner = Combiner.fit(["a/x", "b/x"], scores, target, "shares")
    gate = fit_cluster_gate(combiner, scores, target, gate_input)
    own = gate.clusters(gate_input)[0]
    assert (gate.clusters(gate_input) == own).sum() == count
    static = bool((gate.weights[own] == combiner.weights).all() and (gate.bias[own] == combiner.bias).all())
    assert static == (count < MIN_RECORDINGS)
