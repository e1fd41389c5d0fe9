"""The JSON documents that enecg writes and reads: one type each, with plain JSON values only.

Whatever makes, shows or checks such a document takes its fields from here: the command line, tables, FHIR, reports and
the OpenAPI document of the service. A field that is not always there is marked `NotRequired`. Documents that only one
package has stand there: `enecg.serve.documents`, `enecg.paper.documents`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NotRequired

# pydantic needs this one before Python 3.12.
from typing_extensions import TypedDict, TypeIs

TaskKind = Literal["regression", "binary", "multiclass", "multilabel"]
Decision = str | list[str] | None
ComparisonVerdict = Literal["better", "no difference shown", "worse"]
MetricName = Literal[
    "mae", "mse", "rmse", "r2", "coverage_90", "auroc", "auprc", "accuracy", "balanced_accuracy", "f1_macro",
    "precision_macro", "recall_macro", "brier", "ece",
]  # fmt: skip


def significant(value: float, digits: int = 6) -> float | None:
    """Return a number with so many significant digits, or None for NaN and infinity, which JSON does not have."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


# Predictions: `enecg predict --format json`, and the service.


class QualityFinding(TypedDict):
    """One thing that the quality check found. `leads` is empty when it concerns the whole recording."""

    code: str
    text: str
    leads: list[str]
    fatal: bool


class RegressionAnswer(TypedDict):
    """The answer to a regression: a value with its unit, the 90 % interval where known, the weight of each expert."""

    kind: Literal["regression"]
    value: float | None
    unit: str
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    weights: dict[str, float]


class ClassAnswer(TypedDict):
    """The answer to a classification: a probability of each class, the decision, and the weight of each expert.

    `decision` is a class, a list of classes (multilabel), or null where no expert had an answer.
    """

    kind: Literal["binary", "multiclass", "multilabel"]
    probabilities: dict[str, float | None]
    decision: Decision
    thresholds: NotRequired[dict[str, float]]
    weights: dict[str, float]


TaskAnswer = RegressionAnswer | ClassAnswer


class SecondsSeen(TypedDict):
    """How much of a recording the answers are made from, in seconds."""

    seen: float
    of: float


class PeriodAnswers(TypedDict):
    """The answers for one period of a recording, which begins `start` seconds after the recording's start."""

    start: float
    seconds: SecondsSeen
    usable: bool
    tasks: dict[str, TaskAnswer]


class Prediction(TypedDict):
    """The answers for one recording; `tasks` is empty when it is not usable. `notes` say what was left out.

    `over_time` is there when periods were asked for.
    """

    record: str
    usable: bool
    quality: list[QualityFinding]
    seconds: SecondsSeen
    leads: list[str]
    notes: list[str]
    tasks: dict[str, TaskAnswer]
    over_time: NotRequired[list[PeriodAnswers]]


class SkippedRecord(TypedDict):
    """A recording that could not be read or used, with the reason in one line."""

    record: str
    reason: str


def is_skipped(entry: Prediction | SkippedRecord) -> TypeIs[SkippedRecord]:
    """Return whether an entry is a recording that could not be read, with the reason."""
    return "reason" in entry


class PredictionsDocument(TypedDict):
    """The document of `enecg predict`. `bundle` is the bundle's hash, null while it is not saved."""

    predictions: list[Prediction]
    skipped: list[SkippedRecord]
    bundle: str | None
    notice: str


# Evaluations: `enecg evaluate --json`, `enecg crossval --json`.


class EstimateValues(TypedDict):
    """A value with its 95 % bootstrap interval over subjects; null where it is not known."""

    value: float | None
    low: float | None
    high: float | None


class Interval(TypedDict):
    """Two ends of an interval."""

    low: float | None
    high: float | None


class MetricValues(TypedDict, total=False):
    """The metrics of one predictor: those of the task's kind."""

    mae: EstimateValues
    mse: EstimateValues
    rmse: EstimateValues
    r2: EstimateValues
    coverage_90: EstimateValues
    auroc: EstimateValues
    auprc: EstimateValues
    accuracy: EstimateValues
    balanced_accuracy: EstimateValues
    f1_macro: EstimateValues
    precision_macro: EstimateValues
    recall_macro: EstimateValues
    brier: EstimateValues
    ece: EstimateValues


class MemberMetrics(MetricValues):
    """The metrics of an expert or a baseline. `n` counts its answers where it did not answer every recording."""

    n: NotRequired[int]


class ClassMetrics(TypedDict):
    """The recordings of one class, and the ensemble's AUROC of this class against the others."""

    n: int
    auroc: EstimateValues


class EnsembleMetrics(MetricValues):
    """The metrics of the ensemble; `per_class` for tasks of several classes."""

    per_class: NotRequired[dict[str, ClassMetrics]]


class GroupMetrics(MetricValues):
    """The ensemble's metrics in one subgroup."""

    n: int
    n_subjects: int


class Comparison(TypedDict):
    """The paired difference of the ensemble minus another predictor in one metric."""

    name: str
    metric: MetricName
    difference: EstimateValues
    verdict: ComparisonVerdict


class CalibrationMetrics(TypedDict):
    """Brier score and calibration error before and after the probabilities were calibrated."""

    before: MetricValues
    after: MetricValues


class Thresholds(TypedDict):
    """The rule by which probabilities become a decision, and the threshold of each output."""

    rule: str
    values: dict[str, float | None]


class TaskBlock(TypedDict):
    """The evaluation of one task."""

    kind: TaskKind
    unit: str
    metric: MetricName
    n: int
    n_subjects: int
    n_unanswered: int
    classes: NotRequired[dict[str, int]]
    ensemble: EnsembleMetrics
    experts: dict[str, MemberMetrics]
    baselines: dict[str, MemberMetrics]
    weights: dict[str, float | None]
    weights_spread: dict[str, Interval]
    never_used: list[str]
    removal: NotRequired[dict[str, MetricValues]]
    calibration: NotRequired[CalibrationMetrics]
    thresholds: NotRequired[Thresholds]
    compare: dict[str, Comparison]
    subgroups: NotRequired[dict[str, dict[str, GroupMetrics]]]


class LeakageCounts(TypedDict):
    """Subjects and recordings of the evaluated cohort that are in the training part as well."""

    shared_subjects: int | None  # None: the bundle was fitted with another secret, or holds none
    shared_recordings: int


class CohortFacts(TypedDict):
    """Facts about a cohort. `generated`: all recordings are computed, none is from a person."""

    name: str
    generated: bool
    description: NotRequired[str]


class EvaluationDocument(TypedDict):
    """The document of `enecg evaluate` and `enecg crossval`."""

    n_recordings: int
    n_subjects: int
    skipped: list[SkippedRecord]
    leakage: LeakageCounts
    tasks: dict[str, TaskBlock]
    cohort: NotRequired[CohortFacts]
    provenance: NotRequired[dict[str, str | int | float]]
    notice: NotRequired[str]


# Experts and stores: `enecg experts`, `enecg embed --json`, `enecg store`, `card.json`.


class InputDocument(TypedDict):
    """The input contract of an expert; see `enecg.experts.inputs.InputSpec`."""

    rate: float
    seconds: float
    hop_seconds: float | None
    max_windows: int
    leads: list[str]
    missing: str
    band: list[float] | None
    design: str
    order: int
    notch: float | None
    baseline: float | None
    scaling: str
    eps: float
    ddof: int
    resampler: str
    steps: list[str]
    amplitude: str


class WeightsDocument(TypedDict):
    """Where the file of an expert's weights is published, and its hash."""

    file: str
    sha256: str | None
    bytes: int | None
    hub: str | None
    revision: str | None
    url: str | None
    page: str | None
    config: str


class ExpertCard(TypedDict):
    """The card of an expert; see `enecg.experts.base.Card`."""

    name: str
    title: str
    source: str
    licence: str
    dim: int
    input: InputDocument
    licence_class: Literal["permissive", "attribution", "non-commercial", "restricted"]
    parameters: int
    corpora: list[str]
    label_corpora: list[str]
    weights: WeightsDocument
    cost_ms: float | None
    notes: str
    padding: Literal["ignored", "zeros"]


class ListedExpert(ExpertCard):
    """An item of `enecg experts list --json`. `available`: its weights are on this machine."""

    available: bool


class ExpertFolder(TypedDict):
    """The `card.json` of an expert of one's own."""

    kind: str
    card: ExpertCard


class EmbedDocument(TypedDict):
    """The document of `enecg embed --json`: recordings that were embedded now, earlier, or not at all."""

    n_recordings: int
    computed: int
    reused: int
    skipped: list[SkippedRecord]


# Bundles: `bundle.json`.


class TrainingFacts(TypedDict):
    """What a bundle keeps of its training part."""

    cohort: str
    recordings: int
    subjects: int
    skipped: int
    labelled: dict[str, int]
    left_out: list[str]
    digest: str
    subject_key: NotRequired[str]
    subject_tags: NotRequired[list[str]]
    recording_hashes: NotRequired[str]


class HeadDocument(TypedDict):
    """A head of a bundle: the experts that it reads, the tasks that it answers, and its key under `states`."""

    name: str
    experts: list[str]
    tasks: list[str]
    state: str


class BundleDocument(TypedDict):
    """The `bundle.json` of a saved ensemble. The shapes of models, heads and versions are those of their classes."""

    format: int
    enecg: str
    notice: str
    experts: list[dict[str, Any]]
    models: dict[str, dict[str, Any]]
    heads: list[HeadDocument]
    recipe: dict[str, Any]
    training: TrainingFacts
    reduced: list[dict[str, Any]]
    states: dict[str, Any]
    same: dict[str, str]
    files: dict[str, str]
    sha256: str
