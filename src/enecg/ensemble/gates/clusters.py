"""A gate by clusters: recordings are grouped by a cheap input, and each cluster has weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Final

import numpy as np

from enecg.cohorts.split import subject_folds
from enecg.ensemble.combiner import Combiner, Gated
from enecg.ensemble.gates.base import GateTest, register_gate
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.feature_maps import Standard
from enecg.ensemble.losses import loss_per_recording
from enecg.tasks import Target

N_CLUSTERS: Final = 4
MIN_RECORDINGS: Final = 20  # labelled recordings that a cluster needs for weights of its own
COMPONENTS: Final = 8  # leading components of the input in which the clusters are found
CLIP: Final = 4.0  # standard deviations of a component: one extreme recording is no cluster


@register_gate
@dataclass
class ClusterGate:
    """Clusters of recordings, found by a cheap input, and weights for each (a mixture of experts, Jacobs et al. 1991).

    The clusters are those of k-means on the leading components of the input. The weights and biases of each are pulled
    towards the static ones: a cluster with little data keeps those.

    Attributes:
        standard: of the input.
        components: float32 `[dim, COMPONENTS]`, principal directions, scaled so that the first has unit variance.
        centres: `[cluster, COMPONENTS]`.
        weights: `[cluster, member, output]`.
        bias: `[cluster, output]`.
    """

    type: ClassVar[str] = "clusters"
    uses_static_weights: ClassVar[bool] = True

    standard: Standard
    components: np.ndarray
    centres: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def clusters(self, gate_input: np.ndarray) -> np.ndarray:
        """Return the cluster of each recording, int `[recording]`; -1 where nothing of the input is known."""
        place = _project(self.standard, self.components, gate_input)
        nearest = ((place[:, None] - self.centres) ** 2).sum(2).argmin(1)
        return np.asarray(np.where(np.isfinite(gate_input).any(1), nearest, -1))

    def gated(self, gate_input: np.ndarray, combiner: Combiner) -> Gated:
        """Return the weights of each recording; the static ones where the input is not known."""
        clusters = self.clusters(gate_input)
        weights = np.concatenate([self.weights, combiner.weights[None]])[clusters]
        return Gated(weights.transpose(1, 0, 2), np.concatenate([self.bias, combiner.bias[None]])[clusters])

    @property
    def trained(self) -> int:
        """Count of the numbers that labels have determined."""
        return self.weights.size + self.bias.size

    def state(self) -> HeadState:
        """Return all that `restore` needs."""
        state = HeadState.nested({"type": self.type}, {"standard": self.standard.state()})
        state.tensors |= {name: getattr(self, name) for name in ("components", "centres", "weights", "bias")}
        return state

    @classmethod
    def restore(cls, state: HeadState) -> ClusterGate:
        """Return the gate from its `state`."""
        return cls(
            Standard.restore(state.part("standard")),
            *(state.tensors[name] for name in ("components", "centres", "weights", "bias")),
        )


def gate_effect(
    combiner: Combiner,
    scores: Sequence[np.ndarray],
    target: Target,
    gate_input: np.ndarray,
    subjects: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
) -> GateTest:
    """Return the change of the loss by gates that are fitted without one fold of the subjects and tested on it.

    Args:
        combiner: the static weights.
        scores: out-of-fold, one `[recording, output]` per member.
        target: labels.
        gate_input: float32 `[recording, dim]`.
        subjects: `[recording]`.
        folds: how many.
        seed: of everything random.
    """
    rows = _usable_rows(combiner, scores, target)
    scores, target, gate_input = [score[rows] for score in scores], target.take(rows), gate_input[rows]
    people = np.asarray(subjects)[rows]
    fold = subject_folds(people, folds, seed)
    gated = np.empty(target.y.shape)
    for k in range(folds):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        own = [score[inside] for score in scores]
        gate = fit_cluster_gate(combiner, own, target.take(inside), gate_input[inside], seed)
        calibrated = combiner.calibrated([score[outside] for score in scores])
        gated[outside] = combiner.combine(calibrated, gate.gated(gate_input[outside], combiner))
    static = loss_per_recording(combiner.kind, combiner.combine(combiner.calibrated(scores)), target.y)
    return _test(loss_per_recording(combiner.kind, gated, target.y) - static, static.mean(), people)


def fit_cluster_gate(
    combiner: Combiner, scores: Sequence[np.ndarray], target: Target, gate_input: np.ndarray, seed: int = 0
) -> ClusterGate:
    """Find the clusters and fit their weights on out-of-fold scores; arguments as of `gate_effect`."""
    rows = _usable_rows(combiner, scores, target)
    calibrated, y, gate_input = combiner.calibrated([s[rows] for s in scores]), target.y[rows], gate_input[rows]
    standard = Standard.fit(gate_input)
    components = _principal(standard(gate_input))
    centres = _centres(_project(standard, components, gate_input), seed)
    gate = ClusterGate(standard, components, centres, *_repeated(combiner, len(centres)))
    clusters = gate.clusters(gate_input)
    for cluster in range(len(centres)):
        own = clusters == cluster
        if own.sum() >= MIN_RECORDINGS:
            gate.weights[cluster], gate.bias[cluster] = combiner.refit_towards(calibrated[:, own], y[own])
    return gate


def _usable_rows(combiner: Combiner, scores: Sequence[np.ndarray], target: Target) -> np.ndarray:
    """Return the positions of the labelled recordings that all members have answered."""
    return np.flatnonzero(target.known & np.isfinite(combiner.calibrated(scores)).all((0, 2)))


def _repeated(combiner: Combiner, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the static weights and biases for each of `count` clusters."""
    return np.tile(combiner.weights, (count, 1, 1)), np.tile(combiner.bias, (count, 1))


def _project(standard: Standard, components: np.ndarray, gate_input: np.ndarray) -> np.ndarray:
    """Return the leading components of each recording, clipped: float64 `[recording, COMPONENTS]`."""
    return np.asarray(np.clip((standard(gate_input) @ components).astype(np.float64), -CLIP, CLIP))


def _centres(place: np.ndarray, seed: int) -> np.ndarray:
    """Return the centres of `N_CLUSTERS` clusters, or of fewer where there are not so many: `[cluster, COMPONENTS]`."""
    from scipy.cluster.vq import ClusterError, kmeans2

    distinct = len(np.unique(place.round(6), axis=0))
    for count in range(min(N_CLUSTERS, distinct), 1, -1):
        try:
            return np.asarray(kmeans2(place, count, iter=50, minit="++", missing="raise", seed=seed)[0])
        except ClusterError:  # a cluster without a recording
            continue
    return np.asarray(place.mean(0, keepdims=True))


def _principal(z: np.ndarray) -> np.ndarray:
    """Return the leading principal directions, float32 `[dim, COMPONENTS]`; the first component has unit variance."""
    rows, dim = z.shape
    if dim == 0:  # nothing varies: all recordings are in one cluster
        return np.zeros((0, 1), np.float32)
    wide = dim > rows  # then the smaller matrix is that of the recordings' products
    products = (z @ z.T if wide else z.T @ z).astype(np.float64) / rows
    values, vectors = np.linalg.eigh(products)
    values, vectors = np.maximum(values[::-1][:COMPONENTS], 1e-6), vectors[:, ::-1][:, :COMPONENTS]
    if wide:
        vectors = z.T @ (vectors / np.sqrt(values * rows))
    return np.asarray(vectors / np.sqrt(values[0]), np.float32)


def _test(change: np.ndarray, scale: float, subjects: np.ndarray) -> GateTest:
    """Return the mean relative change of the loss with a normal 95 % interval over subjects."""
    _, index = np.unique(subjects, return_inverse=True)
    totals = np.bincount(index, change - change.mean())
    error = float(np.sqrt((totals**2).sum())) / len(change)
    mean = float(change.mean())
    reach = NormalDist().inv_cdf(1 - 0.025) * error
    return GateTest(mean / scale, (mean - reach) / scale, (mean + reach) / scale)
