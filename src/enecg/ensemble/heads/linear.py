"""Closed-form heads: ridge regression with exact leave-one-out, on the embedding or on its Gaussian kernel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.ensemble.heads.features import Blocks, FeatureMap, Landmarks, Standard, restore_map
from enecg.tasks import Target

# Relative to the mean squared length of a feature vector. Not lower: interpolation looks perfect to leave-one-out.
ALPHAS = np.logspace(-2, 3.5, 23)


class Ridges:
    """Ridge regressions on subsets of the same rows: inner products are shared between them.

    Args:
        features: float32 `[row, feature]`.
    """

    def __init__(self, features: np.ndarray) -> None:
        self.features = features
        self.wide = features.shape[1] >= len(features)
        self._products = (features @ features.T).astype(np.float64) if self.wide else None

    def solve(self, rows: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ridge for each column of `y` with its own penalty, chosen by exact leave-one-out.

        Args:
            rows: positions of the rows to train on.
            y: float64 `[len(rows), output]`.

        Returns:
            Coefficients `[feature, output]`, intercepts `[output]`, chosen penalties `[output]` (relative).
        """
        mean = self.features[rows].mean(0, dtype=np.float64)
        if self._products is not None:
            products = self._products[np.ix_(rows, rows)]
            middle = products.mean(0)
            values, left = np.linalg.eigh(products - middle - middle[:, None] + middle.mean())
            values, right = np.maximum(values, 0.0), None
        else:
            centred = self.features[rows] - mean.astype(np.float32)
            values, right = np.linalg.eigh((centred.T @ centred).astype(np.float64))
            keep = values > 1e-9 * values[-1]
            values, right = values[keep], right[:, keep]
            left = (centred @ (right / np.sqrt(values)).astype(np.float32)).astype(np.float64)
        weights, intercept, alpha = _shrink(values, left, y)
        if right is not None:
            coefficients = right @ (np.sqrt(values)[:, None] * weights)
        else:  # sum over rows of centred features; the weights of a centred decomposition sum to zero
            dual = left @ weights
            coefficients = self.features[rows].T @ dual.astype(np.float32) - np.outer(mean, dual.sum(0))
        return coefficients.astype(np.float32), intercept - mean @ coefficients, alpha


def _shrink(values: np.ndarray, left: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates in the basis of left singular vectors, intercepts, and penalties chosen by leave-one-out."""
    intercept = y.mean(0)
    centred = y - intercept
    unit = float(values.sum() / len(y)) or 1.0
    projected = left.T @ centred
    squares = left**2
    errors = np.empty((len(ALPHAS), y.shape[1]))
    for i, alpha in enumerate(ALPHAS):
        shrink = values / (values + alpha * unit)
        leverage = 1 / len(y) + squares @ shrink
        residual = centred - left @ (shrink[:, None] * projected)
        errors[i] = ((residual / np.maximum(1 - leverage, 1e-5)[:, None]) ** 2).mean(0)
    alpha = ALPHAS[errors.argmin(0)]
    return projected / (values[:, None] + alpha * unit), intercept, alpha


@dataclass
class FittedLinear(FittedHead):
    """A feature map and, per task, coefficients and intercepts."""

    type: ClassVar[str] = "linear"

    features: FeatureMap
    coefficients: list[np.ndarray]  # float32 [feature, output] per task
    intercepts: list[np.ndarray]  # float64 [output] per task
    alphas: list[np.ndarray]

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        return self.from_features(self.features(x))

    def from_features(self, z: np.ndarray) -> list[np.ndarray]:
        """As `predict`, from mapped embeddings `[recording, feature]`."""
        return [(z @ c).astype(np.float64) + b for c, b in zip(self.coefficients, self.intercepts, strict=True)]

    @property
    @override
    def trained(self) -> int:
        return sum(part.size for part in (*self.coefficients, *self.intercepts))

    @override
    def state(self) -> HeadState:
        state = HeadState.nested(
            {"type": self.type, "tasks": len(self.coefficients)}, {"features": self.features.state()}
        )
        state.meta["alphas"] = [alpha.tolist() for alpha in self.alphas]
        for i, (coefficients, intercepts) in enumerate(zip(self.coefficients, self.intercepts, strict=True)):
            state.tensors[f"coefficients.{i}"] = coefficients
            state.tensors[f"intercepts.{i}"] = intercepts
        return state

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedLinear:
        tasks = range(state.meta["tasks"])
        return cls(
            restore_map(state.part("features")),
            [state.tensors[f"coefficients.{i}"] for i in tasks],
            [state.tensors[f"intercepts.{i}"] for i in tasks],
            [np.asarray(alpha) for alpha in state.meta["alphas"]],
        )


@dataclass
class Linear(Head):
    """Ridge on a map of the embedding. The map looks at no label, so cross-fitting repeats only the regression."""

    @abstractmethod
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        """Fit the map on a training part."""

    @override
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedLinear:
        features = self.map(x, seed)
        return _fit(features, Ridges(features(x)), targets, np.ones(len(x), bool))

    @override
    def cross_fit(
        self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, folds: np.ndarray, seed: int
    ) -> tuple[list[np.ndarray], FittedHead]:
        features = self.map(x, seed)
        ridges = Ridges(features(x))
        oof = [np.full((len(x), target.y.shape[1]), np.nan) for target in targets]
        for fold in np.unique(folds):
            outside = folds == fold
            part = _fit(features, ridges, targets, ~outside)
            for scores, found in zip(oof, part.from_features(ridges.features[outside]), strict=True):
                scores[outside] = found
        return oof, _fit(features, ridges, targets, np.ones(len(x), bool))


def _fit(features: FeatureMap, ridges: Ridges, targets: Sequence[Target], inside: np.ndarray) -> FittedLinear:
    """One ridge per group of tasks that are labelled on the same rows."""
    groups: dict[bytes, list[int]] = {}
    for i, target in enumerate(targets):
        groups.setdefault((target.known & inside).tobytes(), []).append(i)
    found: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for group in groups.values():
        rows = np.flatnonzero(targets[group[0]].known & inside)
        y = [targets[i].y[rows] if targets[i].task.kind == "regression" else 2 * targets[i].y[rows] - 1 for i in group]
        solved = ridges.solve(rows, np.concatenate(y, axis=1))
        stops = np.cumsum([part.shape[1] for part in y])[:-1]
        split = [np.split(part, stops, axis=-1) for part in solved]
        found |= {i: (split[0][k], split[1][k], split[2][k]) for k, i in enumerate(group)}
    in_order = [found[i] for i in range(len(targets))]
    return FittedLinear(features, *([parts[k] for parts in in_order] for k in range(3)))


class Ridge(Linear):
    """Ridge on the standardised embedding: right for wide ones (thousands of numbers)."""

    kind = "ridge"

    @override
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        return Standard.fit(x)


@dataclass
class Kernel(Linear):
    """Kernel ridge with a Gaussian kernel on landmarks: right for compact embeddings.

    Attributes:
        landmarks: at most so many.
    """

    landmarks: int = 1024
    kind: ClassVar[str] = "kernel"

    @override
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        return Landmarks.fit(x, self.landmarks, seed)


@dataclass
class Joint(Linear):
    """Ridge on several experts side by side, each of equal weight: the concatenation baseline.

    Attributes:
        sizes: the experts' dimensions, in the order of the columns.
    """

    sizes: Sequence[int] = ()
    kind: ClassVar[str] = "joint"

    @override
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        return Blocks.fit(x, self.sizes)


@dataclass
class Kernels(Linear):
    """Ridge on the sum of several experts' kernels, each of equal weight: what they say together, not one by one.

    Attributes:
        sizes: the experts' dimensions, in the order of the columns.
        landmarks: at most so many for each.
        wide: an embedding with more numbers has a linear kernel, the others a Gaussian one.
    """

    sizes: Sequence[int] = ()
    landmarks: int = 512
    wide: int = 4096
    kind: ClassVar[str] = "kernels"

    @override
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        def mapped(block: np.ndarray) -> FeatureMap:
            return Standard.fit(block) if block.shape[1] > self.wide else Landmarks.fit(block, self.landmarks, seed)

        return Blocks.fit(x, self.sizes, mapped)
