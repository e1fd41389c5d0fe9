"""EnECG's protocol: whose recordings count, the published metrics, recipes on the same folds, and what they cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, mean_squared_error

from commands import done, refused
from enecg import api
from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.paper.protocol import public_looks
from enecg.paper.report import write_html, write_markdown
from generated import Trained, read_rows

CLASSES = {"accuracy", "precision_macro", "recall_macro", "f1_macro", "auroc"}
SEXES = {"M": 0, "F": 1}


@dataclass(frozen=True)
class Made:
    cohort: Path
    out: Path
    document: dict[str, Any]


@pytest.fixture(scope="module")
def made(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The command on a cohort file as EnECG's, in which one subject's first recording is missing."""
    home = tmp_path_factory.mktemp("reproduce")
    cohort = trained.manifest.with_name("enecg.jsonl")
    rows = read_rows(trained.manifest)
    lines = [
        {
            "subject_id": row["subject_id"],
            "ecg_path": row["record"],
            "rr_interval": float(row["rr_interval"]),
            "age": float(row["age"]),
            "gender": SEXES[row["sex"]],
        }
        for row in rows
    ]
    lines.insert(0, {**lines[0], "ecg_path": "not/there"})
    cohort.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    words = ["--experts", "rhythm", "--recipe", "paper", "--recipe", "light", "--store", trained.store, "--quiet",
             "--out", home / "out", "--work", home / "work", "--jobs", 0, "--replicates", 50]  # fmt: skip
    done("reproduce", cohort, *words)
    return Made(cohort, home / "out", json.loads((home / "out" / "results.json").read_text("utf-8")))


def test_one_usable_recording_of_each_subject_counts(made: Made) -> None:
    cohort = Cohort.load(made.cohort)
    people = len(set(cohort.subjects))
    assert len(cohort) > people
    assert (made.document["n_recordings"], made.document["n_subjects"]) == (people, people)
    (skipped,) = made.document["skipped"]
    assert skipped["record"] == "not/there"  # and the subject's next one is there
    assert made.document["protocol"]["folds"] == 3
    assert made.document["leakage"] == {"shared_subjects": 0, "shared_recordings": 0}


def test_published_metrics_of_recipes_on_the_same_recordings(made: Made) -> None:
    assert list(made.document["tasks"]) == ["rr_interval", "age", "sex"]
    for name, block in made.document["tasks"].items():
        metrics = (
            {"accuracy", "precision_macro", "recall_macro", "f1_macro", "auroc"} if name == "sex" else {"mae", "mse"}
        )
        for recipe in ("paper", "light"):
            scores = block["recipes"][recipe]
            assert scores.keys() == metrics
            whole = made.document["recipes"][recipe]["tasks"][name]["ensemble"]
            for metric, found in scores.items():
                assert found["low"] <= found["value"] <= found["high"]
                assert found["folds"]["sd"] >= 0
                expected = whole["rmse"]["value"] ** 2 if metric == "mse" else whole[metric]["value"]
                assert found["value"] == pytest.approx(expected, rel=1e-4)
        told = block["compare"]["light"]["paper"]
        own = [block["recipes"][recipe][block["metric"]]["value"] for recipe in ("light", "paper")]
        assert told["difference"]["value"] == pytest.approx(own[0] - own[1], rel=1e-3)
    rr = made.document["tasks"]["rr_interval"]
    assert rr["compare"]["light"]["paper"]["verdict"] == "better"
    assert rr["recipes"]["light"]["mae"]["value"] < 20


def test_the_metrics_are_those_of_scikit_learn(made: Made, trained: Trained, tmp_path: Path) -> None:
    found = api.reproduce(
        made.cohort, "age,sex", "rhythm", trained.store, recipes=["light"], replicates=10
    )  # fmt: skip
    evaluation = found.evaluations["light"]
    age, sex = evaluation.targets["age"].y[:, 0], evaluation.targets["sex"].y[:, 0]
    values = found.document["tasks"]["age"]["recipes"]["light"]
    assert values["mse"]["value"] == pytest.approx(
        mean_squared_error(age, evaluation.predictions["age"].ensemble[:, 0]), rel=1e-5
    )
    folds = [fold.rows for fold in evaluation.folds]
    each = [mean_squared_error(age[rows], evaluation.predictions["age"].ensemble[rows, 0]) for rows in folds]
    assert values["mse"]["folds"]["mean"] == pytest.approx(np.mean(each))
    assert values["mse"]["folds"]["sd"] == pytest.approx(np.std(each))
    given = evaluation.predictions["sex"]
    assert given.thresholds is not None
    decided = given.ensemble >= given.thresholds
    f1 = found.document["tasks"]["sex"]["recipes"]["light"]["f1_macro"]["value"]
    assert f1 == pytest.approx(f1_score(sex, decided[:, 0], average="macro"), rel=1e-5)
    same = api.reproduce(made.cohort, "age,sex", "rhythm", trained.store, recipes=["light"], replicates=10)
    same.document["cost"] = found.document["cost"]
    assert same.document["tasks"] == found.document["tasks"]


def test_costs_are_counted(made: Made) -> None:
    assert public_looks(3) * 30_000 == 3 * (5 * 20_000 + 10_000)
    cost, n = made.document["cost"], made.document["n_recordings"]
    assert cost["measured_on"] == 8
    assert cost["pass_ms"].keys() == {"rhythm"}
    for recipe in cost["recipes"].values():
        assert recipe["frozen_passes"] == n
        assert recipe["seconds_fitting"] > 0
        assert recipe["peak_bytes"] > 1e7
    assert cost["reference"]["frozen_passes"] == 11 * 3 * n
    assert cost["reference"]["seconds_frozen"] == pytest.approx(33 * cost["recipes"]["paper"]["seconds_frozen"])
    assert cost["reference"]["peak_bytes"] == n * 5000 * 12 * 8
    dim = 8 * (174 + 256 + 256 + 256)  # an adapter on a head for 174 measurements
    gate = 8 * (5000 + 256 + 256 + 1)
    assert cost["recipes"]["paper"]["trained"] == 3 * (dim + gate)


def test_the_report_shows_it_all(made: Made, tmp_path: Path) -> None:
    write_html(made.document, tmp_path / "again.html")
    page = (made.out / "report.html").read_text("utf-8")
    assert page == (tmp_path / "again.html").read_text("utf-8")
    text = (made.out / "report.md").read_text("utf-8")
    assert text == write_markdown(made.document)
    mae = made.document["tasks"]["rr_interval"]["recipes"]["paper"]["mae"]["value"]
    for shown in (page, text):
        assert f"{mae:.0f}" in shown
        assert "light minus paper: MAE −" in shown
        assert "Research use only. Not a medical device." in shown
        assert "Trained numbers" in shown
    assert "not/there" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_what_cannot_be_done_is_said(made: Made, trained: Trained, tmp_path: Path) -> None:
    table = Cohort.load(made.cohort).table[["record", "subject_id"]]
    with pytest.raises(InputError, match="no label for any of rr_interval, age"):
        api.reproduce(Cohort.from_table(table, made.cohort.parent, "bare"), experts="rhythm", store=trained.store)
    words = ["--experts", "rhythm", "--store", trained.store, "--out", tmp_path / "out", "--quiet"]
    assert "there is no such recipe" in refused("reproduce", made.cohort, "--recipe", "papper", *words)
