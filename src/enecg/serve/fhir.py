"""Answers as FHIR R4 resources: the ECG as an Observation, one Observation for each prediction, the model as a Device.

R4 (4.0.1) and R4B (4.3.0) agree on everything used here. A prediction is `preliminary`, because nobody has reviewed it.
It is derived from the Observation of the ECG, and has the security label AIAST (artificial intelligence asserted). A
recording that must not be interpreted has the same Observations, with the reason instead of a value. No LOINC code
means "predicted from an ECG", so predictions have none: a trend of laboratory values must not include them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np

from enecg import NOTICE, __version__
from enecg.documents import Prediction, PredictionsDocument, SkippedRecord, TaskAnswer
from enecg.leads import STANDARD
from enecg.recording import Recording
from enecg.tasks import Task

MEDIA_TYPE: Final = "application/fhir+json"
Resource = dict[str, Any]  # JSON of a FHIR resource, or of a part of it
_OURS: Final = uuid5(NAMESPACE_URL, "enecg")
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_UCUM: Final = "http://unitsofmeasure.org"
_MDC: Final = "urn:iso:std:iso:11073:10101"
_WHOLE_ECG: Final = 131328  # MDC_ECG_ELEC_POTL
# MDC_ECG_ELEC_POTL_I and so on: the voltage of each lead (ISO/IEEE 11073-10101).
_LEAD_CODES: Final = {"I": 131329, "II": 131330, **{f"V{n}": 131330 + n for n in range(1, 7)}, "III": 131389,
                      "aVR": 131390, "aVL": 131391, "aVF": 131392}  # fmt: skip
_UCUM_CODES: Final = {"ms": "ms", "s": "s", "years": "a", "bpm": "/min", "mmol/l": "mmol/L", "mV": "mV", "%": "%"}
_TITLES: Final = {"rr_interval": "RR interval, mean", "potassium": "serum potassium", "arrhythmia": "rhythm"}


def collection(
    document: PredictionsDocument, tasks: Sequence[Task], recording_of: Callable[[str], Recording]
) -> Resource:
    """Return a Bundle of the answers of `enecg predict`.

    Args:
        document: the JSON of `enecg predict`.
        tasks: of the bundle; a recording without answers names them all.
        recording_of: the recording that goes by a name in `document`.
    """
    digest = str(document["bundle"])
    parts = [
        part
        for entry in document["predictions"]
        for part in entries(entry, recording_of(entry["record"]), digest, tasks)
    ]
    texts = [json.dumps(part, allow_nan=False).encode() for part in parts]
    bundle: Resource = json.loads(bundle_text(digest, texts, document["skipped"]))
    return bundle


def bundle_text(digest: str, parts: Iterable[bytes], skipped: Iterable[SkippedRecord] = ()) -> bytes:
    """Return the Bundle of entries that are JSON texts. Files that could not be read become an OperationOutcome."""
    head = json.dumps({"resourceType": "Bundle", "type": "collection", "timestamp": _now()})
    issues = [{"severity": "error", "code": "structure", "diagnostics": str(each["reason"])} for each in skipped]
    first = [_device(digest)]
    if issues:
        outcome = {"resourceType": "OperationOutcome", "issue": issues}
        first.append(_entry(_id(digest, *(issue["diagnostics"] for issue in issues)), outcome))
    texts = [*(json.dumps(part).encode() for part in first), *parts]
    return head[:-1].encode() + b',"entry":[' + b",".join(texts) + b"]}"


def entries(
    entry: Prediction, recording: Recording, digest: str, tasks: Sequence[Task], start: str | None = None
) -> list[Resource]:
    """Return the entries of one recording: its ECG, then one Observation for each task.

    Args:
        entry: of `predictions` in the JSON of `enecg predict`.
        recording: that of the entry.
        digest: hash of the enecg bundle.
        tasks: of the bundle.
        start: when it was recorded, with its zone; otherwise the date that the file states, if any.
    """
    content = recording.content_hash()
    when = start or recording.facts.get("recorded")
    ecg = _id(content)
    shared: Resource = {"effectiveDateTime": when} if when else {}
    out = [_entry(ecg, _ecg(entry, recording) | shared)]
    for task in tasks:
        resource = _prediction(task, entry, ecg, digest) | shared
        out.append(_entry(_id(digest, content, task.name), resource))
    return out


def _device(digest: str) -> Resource:
    return _entry(_id(digest), {
        "resourceType": "Device",
        "status": "active",
        "deviceName": [{"name": f"EnECG bundle {digest[:12]}", "type": "model-name"}],
        "type": {"text": "machine-learning model"},
        "version": [{"type": {"text": "enecg"}, "value": __version__},
                    {"type": {"text": "bundle sha256"}, "value": digest}],
        "note": [{"text": NOTICE}],
    })  # fmt: skip


def _ecg(entry: Prediction, recording: Recording) -> Resource:
    whole = all(recording.get(name) is not None for name in STANDARD)
    code = [{"system": _MDC, "code": str(_WHOLE_ECG), "display": "MDC_ECG_ELEC_POTL"}]
    if whole:
        code.append({"system": "http://loinc.org", "code": "34534-8", "display": "12 lead EKG panel"})
    notes = [f"record: {entry['record']}", *(f"quality: {finding['text']}" for finding in entry["quality"])]
    notes += [f"note: {text}" for text in entry["notes"]]
    notes.append(f"seconds seen: {entry['seconds']['seen']:g} of {entry['seconds']['of']:g}")
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "procedure"}]}],
        "code": {"coding": code},
        "subject": {"display": "anonymous"},
        "component": [_lead(name, row, recording) for name, row in zip(recording.leads, recording.signal, strict=True)],
        "note": [{"text": text} for text in notes],
    }


def _lead(name: str, samples: np.ndarray, recording: Recording) -> Resource:
    """Return the samples of a lead in whole microvolts, or thousandths of a standard deviation; E for a missing one."""
    number = _LEAD_CODES.get(name)
    code: Resource = {"text": name}
    if number is not None:
        code["coding"] = [{"system": _MDC, "code": str(number), "display": f"MDC_ECG_ELEC_POTL_{name.upper()}"}]
    in_mv = recording.amplitude == "mV"
    steps = samples.astype(np.float64) * 1e3
    data = " ".join(str(round(step)) if np.isfinite(step) else "E" for step in steps.tolist())
    origin = _quantity(0, "uV", "uV") if in_mv else _quantity(0, "standard deviation", "1")
    sampled = {"origin": origin, "period": round(1000 / recording.rate, 9), "factor": 1 if in_mv else 0.001,
               "dimensions": 1, "data": data}  # fmt: skip
    return {"code": code, "valueSampledData": sampled}


def _prediction(task: Task, entry: Prediction, ecg: UUID, digest: str) -> Resource:
    resource: Resource = {
        "resourceType": "Observation",
        "meta": {
            "security": [
                {"system": f"{_TERMINOLOGY}/v3-ObservationValue", "code": "AIAST",
                 "display": "Artificial Intelligence asserted"}
            ]
        },
        "status": "preliminary",
        "code": {"text": f"{_TITLES.get(task.name, task.name)}, predicted from the ECG"},
        "subject": {"display": "anonymous"},
        "device": {"reference": f"urn:uuid:{_id(digest)}"},
        "derivedFrom": [{"reference": f"urn:uuid:{ecg}"}],
        "note": [{"text": NOTICE}],
    }  # fmt: skip
    if not entry["usable"]:
        reasons = "; ".join(finding["text"] for finding in entry["quality"] if finding["fatal"])
        return resource | _absent("not-performed", f"quality: {reasons}")
    answer = entry["tasks"][task.name]
    value = _value(answer)
    if not value:
        return resource | _absent("unknown", "no expert had an answer")
    return resource | value | {"component": _components(answer)}


def _value(answer: TaskAnswer) -> Resource:
    if answer["kind"] == "regression":
        if answer["value"] is None:
            return {}
        return {"valueQuantity": _quantity(answer["value"], answer["unit"], _UCUM_CODES.get(answer["unit"]))}
    decision = answer["decision"]
    if decision is None:
        return {}
    text = decision if isinstance(decision, str) else "; ".join(decision) or "none"
    return {"valueCodeableConcept": {"text": text}}


def _components(answer: TaskAnswer) -> list[Resource]:
    """Return interval, probabilities, thresholds, and the weight of each expert."""
    parts: list[Resource] = []
    shares: list[tuple[str, Mapping[str, float | None]]] = []
    if answer["kind"] == "regression":
        low, high = answer.get("low"), answer.get("high")
        if low is not None and high is not None:
            unit, code = answer["unit"], _UCUM_CODES.get(answer["unit"])
            ends = {"low": _quantity(low, unit, code), "high": _quantity(high, unit, code)}
            parts.append({"code": {"text": "90 % prediction interval"}, "valueRange": ends})
    else:
        shares.append(("probability of {}", answer["probabilities"]))
        shares.append(("decision threshold of {}", answer.get("thresholds", {})))
    shares.append(("weight of the expert {}", answer["weights"]))
    for text, numbers in shares:
        for name, number in numbers.items():
            if number is not None:
                parts.append({"code": {"text": text.format(name)}, "valueQuantity": _quantity(number, "1", "1")})
    return parts


def _quantity(value: float, unit: str, code: str | None) -> Resource:
    quantity: Resource = {"value": value}
    if unit:
        quantity["unit"] = unit
    return quantity | {"system": _UCUM, "code": code} if code else quantity


def _absent(code: str, text: str) -> Resource:
    coding = {"system": f"{_TERMINOLOGY}/data-absent-reason", "code": code}
    return {"dataAbsentReason": {"coding": [coding], "text": text}}


def _entry(name: UUID, resource: Resource) -> Resource:
    return {"fullUrl": f"urn:uuid:{name}", "resource": resource}


def _id(*parts: str) -> UUID:
    """Return an id that is the same for the same bundle, recording and task only."""
    return uuid5(_OURS, "|".join(parts))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
