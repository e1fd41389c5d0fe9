"""The demo, small: everything that it promises is there, and the report says that the ECGs are generated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import enecg
from commands import done, without
from enecg.cli.demo import FIRST_TEST_FOLD, TASKS, run
from enecg.evaluation.report.wording import GENERATED


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "new"
    told: list[str] = []
    report = run(folder, subjects=150, experts="rhythm,beat", recipe="light", say=told.append)
    assert report == folder / "report.html"
    steps = [line[:3] for line in told if line[1:2] == "/"]
    assert steps == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert "not recorded from people" in told[0]
    return folder


def test_the_results_are_of_held_out_subjects(home: Path) -> None:
    document = json.loads((home / "results.json").read_text("utf-8"))
    cohort = enecg.Cohort.load(home / "cohort" / "manifest.csv", f"fold >= {FIRST_TEST_FOLD}")
    assert document["n_recordings"] == len(cohort)
    assert document["leakage"] == {"shared_subjects": 0, "shared_recordings": 0}
    assert document["cohort"]["generated"] is True
    assert list(document["tasks"]) == TASKS.split(",")
    assert document["tasks"]["rr_interval"]["ensemble"]["mae"]["value"] < 25


def test_the_report_shows_what_was_made_and_says_so(home: Path) -> None:
    page = (home / "report.html").read_text("utf-8")
    assert GENERATED.split(".")[0] in page
    assert enecg.NOTICE in page
    assert page.count("<svg") >= 2
    assert "waveform_ecg.dcm" in page
    assert str(home) not in page


def test_the_bundle_answers_the_real_recording_again(home: Path) -> None:
    from pydicom.data import get_testdata_file

    real = get_testdata_file("waveform_ecg.dcm", download=False)
    answers = json.loads(done("predict", home / "bundle", real, "--format", "json").out)["predictions"][0]
    assert answers["usable"]
    assert 300 < answers["tasks"]["rr_interval"]["value"] < 2000


def test_without_pydicom_nothing_is_begun(tmp_path: Path) -> None:
    outcome = without("pydicom", "demo", "--out", tmp_path / "demo")
    assert (outcome.code, len(outcome.errors)) == (2, 1)
    assert "pip install 'enecg[dicom]'" in outcome.errors[0]
    assert not (tmp_path / "demo").exists()
