"""The JSON of evaluate and crossval: every number where the contract says, and right."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from enecg.ensemble.baselines import BaselineOutputs
from enecg.ensemble.outputs import TaskOutput
from enecg.errors import InputError
from enecg.evaluation.scores import SMALLEST_GROUP, TaskPredictions, age_bands, result_document, score
from enecg.metrics import METRICS
from enecg.tasks import BUILT_IN, Kind, Task
from plain_values import metric_value

N = 120
SUBJECTS = np.array([f"p{i // 2}" for i in range(N)])
CLASSES = {"regression": (), "binary": ("no", "yes")}


def task_of(kind: Kind) -> Task:
    metric = "mae" if kind == "regression" else "auroc"
    return Task("t", kind, "t", classes=CLASSES.get(kind, ("a", "b", "c")), metric=metric)


def labels(kind: Kind, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "regression":
        return rng.normal(60, 15, (N, 1))
    if kind == "multiclass":
        return np.eye(3)[rng.choice(3, N, p=[0.6, 0.3, 0.1])]
    return (rng.random((N, 1 if kind == "binary" else 3)) < 0.4).astype(float)


def guess(y: np.ndarray, kind: Kind, noise: float, seed: int) -> np.ndarray:
    """Predictions with so much noise (in units of the labels' spread)."""
    z = (y - y.mean()) / y.std() + noise * np.random.default_rng(seed).normal(size=y.shape)
    if kind == "regression":
        return y.mean() + z * y.std()
    p = 1 / (1 + np.exp(-z))
    return p / p.sum(1, keepdims=True) if kind == "multiclass" else p


def predictions(y: np.ndarray, kind: Kind) -> TaskPredictions:
    experts = {name: guess(y, kind, noise, seed) for seed, (name, noise) in enumerate({"good": 0.9, "bad": 3}.items())}
    baselines = {"constant": np.broadcast_to(y.mean(0), y.shape), "mean": (experts["good"] + experts["bad"]) / 2}
    return TaskPredictions(guess(y, kind, 0.3, 9), experts, baselines, weights={"good": 0.8, "bad": 0.2})


def scored(kind: Kind, **options: Any) -> dict[str, Any]:
    y = labels(kind)
    return score(task_of(kind), y, SUBJECTS, predictions(y, kind), replicates=100, **options)


@pytest.mark.parametrize("kind", METRICS)
def test_block_says_what_the_contract_says(kind: Kind) -> None:
    y, given, block = labels(kind), predictions(labels(kind), kind), scored(kind)
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    assert (block["kind"], block["n"], block["n_subjects"]) == (kind, N, N // 2)
    metrics = {name for name in METRICS[kind] if name != "coverage_90"}
    everyone = [(block["ensemble"], given.ensemble)]
    everyone += [(block["experts"][name], output) for name, output in given.experts.items()]
    everyone += [(block["baselines"][name], output) for name, output in given.baselines.items()]
    for told, output in everyone:
        assert told.keys() - {"per_class"} == metrics
        for name in metrics:
            assert told[name]["value"] == pytest.approx(metric_value(kind, name, y, output), rel=1e-5, abs=1e-12)
            assert told[name]["low"] <= told[name]["high"]
    assert block["weights"] == {"good": 0.8, "bad": 0.2}


@pytest.mark.parametrize("kind", METRICS)
def test_compare_names_the_best_expert_and_pairs(kind: Kind) -> None:
    block = scored(kind)
    metric = block["metric"]
    assert block["compare"].keys() == {"best_expert", "mean"}
    best = block["compare"]["best_expert"]
    assert (best["name"], best["metric"], best["verdict"]) == ("good", metric, "better")
    alone = block["experts"]["good"][metric]["value"]
    assert best["difference"]["value"] == pytest.approx(block["ensemble"][metric]["value"] - alone, abs=1e-4)


@pytest.mark.parametrize("kind", METRICS)
def test_a_predictor_does_not_differ_from_itself(kind: Kind) -> None:
    y = labels(kind)
    same = replace(predictions(y, kind), ensemble=predictions(y, kind).experts["good"])
    best = score(task_of(kind), y, SUBJECTS, same, replicates=50)["compare"]["best_expert"]
    assert best["difference"] == {"value": 0, "low": 0, "high": 0}
    assert best["verdict"] == "no difference shown"
    worse = replace(same, ensemble=same.experts["bad"], experts={"good": same.experts["good"]})
    assert score(task_of(kind), y, SUBJECTS, worse, replicates=50)["compare"]["best_expert"]["verdict"] == "worse"


def test_per_class() -> None:
    for kind in ("multiclass", "multilabel"):
        y, per_class = labels(kind), scored(kind)["ensemble"]["per_class"]
        assert [per_class[name]["n"] for name in "abc"] == y.sum(0).tolist()
        for c, name in enumerate("abc"):
            plain = metric_value("binary", "auroc", y[:, [c]], predictions(y, kind).ensemble[:, [c]])
            assert per_class[name]["auroc"]["value"] == pytest.approx(plain, rel=1e-5)
    assert scored("binary")["classes"] == {"no": int((labels("binary") == 0).sum()), "yes": int(labels("binary").sum())}


def test_missing_labels_leave_recordings_out() -> None:
    y = labels("binary")
    y[::3] = np.nan
    known = np.isfinite(y[:, 0])
    given = replace(predictions(labels("binary"), "binary"), thresholds=np.array([0.4]))
    task = task_of("binary")
    whole = score(task, y, SUBJECTS, given, replicates=50, groups={"g": ["x"] * N})
    part = score(task, y[known], SUBJECTS[known], given.take(known), replicates=50, groups={"g": ["x"] * known.sum()})
    assert whole == part
    assert whole["n"] == known.sum()


def test_what_the_data_cannot_say_is_null() -> None:
    y = np.zeros((N, 1))
    block = score(task_of("binary"), y, SUBJECTS, predictions(labels("binary"), "binary"), replicates=20)
    assert block["ensemble"]["auroc"] == {"value": None, "low": None, "high": None}
    assert block["compare"]["best_expert"]["verdict"] == "no difference shown"
    json.dumps(block, allow_nan=False)


def test_coverage_and_thresholds_are_the_ensembles() -> None:
    y = labels("regression")
    given = replace(predictions(y, "regression"), low=y - 1, high=y + np.where(np.arange(N) < 90, 1, -0.5)[:, None])
    block = score(task_of("regression"), y, SUBJECTS, given, replicates=50)
    assert block["ensemble"]["coverage_90"]["value"] == 0.75
    assert "coverage_90" not in block["experts"]["good"]
    y = labels("binary")
    strict = replace(predictions(y, "binary"), thresholds=np.array([0.99]))
    strict_block, plain = score(task_of("binary"), y, SUBJECTS, strict, replicates=20), scored("binary")
    assert strict_block["ensemble"]["accuracy"] != plain["ensemble"]["accuracy"]
    assert (
        strict_block["experts"] != {}
        and strict_block["experts"]["good"]["accuracy"]["value"] == (plain["experts"]["good"]["accuracy"]["value"])
    )


def test_subgroups_by_size() -> None:
    size = 2 * SMALLEST_GROUP
    group = np.repeat(["large", "small", ""], [size, size - 2, N - 2 * size + 2])
    found = scored("regression", groups={"site": group})["subgroups"]["site"]
    assert found.keys() == {"large", "small"}
    assert (found["large"]["n"], found["small"]["n_subjects"]) == (size, SMALLEST_GROUP - 1)
    y = labels("regression")
    plain = metric_value("regression", "mae", y[:size], predictions(y, "regression").ensemble[:size])
    assert found["large"]["mae"]["value"] == pytest.approx(plain, rel=1e-5)
    assert found["small"]["mae"]["value"] is None


@pytest.mark.parametrize("kind", METRICS)
def test_silence_is_scored_on_what_was_answered(kind: Kind) -> None:
    y, given = labels(kind), predictions(labels(kind), kind)
    mute = given.experts["good"].copy()
    mute[::4] = np.nan
    never = np.full_like(mute, np.nan)
    silent = replace(given, experts={"good": mute, "bad": given.experts["bad"], "never": never})
    block = score(task_of(kind), y, SUBJECTS, silent, replicates=50)
    answered = np.isfinite(mute[:, 0])
    metric, part = block["metric"], given.take(answered)
    assert (block["n"], block["experts"]["good"]["n"], block["experts"]["never"]["n"]) == (N, answered.sum(), 0)
    assert "n" not in block["experts"]["bad"]
    plain = metric_value(kind, metric, y[answered], part.experts["good"])
    assert block["experts"]["good"][metric]["value"] == pytest.approx(plain, rel=1e-5)
    assert set(block["experts"]["never"][metric].values()) == {None}
    assert block["compare"]["best_expert"]["name"] == "bad"  # the only one that answered everything
    alone = score(task_of(kind), y, SUBJECTS, replace(silent, experts={"good": mute}), replicates=50)
    on_common = metric_value(kind, metric, y[answered], part.ensemble) - plain
    assert alone["compare"]["best_expert"]["difference"]["value"] == pytest.approx(on_common, rel=1e-5)


def test_recordings_without_an_answer_are_counted() -> None:
    y, given = labels("regression"), predictions(labels("regression"), "regression")
    ensemble = given.ensemble.copy()
    ensemble[:7] = np.nan
    y[3:9] = np.nan
    block = score(task_of("regression"), y, SUBJECTS, replace(given, ensemble=ensemble), replicates=20)
    assert (block["n"], block["n_unanswered"]) == (N - 9, 3)


def test_predictions_of_an_ensembles_answers() -> None:
    value, share = np.arange(4.0)[:, None], np.array([0.5, 0.7, 0.9, 0.9])
    output = TaskOutput(BUILT_IN["age"], value, {"a": share, "b": 1 - share}, value[:, 0] - 1, value[:, 0] + 2)
    output.baselines = BaselineOutputs({"a": value + 1}, {"mean": value})
    given = TaskPredictions.of(output)
    assert given.weights == pytest.approx({"a": 0.75, "b": 0.25})
    assert given.low is not None and given.high is not None
    np.testing.assert_array_equal(given.high - given.low, np.full((4, 1), 3.0))
    assert [(block, name) for block, name, _ in given.named()] == [
        ("ensemble", ""),
        ("experts", "a"),
        ("baselines", "mean"),
    ]


def test_age_bands() -> None:
    assert age_bands([0, 39.9, 40, 59, 79, 80, np.nan]) == ["0-39", "0-39", "40-59", "40-59", "60-79", "80+", ""]


def test_document() -> None:
    document = result_document(
        {"t": scored("regression")},
        n_recordings=N,
        n_subjects=60,
        skipped=[("a/b", "truncated")],
        leakage={"shared_subjects": 1, "shared_recordings": 0},
        cohort={"name": "x", "generated": True},
    )
    assert document["skipped"] == [{"record": "a/b", "reason": "truncated"}]
    assert document["leakage"] == {"shared_subjects": 1, "shared_recordings": 0}
    assert document.keys() == {"n_recordings", "n_subjects", "skipped", "leakage", "tasks", "cohort"}
    assert "p1" not in json.dumps(document, allow_nan=False)


def test_refuses_with_the_task_and_the_predictor() -> None:
    y = labels("binary")
    given = predictions(y, "binary")
    with pytest.raises(InputError, match="task sex: none of 120 recordings has a label"):
        score(BUILT_IN["sex"], np.full_like(y, np.nan), SUBJECTS, given)
    with pytest.raises(InputError, match=r"task t, experts bad: predictions .* do not fit labels"):
        score(task_of("binary"), y, SUBJECTS, replace(given, experts={"bad": y[:5]}))
    with pytest.raises(InputError, match="task t: none of 120 recordings with a label has an answer"):
        score(task_of("binary"), y, SUBJECTS, replace(given, ensemble=y * np.nan))
    with pytest.raises(InputError, match="task t, baselines mean: brier and ece need probabilities"):
        score(task_of("binary"), y, SUBJECTS, replace(given, baselines={"mean": y + 2}))
    with pytest.raises(InputError, match="3 subjects do not fit"):
        score(task_of("binary"), y, SUBJECTS[:3], given)
