"""Scores with intervals: one block per task, and the document that evaluate and crossval write as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from enecg.documents import LeakageCounts
from enecg.ensemble.calibration import THRESHOLD_RULE
from enecg.errors import InputError
from enecg.evaluation.bootstrap import Estimate, bootstrap
from enecg.metrics import auroc_per_class, evaluate, higher_is_better
from enecg.tasks import Task

if TYPE_CHECKING:
    from enecg.ensemble.outputs import TaskOutput

NOT_COMPARED: Final = "constant"  # the baseline that every expert beats; the ensemble is compared with all others
LEAST: Final = 5e-4  # a mean weight below it is none
CALIBRATION: Final = ("ece", "brier")
SMALLEST_GROUP: Final = 10  # subjects; an interval of fewer says nothing, and a number of fewer says too much of them
_Key = tuple[str, str, str]  # block, name, metric
_ENSEMBLE: Final = ("ensemble", "")
_RAW: Final = ("raw", "")
STATIC: Final = "static"  # the baseline of the weights without their gate


@dataclass(frozen=True, eq=False)
class TaskPredictions:
    """What is to be scored for one task. Arrays are `[n, output]`, in the form that `enecg.metrics` describes.

    A row of NaN means that there was no answer. Recordings that the ensemble did not answer are counted and left out;
    an expert or baseline is scored, and compared with the ensemble, on the recordings that it answered.

    Attributes:
        ensemble: predictions of the ensemble.
        experts: expert -> its own predictions.
        baselines: constant, mean, best_on_validation, stacking, concat, random -> predictions; where a gate is in use
            also static, the weights without it.
        low: lower ends of the ensemble's 90 % intervals `[n, 1]`, for regressions that have them.
        high: upper ends.
        thresholds: `[output]` or, as from several folds, `[n, output]`: the ensemble's decision thresholds; 0.5 when
            None. Everyone else is decided at 0.5.
        weights: expert -> its mean weight in the ensemble.
        shares: expert -> its weight for each recording, `[n]`.
        without: expert -> predictions of an ensemble of all others.
        raw: the ensemble's probabilities before they were calibrated.
    """

    ensemble: np.ndarray
    experts: Mapping[str, np.ndarray] = field(default_factory=dict)
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, np.ndarray] = field(default_factory=dict)
    without: Mapping[str, np.ndarray] = field(default_factory=dict)
    raw: np.ndarray | None = None

    @classmethod
    def of(cls, output: TaskOutput) -> TaskPredictions:
        """From the answers of an ensemble that was asked to compare."""
        low, high = (None if end is None else end[:, None] for end in (output.low, output.high))
        there = _answered(output.value)
        weights = {name: float(share[there].mean()) if there.any() else 0.0 for name, share in output.weights.items()}
        baselines = dict(output.baselines.standard)
        if output.static is not None:
            baselines[STATIC] = output.static
        return cls(
            output.value, output.baselines.single_experts, baselines, low, high, output.thresholds, weights,
            output.weights, output.baselines.leave_one_out, output.raw,
        )  # fmt: skip

    def named(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Everyone who predicts: (block, name, predictions)."""
        yield *_ENSEMBLE, self.ensemble
        for name, output in self.experts.items():
            yield "experts", name, output
        for name, output in self.baselines.items():
            yield "baselines", name, output
        for name, output in self.without.items():
            yield "without", name, output
        if self.raw is not None:
            yield *_RAW, self.raw

    def take(self, rows: np.ndarray) -> TaskPredictions:
        """The same for some recordings."""
        shape = self.ensemble.shape
        return replace(
            self,
            ensemble=self.ensemble[rows],
            experts={name: output[rows] for name, output in self.experts.items()},
            baselines={name: output[rows] for name, output in self.baselines.items()},
            shares={name: share[rows] for name, share in self.shares.items()},
            without={name: output[rows] for name, output in self.without.items()},
            raw=None if self.raw is None else self.raw[rows],
            low=None if self.low is None else self.low[rows],
            high=None if self.high is None else self.high[rows],
            thresholds=None if self.thresholds is None else np.broadcast_to(self.thresholds, shape)[rows],
        )


def score(
    task: Task,
    y: np.ndarray,
    subjects: Sequence[str] | np.ndarray,
    predictions: TaskPredictions,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score one task: the block that the document has under its name.

    All intervals are 95 % bootstrap intervals over subjects; differences are paired, ensemble minus the other. The
    best expert is the one with the best value of the task's metric on these very data, which favours the expert; only
    experts that answered every recording are candidates, where there are such.

    Args:
        task: with its classes.
        y: labels `[n, output]` as `Target.y`; NaN rows are unlabelled and do not count.
        subjects: `[n]`, the unit that is resampled.
        predictions: of the ensemble, the experts and the baselines.
        groups: name of a grouping -> one group per recording, blank where unknown; adds `subgroups`.
        replicates: bootstrap resamples.
        seed: of the resamples.

    Returns:
        Plain JSON values; what is not known is None.

    Raises:
        InputError: no recording has a label and an answer, or predictions do not fit the labels.
    """
    data = _Data(task, y, np.asarray(subjects, dtype=str), predictions, replicates, seed)
    labelled = np.isfinite(y).all(1)
    known = labelled & _answered(predictions.ensemble)
    if not known.any():
        lack = "has a label" if not labelled.any() else "with a label has an answer"
        raise InputError(f"task {task.name}: none of {len(y)} recordings {lack}; leave the task out")
    data = data.take(known)
    found = data.bootstrap()
    block: dict[str, Any] = {"kind": task.kind, "unit": task.unit, "metric": task.metric, **data.size}
    block["n_unanswered"] = int(labelled.sum() - known.sum())
    if task.kind != "regression":
        block["classes"] = _class_counts(task, data.y)
    block["ensemble"] = _scores(found, *_ENSEMBLE)
    if task.kind in ("multiclass", "multilabel"):
        block["ensemble"]["per_class"] = {
            name: {"n": count, **_scores(found, "per_class", name)} for name, count in block["classes"].items()
        }
    for part, outputs in (("experts", data.predictions.experts), ("baselines", data.predictions.baselines)):
        block[part] = {name: _scores(found, part, name) for name in outputs}
        for name, output in outputs.items():
            if (answers := int(_answered(output).sum())) < data.size["n"]:
                block[part][name]["n"] = answers
    block["weights"] = {name: _number(weight) for name, weight in predictions.weights.items()}
    block["weights_spread"] = {name: _spread(share) for name, share in data.predictions.shares.items()}
    block["never_used"] = [name for name, weight in predictions.weights.items() if weight < LEAST]
    if predictions.without:
        block["removal"] = {
            name: {task.metric: estimate_values(found["without", name, task.metric] - found[(*_ENSEMBLE, task.metric)])}
            for name in predictions.without
        }
    if predictions.raw is not None:
        block["calibration"] = {
            "before": {name: estimate_values(found[(*_RAW, name)]) for name in CALIBRATION},
            "after": {name: block["ensemble"][name] for name in CALIBRATION},
        }
    if predictions.thresholds is not None:
        middle = np.median(np.atleast_2d(predictions.thresholds), axis=0)
        values = {name: _number(value) for name, value in zip(task.output_names, middle, strict=True)}
        block["thresholds"] = {"rule": THRESHOLD_RULE, "values": values}
    block["compare"] = _compare(task.metric, found, data.predictions)
    if groups:
        block["subgroups"] = {
            grouping: _subgroups(data, np.asarray(names, dtype=str)[known]) for grouping, names in groups.items()
        }
    return block


def result_document(
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    n_recordings: int,
    n_subjects: int,
    skipped: Iterable[tuple[str, str]] = (),
    leakage: LeakageCounts | None = None,
    cohort: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole JSON of evaluate and crossval.

    Args:
        tasks: task -> block of `score`.
        n_recordings: evaluated.
        n_subjects: evaluated.
        skipped: (record, reason) of each recording that could not be used.
        leakage: how many subjects (None: they cannot be compared) and recordings are in the training part as well.
        cohort: facts for people: `name`, `generated` (bool), `description`.
        provenance: what it was trained on, versions, seeds: label -> text or number, in the order to be shown.
    """
    document: dict[str, Any] = {
        "n_recordings": n_recordings,
        "n_subjects": n_subjects,
        "skipped": [{"record": record, "reason": reason} for record, reason in skipped],
        "leakage": leakage or {"shared_subjects": 0, "shared_recordings": 0},
        "tasks": dict(tasks),
    }
    if cohort is not None:
        document["cohort"] = dict(cohort)
    if provenance is not None:
        document["provenance"] = dict(provenance)
    return document


def age_bands(ages: Sequence[float] | np.ndarray) -> list[str]:
    """Groups for `score`, in years: 0-39, 40-59, 60-79, 80+; blank where the age is not known."""
    names = ("0-39", "40-59", "60-79", "80+")
    return [names[int(np.digitize(age, [40, 60, 80]))] if np.isfinite(age) else "" for age in ages]


@dataclass(frozen=True, eq=False)
class _Data:
    """Recordings of one task with their labels and predictions, and how to resample them."""

    task: Task
    y: np.ndarray
    subjects: np.ndarray
    predictions: TaskPredictions
    replicates: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.subjects) != len(self.y):
            raise InputError(
                f"task {self.task.name}: {len(self.subjects)} subjects do not fit {len(self.y)} recordings"
            )
        for block, name, output in self.predictions.named():
            if output.shape != self.y.shape:
                who = f"task {self.task.name}, {block} {name}".rstrip()
                raise InputError(f"{who}: predictions {output.shape} do not fit labels {self.y.shape}")

    def take(self, rows: np.ndarray) -> _Data:
        """Some of the recordings."""
        chosen = self.predictions.take(rows)
        return replace(self, y=self.y[rows], subjects=self.subjects[rows], predictions=chosen)

    @property
    def size(self) -> dict[str, int]:
        """Recordings and subjects, as the document tells them."""
        return {"n": len(self.y), "n_subjects": len(set(self.subjects))}

    def bootstrap(self) -> dict[_Key, Estimate]:
        """Every metric of everyone who predicts, and the ensemble's AUROC per class."""
        return bootstrap(self._statistics, self.subjects, self.replicates, self.seed)

    def _statistics(self, weights: np.ndarray) -> dict[_Key, np.ndarray]:
        task, given = self.task, self.predictions
        own: dict[str, Any] = {"low": given.low, "high": given.high, "thresholds": given.thresholds}
        found = self._evaluate(*_ENSEMBLE, given.ensemble, weights, **own)
        for block, name, output in given.named():
            if block == "ensemble":
                continue
            answered = _answered(output)
            only = {"without": (task.metric,), "raw": CALIBRATION}.get(block)
            if answered.all():
                found |= self._evaluate(block, name, output, weights, names=only)
                continue
            part, counts = self.take(answered), weights[:, answered]
            found |= part._evaluate(block, name, output[answered], counts, names=only)
            own = {"thresholds": part.predictions.thresholds, "names": (task.metric,)}
            found |= part._evaluate(f"ensemble for {block}", name, part.predictions.ensemble, counts, **own)
        if task.kind in ("multiclass", "multilabel"):
            aurocs = auroc_per_class(task.kind, self.y, given.ensemble, weights)
            found |= {("per_class", name, "auroc"): aurocs[:, c] for c, name in enumerate(task.classes)}
        return found

    def _evaluate(
        self, block: str, name: str, output: np.ndarray, weights: np.ndarray, **options: Any
    ) -> dict[_Key, np.ndarray]:
        try:
            values = evaluate(self.task.kind, self.y, output, weights, **options)
        except InputError as error:
            raise InputError(f"task {self.task.name}, {block} {name}".rstrip() + f": {error}") from error
        return {(block, name, metric): value for metric, value in values.items()}


def _answered(output: np.ndarray) -> np.ndarray:
    answered: np.ndarray = np.isfinite(output).all(1)
    return answered


def _scores(found: Mapping[_Key, Estimate], block: str, name: str) -> dict[str, Any]:
    return {key[2]: estimate_values(estimate) for key, estimate in found.items() if key[:2] == (block, name)}


def estimate_values(estimate: Estimate) -> dict[str, float | None]:
    """Value and interval as the document has them."""
    low, high = estimate.interval
    return {"value": _number(estimate.value), "low": _number(low), "high": _number(high)}


def _number(value: float) -> float | None:
    """Six significant digits, None for what is not a number."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _spread(share: np.ndarray) -> dict[str, float | None]:
    """How an expert's weight differs between recordings: the 5 % and the 95 % point."""
    low, high = np.quantile(share, [0.05, 0.95])
    return {"low": _number(float(low)), "high": _number(float(high))}


def _class_counts(task: Task, y: np.ndarray) -> dict[str, int]:
    columns = np.hstack([1 - y, y]) if task.kind == "binary" else y
    return {name: int(count) for name, count in zip(task.classes, columns.sum(0), strict=True)}


def _compare(metric: str, found: Mapping[_Key, Estimate], predictions: TaskPredictions) -> dict[str, Any]:
    upwards = higher_is_better(metric)

    def against(block: str, name: str) -> dict[str, Any]:
        mine = found.get((f"ensemble for {block}", name, metric), found[(*_ENSEMBLE, metric)])
        difference = mine - found[block, name, metric]
        verdict = difference.verdict(upwards)
        return {"name": name, "metric": metric, "difference": estimate_values(difference), "verdict": verdict}

    def goodness(name: str) -> tuple[bool, float]:
        value = found["experts", name, metric].value
        known = -np.inf if np.isnan(value) else value if upwards else -value
        return bool(_answered(predictions.experts[name]).all()), known

    compared = {}
    if predictions.experts:
        compared["best_expert"] = against("experts", max(predictions.experts, key=goodness))
    return compared | {name: against("baselines", name) for name in predictions.baselines if name != NOT_COMPARED}


def _subgroups(data: _Data, groups: np.ndarray) -> dict[str, Any]:
    """Group -> its size and the ensemble's value of the task's metric, which is None in a very small group."""
    found: dict[str, Any] = {}
    for name in sorted(set(groups) - {""}):
        part = data.take(groups == name)
        estimate = Estimate(np.nan, np.empty(0))
        if part.size["n_subjects"] >= SMALLEST_GROUP:
            alone = replace(part, predictions=replace(part.predictions, experts={}, baselines={}, without={}, raw=None))
            estimate = alone.bootstrap()[(*_ENSEMBLE, data.task.metric)]
        found[str(name)] = {**part.size, data.task.metric: estimate_values(estimate)}
    return found
