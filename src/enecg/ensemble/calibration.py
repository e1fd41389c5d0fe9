"""Calibration, intervals and decision thresholds, from out-of-fold answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from enecg.cohorts.split import subject_folds
from enecg.ensemble.losses import summed_log_loss
from enecg.tasks import Kind, Target

COVERAGE = 0.9
MIN_POSITIVES = 20  # with fewer, a threshold would be tuned to single recordings
MANY: Final = 1000  # recordings on either side of an output; with fewer, isotonic regression follows single ones
THRESHOLD_RULE: Final = "largest sum of sensitivity and specificity (Youden 1950) on out-of-fold probabilities"
_TINY: Final = 1e-6
_HALF_STEPS: Final = 40
_WILKS: Final = 1.92  # half of the chi-squared distribution's 95 % point, one degree of freedom

Method = Literal["temperature", "isotonic"]


@dataclass
class Calibrator:
    """A map from the probabilities of a combination to calibrated ones; it keeps the order of the recordings.

    Attributes:
        kind: of the task.
        method: temperature scaling (Guo et al. 2017), or isotonic regression (Zadrozny and Elkan 2002) per output.
        temperature: log odds are divided by it.
        knots: per output, (probability, calibrated probability) `[knot]` each, for isotonic regression.
    """

    kind: Kind
    method: Method
    temperature: float = 1.0
    knots: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `[recording, output]`; NaN stays NaN."""
        if self.method == "temperature":
            return _tempered(self.kind, p, self.temperature)
        columns = [np.interp(column, *knots) for column, knots in zip(p.T, self.knots, strict=True)]
        return np.stack(columns, axis=1)

    @classmethod
    def fit(cls, target: Target, out_of_fold: np.ndarray) -> Calibrator:
        """Choose the method by the number of recordings, and fit it by log-loss.

        Args:
            target: labels of a classification.
            out_of_fold: probabilities `[recording, output]`.
        """
        kind = target.task.kind
        rows = target.known & np.isfinite(out_of_fold).all(1)
        y, p = target.y[rows], out_of_fold[rows]
        fewest = np.minimum(y.sum(0), len(y) - y.sum(0)).min()
        if kind == "multiclass" or fewest < MANY:
            return cls(kind, "temperature", _best_temperature(kind, p, y))
        return cls(kind, "isotonic", knots=tuple(_monotone(*pair) for pair in zip(p.T, y.T, strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        knots = [[x.tolist(), y.tolist()] for x, y in self.knots]
        return {"kind": self.kind, "method": self.method, "temperature": self.temperature, "knots": knots}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibrator:
        """Return what `as_dict` wrote."""
        knots = tuple((np.array(x), np.array(y)) for x, y in data["knots"])
        return cls(data["kind"], data["method"], data["temperature"], knots)


def cross_calibrated(
    target: Target, out_of_fold: np.ndarray, subjects: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """Return out-of-fold probabilities, each calibrated on other subjects; a regression's values stay as they are."""
    if target.task.kind == "regression":
        return out_of_fold
    fold, out = subject_folds(subjects, folds, seed), np.full(out_of_fold.shape, np.nan)
    for k in range(folds):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        out[outside] = Calibrator.fit(target.take(inside), out_of_fold[inside])(out_of_fold[outside])
    return out


def _tempered(kind: Kind, p: np.ndarray, temperature: float) -> np.ndarray:
    p = np.clip(p, _TINY, 1 - _TINY)
    if kind == "multiclass":
        raised = p ** (1 / temperature)
        return np.asarray(raised / raised.sum(1, keepdims=True))
    odds = (p / (1 - p)) ** (1 / temperature)
    return np.asarray(odds / (1 + odds))


def _best_temperature(kind: Kind, p: np.ndarray, y: np.ndarray) -> float:
    """Return the temperature of least log-loss between 1/4 and 4, by golden sections of its logarithm.

    It is 1 where no other is better by a likelihood-ratio test at 95 % (Wilks 1938).
    """

    def loss(log_t: float) -> float:
        q = np.clip(_tempered(kind, p, float(np.exp(log_t))), _TINY, 1 - _TINY)
        return summed_log_loss(kind, q, y)

    low, high, ratio = -np.log(4.0), np.log(4.0), (np.sqrt(5) - 1) / 2
    for _ in range(_HALF_STEPS):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) <= loss(b) else (a, high)
    best = (low + high) / 2
    return float(np.exp(best)) if loss(0.0) - loss(best) > _WILKS else 1.0


def _monotone(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the knots of an isotonic regression of 0/1 labels on probabilities, strictly between 0 and 1."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(p, kind="stable")
    fitted = isotonic_regression(y[order])
    blocks = np.split(np.arange(len(p)), fitted.blocks[1:-1])
    x = np.array([p[order][block].mean() for block in blocks])
    level = np.array([(y[order][block].sum() + 0.5) / (len(block) + 1) for block in blocks])
    return x, np.maximum.accumulate(level)


def residual_quantiles(target: Target, out_of_fold: np.ndarray) -> tuple[float, float] | None:
    """Return the split-conformal bounds of a regression's error (Vovk et al. 2005): 5 % of the errors lie beyond each.

    Args:
        target: labels.
        out_of_fold: answers `[recording, 1]`.

    Returns:
        (low, high) to add to a prediction for its 90 % interval; None for classes.
    """
    if target.task.kind != "regression":
        return None
    error = (target.y - out_of_fold)[:, 0]
    error = np.sort(error[np.isfinite(error)])
    rank = int(np.ceil((len(error) + 1) * (1 + COVERAGE) / 2)) - 1
    high = min(rank, len(error) - 1)
    return float(error[len(error) - 1 - high]), float(error[high])


def choose_thresholds(target: Target, out_of_fold: np.ndarray) -> np.ndarray | None:
    """Return one threshold per output of a binary or multilabel task: the largest sum of sensitivity and specificity.

    It is the maximum of Youden's index (1950) on out-of-fold probabilities. An output with fewer than `MIN_POSITIVES`
    recordings on either side keeps 0.5.
    """
    if target.task.kind not in ("binary", "multilabel"):
        return None
    rows = target.known & np.isfinite(out_of_fold).all(1)
    out = np.full(out_of_fold.shape[1], 0.5)
    for column, (y, p) in enumerate(zip(target.y[rows].T, out_of_fold[rows].T, strict=True)):
        positives = y.sum()
        if min(positives, len(y) - positives) < MIN_POSITIVES:
            continue
        order = np.argsort(-p, kind="stable")
        youden = np.cumsum(y[order]) / positives - np.cumsum(1 - y[order]) / (len(y) - positives)
        best = int(youden[:-1].argmax())
        out[column] = (p[order[best]] + p[order[best + 1]]) / 2
    return out
