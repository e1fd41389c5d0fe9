"""Maps of an embedding before a linear head: standardising, kernel features, several experts side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import HeadState

GROUP = 3  # recordings averaged into one landmark
CLIP = 6.0  # standard deviations: one extreme measurement must not dominate a recording


class FeatureMap(ABC):
    """A fitted map `[recording, dim] -> float32 [recording, features]`."""

    kind: ClassVar[str]

    @abstractmethod
    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return features of embeddings; an unknown number (NaN) becomes the training mean."""

    @abstractmethod
    def state(self) -> HeadState:
        """Return all that restoring needs."""


@dataclass
class Standard(FeatureMap):
    """Zero mean and unit variance on the training part, clipped; a number never seen to vary is dropped."""

    mean: np.ndarray
    inverse_sd: np.ndarray
    kind: ClassVar[str] = "standard"

    @classmethod
    def fit(cls, x: np.ndarray) -> Standard:
        """Return the map with means and deviations over the known numbers of each column."""
        known = np.isfinite(x)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, x, 0).sum(0, dtype=np.float64) / count
        variance = (np.where(known, x - mean, 0.0) ** 2).sum(0) / count
        varies = variance > 1e-12 * (1 + mean**2)
        inverse = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0.0)
        return cls(mean.astype(np.float32), inverse.astype(np.float32))

    @override
    def __call__(self, x: np.ndarray) -> np.ndarray:
        z: np.ndarray = (np.asarray(x, np.float32) - self.mean) * self.inverse_sd
        np.nan_to_num(z, copy=False, nan=0.0)
        np.clip(z, -CLIP, CLIP, out=z)
        return z

    @override
    def state(self) -> HeadState:
        return HeadState({"kind": self.kind}, {"mean": self.mean, "inverse_sd": self.inverse_sd})

    @classmethod
    def restore(cls, state: HeadState) -> Standard:
        """Return the map from its `state`."""
        return cls(state.tensors["mean"], state.tensors["inverse_sd"])


@dataclass
class Landmarks(FeatureMap):
    """Nyström features of the Gaussian kernel exp(-|a-b|^2 / width) on landmarks (Williams and Seeger 2001).

    A kernel machine is linear in them, and its size does not grow with the cohort. A landmark is the mean of
    `GROUP` similar recordings: no single recording's embedding travels in a bundle.

    Attributes:
        standard: of the embedding.
        centres: float32 `[landmark, dim]`, standardised.
        whitening: float32 `[landmark, feature]`, inverse square root of the landmarks' own kernel.
        width: median squared distance between recordings of the training part.
    """

    standard: Standard
    centres: np.ndarray
    whitening: np.ndarray
    width: float
    kind: ClassVar[str] = "landmarks"

    @classmethod
    def fit(cls, x: np.ndarray, count: int, seed: int) -> Landmarks:
        """Choose at most `count` landmarks by grouping recordings of a random sample; width by the median heuristic."""
        standard = Standard.fit(x)
        rng = np.random.default_rng(seed)
        sample = rng.permutation(len(x))[: GROUP * ((count + 1) // 2)]
        z = standard(x[sample])
        distances = _squared_distances(z, z)
        width = max(float(np.median(distances[~np.eye(len(z), dtype=bool)])), 1e-6) if len(z) > 1 else 1.0
        groups = [*_groups(distances, rng.permutation(len(z))), *_groups(distances, rng.permutation(len(z)))]
        centres = np.stack([z[group].mean(0) for group in groups[:count]])
        kernel = np.exp(-_squared_distances(centres, centres) / width)
        values, vectors = np.linalg.eigh(kernel)
        keep = values > 1e-7 * values[-1]
        whitening = (vectors[:, keep] / np.sqrt(values[keep])).astype(np.float32)
        return cls(standard, centres, whitening, width)

    @override
    def __call__(self, x: np.ndarray) -> np.ndarray:
        distances = _squared_distances(self.standard(x), self.centres, self._squares)
        kernel = np.exp(-distances / self.width).astype(np.float32)
        mapped: np.ndarray = kernel @ self.whitening
        return mapped

    @cached_property
    def _squares(self) -> np.ndarray:
        """Squared lengths of the centres: for a single recording they would take most of the time."""
        return _squared(self.centres)

    @override
    def state(self) -> HeadState:
        tensors = {**self.standard.state().tensors, "centres": self.centres, "whitening": self.whitening}
        return HeadState({"kind": self.kind, "width": self.width}, tensors)


def _squared(a: np.ndarray) -> np.ndarray:
    """Return the squared lengths of rows, float64 `[row]`."""
    return np.asarray((a.astype(np.float64) ** 2).sum(1))


def _squared_distances(a: np.ndarray, b: np.ndarray, squares: np.ndarray | None = None) -> np.ndarray:
    """Return squared distances, float64 `[row of a, row of b]`; `squares` are the squared lengths of b, if known."""
    norms = _squared(a)[:, None] + (_squared(b) if squares is None else squares)[None]
    squared: np.ndarray = np.maximum(norms - 2 * (a @ b.T), 0)
    return squared


def _groups(distances: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Split rows into groups of `GROUP` near ones, greedily in the given order."""
    free = np.ones(len(order), bool)
    groups = []
    for first in order:
        if free[first]:
            free[first] = False
            near = np.argsort(np.where(free, distances[first], np.inf))[: GROUP - 1]
            near = near[free[near]]
            free[near] = False
            groups.append(np.array([first, *near]))
    return [group for group in groups if len(group) == GROUP] or groups


@dataclass
class Blocks(FeatureMap):
    """Several experts side by side, each mapped by itself and given the same total variance.

    With Gaussian features a ridge on them is one on the sum of the experts' kernels.
    """

    maps: Sequence[FeatureMap]
    sizes: Sequence[int]
    scales: Sequence[float]
    kind: ClassVar[str] = "blocks"

    @classmethod
    def fit(
        cls, x: np.ndarray, sizes: Sequence[int], mapped: Callable[[np.ndarray], FeatureMap] = Standard.fit
    ) -> Blocks:
        """Fit the map of each block of columns; `sizes` are the experts' dimensions in order."""
        maps, scales = [], []
        for block in _split(x, sizes):
            fitted = mapped(block)
            total = float(fitted(block).var(0).sum())
            maps.append(fitted)
            scales.append(1 / np.sqrt(total) if total > 0 else 0.0)
        return cls(maps, list(sizes), scales)

    @override
    def __call__(self, x: np.ndarray) -> np.ndarray:
        parts = zip(self.maps, _split(x, self.sizes), self.scales, strict=True)
        return np.concatenate([part(block) * np.float32(factor) for part, block, factor in parts], axis=1)

    @override
    def state(self) -> HeadState:
        meta = {"kind": self.kind, "sizes": list(self.sizes), "scales": list(self.scales)}
        return HeadState.nested(meta, {str(i): part.state() for i, part in enumerate(self.maps)})


def _split(x: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    return np.split(x, np.cumsum(sizes)[:-1], axis=1)


def restore_map(state: HeadState) -> FeatureMap:
    """Return a feature map of any kind from its state."""
    kind, meta = state.meta["kind"], state.meta
    if kind == Blocks.kind:
        return Blocks([restore_map(state.part(name)) for name in meta["parts"]], meta["sizes"], meta["scales"])
    standard = Standard.restore(state)
    if kind == Landmarks.kind:
        return Landmarks(standard, state.tensors["centres"], state.tensors["whitening"], meta["width"])
    return standard
