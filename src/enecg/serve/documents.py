"""The JSON documents that only the service has; docs/serve.md explains them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

# pydantic needs this one before Python 3.12.
from typing_extensions import TypedDict

from enecg.documents import ExpertCard, Prediction, SkippedRecord, TaskKind


class RecordingFacts(TypedDict):
    """Facts about a recording that was read. `seconds` and `rate` in s and Hz, `band` in Hz, `age` in years."""

    format: str
    seconds: float
    rate: float
    leads: list[str]
    amplitude: Literal["mV", "normalised"]
    band: list[float] | None
    age: float | None
    sex: Literal["F", "M"] | None


class DisplaySignal(TypedDict):
    """Samples of each lead for a page to draw; null in gaps. `r_peaks` in seconds from the start."""

    rate: float
    unit: Literal["uV", "SD"]
    leads: dict[str, list[float | None]]
    derived: list[str]
    others: list[str]
    r_peaks: list[float]


class ServedPrediction(Prediction):
    """The answers for one recording, as the service gives them. `content` is the hash of the samples."""

    content: str
    recording: RecordingFacts
    signal: NotRequired[DisplaySignal]


class SkippedFile(SkippedRecord):
    """A file that could not be read. `needs`: what the client may state so that it can."""

    needs: list[Literal["rate", "unit"]]


class Versions(TypedDict):
    """What every answer of the service says of its origin."""

    api: str
    enecg: str
    bundle: str
    notice: str


class ServedPredictions(Versions):
    """The answer of `POST /v1/predict`."""

    predictions: list[ServedPrediction]
    skipped: list[SkippedFile]


class TaskExplanation(TypedDict):
    """How one task's answer changes when a part of the signal is taken away, in the unit of the answer.

    `by_lead [lead]`, `by_window [window]`, `effect [lead][window]`; null where there was no answer.
    """

    kind: TaskKind
    output: str
    unit: str
    base: float | None
    by_lead: list[float | None]
    by_window: list[float | None]
    effect: list[list[float | None]]


class Explanation(TypedDict):
    """How the answers change without parts of the signal. `windows` are (start, end) in seconds."""

    leads: list[str]
    windows: list[list[float]]
    tasks: dict[str, TaskExplanation]


class ExplanationDocument(Versions, Explanation):
    """The result of `POST /v1/explain`."""

    record: str


class JobDocument(TypedDict):
    """A job of the service and how far it is. `done` of `total` steps."""

    id: str
    kind: Literal["predict", "explain"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    done: int
    total: int
    detail: str | None
    result: ServedPredictions | ExplanationDocument | dict[str, Any] | None


class ProblemDocument(TypedDict):
    """An error of the service (RFC 9457). `code` is for programs; `skipped` names files that could not be read."""

    status: int
    code: str
    detail: str
    request_id: str
    skipped: NotRequired[list[SkippedFile]]


class TaskFacts(TypedDict):
    """One task of a served bundle."""

    name: str
    kind: TaskKind
    unit: str
    classes: list[str]
    outputs: list[str]


class ServedModel(TypedDict):
    """The bundle that a service holds: tasks, experts, mean weights, facts of the training, model card."""

    bundle: str
    tasks: list[TaskFacts]
    experts: list[ExpertCard]
    weights: dict[str, dict[str, float]]
    training: dict[str, str | int | float]
    card: str


class ShortCard(TypedDict):
    """The part of an expert's card that `GET /v1/model` shows."""

    name: str
    title: str
    licence: str
    corpora: list[str]
    label_corpora: list[str]
    dim: int
    parameters: int
    cost_ms: float | None


class ModelDocument(Versions):
    """The answer of `GET /v1/model`."""

    tasks: list[TaskFacts]
    experts: list[ShortCard]
    weights: dict[str, dict[str, float]]
    training: dict[str, str | int | float]
    card: str


class ExpertsDocument(TypedDict):
    """The answer of `GET /v1/experts`."""

    experts: list[ExpertCard]


class Limits(TypedDict):
    """What a client may send: files and bytes of a request and of a job, seconds of a recording."""

    files: int
    bytes: int
    job_files: int
    job_bytes: int
    seconds: float


class ServiceDocument(TypedDict):
    """The answer of `GET /v1/service`. `token`: a token is needed."""

    api: str
    enecg: str
    notice: str
    token: bool
    limits: Limits


class ExampleFile(TypedDict):
    """A file of an example, and where it is."""

    name: str
    url: str


class ExampleFacts(TypedDict):
    """A generated recording to try."""

    name: str
    title: str
    text: str
    files: list[ExampleFile]


class ExamplesDocument(TypedDict):
    """The answer of `GET /v1/examples`."""

    examples: list[ExampleFacts]
