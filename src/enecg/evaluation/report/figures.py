"""What the charts of a report need beyond the JSON: curves, bins, a confusion matrix, thinned points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from enecg.evaluation.scores import TaskPredictions
from enecg.metrics import ECE_BINS, ece_bin
from enecg.tasks import Task

CURVE_POINTS: Final = 200
_Z: Final = 1.959964  # of a two-sided 95 % interval


@dataclass(frozen=True, eq=False)
class Agreement:
    """Predicted against true values of a regression.

    Attributes:
        points: true and predicted, `[point, 2]`, thinned.
        n: recordings behind it.
        bias: mean of predicted minus true.
        limits: bias -/+ 1.96 standard deviations of the difference (Bland and Altman, Lancet 1986).
    """

    points: np.ndarray
    n: int
    bias: float
    limits: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted and observed frequency in the bins of the expected calibration error; empty bins are left out.

    Attributes:
        predicted: mean probability per bin.
        observed: share that was true.
        low: lower end of its 95 % interval (Wilson 1927).
        high: upper end.
        n: cases per bin.
        about: whose probability: a class, the decision, or all classes together.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    about: str


@dataclass(frozen=True, eq=False)
class TaskFigures:
    """Data behind the charts of one task.

    Attributes:
        agreement: of a regression.
        roc: curves `[point, 2]` of false and true positive rate: per predictor of a binary task (`ensemble` and the
            experts), per class of the ensemble otherwise; without those that have one label only.
        reliability: of a classification.
        confusion: recordings by true (row) and decided class, of a binary or multiclass task.
        classes: names of its rows.
    """

    agreement: Agreement | None = None
    roc: Mapping[str, np.ndarray] = field(default_factory=dict)
    reliability: Reliability | None = None
    confusion: np.ndarray | None = None
    classes: tuple[str, ...] = ()


def figures(
    task: Task, y: np.ndarray, predictions: TaskPredictions, *, points: int = 500, seed: int = 0
) -> TaskFigures:
    """Prepare the charts of one task.

    Args:
        task: with its classes.
        y: labels `[n, output]` as `Target.y`; NaN rows, and recordings without an answer, do not count.
        predictions: as for `score`.
        points: of the scatter, drawn at random where there are more.
        seed: of that draw.
    """
    known = np.isfinite(y).all(1) & np.isfinite(predictions.ensemble).all(1)
    y, given = y[known], predictions.take(known)
    output = given.ensemble
    if task.kind == "regression":
        return TaskFigures(agreement=_agreement(y[:, 0], output[:, 0], points, seed))
    if task.kind == "binary":
        curves = {name or "ensemble": scores[:, 0] for block, name, scores in given.named() if block != "baselines"}
        roc = _curves({name: (y[:, 0], scores) for name, scores in curves.items()})
        decided = (output >= (0.5 if given.thresholds is None else given.thresholds)).astype(int)[:, 0]
        confusion = _confusion(y[:, 0].astype(int), decided, 2)
        return TaskFigures(None, roc, reliability(output[:, 0], y[:, 0], task.classes[1]), confusion, task.classes)
    roc = _curves({name: (y[:, c], output[:, c]) for c, name in enumerate(task.classes)})
    if task.kind == "multilabel":
        return TaskFigures(None, roc, reliability(output.ravel(), y.ravel(), "all classes together"))
    truth, decided = y.argmax(1), output.argmax(1)
    calibration = reliability(output.max(1), truth == decided, "the decided class")
    return TaskFigures(None, roc, calibration, _confusion(truth, decided, y.shape[1]), task.classes)


def roc_curve(y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """False and true positive rate at each distinct score from (0, 0) to (1, 1), `[point, 2]`; empty for one label.

    Points within a straight line are left out, and no more than 200 evenly chosen ones are kept.
    """
    positive = y > 0.5
    if positive.all() or not positive.any():
        return np.empty((0, 2))
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    steps = np.cumsum(np.stack([~positive[order], positive[order]], 1), 0)[last_of_tie]
    curve = np.vstack([np.zeros((1, 2), int), steps])
    before, after = np.diff(curve, axis=0)[:-1], np.diff(curve, axis=0)[1:]
    corner = np.concatenate([[True], before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0], [True]])
    curve = curve[corner]
    kept = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), CURVE_POINTS)).round().astype(int))
    return np.asarray(curve[kept] / curve[-1])


def _curves(scored: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    curves = {}
    for name, (y, score) in scored.items():
        answered = np.isfinite(score)
        curves[name] = roc_curve(y[answered], score[answered])
    return {name: curve for name, curve in curves.items() if len(curve)}


def reliability(probability: np.ndarray, y: np.ndarray, about: str) -> Reliability:
    """Bin probabilities `[n]` and compare them with what was true, `y [n]` of 0 and 1."""
    bins = ece_bin(probability)
    n = np.bincount(bins, minlength=ECE_BINS)
    there = n > 0
    count = n[there]
    predicted = np.bincount(bins, probability, ECE_BINS)[there] / count
    observed = np.bincount(bins, y, ECE_BINS)[there] / count
    centre = (observed + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * np.sqrt(observed * (1 - observed) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return Reliability(predicted, observed, centre - half, centre + half, count, about)


def _agreement(truth: np.ndarray, value: np.ndarray, points: int, seed: int) -> Agreement:
    chosen = np.arange(len(truth))
    if len(truth) > points:
        chosen = np.sort(np.random.default_rng(seed).choice(len(truth), points, replace=False))
    difference = value - truth
    bias, spread = float(difference.mean()), float(difference.std())
    limits = (bias - _Z * spread, bias + _Z * spread)
    return Agreement(np.stack([truth, value], 1)[chosen], len(truth), bias, limits)


def _confusion(truth: np.ndarray, decided: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(truth * classes + decided, minlength=classes**2).reshape(classes, classes)
