"""The loss, the link function and the label scale of each kind of task, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from enecg.tasks import Kind, Target

_TINY = 1e-12


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def softmax(z: np.ndarray) -> np.ndarray:
    """Return exp(z) over its sum along the last axis."""
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def link(kind: Kind, z: np.ndarray) -> np.ndarray:
    """Return values or probabilities from combined scores `[recording, output]`."""
    if kind == "regression":
        return z
    return softmax(z) if kind == "multiclass" else sigmoid(z)


def loss_per_recording(kind: Kind, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the loss `[recording]` of combined scores: absolute error, or log-loss summed over the outputs."""
    if kind == "regression":
        return np.asarray(np.abs(z - y)[:, 0])
    if kind == "multiclass":
        top = z.max(1)
        return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(1)) - (z * y).sum(1))
    return np.asarray((np.logaddexp(0, z) - y * z).sum(1))


def summed_loss(kind: Kind, z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the summed loss of combined scores and its gradient `[recording, output]`.

    The absolute error of a regression is smoothed near zero.
    """
    if kind == "regression":
        size = np.sqrt((z - y) ** 2 + 1e-6)
        return float(size.sum()), (z - y) / size
    p = link(kind, z)
    if kind == "multiclass":
        return float(-np.log(np.maximum((p * y).sum(1), _TINY)).sum()), p - y
    return float((np.logaddexp(0, z) - y * z).sum()), p - y


def mean_loss(answers: np.ndarray, target: Target) -> float:
    """Return the mean absolute error or log-loss of values or probabilities; infinite where nothing was answered."""
    rows = target.known & np.isfinite(answers).all(1)
    if not rows.any():
        return float("inf")
    p, y = answers[rows], target.y[rows]
    if target.task.kind == "regression":
        return float(np.abs(p - y).mean())
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(1).mean())


def summed_log_loss(kind: Kind, p: np.ndarray, y: np.ndarray) -> float:
    """Return the summed log-loss of probabilities strictly between 0 and 1."""
    each = y * np.log(p) + (0 if kind == "multiclass" else (1 - y) * np.log(1 - p))
    return float(-each.sum())


def label_scale(target: Target, centre: Callable[[np.ndarray], np.floating[Any]] = np.median) -> tuple[float, float]:
    """Return the centre (by default the median) and standard deviation of a regression's labels; (0, 1) for classes."""
    if target.task.kind != "regression":
        return 0.0, 1.0
    known = target.y[target.known]
    return float(centre(known)), float(known.std()) or 1.0


def scaled_labels(target: Target, scale: tuple[float, float]) -> np.ndarray:
    """Return the labels `[recording, output]` in units of a `label_scale`."""
    centre, unit = scale
    return np.asarray((target.y - centre) / unit)
