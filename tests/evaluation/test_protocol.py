"""The verbs over cohorts: their document, honest splits, and numbers that can be found again in other ways."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score

import enecg
from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import gather
from enecg.embedding.store.store import Store
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.recipes import find_recipe
from enecg.errors import InputError
from enecg.evaluation import protocol as run
from enecg.evaluation.leakage import seen_in_pretraining
from enecg.quality import check
from enecg.readers import read
from enecg.tasks import parse_tasks
from generated import HELD_OUT, TASKS, TRAINING, Trained

CLASSES = {"auroc", "auprc", "accuracy", "f1_macro", "precision_macro", "recall_macro", "brier", "ece"}
NUMBERS = {"mae", "rmse", "r2"}
BASELINES = {"constant", "mean", "best_on_validation", "stacking", "concat", "random"}
UNITS = {"rr_interval": "ms", "age": "years"}


@pytest.fixture(scope="module")
def held_out(trained: Trained) -> run.Evaluation:
    return enecg.evaluate(trained.bundle, trained.manifest, trained.store, where=HELD_OUT, replicates=50)


@pytest.fixture(scope="module")
def cross_validated(trained: Trained) -> run.Evaluation:
    return _crossval(Cohort.load(trained.manifest), trained)


def _crossval(cohort: Cohort, trained: Trained, seed: int = 0) -> run.Evaluation:
    tasks = "age,sex,arrhythmia=rhythm,findings:multilabel"
    words = {"folds": 3, "recipe": "light", "replicates": 50, "seed": seed}
    return enecg.crossval(cohort, tasks, "rhythm,beat", trained.store, **words)  # type: ignore[arg-type]


# The contract


def _is_estimate(found: Any) -> None:
    assert found.keys() == {"value", "low", "high"}
    assert all(value is None or isinstance(value, float) for value in found.values())
    if None not in found.values():
        assert found["low"] <= found["high"]


def _check_block(block: dict[str, Any], experts: set[str]) -> None:
    metrics = NUMBERS if block["kind"] == "regression" else CLASSES
    own = dict(block["ensemble"])
    assert isinstance(block["unit"], str)
    assert isinstance(block["n"], int) and block["n"] > 0
    if block["kind"] in ("multiclass", "multilabel"):
        per_class = own.pop("per_class")
        assert per_class.keys() == block["classes"].keys()
        for name, found in per_class.items():
            assert found.keys() == {"n", "auroc"}
            assert found["n"] == block["classes"][name]
            _is_estimate(found["auroc"])
    assert own.keys() == (metrics | {"coverage_90"} if block["kind"] == "regression" else metrics)
    assert (block["experts"].keys(), block["baselines"].keys()) == (experts, BASELINES)
    for scores in (own, *block["experts"].values(), *block["baselines"].values()):
        assert metrics <= scores.keys()
        for estimate in scores.values():
            _is_estimate(estimate)
    assert block["weights"].keys() == experts
    assert math.isclose(sum(block["weights"].values()), 1, abs_tol=1e-4)
    assert block["weights_spread"].keys() == experts
    for name, spread in block["weights_spread"].items():
        assert 0 <= spread["low"] <= spread["high"] <= 1
        if spread["low"] == spread["high"]:
            assert block["weights"][name] == pytest.approx(spread["low"], abs=0.05)
    assert block["compare"].keys() == {"best_expert", *BASELINES - {"constant"}}
    for name, compared in block["compare"].items():
        assert compared.keys() == {"name", "metric", "difference", "verdict"}
        assert compared["name"] in (experts if name == "best_expert" else {name})
        assert compared["metric"] == ("mae" if block["kind"] == "regression" else "auroc")
        assert compared["verdict"] in ("better", "no difference shown", "worse")
        _is_estimate(compared["difference"])


def test_the_document_of_an_evaluation_keeps_the_contract(held_out: run.Evaluation, trained: Trained) -> None:
    document = held_out.document
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    cohort = Cohort.load(trained.manifest, HELD_OUT)
    assert (document["n_recordings"], document["n_subjects"]) == (len(cohort), len(set(cohort.subjects)))
    assert document["skipped"] == []
    assert document["leakage"] == {"shared_subjects": 0, "shared_recordings": 0}
    assert document["cohort"] == {"name": "manifest.csv", "generated": True}
    assert document["notice"] == enecg.NOTICE
    assert list(document["tasks"]) == [task.split(":")[0] for task in TASKS.split(",")]
    for name, block in document["tasks"].items():
        _check_block(block, {"rhythm", "beat"})
        assert block["unit"] == UNITS.get(name, "")
    assert document["tasks"]["age"]["subgroups"].keys() == {"sex", "age", "quality"}
    found = document["tasks"]["age"]["subgroups"]["quality"]
    assert sum(group["n"] for group in found.values()) == document["tasks"]["age"]["n"]
    assert found.keys() == _qualities(cohort)


def _qualities(cohort: Cohort) -> set[str]:
    findings = [check(read(cohort.path(i))).findings for i in range(len(cohort))]
    codes = [tuple(dict.fromkeys(finding.code for finding in found)) for found in findings]
    words = {len(found): "several findings" for found in codes if len(found) > 1}
    one = {found[0].replace("_", " ") for found in codes if len(found) == 1}
    return one | set(words.values()) | ({"nothing found"} if () in codes else set())


def test_the_document_of_a_cross_validation_keeps_the_contract(cross_validated: run.Evaluation) -> None:
    document = cross_validated.document
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["leakage"] == {"shared_subjects": 0, "shared_recordings": 0}
    assert list(document["tasks"]) == ["age", "sex", "arrhythmia", "findings"]
    for block in document["tasks"].values():
        _check_block(block, {"rhythm", "beat"})
    assert document["tasks"]["age"]["n"] == document["n_recordings"]  # every recording is answered once
    assert "3-fold cross-validation by subject" in document["provenance"]["Protocol"]
    assert cross_validated.left_out
    assert "; ".join(cross_validated.left_out) == document["provenance"]["Left out"]


# The same numbers, found in another way


def test_evaluating_is_predicting_and_scoring(held_out: run.Evaluation, trained: Trained) -> None:
    cohort = Cohort.load(trained.manifest, HELD_OUT)
    answers = enecg.predict(trained.bundle, [cohort.path(i) for i in range(len(cohort))])["predictions"]
    ages = [answer["tasks"]["age"]["value"] for answer in answers]
    women = [answer["tasks"]["sex"]["probabilities"]["F"] for answer in answers]
    blocks = held_out.document["tasks"]
    assert blocks["age"]["ensemble"]["mae"]["value"] == pytest.approx(
        mean_absolute_error(cohort.table["age"], ages), rel=1e-3
    )
    assert blocks["sex"]["ensemble"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(cohort.table["sex"] == "F", women), abs=1e-6
    )
    of_class = blocks["arrhythmia"]["ensemble"]["per_class"]["AFIB"]
    known = cohort.table["arrhythmia"].isin(blocks["arrhythmia"]["classes"]).to_numpy()
    fibrillates = [answer["tasks"]["arrhythmia"]["probabilities"]["AFIB"] for answer in answers]
    labels = (cohort.table["arrhythmia"] == "AFIB")[known]
    assert of_class["n"] == labels.sum()
    assert of_class["auroc"]["value"] == pytest.approx(roc_auc_score(labels, np.array(fibrillates)[known]), abs=1e-6)


def test_a_fold_of_the_cross_validation_is_a_fit_without_it(cross_validated: run.Evaluation, trained: Trained) -> None:
    cohort = Cohort.load(trained.manifest)
    cohort = cohort.take(np.argsort(cohort.records))
    first = cohort.folds(3, seed=0) == 0
    assert not set(cohort.subjects[first]) & set(cohort.subjects[~first])
    bundle = enecg.fit(cohort.take(~first), "age", "rhythm,beat", trained.store, recipe="light")
    answers = enecg.predict(bundle, [cohort.path(i) for i in np.flatnonzero(first)])["predictions"]
    pooled = cross_validated.predictions["age"].ensemble[first, 0]
    assert [answer["tasks"]["age"]["value"] for answer in answers] == pytest.approx(pooled, rel=1e-3)


def test_the_order_of_rows_changes_nothing_and_the_seed_does(cross_validated: run.Evaluation, trained: Trained) -> None:
    cohort = Cohort.load(trained.manifest)
    mixed = cohort.take(np.random.default_rng(5).permutation(len(cohort)))
    assert mixed.records != cohort.records
    assert _crossval(mixed, trained).document == cross_validated.document
    other = _crossval(cohort, trained, seed=1).document
    ages = [document["tasks"]["age"]["ensemble"]["mae"]["value"] for document in (other, cross_validated.document)]
    assert ages[0] != ages[1]
    assert abs(ages[0] - ages[1]) < 3


def test_an_expert_that_refuses_recordings_is_judged_by_the_others(trained: Trained) -> None:
    """Where it is silent the ensemble answers without it, and what it knows of the rest is not spoilt."""
    bundle = enecg.load(trained.bundle)
    data = gather(Cohort.load(trained.manifest), bundle.experts, Store(trained.store), progress=False)
    silent = np.arange(len(data.cohort)) % 3 == 0
    embeddings = {**data.embeddings, "rhythm": np.where(silent[:, None], np.nan, data.embeddings["rhythm"])}
    partly = replace(data, embeddings=embeddings)
    tasks = parse_tasks("rr_interval,sex")
    targets = [data.cohort.target(task) for task in tasks]
    found = run.crossval(
        partly, targets, bundle.ensemble.experts, folds=3, recipe=find_recipe("light"), replicates=20
    ).document["tasks"]["rr_interval"]  # fmt: skip
    assert found["n"] == len(data.cohort)
    assert found["experts"]["rhythm"]["n"] == (~silent).sum()
    assert found["experts"]["rhythm"]["mae"]["value"] < 20 < found["experts"]["beat"]["mae"]["value"]
    assert found["ensemble"]["mae"]["value"] < 0.75 * found["experts"]["beat"]["mae"]["value"]
    assert found["weights"]["rhythm"] == pytest.approx((~silent).mean(), abs=0.05)

    mute = replace(data, embeddings={**embeddings, "beat": np.full_like(embeddings["beat"], np.nan)})
    with pytest.raises(
        InputError, match=r"the expert beat has embeddings of 0 of \d+ labelled recordings, and needs 20"
    ):
        run.train(mute, targets, bundle.ensemble.experts)
    alone = run.evaluate(bundle.ensemble, mute, replicates=10).document["tasks"]["age"]
    assert (alone["n_unanswered"], alone["experts"]["beat"]["n"]) == (silent.sum(), 0)
    assert alone["weights"] == {"rhythm": 1.0, "beat": 0.0}


def test_what_was_left_out_of_the_files_is_counted(trained: Trained) -> None:
    bundle = enecg.load(trained.bundle)
    data = gather(Cohort.load(trained.manifest), bundle.experts, Store(trained.store), progress=False)
    notes: list[tuple[str, ...]] = [("left out: Resp (no ECG leads)",)] * 3 + [()] * (len(data.cohort) - 3)
    document = run.evaluate(bundle.ensemble, replace(data, notes=notes), replicates=2).document
    assert document["provenance"]["Left out of recordings"] == "left out: Resp (no ECG leads): 3 recordings"
    silent = run.evaluate(bundle.ensemble, data, replicates=2).document
    assert "Left out of recordings" not in silent["provenance"]


# Leakage


def test_subjects_of_the_training_part_are_counted_and_told(trained: Trained) -> None:
    told: list[str] = []
    where = "fold == 7 or fold == 8"
    found = enecg.evaluate(
        trained.bundle, trained.manifest, trained.store, where=where, replicates=10, say=told.append
    )  # fmt: skip
    both = Cohort.load(trained.manifest, f"({where}) and ({TRAINING})")
    assert 0 < len(set(both.subjects)) < found.document["n_subjects"]
    leakage = {"shared_subjects": len(set(both.subjects)), "shared_recordings": len(both)}
    assert found.document["leakage"] == leakage
    warning = (
        f"warning: {leakage['shared_subjects']} subjects and {len(both)} recordings were in the training part too; "
        f"these results are too good"
    )
    assert warning in told


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("PTB-XL", ["expert b has seen PTB-XL with labels: its results here are too good",
                    "expert a has seen PTB-XL without labels"]),
        ("PTB-XL (filtered)", ["expert b has seen PTB-XL (filtered) with labels: its results here are too good",
                               "expert a has seen PTB-XL (filtered) without labels"]),
        ("LUDB", []),
        (None, []),
    ],
)  # fmt: skip
def test_experts_that_have_seen_the_data_are_named_worst_first(
    dataset: str | None, told: list[str], trained: Trained
) -> None:
    cohort = Cohort.load(trained.manifest)
    cohort = replace(cohort, table=cohort.table.assign(dataset=dataset))
    infos = [ExpertInfo("a", "0" * 64, 1, corpora=("PTB-XL",)), ExpertInfo("b", "0" * 64, 1, label_corpora=("PTB-XL",))]
    assert seen_in_pretraining(cohort, infos) == told


# Tasks without labels


def test_a_task_without_labels_is_left_out_and_told(trained: Trained) -> None:
    cohort = Cohort.load(trained.manifest, HELD_OUT)
    table = cohort.table.drop(columns="potassium").assign(rr_interval=np.nan)
    told: list[str] = []
    found = enecg.evaluate(
        trained.bundle, Cohort.from_table(table, cohort.root, "few"), trained.store, replicates=10, say=told.append
    )
    assert list(found.document["tasks"]) == ["age", "sex", "arrhythmia", "findings"]
    assert [line for line in told if line.startswith("left out: ")] == [f"left out: {line}" for line in found.left_out]
    assert "column rr_interval has no label" in found.left_out[0]
    assert "no column 'potassium'" in found.left_out[1]
    assert found.document["provenance"]["Left out"] == "; ".join(found.left_out)


def test_where_only_one_class_occurs_there_is_no_number_instead_of_a_wrong_one(trained: Trained) -> None:
    found = enecg.evaluate(
        trained.bundle, trained.manifest, trained.store, where=f"{HELD_OUT} and sex == 'F'", replicates=10
    )
    block = found.document["tasks"]["sex"]
    assert block["classes"] == {"M": 0, "F": block["n"]}
    assert block["ensemble"]["auroc"] == {"value": None, "low": None, "high": None}
    assert block["ensemble"]["accuracy"]["value"] is not None


def test_training_says_what_it_was_trained_on(trained: Trained) -> None:
    training = enecg.load(trained.bundle).ensemble.training
    cohort = Cohort.load(trained.manifest, TRAINING)
    assert (training["recordings"], training["subjects"]) == (len(cohort), len(set(cohort.subjects)))
    assert training["digest"] == cohort.digest()
    assert training["skipped"] == 0
    assert training["labelled"]["age"] == len(cohort)
    assert training["labelled"]["arrhythmia"] < len(cohort)  # rare rhythms do not count
    assert all("fewer than 10" in line for line in training["left_out"])
    card = (Path(trained.bundle) / "README.md").read_text("utf-8")
    assert f"- digest: {cohort.digest()}" in card
