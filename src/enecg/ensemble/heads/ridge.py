"""Closed-form heads: ridge regression on an embedding, on its Gaussian kernel, or on several experts together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.ensemble.heads.feature_maps import Blocks, FeatureMap, Landmarks, Standard, restore_map
from enecg.ensemble.heads.leave_one_out import Ridges
from enecg.ensemble.heads.registry import register_head
from enecg.tasks import Target

SHARED: Final = 0.8  # of a group's rows that each of its tasks must label, so that they share a decomposition


@register_head
@dataclass
class FittedLinear(FittedHead):
    """A feature map and, per task, coefficients and intercepts."""

    type: ClassVar[str] = "ridge"

    features: FeatureMap
    coefficients: list[np.ndarray]  # float32 [feature, output] per task
    intercepts: list[np.ndarray]  # float64 [output] per task
    alphas: list[np.ndarray]

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        return self.from_features(self.features(x))

    def from_features(self, z: np.ndarray) -> list[np.ndarray]:
        """Return scores as `predict`, from mapped embeddings `[recording, feature]`."""
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
    """Ridge on a map of the embedding; the map needs no labels, so cross-fitting repeats only the regression."""

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
        mapped = features(x)
        ridges = Ridges(mapped)
        oof = [np.full((len(x), target.y.shape[1]), np.nan) for target in targets]
        for fold in np.unique(folds):
            outside = folds == fold
            part = _fit(features, ridges, targets, ~outside)
            for scores, found in zip(oof, part.from_features(mapped[outside]), strict=True):
                scores[outside] = found
        return oof, _fit(features, ridges, targets, np.ones(len(x), bool))


def _fit(features: FeatureMap, ridges: Ridges, targets: Sequence[Target], inside: np.ndarray) -> FittedLinear:
    """Fit one ridge per group of tasks that are labelled on nearly the same rows."""
    known = [target.known & inside for target in targets]
    found: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for group in _alike(known):
        rows = np.flatnonzero(np.any([known[i] for i in group], axis=0))
        y = np.concatenate([_scores(targets[i]) for i in group], axis=1)[rows]
        solved = ridges.solve(rows, y)
        stops = np.cumsum([targets[i].y.shape[1] for i in group])[:-1]
        split = [np.split(part, stops, axis=-1) for part in solved]
        found |= {i: (split[0][k], split[1][k], split[2][k]) for k, i in enumerate(group)}
    in_order = [found[i] for i in range(len(targets))]
    return FittedLinear(features, *([parts[k] for parts in in_order] for k in range(3)))


def _scores(target: Target) -> np.ndarray:
    """Return what a ridge learns: values, or -1 and 1; NaN where a row is not labelled."""
    y = target.y if target.task.kind == "regression" else 2 * target.y - 1
    return np.where(target.known[:, None], y, np.nan)


def _alike(known: Sequence[np.ndarray]) -> list[list[int]]:
    """Return the tasks in groups: each labels at least `SHARED` of the rows of its group."""
    groups: list[list[int]] = []
    for i in sorted(range(len(known)), key=lambda i: -int(known[i].sum())):
        for group in groups:
            rows = np.any([known[j] for j in (*group, i)], axis=0)
            if min(known[j].sum() for j in (*group, i)) >= SHARED * rows.sum():
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


@register_head
class Ridge(Linear):
    """Ridge on the standardised embedding: right for wide ones (thousands of numbers)."""

    kind = "ridge"

    @override
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        return Standard.fit(x)


@register_head
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


@register_head
@dataclass
class Joint(Linear):
    """Ridge on the embeddings of several experts side by side, each of equal weight: the concatenation baseline.

    Attributes:
        sizes: the experts' dimensions, in the order of the columns.
    """

    sizes: Sequence[int] = ()
    kind: ClassVar[str] = "joint"

    @override
    def map(self, x: np.ndarray, seed: int) -> FeatureMap:
        return Blocks.fit(x, self.sizes)

    @override
    @classmethod
    def example(cls, sizes: Sequence[int]) -> Joint:
        return cls(sizes)


@register_head
@dataclass
class KernelSum(Linear):
    """Ridge on the sum of several experts' kernels, each of equal weight: a function of all of them together.

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

    @override
    @classmethod
    def example(cls, sizes: Sequence[int]) -> KernelSum:
        return cls(sizes, 32)
