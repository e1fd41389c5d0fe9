"""Metrics of every kind of task, computed for all bootstrap resamples at once.

A metric takes labels, predictions and `weights [replicate, n]`: how often a replicate drew each recording. It returns
one number per replicate, equal to what the plain metric gives on the drawn recordings, ties included. Without weights
there is one replicate that holds every recording once.

Predictions are `[n, output]`: the value of a regression, the probability of the positive class of a binary task, one
probability per class of a multiclass task (they sum to 1) or of a multilabel task (independent). A recording whose
label is NaN does not count. What a replicate does not determine (the AUROC
of a class that it did not draw) is NaN there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from enecg.errors import InputError
from enecg.tasks import Kind

ECE_BINS: Final = 15
_CLASSIFICATION: Final = (
    "auroc",
    "auprc",
    "accuracy",
    "f1_macro",
    "precision_macro",
    "recall_macro",
    "brier",
    "ece",
)
METRICS: Final[dict[Kind, tuple[str, ...]]] = {
    "regression": ("mae", "rmse", "r2", "coverage_90"),
    "binary": _CLASSIFICATION,
    "multiclass": _CLASSIFICATION,
    "multilabel": _CLASSIFICATION,
}
LOWER_IS_BETTER: Final = frozenset({"mae", "rmse", "brier", "ece"})


def higher_is_better(name: str) -> bool:
    """Whether a larger value of the metric is the better one.

    Raises:
        InputError: the metric is unknown, or it is `coverage_90`, which is best at 0.90 and orders nothing.
    """
    if name not in {"mae", "rmse", "r2", *_CLASSIFICATION}:
        raise InputError(f"metric {name!r} cannot order predictions; use mae, rmse, r2 or {', '.join(_CLASSIFICATION)}")
    return name not in LOWER_IS_BETTER


def evaluate(
    kind: Kind,
    y: np.ndarray,
    output: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """All metrics of a kind of task (or those in `names`), each `[replicate]`.

    Args:
        kind: regression, binary, multiclass or multilabel.
        y: labels `[n, output]` as `Target.y` has them; NaN is a missing label.
        output: predictions `[n, output]`.
        weights: counts `[replicate, n]`; one replicate of ones when None.
        low: lower ends of 90 % intervals `[n, 1]` of a regression; without them there is no `coverage_90`.
        high: upper ends.
        thresholds: `[output]`, or `[n, output]` where they differ between recordings: from which probability on a
            binary or multilabel decision is yes; 0.5 when None. A multiclass decision is the most probable class.
        names: metrics wanted; all of `METRICS[kind]` when None.

    Raises:
        InputError: shapes that do not fit, predictions that are not finite, or no probabilities where such are needed.
    """
    case = _case(kind, y, output, weights, low, high, thresholds)
    if names is None:
        names = [name for name in METRICS[kind] if name != "coverage_90" or case.low is not None]
    if strange := [name for name in names if name not in METRICS[kind]]:
        raise InputError(f"metric {strange[0]!r} is none of a {kind} task's: {', '.join(METRICS[kind])}")
    return {name: _FUNCTIONS[name](case) for name in names}


def auroc_per_class(kind: Kind, y: np.ndarray, output: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """AUROC of each class against the rest, `[replicate, class]`; arguments as for `evaluate`."""
    aurocs: np.ndarray = _case(kind, y, output, weights).rankings[0]
    return aurocs


def _ones(n: int) -> np.ndarray:
    return np.ones((1, n))


def _ranking(y: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision, each `[replicate]`.

    Both need only, per distinct score of a positive, how many negatives lie below it and tie with it. So negatives
    are summed into slots between (even) and at (odd) those scores, and cumulated there instead of over all recordings.
    """
    from scipy.sparse import csr_array

    positives, negatives = np.flatnonzero(y > 0.5), np.flatnonzero(y <= 0.5)
    levels, level = np.unique(score[positives], return_inverse=True)
    slot = np.searchsorted(levels, score[negatives], "left") + np.searchsorted(levels, score[negatives], "right")

    def summed(slots: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
        chosen = csr_array((np.ones(len(rows)), (slots, rows)), shape=(count, len(y)))
        sums: np.ndarray = chosen @ weights.T
        return sums  # [slot, replicate]

    drawn = summed(level, positives, len(levels))
    other = summed(slot, negatives, 2 * len(levels) + 1)
    all_drawn, all_other = drawn.sum(0), other.sum(0)
    both = (all_drawn > 0) & (all_other > 0)
    tied = other[1::2]
    below = np.cumsum(other, 0)[0:-1:2]
    wins = np.einsum("kr,kr->r", drawn, below + tied / 2)
    hits = all_drawn - np.cumsum(drawn, 0) + drawn
    precision = hits / np.maximum(hits + all_other - below, 1)
    return (
        _ratio(wins, all_drawn * all_other, both),
        _ratio(np.einsum("kr,kr->r", drawn, precision), all_drawn, both),
    )


def _ratio(over: np.ndarray, under: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """`over / under`, NaN where it is not known (by default where `under` is 0)."""
    known = under > 0 if known is None else known
    out = np.full(np.shape(over), np.nan)
    np.divide(over, under, out=out, where=known)
    return out


def _mean_known(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean along the last axis over what is known; NaN where nothing is."""
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1))


@dataclass(frozen=True, eq=False)
class _Case:
    """Labelled recordings, their predictions and weights: what several metrics share is computed once."""

    kind: Kind
    y: np.ndarray  # [n, output]
    output: np.ndarray  # [n, output]
    weights: np.ndarray  # [replicate, n]
    low: np.ndarray | None
    high: np.ndarray | None
    thresholds: np.ndarray | None

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean of `values [n]`: `[replicate]`."""
        return _ratio(np.asarray(self.weights @ values), self.total)

    @cached_property
    def total(self) -> np.ndarray:
        """Recordings drawn, `[replicate]`."""
        return np.asarray(self.weights.sum(1))

    @cached_property
    def rankings(self) -> np.ndarray:
        """AUROC and average precision, `[2, replicate, output]`."""
        columns = [_ranking(self.y[:, c], self.output[:, c], self.weights) for c in range(self.y.shape[1])]
        return np.stack([np.stack([column[i] for column in columns], -1) for i in range(2)])

    @cached_property
    def decided(self) -> np.ndarray:
        """Decisions 0/1, `[n, output]`."""
        if self.kind == "multiclass":
            return np.asarray(np.arange(self.y.shape[1]) == self.output.argmax(1)[:, None], float)
        return np.asarray(self.output >= (0.5 if self.thresholds is None else self.thresholds), float)

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Correct, true and decided per class, each `[replicate, class]`; a binary task has its two classes."""
        y, decided = self.y, self.decided
        if self.kind == "binary":
            y, decided = np.hstack([1 - y, y]), np.hstack([1 - decided, decided])
        return self.weights @ (y * decided), self.weights @ y, self.weights @ decided

    @property
    def probability(self) -> np.ndarray:
        """The output, known to lie in [0, 1]."""
        if ((self.output < -1e-6) | (self.output > 1 + 1e-6)).any():  # a sum of float32 may end just outside
            raise InputError("brier and ece need probabilities between 0 and 1; calibrate the scores first")
        return self.output


def _case(
    kind: Kind,
    y: np.ndarray,
    output: np.ndarray,
    weights: np.ndarray | None = None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
) -> _Case:
    weights = _ones(len(y)) if weights is None else weights
    for name, array in (("predictions", output), ("low", low), ("high", high)):
        if array is not None and array.shape != y.shape:
            raise InputError(f"{name} of shape {array.shape} do not fit labels of shape {y.shape}")
    if weights.ndim != 2 or weights.shape[1] != len(y):
        raise InputError(
            f"weights of shape {weights.shape} do not fit {len(y)} recordings; give [replicate, recording]"
        )
    if (low is None) != (high is None):
        raise InputError("intervals need both ends, low and high")
    if thresholds is not None:
        if kind == "multiclass" or thresholds.shape not in (y.shape, y.shape[1:]):
            raise InputError(f"thresholds: give one per output of a binary or multilabel task, here {y.shape[1]}")
        thresholds = np.broadcast_to(thresholds, y.shape)
    labelled = np.isfinite(y).all(1)
    if not labelled.all():
        y, output, weights = y[labelled], output[labelled], weights[:, labelled]
        low, high, thresholds = (None if part is None else part[labelled] for part in (low, high, thresholds))
    if wrong := int((~np.isfinite(output).all(1)).sum()):
        raise InputError(f"{wrong} of {len(y)} labelled recordings have a prediction that is not a number")
    return _Case(kind, y, np.asarray(output, float), weights, low, high, thresholds)


def _r2(case: _Case) -> np.ndarray:
    centred = case.y[:, 0] - (case.y.mean() if len(case.y) else 0.0)  # against cancellation: any shift will do
    spread = case.mean(centred**2) - case.mean(centred) ** 2
    floor = 1e-12 * case.mean(centred**2)  # labels that are all the same explain nothing
    return 1 - _ratio(case.mean(_error(case) ** 2), spread, spread > floor)


def _error(case: _Case) -> np.ndarray:
    error: np.ndarray = case.output[:, 0] - case.y[:, 0]
    return error


def _coverage(case: _Case) -> np.ndarray:
    if case.low is None or case.high is None:
        raise InputError("coverage_90 needs the intervals low and high")
    return case.mean(((case.low <= case.y) & (case.y <= case.high))[:, 0].astype(float))


def _macro(over: np.ndarray, under: np.ndarray, case: _Case) -> np.ndarray:
    """Mean of `over / under` (0 for 0/0) over the classes that occur among labels or decisions."""
    _, true, decided = case.counts
    return _mean_known(over / np.maximum(under, 1), true + decided > 0)


def _f1(case: _Case) -> np.ndarray:
    correct, true, decided = case.counts
    return _macro(2 * correct, true + decided, case)


def _brier(case: _Case) -> np.ndarray:
    """Mean squared error of the probabilities (Brier 1950): multiclass sums over the classes, multilabel averages."""
    squares = (case.probability - case.y) ** 2
    return case.mean(squares.sum(1) if case.kind == "multiclass" else squares.mean(1))


def _ece(case: _Case) -> np.ndarray:
    """Expected calibration error over 15 bins of equal width.

    Equal width (Guo et al., On calibration of modern neural networks, ICML 2017): the bins do not depend on the data,
    so a replicate is binned as the whole. Multiclass looks at the probability of the decision, multilabel averages
    over the classes.
    """
    probability, y = case.probability, case.y
    if case.kind == "multiclass":
        probability, y = probability.max(1, keepdims=True), (case.decided * y).sum(1, keepdims=True)
    errors = []
    for column, truth in zip(probability.T, y.T, strict=True):
        gaps = (ece_bin(column)[:, None] == np.arange(ECE_BINS)) * (column - truth)[:, None]
        errors.append(_ratio(np.abs(case.weights @ gaps).sum(1), case.total))
    return np.asarray(np.mean(errors, axis=0))


def ece_bin(probability: np.ndarray) -> np.ndarray:
    """Index of the bin, 0 to 14, that a probability falls into: `[i/15, (i+1)/15)`, the last one with its end."""
    return np.asarray(np.minimum((probability * ECE_BINS).astype(int), ECE_BINS - 1))


_FUNCTIONS: Final[dict[str, Callable[[_Case], np.ndarray]]] = {
    "mae": lambda case: case.mean(np.abs(_error(case))),
    "rmse": lambda case: np.sqrt(case.mean(_error(case) ** 2)),
    "r2": _r2,
    "coverage_90": _coverage,
    "auroc": lambda case: _mean_known(case.rankings[0], np.isfinite(case.rankings[0])),
    "auprc": lambda case: _mean_known(case.rankings[1], np.isfinite(case.rankings[1])),
    "accuracy": lambda case: case.mean((case.decided == case.y).all(1).astype(float)),
    "f1_macro": _f1,
    "precision_macro": lambda case: _macro(case.counts[0], case.counts[2], case),
    "recall_macro": lambda case: _macro(case.counts[0], case.counts[1], case),
    "brier": _brier,
    "ece": _ece,
}
