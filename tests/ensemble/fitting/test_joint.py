"""The recipe of EnECG: what is trained, what is learned, and none of the defects of the public code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from synthetic import INFOS, make

from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.joint import HEAD
from enecg.ensemble.fitting.recipes import JointTraining, Recipe
from enecg.ensemble.gates.perceptron import PerceptronGate
from enecg.ensemble.heads.feed_forward import FittedFeedForward
from enecg.ensemble.serialization import bundle
from enecg.tasks import Target
from plain_values import metric_value

VIEW = ExpertInfo("lead-ii", "d" * 64, 50, gate_input=True)
TUNED = JointTraining(rate=3e-3, epochs=30, patience=8, batch=32, hidden=64)
RECIPE = Recipe("small", landmarks=32, gate_input="", closed_form=True, joint_training=TUNED, auxiliary=("lead-ii",))


def _data(n: int = 300, seed: int = 0) -> tuple[dict[str, np.ndarray], list[Target], np.ndarray]:
    embeddings, targets, subjects = make(n, seed)
    view = np.random.default_rng(seed).normal(size=(n, 50)).astype(np.float32)
    return {**embeddings, "lead-ii": view}, targets, subjects


def _fit(tasks: slice = slice(None), mixture: JointTraining = TUNED, seed: int = 0, n: int = 300) -> Ensemble:
    embeddings, targets, subjects = _data(n)
    recipe = replace(RECIPE, joint_training=mixture)
    return fit(embeddings, targets[tasks], subjects, [*INFOS, VIEW], recipe=recipe, seed=seed)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return _fit()


def test_as_many_parameters_are_trained_as_in_the_public_code() -> None:
    """Five experts that give one number each, lead II with 5,000 samples, one regression: 30,760 + 44,136."""
    rng = np.random.default_rng(0)
    _, targets, subjects = make(60)
    names = ("moment", "tempo", "ecg-fm", "dlinear", "timesnet")
    infos = [ExpertInfo(name, "0" * 64, 1) for name in names]
    embeddings = {name: rng.normal(size=(60, 1)).astype(np.float32) for name in names}
    embeddings["lead-ii"] = rng.normal(size=(60, 5000)).astype(np.float32)
    recipe = replace(RECIPE, joint_training=JointTraining(epochs=1))
    fitted = fit(
        embeddings, targets[:1], subjects, [*infos, replace(VIEW, dim=5000)], recipe=recipe
    )  # fmt: skip
    heads = [p.head for p in fitted.heads if p.name.endswith(HEAD)]
    assert sum(head.trained for head in heads) == 30_760
    (model,) = fitted.models.values()
    assert model.gate is not None
    assert model.gate.trained == 44_136
    assert fitted.trained == 74_896


def test_only_low_rank_changes_move_and_all_of_them_do(ensemble: Ensemble) -> None:
    shorter = _fit(mixture=replace(TUNED, epochs=1, patience=0))
    for one, other in zip(ensemble.heads, shorter.heads, strict=True):
        if one.name.endswith(HEAD):
            assert isinstance(one.head, FittedFeedForward) and isinstance(other.head, FittedFeedForward)
            for key, drawn in one.head.trunk.items():
                np.testing.assert_array_equal(drawn, other.head.trunk[key])
            for adapter in (*one.head.adapters, *other.head.adapters):
                assert all(np.abs(adapter.change(layer)).max() > 0 for layer in ("first", "second"))
    gates = [model.gate for model in shorter.models.values()]
    assert all(isinstance(gate, PerceptronGate) and np.abs(gate.adapter.change("first")).max() > 0 for gate in gates)


def test_the_answer_is_the_softmax_weighted_sum_of_the_heads(ensemble: Ensemble) -> None:
    embeddings, _, _ = _data(40, seed=1)
    found = ensemble.predict(embeddings)["age"]
    gate = ensemble.models["age"].gate
    assert isinstance(gate, PerceptronGate)
    weights = softmax(gate.logits(embeddings["lead-ii"]), axis=1)
    heads = [p.scores(embeddings)["age"][:, 0] for p in ensemble.heads if p.name.endswith(HEAD)]
    np.testing.assert_allclose(found.value[:, 0], (weights * np.stack(heads, 1)).sum(1), rtol=1e-6)
    for i, info in enumerate(INFOS):
        np.testing.assert_allclose(found.weights[info.name], weights[:, i], rtol=1e-6)
    assert set(found.weights) == {info.name for info in INFOS}
    assert found.low is None
    assert found.thresholds is None


def test_it_learns_what_one_expert_alone_knows(ensemble: Ensemble) -> None:
    """Were views of different recordings mixed up in training, nothing of it would reach new recordings."""
    embeddings, targets, _ = _data(200, seed=2)
    found = ensemble.predict(embeddings, compare=True)
    by_name = {target.task.name: target for target in targets}
    age = by_name["age"].y
    error, constant = (
        metric_value("regression", "mae", age, out)
        for out in (found["age"].value, found["age"].baselines.standard["constant"])
    )
    assert error < 0.8 * constant
    assert metric_value("binary", "auroc", by_name["sex"].y, found["sex"].value) > 0.7
    assert metric_value("multilabel", "auroc", by_name["findings"].y, found["findings"].value) > 0.7


def test_the_published_schedule_learns_less(ensemble: Ensemble) -> None:
    literal = _fit(slice(1, 2), JointTraining(hidden=64))
    embeddings, targets, _ = _data(200, seed=2)
    errors = [
        metric_value("regression", "mae", targets[1].y, one.predict(embeddings)["age"].value)
        for one in (literal, ensemble)
    ]
    assert errors[0] > errors[1]


def test_a_fit_is_the_same_again_and_another_with_another_seed() -> None:
    embeddings, _, _ = _data(40, seed=1)
    short, tasks = replace(TUNED, epochs=2), slice(1, 3)
    one, again, other = (_fit(tasks, short, seed).predict(embeddings) for seed in (0, 0, 1))
    for name, output in one.items():
        np.testing.assert_array_equal(output.value, again[name].value)
    assert np.abs(other["age"].value - one["age"].value).max() > 1e-3


def test_baselines_come_from_heads_of_their_own(ensemble: Ensemble) -> None:
    embeddings, _, _ = _data(40, seed=1)
    found = ensemble.predict(embeddings, compare=True)["age"]
    assert set(found.baselines.single_experts) == {info.name for info in INFOS}
    assert {"constant", "mean", "stacking", "concat"} <= set(found.baselines.standard)
    light = fit(
        {info.name: _data()[0][info.name] for info in INFOS},
        *_data()[1:],
        INFOS,
        recipe=replace(RECIPE, joint_training=None),
    )
    expected = light.predict(embeddings, compare=True)["age"]
    np.testing.assert_array_equal(found.baselines.standard["stacking"], expected.baselines.standard["stacking"])
    np.testing.assert_array_equal(found.baselines.single_experts["shapes"], expected.baselines.single_experts["shapes"])


def test_a_silent_expert_has_no_weight_and_spoils_nothing(ensemble: Ensemble) -> None:
    embeddings, _, _ = _data(40, seed=1)
    silent = {**embeddings, "noise": np.full_like(embeddings["noise"], np.nan)}
    found = ensemble.predict(silent)
    for output in found.values():
        assert np.isfinite(output.value).all()
        np.testing.assert_allclose(output.weights["noise"], 0)
    blind = {**embeddings, "lead-ii": np.full_like(embeddings["lead-ii"], np.nan)}
    assert np.isfinite(ensemble.predict(blind)["age"].value).all()


def test_it_is_fitted_where_an_expert_is_silent_on_some(ensemble: Ensemble) -> None:
    embeddings, targets, subjects = _data()
    embeddings["shapes"][::3] = np.nan
    fitted = fit(embeddings, targets[1:2], subjects, [*INFOS, VIEW], recipe=RECIPE)
    fresh, _, _ = _data(40, seed=1)
    assert np.isfinite(fitted.predict(fresh)["age"].value).all()


def test_a_saved_mixture_answers_bit_for_bit(ensemble: Ensemble, tmp_path: Path) -> None:
    bundle.save(ensemble, tmp_path / "bundle")
    again, _ = bundle.load(tmp_path / "bundle")
    embeddings, _, _ = _data(40, seed=1)
    expected = ensemble.predict(embeddings, compare=True)
    assert again.trained == ensemble.trained
    for name, output in again.predict(embeddings, compare=True).items():
        np.testing.assert_array_equal(output.value, expected[name].value)
        np.testing.assert_array_equal(output.baselines.standard["concat"], expected[name].baselines.standard["concat"])
        for expert, weights in output.weights.items():
            np.testing.assert_array_equal(weights, expected[name].weights[expert])
