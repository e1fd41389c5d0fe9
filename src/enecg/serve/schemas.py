"""Shapes of requests and answers, for checks and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from enecg.leads import STANDARD
from enecg.recording import Recording, Subject, amplitude_of
from enecg.serve.problems import CODES, MEDIA_TYPE

MOST_SAMPLES: Final = 2_000_000  # of a lead
Samples = Annotated[list[float | None], Field(min_length=1, max_length=MOST_SAMPLES)]


class Leads(BaseModel):
    """Samples of each lead; null where one is missing. All of one length."""

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
        """The recording.

        Raises:
            InputError: no lead, or leads of several lengths.
        """
        there = {name: samples for name in STANDARD if (samples := getattr(self.leads, name)) is not None}
        if not there:
            raise ValueError("leads: there is none")
        if len({len(samples) for samples in there.values()}) > 1:
            raise ValueError("leads: they differ in length")
        factor, amplitude = amplitude_of(self.unit, self.record)
        signal = np.array(list(there.values()), dtype=np.float64) * factor
        if not np.abs(np.nan_to_num(signal)).max() < np.finfo(np.float32).max:
            raise ValueError("leads: a sample is larger than any number of 32 bits")
        return Recording(signal, self.rate, tuple(there), amplitude, Subject(age=self.age, sex=self.sex), self.record)


class Finding(BaseModel):
    """What the quality check found."""

    code: str
    text: str
    leads: list[str]
    fatal: bool


class RecordingOut(BaseModel):
    """Facts about a recording."""

    format: str
    seconds: float
    rate: float
    leads: list[str]
    amplitude: Literal["mV", "normalised"]
    band: list[float] | None
    age: float | None
    sex: Literal["F", "M"] | None


class SignalOut(BaseModel):
    """What a page needs to draw it."""

    rate: float
    unit: Literal["uV", "SD"]
    leads: dict[str, list[float | None]]
    derived: list[str]
    others: list[str]
    r_peaks: list[float]


class Answer(BaseModel):
    """One task's answer: a value with a 90 % interval, or probabilities with a decision; and whom it comes from."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["regression", "binary", "multiclass", "multilabel"]
    value: float | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    probabilities: dict[str, float | None] | None = None
    decision: str | list[str] | None = None
    thresholds: dict[str, float] | None = None
    weights: dict[str, float]


class Prediction(BaseModel):
    """One recording's answers; none when it is not usable."""

    record: str
    content: str
    recording: RecordingOut
    usable: bool
    quality: list[Finding]
    leads: list[str]
    notes: list[str]
    tasks: dict[str, Answer]
    signal: SignalOut | None = None


class Skipped(BaseModel):
    """A file that could not be read, and why."""

    record: str
    reason: str
    needs: list[Literal["rate", "unit"]] = []


class Predictions(BaseModel):
    """The answer of predict."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "api": "1", "enecg": "0.1.0", "bundle": "9f2c…", "notice": "Research use only. Not a medical device.",
                "predictions": [{
                    "record": "ecg.dcm", "content": "51be…", "usable": True, "quality": [],
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
            }
        }
    )  # fmt: skip

    api: str
    enecg: str
    bundle: str
    notice: str
    predictions: list[Prediction]
    skipped: list[Skipped]


class JobOut(BaseModel):
    """A job and how far it is; its result is what predict answers, or an explanation."""

    id: str
    kind: Literal["predict", "explain"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    done: int
    total: int
    detail: str | None
    result: Any = None


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    status: int
    code: str
    detail: str
    request_id: str
    skipped: list[Skipped] = []


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these codes of problems."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        before = found[status]["description"] + " " if status in found else ""
        shape = {"schema": {"$ref": "#/components/schemas/ProblemOut"}}
        found[status] = {"description": before + meaning, "content": {MEDIA_TYPE: shape}}
    return found


def body(model: str | None, most: int) -> dict[str, Any]:
    """OpenAPI request body: files, and where `model` is given the JSON of one recording."""
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    told = "Recordings: WFDB (header and signal files), DICOM, MUSE XML, Philips XML, EDF, CSV."
    files = {"type": "array", "minItems": 1, "maxItems": most, "items": file, "description": told}
    rate = {"type": "number", "exclusiveMinimum": 0, "maximum": 100000, "description": "Hz, where files state none."}
    unit = {"type": "string", "enum": ["mV", "uV", "V", "unitless"], "description": "Where files state none."}
    form = {"type": "object", "required": ["files"], "properties": {"files": files, "rate": rate, "unit": unit}}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if model:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{model}"}}
    return {"requestBody": {"required": True, "content": content}}
