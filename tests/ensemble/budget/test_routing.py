"""Experts that a gate leaves no weight do not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.baselines import Rivals
from enecg.ensemble.budget.routing import embed_needed, wanted
from enecg.ensemble.combiner import Combiner, Gated, Platt
from enecg.ensemble.ensemble import Ensemble, Predictor, TaskModel
from enecg.ensemble.fitting.recipes import ExpertInfo
from enecg.ensemble.gates.clusters import OUTPUTS, Gate
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.simulation.record import simulate
from enecg.tasks import Task

NAMES = ("rhythm", "beat", "tiny")


@dataclass
class ByFirstNumber:
    """A gate that leaves `tiny` no weight where the view's first number is above a limit."""

    limit: float

    def gated(self, view: np.ndarray, combiner: Combiner) -> Gated:
        factors = np.zeros((len(view), len(NAMES)))
        factors[:, 2] = np.where(view[:, 0] > self.limit, -20.0, 0.0)
        return combiner.scaled(factors)


def _ensemble(weights: dict[str, tuple[float, ...]], gates: dict[str, tuple[str, ByFirstNumber]]) -> Ensemble:
    experts = [registry.create(name) for name in (*NAMES, "lead-ii")]
    members = tuple(f"{name}/kernel" for name in NAMES)
    predictors = [Predictor(m, (n,), tuple(weights), cast(Any, None)) for m, n in zip(members, NAMES, strict=True)]
    models = {}
    for task, own in weights.items():
        combiner = Combiner("regression", members, [Platt.identity(1)] * 3, np.array(own)[:, None], np.zeros(1))
        view, gate = gates.get(task, ("", None))
        models[task] = TaskModel(
            Task(task, "regression", task), combiner, cast(Gate, gate), None, view, cast(Rivals, None)
        )
    return Ensemble([ExpertInfo.of(expert) for expert in experts], models, predictors, {}, {})


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many recordings each expert was shown."""
    seen: dict[str, int] = {}
    original = embed_recordings

    def counted(recordings: list[Any], experts: list[Expert]) -> dict[str, np.ndarray]:
        for expert in experts:
            seen[expert.card.name] = seen.get(expert.card.name, 0) + len(recordings)
        return original(recordings, experts)

    monkeypatch.setattr("enecg.ensemble.budget.routing.embed_recordings", counted)
    return seen


def _experts(ensemble: Ensemble) -> list[Expert]:
    return [registry.create(info.name) for info in ensemble.experts]


def test_an_expert_runs_only_on_recordings_where_a_gate_leaves_it_weight(looks: dict[str, int]) -> None:
    recordings = [simulate(i).recording for i in range(6)]
    seen = embed_recordings(recordings, [registry.create(name) for name in (*NAMES, "lead-ii")])
    first = seen["lead-ii"][:, 0]
    limit = float(np.median(first))
    ensemble = _ensemble({"age": (0.5, 0.3, 0.2)}, {"age": ("lead-ii", ByFirstNumber(limit))})
    found = embed_needed(ensemble, _experts(ensemble), recordings)
    spared = first > limit
    assert spared.sum() == 3
    assert looks == {"lead-ii": 6, "rhythm": 6, "beat": 6, "tiny": 3}
    assert np.isnan(found["tiny"][spared]).all()
    np.testing.assert_array_equal(found["tiny"][~spared], seen["tiny"][~spared])
    np.testing.assert_array_equal(found["beat"], seen["beat"])


def test_without_a_gate_only_experts_without_any_weight_are_spared(looks: dict[str, int]) -> None:
    ensemble = _ensemble({"age": (0.5, 0.0, 0.5), "sex": (1.0, 0.0, 0.0)}, {})
    found = embed_needed(ensemble, _experts(ensemble), [simulate(0).recording])
    assert looks == {"rhythm": 1, "tiny": 1}
    assert found.keys() == looks.keys()


def test_one_task_that_wants_an_expert_is_enough() -> None:
    gates = {"age": ("lead-ii", ByFirstNumber(0.0))}
    ensemble = _ensemble({"age": (0.5, 0.3, 0.2), "sex": (0.5, 0.0, 0.5)}, gates)
    views = {"lead-ii": np.array([[1.0], [-1.0]])}
    assert wanted(ensemble, views)["tiny"].tolist() == [True, True]
    alone = _ensemble({"age": (0.5, 0.3, 0.2), "sex": (0.5, 0.5, 0.0)}, gates)
    assert wanted(alone, views)["tiny"].tolist() == [False, True]


def test_nobody_is_spared_where_the_view_is_unknown_or_is_what_heads_say() -> None:
    ensemble = _ensemble({"age": (0.5, 0.3, 0.2)}, {"age": ("lead-ii", ByFirstNumber(0.0))})
    assert all(
        mask.all() for name, mask in wanted(ensemble, {"lead-ii": np.array([[np.nan]])}).items() if name in NAMES
    )
    ensemble.models["age"].view = OUTPUTS
    assert all(mask.all() for name, mask in wanted(ensemble, {"lead-ii": np.ones((2, 1))}).items() if name in NAMES)
