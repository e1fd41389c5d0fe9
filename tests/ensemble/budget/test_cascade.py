"""A cascade: which answers the second stage replaces, which experts run for it, and what it brings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic import INFOS, make

from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.budget.cascade import Cascade, embed_needed
from enecg.ensemble.budget.selection import within
from enecg.ensemble.combiner import Combiner, PlattScaling
from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.losses import sigmoid
from enecg.ensemble.outputs import FittedHeadOnExperts
from enecg.ensemble.serialization import bundle
from enecg.ensemble.versions import EntropyThreshold, entropy
from enecg.experts import registry
from enecg.simulation.record import simulate
from enecg.tasks import BUILT_IN, Target, Task

RECIPE = Recipe(closed_form=True, landmarks=64)
COSTS = {"measures": 2.0, "shapes": 40.0, "noise": 5.0}


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    embeddings, targets, subjects = make(400)
    infos = [replace(info, cost_ms=COSTS[info.name]) for info in INFOS]
    return fit(embeddings, targets, subjects, infos, recipe=RECIPE)


def test_an_even_answer_has_the_largest_entropy() -> None:
    assert entropy("binary", np.array([[0.5], [0.9], [1.0]])) == pytest.approx([np.log(2), 0.325083, 0], abs=1e-6)
    assert entropy("multiclass", np.array([[0.25] * 4, [1, 0, 0, 0]])) == pytest.approx([np.log(4), 0], abs=1e-9)
    assert entropy("multilabel", np.array([[0.5, 1.0]])) == pytest.approx([np.log(2) / 2], abs=1e-9)


@given(arrays(float, (50, 1), elements=st.floats(0, 1)), st.floats(0, 1))
def test_about_the_asked_share_is_open(p: np.ndarray, share: float) -> None:
    answers = {"sex": p, "age": np.zeros((50, 1))}
    threshold = EntropyThreshold.fit([BUILT_IN["sex"], BUILT_IN["age"]], answers)
    assert threshold is not None
    found = threshold.uncertainty(answers)
    over, limit = (found > threshold.limit(share)).mean(), (found >= threshold.limit(share) - 1e-9).mean()
    assert over <= share + 0.021 and limit >= share - 0.021  # of fifty, and between steps


def test_values_leave_nothing_open_and_missing_answers_everything() -> None:
    assert EntropyThreshold.fit([BUILT_IN["age"]], {"age": np.zeros((5, 1))}) is None
    answers = {"sex": np.array([[0.5], [0.99], [0.7]]), "age": np.array([[60.0], [np.nan], [50]])}
    threshold = EntropyThreshold.fit([BUILT_IN["sex"], BUILT_IN["age"]], answers)
    assert threshold is not None
    assert np.isinf(threshold.uncertainty(answers)).tolist() == [False, True, False]
    assert np.argsort(threshold.uncertainty(answers)).tolist() == [2, 0, 1]


def test_what_a_budget_leaves_is_spent_on_the_most_open(ensemble: Ensemble) -> None:
    version = within(ensemble, budget=0.5)
    assert isinstance(version, Cascade) and version.needed == ["measures"]
    assert version.share == pytest.approx((0.5 - 2 / 47) / (45 / 47))
    embeddings, _, _ = make(300, seed=7)
    first, whole, out = version.first.predict(embeddings), ensemble.predict(embeddings), version.predict(embeddings)
    rows = version.uncertain(first)
    assert rows.mean() == pytest.approx(version.share, abs=0.1)
    uncertainty = version.threshold.uncertainty({name: output.value for name, output in first.items()})
    assert uncertainty[rows].min() >= uncertainty[~rows].max()
    for name, output in out.items():
        np.testing.assert_array_equal(output.value[~rows], first[name].value[~rows])
        np.testing.assert_allclose(
            output.value[rows], whole[name].value[rows], rtol=1e-4
        )  # float32 products of other sizes
        assert (output.weights["shapes"][~rows] == 0).all()
        if output.low is not None and output.high is not None:
            assert (output.low <= output.high).all()
    sex = out["sex"].decisions()
    assert [sex[i] for i in np.flatnonzero(rows)] == [whole["sex"].decisions()[i] for i in np.flatnonzero(rows)]
    assert [sex[i] for i in np.flatnonzero(~rows)] == [first["sex"].decisions()[i] for i in np.flatnonzero(~rows)]


def test_it_brings_more_where_answers_are_open() -> None:
    rng = np.random.default_rng(0)
    y = rng.random(4000) < 0.5
    cheap, dear = (np.where(y, 1.0, -1.0) + rng.normal(0, 1.4, 4000) for _ in range(2))  # log odds, up to a factor
    first, whole = sigmoid(cheap)[:, None], sigmoid(cheap + dear)[:, None]
    threshold = EntropyThreshold.fit([BUILT_IN["sex"]], {"sex": first})
    assert threshold is not None
    gain = np.abs(first[:, 0] - y) - np.abs(whole[:, 0] - y)
    again = threshold.uncertainty({"sex": first}) >= threshold.limit(0.3)
    assert again.mean() == pytest.approx(0.3, abs=0.01)
    assert gain[again].mean() > 1.3 * gain[~again].mean() > 0


def test_a_number_of_experts_leaves_no_second_stage(ensemble: Ensemble) -> None:
    assert isinstance(within(ensemble, most=2), Ensemble)
    assert isinstance(within(ensemble, budget=0.5, most=2), Ensemble)
    assert isinstance(within(ensemble, budget=2 / 47 + 0.001), Ensemble)  # hardly a recording


def test_of_the_versions_that_leave_enough_the_one_is_taken_that_loses_least_in_the_end(ensemble: Ensemble) -> None:
    few, more = (version for version in ensemble.reduced if "shapes" not in version.experts)
    assert {len(few.experts), len(more.experts)} == {1, 2}
    assert all(0 < version.loss_increase < 10 * len(ensemble.models) for version in (few, more))
    made_up = replace(
        ensemble, reduced=[replace(few, cost=0.4, loss_increase=1.0), replace(more, cost=0.8, loss_increase=0.6)]
    )
    assert within(made_up, budget=0.85).needed == list(few.experts)  # 1.0 x a quarter, against 0.6 x three quarters
    assert within(made_up, budget=0.85, most=2).needed == list(more.experts)


def test_it_is_the_same_from_a_saved_bundle(ensemble: Ensemble, tmp_path: Any) -> None:
    bundle.save(ensemble, tmp_path / "bundle")
    restored, _ = bundle.load(tmp_path / "bundle")
    embeddings, _, _ = make(80, seed=5)
    before, after = (within(e, budget=0.4).predict(embeddings) for e in (ensemble, restored))
    for name, output in before.items():
        np.testing.assert_array_equal(output.value, after[name].value)
    thresholds = [v["threshold"] for v in json.loads((tmp_path / "bundle" / "bundle.json").read_text())["reduced"]]
    assert all(len(one["quantiles"]) == 201 for one in thresholds)


def test_the_dear_expert_runs_on_what_is_open_only(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = [simulate(i).recording for i in range(60)]
    experts = [registry.create(name) for name in ("rhythm", "tiny")]
    embeddings = embed_recordings(recordings, experts)
    infos = [replace(ExpertInfo.of(e), cost_ms={"rhythm": 1.0, "tiny": 9.0}[e.card.name]) for e in experts]
    sex = Task("sex", "binary", "sex", classes=("M", "F"))
    scores = sum((m - m.mean(0))[:, 0] / m[:, 0].std() for m in (np.nan_to_num(m) for m in embeddings.values()))
    labels = np.asarray(scores > np.median(scores), float)[:, None]
    whole = fit(embeddings, [Target(sex, labels)], np.arange(60).astype(str), infos, recipe=RECIPE)
    version = within(whole, budget=0.5)
    assert isinstance(version, Cascade) and version.needed == ["rhythm"]
    seen: dict[str, int] = {}

    def counted(some: list[Any], by: list[Any]) -> dict[str, np.ndarray]:
        for expert in by:
            seen[expert.card.name] = seen.get(expert.card.name, 0) + len(some)
        return embed_recordings(some, by)

    monkeypatch.setattr("enecg.ensemble.budget.cascade.embed_recordings", counted)
    found = embed_needed(version, experts, recordings)
    rows = version.uncertain(version.first.predict(embeddings))
    assert 0 < rows.sum() < 60
    assert seen == {"rhythm": 60, "tiny": int(rows.sum())}
    np.testing.assert_array_equal(np.isfinite(found["tiny"]).all(1), rows)
    np.testing.assert_array_equal(found["tiny"][rows], embeddings["tiny"][rows])
    np.testing.assert_array_equal(version.predict(found)["sex"].value, version.predict(embeddings)["sex"].value)


def test_an_expert_without_weight_does_not_run(ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("rhythm", "tiny", "lead-ii")
    experts = [registry.create(name) for name in names]
    seen: list[str] = []

    def counted(some: list[Any], by: list[Any]) -> dict[str, np.ndarray]:
        seen.extend(expert.card.name for expert in by)
        return embed_recordings(some, by)

    monkeypatch.setattr("enecg.ensemble.budget.cascade.embed_recordings", counted)
    weights = {"rhythm": 1.0, "tiny": 0.0}
    combiner = Combiner(
        "regression", tuple(f"{name}/kernel" for name in weights), [PlattScaling.identity(1)] * 2,
        np.array([*weights.values()])[:, None], np.zeros(1),
    )  # fmt: skip
    model = replace(ensemble.models["age"], combiner=combiner, gate=None, gate_input="")
    heads = [FittedHeadOnExperts(f"{name}/kernel", (name,), ("age",), cast(Any, None)) for name in weights]
    few = Ensemble([ExpertInfo.of(expert) for expert in experts], {"age": model}, heads, {}, {})
    assert list(embed_needed(few, experts, [simulate(0).recording])) == seen == ["rhythm"]
