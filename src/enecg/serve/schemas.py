"""Shapes of requests, and the OpenAPI document. The shapes of answers are the documents' own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from enecg import NOTICE
from enecg.leads import STANDARD
from enecg.readers import registry
from enecg.recording import Recording, Subject, amplitude_of
from enecg.serve.documents import ProblemDocument, ServedPredictions
from enecg.serve.problems import CODES, MEDIA_TYPE

MOST_SAMPLES: Final = 2_000_000  # of a lead
Samples = Annotated[list[float | None], Field(min_length=1, max_length=MOST_SAMPLES)]


class Leads(BaseModel):
    """Samples of each lead, all of one length; null where a sample is missing."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    I: Samples | None = None  # noqa: E741
    II: Samples | None = None
    III: Samples | None = None
    aVR: Samples | None = None
    aVL: Samples | None = None
    aVF: Samples | None = None
    V1: Samples | None = None
    V2: Samples | None = None
    V3: Samples | None = None
    V4: Samples | None = None
    V5: Samples | None = None
    V6: Samples | None = None


class SignalIn(BaseModel):
    """A recording as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "example": {"rate": 500, "unit": "mV", "leads": {"I": [0.01, 0.02, 0.0], "II": [0.03, None, 0.01]}}
        },
    )

    rate: Annotated[float, Field(gt=0, le=100_000, description="Sampling rate in Hz.")]
    unit: Annotated[Literal["mV", "uV", "V", "unitless"], Field(description="Of the samples; unitless: normalised.")]
    leads: Leads
    record: Annotated[str, Field(max_length=200, description="A name for it, given back.")] = "recording"
    age: Annotated[float | None, Field(ge=0, le=120, description="Years; for display.")] = None
    sex: Annotated[Literal["F", "M"] | None, Field(description="For display.")] = None
    start: Annotated[AwareDatetime | None, Field(description="When it was recorded, with its zone; for FHIR.")] = None

    def recording(self) -> Recording:
        """Return the recording.

        Raises:
            ValueError: no lead, leads of several lengths, or a sample that is too large.
        """
        there = {name: samples for name in STANDARD if (samples := getattr(self.leads, name)) is not None}
        if not there:
            raise ValueError("leads: no lead; send at least one")
        if len({len(samples) for samples in there.values()}) > 1:
            raise ValueError("leads: they differ in length")
        factor, amplitude = amplitude_of(self.unit, self.record)
        signal = np.array(list(there.values()), dtype=np.float64) * factor
        if not np.abs(np.nan_to_num(signal)).max() < np.finfo(np.float32).max:
            raise ValueError("leads: a sample is larger than any number of 32 bits")
        return Recording(signal, self.rate, tuple(there), amplitude, Subject(age=self.age, sex=self.sex), self.record)


PREDICTIONS_EXAMPLE: Final[ServedPredictions] = {
    "api": "1", "enecg": "0.2.0", "bundle": "9f2c…", "notice": NOTICE,
    "predictions": [{
        "record": "ecg.dcm", "content": "51be…", "usable": True, "quality": [], "seconds": {"seen": 10.0, "of": 10.0},
        "leads": ["I", "II"], "notes": ["left out: Resp (no ECG leads)"],
        "recording": {"format": "dicom", "seconds": 10.0, "rate": 500.0, "leads": ["I", "II"],
                      "amplitude": "mV", "band": [0.05, 150.0], "age": 61.0, "sex": "F"},
        "tasks": {
            "age": {"kind": "regression", "value": 61.2, "unit": "years", "low": 49.0, "high": 74.0,
                    "weights": {"rhythm": 0.6, "beat": 0.4}},
            "sex": {"kind": "binary", "probabilities": {"M": 0.09, "F": 0.91}, "decision": "F",
                    "thresholds": {"F": 0.47}, "weights": {"rhythm": 0.5, "beat": 0.5}},
        },
    }],
    "skipped": [{"record": "x.csv", "reason": "x.csv: no rate is stated", "needs": ["rate"]}],
}  # fmt: skip


def response(model: Any, description: str, **more: Any) -> dict[str, Any]:
    """Return an OpenAPI response with the shape of a document, and with an example where one is given."""
    return {"model": model, "description": description, **more}


def validation_text(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return which fields are wrong and why, without what they hold."""
    parts = []
    for error in errors[:3]:
        place = ".".join(str(part) for part in error["loc"])
        parts.append(f"{place}: {error['msg']}")
    return "; ".join(parts)


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for these codes of problems."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        before = found[status]["description"] + " " if status in found else ""
        shape = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
        found[status] = {"description": before + meaning, "content": {MEDIA_TYPE: shape}}
    return found


def body(model: str | None, most: int) -> dict[str, Any]:
    """Return the OpenAPI request body: files, and where `model` is given the JSON of one recording."""
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    text = (
        f"Recordings: {registry.names()}. Send a WFDB header with its signal files. Files of one name need "
        "their folder in the file name, such as a/r.hea."
    )
    files = {"type": "array", "minItems": 1, "maxItems": most, "items": file, "description": text}
    rate = {"type": "number", "exclusiveMinimum": 0, "maximum": 100000, "description": "Hz, where files state none."}
    unit = {"type": "string", "enum": ["mV", "uV", "V", "unitless"], "description": "Where files state none."}
    form = {"type": "object", "required": ["files"], "properties": {"files": files, "rate": rate, "unit": unit}}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if model:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{model}"}}
    return {"requestBody": {"required": True, "content": content}}


def request_schemas() -> dict[str, Any]:
    """Return the OpenAPI schemas of what routes read or write by themselves: a recording as JSON, and a problem."""
    known: dict[str, Any] = {}
    for name, shape in (("SignalIn", TypeAdapter(SignalIn)), ("ProblemDocument", TypeAdapter(ProblemDocument))):
        found = shape.json_schema(ref_template="#/components/schemas/{model}")
        known |= {**found.pop("$defs", {}), name: found}
    return known
