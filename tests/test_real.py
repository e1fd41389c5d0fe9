"""The main job on real recordings: fit on PTB-XL, evaluate on subjects apart, predict other hospitals' files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands import done, run

TASKS = "rr_interval=rr_mean_ms[rr_ok == 1],age,sex,superclass:multilabel"
PTBXL = "record.str.startswith('ptbxl_filtered_100hz/')"


@dataclass(frozen=True)
class Fitted:
    bundle: Path
    store: Path


@pytest.fixture(scope="module")
def fitted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A bundle of the default recipe from one fold of PTB-XL: 169 recordings."""
    home = tmp_path_factory.mktemp("real")
    words = ["--store", home / "store", "--out", home / "bundle", "--quiet"]
    told = done(
        "fit",
        shared_data / "manifest.csv",
        "--experts",
        "rhythm,morphology,beat,rocket",
        "--tasks",
        TASKS,
        "--where",
        f"{PTBXL} and strat_fold == 1",
        *words,
    )
    assert "169 recordings of 163 subjects, 0 skipped" in told.out
    assert "note: expert rocket has seen PTB-XL" in told.err
    return Fitted(home / "bundle", home / "store")


def test_it_knows_something_of_subjects_that_it_never_saw(fitted: Fitted, shared_data: Path, tmp_path: Path) -> None:
    where = f"{PTBXL} and strat_fold == 9 and subject_id < 'ptbxl-2'"
    words = ["--where", where, "--store", fitted.store, "--json", tmp_path / "results.json", "--replicates", 100]
    done("evaluate", fitted.bundle, shared_data / "manifest.csv", *words, "--quiet")
    document = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert document["n_recordings"] > 50
    assert document["leakage"] == {"shared_subjects": 0, "shared_recordings": 0}
    assert document["cohort"]["generated"] is False
    tasks = document["tasks"]
    assert tasks["rr_interval"]["ensemble"]["mae"]["value"] < 8
    assert tasks["rr_interval"]["weights"]["rhythm"] > 0.95
    constant = tasks["age"]["baselines"]["constant"]["mae"]["value"]
    assert tasks["age"]["ensemble"]["mae"]["value"] < 0.85 * constant
    assert tasks["superclass"]["ensemble"]["auroc"]["value"] > 0.82


def _answers(fitted: Fitted, *words: object) -> list[dict[str, Any]]:
    document = json.loads(done("predict", fitted.bundle, *words, "--format", "json").out)
    assert document["skipped"] == []
    assert all(entry["usable"] for entry in document["predictions"])
    found: list[dict[str, Any]] = document["predictions"]
    return found


def test_it_answers_files_of_other_hospitals_in_other_formats(fitted: Fitted, shared_data: Path) -> None:
    formats = shared_data / "formats"
    files = [shared_data / "ludb" / "data" / "1", formats / "A0001.mat", formats / "ge_muse_909.dcm"]
    answers = _answers(fitted, *files)
    assert [entry["record"] for entry in answers] == [str(file) for file in files]
    intervals = [entry["tasks"]["rr_interval"]["value"] for entry in answers]
    assert abs(intervals[0] - 1322.8) < 10  # the cardiologists' marks
    for entry in answers:
        assert list(entry["tasks"]) == ["rr_interval", "age", "sex", "superclass"]
        assert set(entry["tasks"]["superclass"]["probabilities"]) == {"NORM", "MI", "STTC", "CD", "HYP"}
        assert 18 < entry["tasks"]["age"]["value"] < 95


def test_what_a_file_does_not_state_is_asked_for_and_not_guessed(fitted: Fitted, shared_data: Path) -> None:
    file = shared_data / "formats" / "twelve_lead_500hz_mv.csv"
    outcome = run("predict", fitted.bundle, file)
    assert outcome.code == 2
    assert "no unit is stated" in outcome.err
    outcome = run("predict", fitted.bundle, file, "--unit", "mV")
    assert outcome.code == 2
    assert "no rate is stated" in outcome.err
    (slow,) = _answers(fitted, file, "--unit", "mV", "--rate", 500)
    (fast,) = _answers(fitted, file, "--unit", "mV", "--rate", 625)
    ratio = slow["tasks"]["rr_interval"]["value"] / fast["tasks"]["rr_interval"]["value"]
    assert abs(ratio - 625 / 500) < 0.02
