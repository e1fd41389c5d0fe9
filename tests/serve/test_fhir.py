"""FHIR: what fhir.resources checks, what it does not check, and that nothing of the answer is lost or made up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import enecg
from commands import done
from enecg.readers import read
from enecg.recording import Recording
from enecg.serve import fhir
from enecg.tasks import Task
from generated import Trained

STATUSES = {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}
SECONDS = {"seen": 2.0, "of": 10.0}
DATA = re.compile(r"((-?\d+(\.\d+)?|E|U|L)( |$))+")


def problems(bundle: dict[str, Any]) -> list[str]:
    """What fhir.resources does not see: value sets, SampledData, references, invariants, nulls and empty lists."""
    found = [f"{path}: empty" for path, value in walk(bundle) if value is None or value in ("", [], {})]
    known = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    if len(known) != len(bundle["entry"]):
        found.append("two entries of one fullUrl")
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] != "Observation":
            continue
        if resource["status"] not in STATUSES:
            found.append(f"status {resource['status']}")
        for kind, references in (
            ("Observation", resource.get("derivedFrom", [])),
            ("Device", [resource.get("device")]),
        ):
            found += [f"reference {r}" for r in references if r and known.get(r["reference"]) != kind]
        values = [key for key in resource if key.startswith("value")]
        if len(values) + ("dataAbsentReason" in resource) > 1:
            found.append("a value and the reason for its absence")
        for part in resource.get("component", []):
            if len([key for key in part if key.startswith("value")]) != 1:
                found.append("a component without one value")
            sampled = part.get("valueSampledData")
            if sampled and not DATA.fullmatch(sampled["data"]):
                found.append("SampledData")
    return found


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from walk(item, f"{path}.{key}")


def checked(bundle: dict[str, Any]) -> dict[str, Any]:
    pytest.importorskip("fhir.resources")
    from fhir.resources.R4B.bundle import Bundle

    Bundle.model_validate(bundle)
    assert problems(bundle) == []
    return bundle


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


@pytest.fixture(scope="module")
def real(trained: Trained, shared_data: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON of predict, and its Bundle, for a real recording and a file that is none."""
    path = shared_data / "formats" / "ge_muse_909.xml"
    loaded = enecg.load(trained.bundle)
    document = enecg.predict(loaded, [path, shared_data / "formats" / "README.md"])
    return document, fhir.collection(document, loaded.ensemble.tasks, read)


def test_it_is_valid(real: tuple[dict[str, Any], dict[str, Any]]) -> None:
    checked(real[1])


def test_the_checks_see_faults(real: tuple[dict[str, Any], dict[str, Any]]) -> None:
    faults = (
        lambda o: o[0].update(status="done"),
        lambda o: o[0]["component"][0]["valueSampledData"].update(data="1 2,3"),
        lambda o: o[1]["derivedFrom"][0].update(reference="urn:uuid:00000000-0000-0000-0000-000000000000"),
        lambda o: o[1].update(note=[]),
        lambda o: o[1].update(dataAbsentReason={"text": "x"}),
        lambda o: o[1].update(device=o[1]["derivedFrom"][0]),
    )
    for fault in faults:
        bundle = json.loads(json.dumps(real[1]))
        fault(resources(bundle, "Observation"))
        assert problems(bundle)


def test_answers_are_those_of_the_json(real: tuple[dict[str, Any], dict[str, Any]]) -> None:
    document, bundle = real
    answers = document["predictions"][0]["tasks"]
    ecg, *told = resources(bundle, "Observation")
    assert len(told) == len(answers)
    for (name, answer), observation in zip(answers.items(), told, strict=True):
        parts = {part["code"]["text"]: part for part in observation["component"]}
        assert observation["status"] == "preliminary"
        assert observation["meta"]["security"][0]["code"] == "AIAST"
        assert observation["note"] == [{"text": enecg.NOTICE}]
        assert observation["effectiveDateTime"] == "2024-01-01"
        if answer["kind"] == "regression":
            assert observation["valueQuantity"]["value"] == answer["value"], name
            interval = parts["90 % prediction interval"]["valueRange"]
            assert (interval["low"]["value"], interval["high"]["value"]) == (answer["low"], answer["high"])
        else:
            decision = answer["decision"] if isinstance(answer["decision"], str) else "; ".join(answer["decision"])
            assert observation["valueCodeableConcept"]["text"] == (decision or "none")
            for label, p in answer["probabilities"].items():
                assert parts[f"probability of {label}"]["valueQuantity"]["value"] == p
        for expert, weight in answer["weights"].items():
            assert parts[f"weight of the expert {expert}"]["valueQuantity"]["value"] == weight
    (outcome,) = resources(bundle, "OperationOutcome")
    assert outcome["issue"][0]["diagnostics"] == document["skipped"][0]["reason"]
    assert document["bundle"] in json.dumps(resources(bundle, "Device"))
    assert ecg["status"] == "final"


def test_samples_are_whole_microvolts(real: tuple[dict[str, Any], dict[str, Any]], shared_data: Path) -> None:
    recording = read(shared_data / "formats" / "ge_muse_909.xml")
    ecg = resources(real[1], "Observation")[0]
    codes = [part["code"]["coding"][0]["code"] for part in ecg["component"]]
    assert codes == ["131329", "131330", "131331", "131332", "131333", "131334", "131335", "131336"]
    for part, samples in zip(ecg["component"], recording.signal, strict=True):
        sampled = part["valueSampledData"]
        values = np.array(sampled["data"].split(" "), float)
        assert (sampled["period"], sampled["origin"]["code"]) == (2.0, "uV")
        np.testing.assert_allclose(values * sampled["factor"] / 1e3, samples, atol=0.000501)


TASKS = [
    Task("age", "regression", "age", "years"),
    Task("sex", "binary", "sex", classes=("M", "F")),
    Task("findings", "multilabel", "f", classes=("MI", "STTC")),
]


def one(entry: dict[str, Any], recording: Recording, start: str | None = None) -> dict[str, Any]:
    parts = fhir.entries(entry, recording, "ab" * 32, TASKS, start)
    told: dict[str, Any] = json.loads(fhir.bundle_text("ab" * 32, [json.dumps(part).encode() for part in parts]))
    return checked(told)


def test_a_refusal_has_no_value_and_says_why() -> None:
    finding = {"code": "too_short", "text": "2.0 s are too short", "leads": [], "fatal": True}
    entry = {
        "record": "a",
        "usable": False,
        "quality": [finding],
        "seconds": SECONDS,
        "notes": ["left out: x (no ECG leads)"],
        "tasks": {},
    }
    bundle = one(entry, Recording(np.zeros((1, 1000)), 500, ("II",)))
    ecg, *told = resources(bundle, "Observation")
    assert len(told) == len(TASKS)
    for observation in told:
        assert observation["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
        assert observation["dataAbsentReason"]["text"] == "quality: 2.0 s are too short"
        assert not [key for key in observation if key.startswith("value")]
    assert {"text": "quality: 2.0 s are too short"} in ecg["note"]
    assert {"text": "note: left out: x (no ECG leads)"} in ecg["note"]
    assert {"text": "seconds seen: 2 of 10"} in ecg["note"]
    assert [coding["code"] for coding in ecg["code"]["coding"]] == ["131328"]  # one lead is no 12-lead panel


def test_gaps_own_leads_normalised_samples_and_answers_that_nobody_has() -> None:
    answers = {
        "age": {"kind": "regression", "value": None, "unit": "years", "low": None, "high": None, "weights": {"x": 0.0}},
        "sex": {"kind": "binary", "probabilities": {"M": None, "F": None}, "decision": None, "weights": {"x": 0.0}},
        "findings": {"kind": "multilabel", "probabilities": {"MI": 0.2, "STTC": None}, "decision": [],
                     "thresholds": {"MI": 0.5, "STTC": 0.5}, "weights": {"x": 1.0}},
    }  # fmt: skip
    signal = np.array([[0.5, np.nan, -1.25], [0, 0, 0]])
    recording = Recording(signal, 1000 / 3, ("II", "resp"), "normalised")
    entry = {"record": "a", "usable": True, "quality": [], "seconds": SECONDS, "notes": [], "tasks": answers}
    bundle = one(entry, recording, "2026-01-05T09:30:00+01:00")
    ecg, age, sex, findings = resources(bundle, "Observation")
    first, own = (part["valueSampledData"] for part in ecg["component"])
    assert (first["data"], first["factor"], first["period"]) == ("500 E -1250", 0.001, 3.0)
    assert first["origin"] == {
        "value": 0,
        "unit": "standard deviation",
        "system": "http://unitsofmeasure.org",
        "code": "1",
    }
    assert "coding" not in ecg["component"][1]["code"] and own["data"] == "0 0 0"
    assert age["dataAbsentReason"]["coding"][0]["code"] == sex["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert findings["valueCodeableConcept"] == {"text": "none"}
    assert findings["effectiveDateTime"] == "2026-01-05T09:30:00+01:00"


def test_ids_are_the_same_for_the_same_and_differ_otherwise(real: tuple[dict[str, Any], dict[str, Any]]) -> None:
    entry = {"record": "a", "usable": False, "quality": [], "seconds": SECONDS, "notes": [], "tasks": {}}
    recording = Recording(np.zeros((1, 1000)), 500, ("II",))
    again = [part["fullUrl"] for part in fhir.entries(entry, recording, "x", TASKS)]
    assert again == [part["fullUrl"] for part in fhir.entries(entry, recording, "x", TASKS)]
    other = [part["fullUrl"] for part in fhir.entries(entry, Recording(np.ones((1, 1000)), 500, ("II",)), "x", TASKS)]
    assert not set(again) & set(other)


def test_the_command_line_writes_it(trained: Trained, shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.json"
    done("predict", trained.bundle, shared_data / "formats" / "ge_muse_909.dcm", "--format", "fhir", "--out", out)
    bundle = checked(json.loads(out.read_text()))
    assert len(resources(bundle, "Observation")) == 7
