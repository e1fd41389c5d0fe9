"""Predictions: the document that programs read, and its four forms."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import enecg
from commands import done
from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.predictions import predict_files, row
from enecg.experts.inputs import seconds_seen
from enecg.readers import read
from enecg.recording import Recording
from generated import HELD_OUT, Trained

COUNT = 5


@pytest.fixture(scope="module")
def files(trained: Trained) -> list[str]:
    """Five recordings that the bundle was not trained on, and a file that is not there."""
    cohort = enecg.Cohort.load(trained.manifest, HELD_OUT)
    return [*(str(cohort.path(i)) for i in range(COUNT)), "nowhere.dcm"]


@pytest.fixture(scope="module")
def document(trained: Trained, files: list[str]) -> dict[str, Any]:
    return enecg.predict(trained.bundle, files)


def test_the_document_has_what_the_contract_promises(document: dict[str, Any], files: list[str]) -> None:
    assert document.keys() == {"predictions", "skipped", "bundle", "notice"}
    assert document["notice"] == "Research use only. Not a medical device."
    assert len(document["bundle"]) == 64
    assert [each["record"] for each in document["predictions"]] == files[:COUNT]
    assert [each.keys() for each in document["skipped"]] == [{"record", "reason"}]
    assert document["skipped"][0]["record"] == "nowhere.dcm"
    for entry in document["predictions"]:
        assert entry.keys() == {"record", "usable", "quality", "seconds", "leads", "notes", "tasks"}
        assert entry["usable"] is True
        assert list(entry["tasks"]) == ["rr_interval", "age", "sex", "potassium", "arrhythmia", "findings"]
        for finding in entry["quality"]:
            assert {key: type(value) for key, value in finding.items()} == {
                "code": str, "text": str, "leads": list, "fatal": bool
            }  # fmt: skip


def test_each_kind_of_task_answers_in_its_way(document: dict[str, Any]) -> None:
    for entry in document["predictions"]:
        for answer in entry["tasks"].values():
            assert answer["weights"].keys() == {"rhythm", "beat"}
            assert math.isclose(sum(answer["weights"].values()), 1, abs_tol=2e-4)
            assert all(weight >= 0 for weight in answer["weights"].values())
        age, sex = entry["tasks"]["age"], entry["tasks"]["sex"]
        assert age.keys() == {"kind", "value", "unit", "low", "high", "weights"}
        assert age["low"] <= age["value"] <= age["high"]
        assert (age["kind"], age["unit"]) == ("regression", "years")
        assert sex.keys() == {"kind", "probabilities", "decision", "thresholds", "weights"}
        assert list(sex["probabilities"]) == ["M", "F"]
        assert math.isclose(sum(sex["probabilities"].values()), 1, abs_tol=1e-5)
        assert sex["decision"] == "MF"[sex["probabilities"]["F"] >= sex["thresholds"]["F"]]
        rhythm, findings = entry["tasks"]["arrhythmia"], entry["tasks"]["findings"]
        assert rhythm.keys() == {"kind", "probabilities", "decision", "weights"}
        assert math.isclose(sum(rhythm["probabilities"].values()), 1, abs_tol=1e-5)
        assert rhythm["decision"] == max(rhythm["probabilities"], key=rhythm["probabilities"].__getitem__)
        thresholds = findings["thresholds"]
        assert findings["decision"] == [name for name, p in findings["probabilities"].items() if p >= thresholds[name]]


def test_a_recording_is_answered_alone_as_among_others(
    document: dict[str, Any], trained: Trained, files: list[str]
) -> None:
    bundle = enecg.load(trained.bundle)
    parts = predict_files(bundle.ensemble, bundle.digest, bundle.experts, files, group=2)
    assert parts["skipped"] == document["skipped"]
    for alone, together in zip(parts["predictions"], document["predictions"], strict=True):
        assert alone["record"] == together["record"]
        for task, answer in together["tasks"].items():
            _same(alone["tasks"][task], answer)


def _same(one: Any, other: Any) -> None:
    if isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            _same(one[key], other[key])
    elif isinstance(other, float):
        assert math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-4)
    else:
        assert one == other


def test_all_forms_say_the_same(document: dict[str, Any], trained: Trained, files: list[str], tmp_path: Path) -> None:
    words = ["predict", trained.bundle, *files, "--format"]
    assert json.loads(done(*words, "json").out) == document
    done(*words, "json", "--out", tmp_path / "new" / "answers.json")
    assert json.loads((tmp_path / "new" / "answers.json").read_text("utf-8")) == document
    csv = pd.read_csv(io.StringIO(done(*words, "csv").out), keep_default_na=False, na_values=[""])
    done(*words, "parquet", "--out", tmp_path / "answers.parquet")
    for frame in (csv, pd.read_parquet(tmp_path / "answers.parquet")):
        assert list(frame["record"]) == files
        assert list(frame["usable"]) == [True] * COUNT + [False]
        assert set(frame["bundle"]) == {document["bundle"]}
        assert set(frame["notice"]) == {document["notice"]}
        assert "no such file" in frame["quality"].iloc[-1]
        for (_, cells), entry in zip(frame.iterrows(), document["predictions"], strict=False):
            _same_row(cells, entry["tasks"])
        assert frame["age"].isna().tolist() == [False] * COUNT + [True]
    table = " ".join(done(*words, "table").out.split())
    for entry in document["predictions"]:
        assert entry["record"] in table
        assert f"{entry['tasks']['rr_interval']['value']:.0f} ms (90 % " in table
        sex = entry["tasks"]["sex"]
        assert f"{sex['decision']} ({sex['decision']} {sex['probabilities'][sex['decision']]:.2f}" in table
    assert document["notice"] in table


def _same_row(row: pd.Series, tasks: dict[str, Any]) -> None:
    for name, answer in tasks.items():
        for key in ("value", "low", "high"):
            if key in answer:
                assert row[name if key == "value" else f"{name}_{key}"] == answer[key]
        for group, found in (("p", answer.get("probabilities", {})), ("weight", answer["weights"])):
            assert all(row[f"{name}_{group}_{key}"] == value for key, value in found.items())
        decision = answer.get("decision")
        if isinstance(decision, list):
            told = row[f"{name}_decision"]
            assert ("" if pd.isna(told) else told) == ";".join(decision)
        elif decision is not None:
            assert row[f"{name}_decision"] == decision


def test_a_recording_that_must_not_be_interpreted_has_no_answers(trained: Trained, files: list[str]) -> None:
    good = enecg.read(files[0])
    flat = Recording(np.zeros_like(good.signal), good.rate, good.leads, source="flat")
    found = enecg.predict(trained.bundle, [flat, good])["predictions"]
    assert [(each["record"], each["usable"], bool(each["tasks"])) for each in found] == [
        ("flat", False, False), (good.source, True, True)
    ]  # fmt: skip
    assert any(finding["fatal"] for finding in found[0]["quality"])


def test_without_an_answer_there_is_null_and_not_a_number(trained: Trained, files: list[str]) -> None:
    """What no expert could measure is not made up."""
    bundle = enecg.load(trained.bundle)
    known = embed_recordings([enecg.read(files[0])], bundle.experts)
    silent = {name: np.full_like(embedding, np.nan) for name, embedding in known.items()}
    for output in bundle.ensemble.predict(silent).values():
        assert not np.isfinite(output.value).any()
        assert output.decisions() == [None]


def test_names_with_brackets_are_printed_as_they_are(trained: Trained, files: list[str], tmp_path: Path) -> None:
    good = enecg.read(files[0])
    place = tmp_path / "a[red]b[bold].csv"
    rows = [",".join(good.leads), *(",".join(f"{value:.4f}" for value in row) for row in good.signal.T)]
    place.write_text("\n".join(["# rate: 500", "# unit: mV", *rows]))
    assert place.name in "".join(done("predict", trained.bundle, place).out.split())


def test_every_form_shows_what_was_left_out(trained: Trained, files: list[str], tmp_path: Path) -> None:
    good = enecg.read(files[0])
    path = tmp_path / "breath.csv"
    rows = [",".join([*good.leads, "Resp"]), *(",".join([*map(str, row), "0"]) for row in good.signal.T)]
    path.write_text("\n".join(["# rate: 500", "# unit: mV", *rows]))
    note = "left out: Resp (no ECG leads)"
    words = ["predict", trained.bundle, path, "--format"]
    [entry] = json.loads(done(*words, "json").out)["predictions"]
    assert (entry["leads"], entry["notes"]) == (list(good.leads), [note])
    assert f"note: {note}" in done(*words, "table").out
    done(*words, "parquet", "--out", tmp_path / "answers.parquet")
    for frame in (pd.read_csv(io.StringIO(done(*words, "csv").out)), pd.read_parquet(tmp_path / "answers.parquet")):
        assert list(frame["notes"]) == [note]
    assert f"note: {note}" in done(*words, "fhir").out


def test_seconds_that_no_expert_sees_are_said(trained: Trained, files: list[str]) -> None:
    """Each expert has windows up to a last second; the rest of a short recording is not seen by all."""
    good = read(files[0])
    bundle = enecg.load(trained.bundle)
    least = min(seconds_seen(expert.card.input, 95.0) for expert in bundle.experts)
    assert least < 95
    long = replace(good, signal=np.tile(good.signal, 10)[:, : round(95 * good.rate)])
    entries = enecg.predict(bundle, [good, long])["predictions"]
    assert [entry["seconds"] for entry in entries] == [{"seen": 10.0, "of": 10.0}, {"seen": least, "of": 95.0}]
    note = f"only the first {least:g} of 95 s are seen by every expert"
    assert [entry["notes"] for entry in entries] == [[], [note]]
    cells = row(entries[1], "")
    assert (cells["seconds_seen"], cells["seconds"], cells["notes"]) == (least, 95.0, note)


def test_a_file_of_an_absurd_rate_costs_no_other_its_answer(trained: Trained, files: list[str], tmp_path: Path) -> None:
    """Five seconds that state 250 kHz, and one at the highest rate that is read."""
    paths = [tmp_path / "absurd.csv", tmp_path / "fast.csv"]
    for path, rate in zip(paths, (250_000, 100_000), strict=True):
        rows = "".join(f"{i % 7},{i % 5}\n" for i in range(2500))
        path.write_text(f"# rate: {rate}\n# unit: uV\nI,II\n{rows}")
    document = enecg.predict(trained.bundle, [paths[0], files[0], paths[1]])
    assert [entry["record"] for entry in document["skipped"]] == [str(paths[0])]
    assert "a rate of 250000 Hz is no ECG's" in document["skipped"][0]["reason"]
    good, fast = document["predictions"]
    assert (good["usable"], bool(good["tasks"])) == (True, True)
    assert (fast["usable"], fast["tasks"]) == (False, {})
