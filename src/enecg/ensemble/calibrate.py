"""Intervals and decision thresholds, from answers on subjects that nothing in them has seen."""

from __future__ import annotations

import numpy as np

from enecg.tasks import Target

COVERAGE = 0.9
FEWEST_POSITIVES = 20  # with fewer, a threshold would be tuned to single recordings


def residual_quantiles(target: Target, honest: np.ndarray) -> tuple[float, float] | None:
    """Split-conformal bounds of a regression's error (Vovk et al. 2005): 5 % of the errors beyond each.

    Args:
        target: labels.
        honest: out-of-fold answers `[recording, 1]`.

    Returns:
        (low, high) to add to a prediction for its 90 % interval; None for classes.
    """
    if target.task.kind != "regression":
        return None
    error = (target.y - honest)[:, 0]
    error = np.sort(error[np.isfinite(error)])
    rank = int(np.ceil((len(error) + 1) * (1 + COVERAGE) / 2)) - 1
    high = min(rank, len(error) - 1)
    return float(error[len(error) - 1 - high]), float(error[high])


def choose_thresholds(target: Target, honest: np.ndarray) -> np.ndarray | None:
    """One threshold per output of a binary or multilabel task: the largest sum of sensitivity and specificity (Youden).

    An output with fewer than `FEWEST_POSITIVES` recordings on either side keeps 0.5.
    """
    if target.task.kind not in ("binary", "multilabel"):
        return None
    rows = target.known & np.isfinite(honest).all(1)
    out = np.full(honest.shape[1], 0.5)
    for column, (y, p) in enumerate(zip(target.y[rows].T, honest[rows].T, strict=True)):
        positives = y.sum()
        if min(positives, len(y) - positives) < FEWEST_POSITIVES:
            continue
        order = np.argsort(-p, kind="stable")
        youden = np.cumsum(y[order]) / positives - np.cumsum(1 - y[order]) / (len(y) - positives)
        best = int(youden[:-1].argmax())
        out[column] = (p[order[best]] + p[order[best + 1]]) / 2
    return out
