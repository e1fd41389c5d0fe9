"""Answers as FHIR R4 resources: the ECG as an Observation, one Observation for each prediction, the model as a Device.

R4 (4.0.1) and R4B (4.3.0) agree on everything used here. A prediction is `preliminary`, since nobody has reviewed it,
is derived from the ECG's Observation, and bears the security label AIAST (asserted by an artificial intelligence). A
recording that must not be interpreted gets the same Observations with the reason in place of a value. No LOINC code
means "as predicted from an ECG", so none is used for predictions: a trend of laboratory values must not pick them up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np

from enecg import NOTICE, __version__
from enecg.leads import STANDARD
from enecg.recording import Recording
from enecg.tasks import Task

MEDIA_TYPE: Final = "application/fhir+json"
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
    document: Mapping[str, Any], tasks: Sequence[Task], recording_of: Callable[[str], Recording]
) -> dict[str, Any]:
    """A Bundle of the answers of `enecg predict`.

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
    bundle: dict[str, Any] = json.loads(bundle_text(digest, texts, document["skipped"]))
    return bundle


def bundle_text(digest: str, parts: Iterable[bytes], skipped: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """The Bundle of entries that are JSON texts already; what could not be read is an OperationOutcome."""
    head = json.dumps({"resourceType": "Bundle", "type": "collection", "timestamp": _now()})
    issues = [{"severity": "error", "code": "structure", "diagnostics": str(each["reason"])} for each in skipped]
    told = [_device(digest)]
    if issues:
        outcome = {"resourceType": "OperationOutcome", "issue": issues}
        told.append(_entry(_id(digest, *(issue["diagnostics"] for issue in issues)), outcome))
    texts = [*(json.dumps(part).encode() for part in told), *parts]
    return head[:-1].encode() + b',"entry":[' + b",".join(texts) + b"]}"


def entries(
    entry: Mapping[str, Any], recording: Recording, digest: str, tasks: Sequence[Task], start: str | None = None
) -> list[dict[str, Any]]:
    """The Bundle's entries for one recording: its ECG, then one Observation for each task.

    Args:
        entry: of `predictions` in the JSON of `enecg predict`.
        recording: what it is about.
        digest: hash of the enecg bundle.
        tasks: of the bundle.
        start: when it was recorded, with its zone; otherwise the date that the file states, if any.
    """
    content = recording.content_hash()
    when = start or recording.facts.get("recorded")
    ecg = _id(content)
    shared: dict[str, Any] = {"effectiveDateTime": when} if when else {}
    out = [_entry(ecg, _ecg(entry, recording) | shared)]
    for task in tasks:
        resource = _prediction(task, entry, ecg, digest) | shared
        out.append(_entry(_id(digest, content, task.name), resource))
    return out


def _device(digest: str) -> dict[str, Any]:
    return _entry(_id(digest), {
        "resourceType": "Device",
        "status": "active",
        "deviceName": [{"name": f"EnECG bundle {digest[:12]}", "type": "model-name"}],
        "type": {"text": "machine-learning model"},
        "version": [{"type": {"text": "enecg"}, "value": __version__},
                    {"type": {"text": "bundle sha256"}, "value": digest}],
        "note": [{"text": NOTICE}],
    })  # fmt: skip


def _ecg(entry: Mapping[str, Any], recording: Recording) -> dict[str, Any]:
    whole = all(recording.get(name) is not None for name in STANDARD)
    code = [{"system": _MDC, "code": str(_WHOLE_ECG), "display": "MDC_ECG_ELEC_POTL"}]
    if whole:
        code.append({"system": "http://loinc.org", "code": "34534-8", "display": "12 lead EKG panel"})
    notes = [f"record: {entry['record']}", *(f"quality: {finding['text']}" for finding in entry["quality"])]
    notes += [f"note: {text}" for text in entry["notes"]]
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "procedure"}]}],
        "code": {"coding": code},
        "subject": {"display": "anonymous"},
        "component": [_lead(name, row, recording) for name, row in zip(recording.leads, recording.signal, strict=True)],
        "note": [{"text": text} for text in notes],
    }


def _lead(name: str, samples: np.ndarray, recording: Recording) -> dict[str, Any]:
    """Whole microvolts, or thousandths of a standard deviation; E where a sample is missing."""
    number = _LEAD_CODES.get(name)
    code: dict[str, Any] = {"text": name}
    if number is not None:
        code["coding"] = [{"system": _MDC, "code": str(number), "display": f"MDC_ECG_ELEC_POTL_{name.upper()}"}]
    in_mv = recording.amplitude == "mV"
    steps = samples.astype(np.float64) * 1e3
    data = " ".join(str(round(step)) if np.isfinite(step) else "E" for step in steps.tolist())
    origin = _quantity(0, "uV", "uV") if in_mv else _quantity(0, "standard deviation", "1")
    sampled = {"origin": origin, "period": round(1000 / recording.rate, 9), "factor": 1 if in_mv else 0.001,
               "dimensions": 1, "data": data}  # fmt: skip
    return {"code": code, "valueSampledData": sampled}


def _prediction(task: Task, entry: Mapping[str, Any], ecg: UUID, digest: str) -> dict[str, Any]:
    resource: dict[str, Any] = {
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
        told = "; ".join(finding["text"] for finding in entry["quality"] if finding["fatal"])
        return resource | _absent("not-performed", f"quality: {told}")
    answer = entry["tasks"][task.name]
    value = _value(answer)
    if not value:
        return resource | _absent("unknown", "no expert had an answer")
    return resource | value | {"component": _components(answer)}


def _value(answer: Mapping[str, Any]) -> dict[str, Any]:
    if answer["kind"] == "regression":
        if answer["value"] is None:
            return {}
        return {"valueQuantity": _quantity(answer["value"], answer["unit"], _UCUM_CODES.get(answer["unit"]))}
    decision = answer["decision"]
    if decision is None:
        return {}
    told = decision if isinstance(decision, str) else "; ".join(decision) or "none"
    return {"valueCodeableConcept": {"text": told}}


def _components(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Interval, probabilities, thresholds, and the experts' weights."""
    parts = []
    if answer.get("low") is not None and answer.get("high") is not None:
        code = _UCUM_CODES.get(answer["unit"])
        low, high = (_quantity(answer[key], answer["unit"], code) for key in ("low", "high"))
        parts.append({"code": {"text": "90 % prediction interval"}, "valueRange": {"low": low, "high": high}})
    for what, numbers in (
        ("probability of {}", answer.get("probabilities")),
        ("decision threshold of {}", answer.get("thresholds")),
        ("weight of the expert {}", answer["weights"]),
    ):
        for name, number in (numbers or {}).items():
            if number is not None:
                parts.append({"code": {"text": what.format(name)}, "valueQuantity": _quantity(number, "1", "1")})
    return parts


def _quantity(value: float, unit: str, code: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"value": value}
    if unit:
        told["unit"] = unit
    return told | {"system": _UCUM, "code": code} if code else told


def _absent(code: str, text: str) -> dict[str, Any]:
    coding = {"system": f"{_TERMINOLOGY}/data-absent-reason", "code": code}
    return {"dataAbsentReason": {"coding": [coding], "text": text}}


def _entry(name: UUID, resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": f"urn:uuid:{name}", "resource": resource}


def _id(*parts: str) -> UUID:
    """The same for the same bundle, recording and task, and for nothing else."""
    return uuid5(_OURS, "|".join(parts))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
