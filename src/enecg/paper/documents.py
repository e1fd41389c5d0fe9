"""The JSON document of `enecg reproduce`: recipes side by side."""

from __future__ import annotations

# pydantic needs this one before Python 3.12.
from typing_extensions import TypedDict

from enecg.documents import (
    CohortFacts,
    ComparisonVerdict,
    EstimateValues,
    EvaluationDocument,
    LeakageCounts,
    MetricName,
    SkippedRecord,
    TaskKind,
)


class FoldSpread(TypedDict):
    """Mean and standard deviation of a metric over folds."""

    mean: float
    sd: float


class RecipeEstimate(EstimateValues):
    """A metric of one recipe, with its spread over folds."""

    folds: FoldSpread


class RecipeComparison(TypedDict):
    """The paired difference of one recipe minus another."""

    metric: MetricName
    difference: EstimateValues
    verdict: ComparisonVerdict


class RecipeBlock(TypedDict):
    """One task of a reproduction: the metrics of each recipe, and the last recipe compared with each other one."""

    kind: TaskKind
    unit: str
    metric: MetricName
    n: int
    recipes: dict[str, dict[str, RecipeEstimate]]
    compare: dict[str, dict[str, RecipeComparison]]


class RecipeCost(TypedDict):
    """What a recipe costs: trained numbers, passes of frozen experts, seconds, bytes."""

    trained: int | None
    frozen_passes: int
    seconds_frozen: float
    seconds_fitting: float | None
    peak_bytes: int


class CostDocument(TypedDict):
    """What the recipes of a reproduction cost, and the same in the way of the public code."""

    recipes: dict[str, RecipeCost]
    reference: RecipeCost
    pass_ms: dict[str, float]
    measured_on: int
    tasks: int
    how: str


class FoldProtocol(TypedDict):
    """How a reproduction splits its recordings."""

    folds: int
    by: str
    recordings: str


class ReproductionDocument(TypedDict):
    """The document of `enecg reproduce`: `results.json`."""

    protocol: FoldProtocol
    n_recordings: int
    n_subjects: int
    skipped: list[SkippedRecord]
    leakage: LeakageCounts
    cohort: CohortFacts
    tasks: dict[str, RecipeBlock]
    cost: CostDocument
    recipes: dict[str, EvaluationDocument]
    notice: str
