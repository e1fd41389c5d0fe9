"""The whole fit on made-up embeddings: learns, masks, reports, is saved and loaded without a changed bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from synthetic import INFOS, SMALL, make

from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.heads import fit_heads
from enecg.ensemble.fitting.labels import drop_rare_classes
from enecg.ensemble.serialization import bundle
from enecg.errors import InputError
from enecg.metrics import evaluate
from enecg.tasks import Target, Task


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    embeddings, targets, subjects = make(400)
    training = {"digest": "0" * 64, "subject_hashes": [], "recordings": 400, "labelled": {}}
    return fit(embeddings, targets, subjects, INFOS, recipe=SMALL, training=training)


def test_answers_new_recordings_better_than_chance(ensemble: Ensemble) -> None:
    embeddings, targets, _ = make(300, seed=7)
    out = ensemble.predict(embeddings, compare=True)
    for target in targets:
        answer = out[target.task.name]
        known = target.known
        metric = {"regression": "mae"}.get(target.task.kind, "auroc")
        weights = np.ones((1, known.sum()))

        def value(
            p: np.ndarray, t: Target = target, k: np.ndarray = known, m: str = metric, w: np.ndarray = weights
        ) -> float:
            return float(evaluate(t.task.kind, t.y[k], p[k], w)[m][0])

        ours, constant = value(answer.value), value(answer.baselines.standard["constant"])
        assert ours < 0.8 * constant if metric == "mae" else ours > 0.75
        assert set(answer.baselines.single_experts) == {"measures", "shapes", "noise"}
        assert set(answer.baselines.standard) == {"constant", "mean", "best_on_validation", "stacking", "concat"}
        assert np.allclose(sum(answer.weights.values()), 1)


def test_rr_is_the_measurement_itself(ensemble: Ensemble) -> None:
    assert ensemble.models["rr_interval"].combiner.shares()["measures"] > 0.95


def test_answers_hardly_rest_on_the_expert_that_knows_nothing(ensemble: Ensemble) -> None:
    embeddings, _, _ = make(300, seed=7)
    shuffled = embeddings | {"noise": embeddings["noise"][::-1]}
    for name, answer in ensemble.predict(embeddings).items():
        other = ensemble.predict(shuffled)[name].value
        assert (np.abs(other - answer.value).mean(0) < 0.15 * answer.value.std(0)).all()  # of others, about 1
        assert np.allclose(sum(answer.weights.values()), 1)


def test_intervals_cover(ensemble: Ensemble) -> None:
    embeddings, targets, _ = make(500, seed=9)
    out = ensemble.predict(embeddings)["age"]
    assert out.low is not None and out.high is not None
    y = targets[1].y[:, 0]
    known = np.isfinite(y)
    covered = ((y >= out.low) & (y <= out.high))[known].mean()
    assert 0.85 < covered < 0.95


def test_saved_and_loaded_it_says_the_same_bit_for_bit(ensemble: Ensemble, tmp_path: Path) -> None:
    digest = bundle.save(ensemble, tmp_path / "b")
    loaded, again = bundle.load(tmp_path / "b")
    assert digest == again
    embeddings, _, _ = make(50, seed=3)
    one, other = ensemble.predict(embeddings, compare=True), loaded.predict(embeddings, compare=True)
    for name in one:
        assert (one[name].value == other[name].value).all()
        assert one[name].decisions() == other[name].decisions()
        for base in one[name].baselines.standard:
            assert (one[name].baselines.standard[base] == other[name].baselines.standard[base]).all()
    assert loaded.tasks == ensemble.tasks
    assert not list((tmp_path / "b").rglob("*.pkl"))


def test_what_several_heads_have_in_common_is_stored_once(ensemble: Ensemble, tmp_path: Path) -> None:
    """The landmarks of an expert, which the head on several experts looks at as well."""
    bundle.save(ensemble, tmp_path / "b")
    with safe_open(tmp_path / "b" / bundle.TENSORS, "numpy") as file:
        stored = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert len({(each.dtype.str, each.shape, each.tobytes()) for each in stored}) == len(stored)
    same = json.loads((tmp_path / "b" / "bundle.json").read_text())["same"]
    assert any(name.endswith("/centres") for name in same)
    heads = (one.head.state().tensors for one in ensemble.heads)
    assert len(stored) + len(same) >= sum(map(len, heads))


def test_bundle_refuses_what_is_not_or_no_longer_one(ensemble: Ensemble, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no bundle\.json"):
        bundle.load(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(InputError, match="not a bundle"):
        bundle.save(ensemble, tmp_path / "other")
    bundle.save(ensemble, tmp_path / "b")
    bundle.save(ensemble, tmp_path / "b")  # a bundle may be replaced
    tensors = tmp_path / "b" / bundle.TENSORS
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(InputError, match="changed"):
        bundle.load(tmp_path / "b")
    document = json.loads((tmp_path / "b" / "bundle.json").read_text())
    (tmp_path / "b" / "bundle.json").write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        bundle.load(tmp_path / "b")


def test_other_experts_are_refused(ensemble: Ensemble) -> None:
    ensemble.check(INFOS)
    with pytest.raises(InputError, match="needs the expert 'shapes'"):
        ensemble.check([INFOS[0], INFOS[2]])
    with pytest.raises(InputError, match="is not the one"):
        ensemble.check([replace(INFOS[0], fingerprint="d" * 64), *INFOS[1:]])


def test_a_silent_expert_is_worked_around(ensemble: Ensemble) -> None:
    embeddings, _, _ = make(30, seed=4)
    embeddings["shapes"][:10] = np.nan
    out = ensemble.predict(embeddings)
    for answer in out.values():
        assert np.isfinite(answer.value).all()
        assert (answer.weights["shapes"][:10] == 0).all()


def test_too_little_is_refused_in_one_line() -> None:
    embeddings, targets, subjects = make(60)
    few = Target(targets[1].task, np.where(np.arange(60)[:, None] < 5, 50.0, np.nan))
    with pytest.raises(InputError, match="too few"):
        fit(embeddings, [few], subjects, INFOS, recipe=SMALL)
    one_class = Target(targets[2].task, np.ones((60, 1)))
    with pytest.raises(InputError, match="all training labels are F"):
        fit(embeddings, [one_class], subjects, INFOS, recipe=SMALL)
    with pytest.raises(InputError, match="subjects"):
        fit(embeddings, targets[:1], np.array(["same"] * 60), INFOS, recipe=SMALL)


def test_classes_too_rare_to_learn_are_left_out_and_said_so() -> None:
    embeddings, targets, subjects = make(150)
    rhythm = targets[3]
    y = np.concatenate([rhythm.y, np.where(rhythm.known, 0.0, np.nan)[:, None]], axis=1)
    first = np.flatnonzero(rhythm.known)[:3]
    y[first] = [0, 0, 0, 1]
    extra = Target(replace(rhythm.task, classes=(*rhythm.task.classes, "AFIB")), y)
    assert "AFIB" not in fit(embeddings, [extra], subjects, INFOS, recipe=SMALL).tasks[0].classes
    left = drop_rare_classes(extra)
    assert not left.known[first].any()
    assert any("AFIB has 3 labelled recordings" in problem for problem in left.problems)
    with pytest.raises(InputError, match="too few classes"):
        drop_rare_classes(extra, 1000)


def test_a_rare_label_is_masked_not_the_recording() -> None:
    _, targets, _ = make(150)
    findings = targets[4]
    rare = Target(findings.task, np.where(np.arange(150)[:, None] < 145, findings.y, np.nan))
    assert (drop_rare_classes(rare, 5).known == rare.known).all()


def test_measurements_of_several_experts_get_heads_side_by_side() -> None:
    embeddings, targets, subjects = make(200)
    infos = [INFOS[0], replace(INFOS[1], tabular=True), INFOS[2]]
    heads = fit_heads(embeddings, targets, subjects, infos, replace(SMALL, n_joint_experts=0), 0, lambda _: None)
    names = {head.name: head.experts for head in heads[0]}
    for kind in ("trees", "ffn"):
        assert names[f"measures+shapes/{kind}"] == ("measures", "shapes")
    assert {"measures/trees", "shapes/trees", "shapes/kernel"} <= names.keys()
    assert not {"measures/ffn", "shapes/ffn"} & names.keys()  # one on both is enough
    solved = fit_heads(embeddings, targets, subjects, infos, replace(SMALL, closed_form=True), 0, lambda _: None)[0]
    assert not any(head.name.endswith(("/trees", "/ffn")) for head in solved)


def test_heads_on_the_best_experts_take_measurements_as_one_and_do_without_the_dearest() -> None:
    embeddings, targets, subjects = make(200)
    infos = [INFOS[0], replace(INFOS[1], tabular=True), INFOS[2]]
    recipe = replace(SMALL, n_joint_experts=1 + 1, closed_form=True)
    both, cheap = "measures+shapes+noise/kernels", "measures+shapes/kernels"  # noise is the dearest
    for experts, names in ((infos, [both, cheap]), (INFOS, [cheap])):
        heads = fit_heads(embeddings, targets, subjects, experts, recipe, 0, lambda _: None)[0]
        assert [head.name for head in heads if head.name.endswith("/kernels")] == names


def test_a_gate_that_helps_is_kept_and_intervals_are_those_of_gated_answers() -> None:
    """Which of two experts can be trusted is told by a view, and by nothing else."""

    def made(seed: int, n: int = 600) -> tuple[dict[str, np.ndarray], Target, np.ndarray]:
        rng = np.random.default_rng(seed)
        y, first = rng.normal(60, 10, (n, 1)), rng.random((n, 1)) < 0.5
        noise = rng.normal(size=(2, n, 6))
        embeddings = {
            "a": y + noise[0] * np.where(first, 2, 40),
            "b": y + noise[1] * np.where(first, 40, 2),
            "quality": np.where(first, 3, -3) + rng.normal(size=(n, 4)),
        }
        target = Target(Task("age", "regression", "age", loss="l1"), y)
        subjects = np.array([f"s{i}" for i in range(n)])
        return {name: x.astype(np.float32) for name, x in embeddings.items()}, target, subjects

    embeddings, target, subjects = made(0)
    infos = [
        ExpertInfo("a", "a" * 64, 6),
        ExpertInfo("b", "b" * 64, 6),
        ExpertInfo("quality", "c" * 64, 4, gate_input=True),
    ]
    recipe = replace(SMALL, n_joint_experts=0, closed_form=True, gate_input="quality")
    gated = fit(embeddings, [target], subjects, infos, recipe=recipe)
    static = fit(embeddings, [target], subjects, infos, recipe=replace(recipe, gate_input=""))
    model = gated.models["age"]
    assert model.gate is not None
    assert model.gate_input == "quality"
    assert "quality" in gated.needed
    fresh, truth, _ = made(1)
    ours, theirs = gated.predict(fresh)["age"], static.predict(fresh)["age"]
    assert np.abs(ours.value - truth.y).mean() < 0.8 * np.abs(theirs.value - truth.y).mean()
    assert ours.low is not None and ours.high is not None and theirs.low is not None and theirs.high is not None
    assert 0.85 < ((ours.low <= truth.y[:, 0]) & (truth.y[:, 0] <= ours.high)).mean() < 0.98
    assert (ours.high - ours.low).mean() < 0.9 * (theirs.high - theirs.low).mean()
