"""The recording-dependent part of the weights: kinds of recordings with weights of their own, kept where they help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from enecg.cohorts.split import subject_folds
from enecg.ensemble.combiner import Combiner, Gated, Rule
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.feature_maps import Standard
from enecg.tasks import Target

KINDS = 4  # of recordings
FEWEST = 20  # labelled recordings of a kind for weights of its own
VIEW = 8  # leading components of the view that tell kinds
CLIP = 4.0  # deviations of a component: one wild recording is no kind
OUTPUTS = "outputs"  # the view of what the heads say themselves


@dataclass
class Gate:
    """Kinds of recordings, told apart by a cheap view, and weights for each (a mixture of experts, Jacobs et al. 1991).

    Kinds are those of k-means on the leading components of the view. Each has weights and biases of its own, pulled
    towards the static ones: a kind of which little is known keeps those.

    Attributes:
        standard: of the view.
        components: float32 `[view dim, VIEW]`, principal directions, scaled so that the first has unit variance.
        centres: `[kind, VIEW]`.
        weights: `[kind, member, output]`.
        bias: `[kind, output]`.
    """

    standard: Standard
    components: np.ndarray
    centres: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def kinds(self, view: np.ndarray) -> np.ndarray:
        """The kind of each recording, int `[recording]`; -1 where nothing of the view is known."""
        place = _placed(self.standard, self.components, view)
        nearest = ((place[:, None] - self.centres) ** 2).sum(2).argmin(1)
        return np.asarray(np.where(np.isfinite(view).any(1), nearest, -1))

    def gated(self, view: np.ndarray, combiner: Combiner) -> Gated:
        """Weights for views `[recording, dim]`; the static ones where the view is not known."""
        kinds = self.kinds(view)
        weights = np.concatenate([self.weights, combiner.weights[None]])[kinds]
        return Gated(weights.transpose(1, 0, 2), np.concatenate([self.bias, combiner.bias[None]])[kinds])

    @property
    def trained(self) -> int:
        """Numbers that labels have determined."""
        return self.weights.size + self.bias.size

    def state(self) -> HeadState:
        """Everything needed to restore it."""
        state = HeadState.nested({}, {"standard": self.standard.state()})
        state.tensors |= {name: getattr(self, name) for name in ("components", "centres", "weights", "bias")}
        return state

    @classmethod
    def restore(cls, state: HeadState) -> Gate:
        """The gate from its `state`."""
        return cls(
            Standard.restore(state.part("standard")),
            *(state.tensors[name] for name in ("components", "centres", "weights", "bias")),
        )


@dataclass(frozen=True)
class Verdict:
    """Whether the gate earned its place: relative change of the held-out loss, with a 95 % interval."""

    change: float
    low: float
    high: float

    @property
    def helps(self) -> bool:
        """The whole interval lies below zero."""
        return self.high < 0


def view_of(
    name: str, embeddings: Mapping[str, np.ndarray], combiner: Combiner, scores: Sequence[np.ndarray]
) -> np.ndarray:
    """What a gate looks at, float32 `[recording, dim]`: an embedding by name, or what the weighted members say."""
    if name != OUTPUTS:
        return np.asarray(embeddings[name])
    said = combiner.calibrated(scores)[combiner.weighted]
    return np.asarray(said.transpose(1, 0, 2).reshape(said.shape[1], -1), np.float32)


def best_gate(
    combiner: Combiner,
    scores: Sequence[np.ndarray],
    target: Target,
    embeddings: Mapping[str, np.ndarray],
    views: Sequence[str],
    subjects: np.ndarray,
    *,
    rule: Rule = "shares",
    folds: int = 5,
    seed: int = 0,
) -> tuple[str, Gate, Verdict] | None:
    """Try a gate on each view that is at hand; the one whose loss on unseen subjects is least, None without a view.

    Of several tried the best looks better than it is, so its interval is that of Bonferroni's correction.

    Args:
        combiner: the static weights.
        scores: out-of-fold, one `[recording, output]` per member.
        target: labels.
        embeddings: by name.
        views: names of embeddings, or `OUTPUTS`; those that are not at hand are passed over.
        subjects: `[recording]`.
        rule: what may be negative of a kind's weights.
        folds: for the verdict.
        seed: of everything random.
    """
    at_hand = [name for name in views if name in embeddings or name == OUTPUTS]
    tried = []
    for name in at_hand:
        view = view_of(name, embeddings, combiner, scores)
        gate, verdict = fit_gate(
            combiner, scores, target, view, subjects, rule=rule, folds=folds, seed=seed, tries=len(at_hand)
        )
        tried.append((name, gate, verdict))
    return min(tried, key=lambda each: each[2].change, default=None)


def fit_gate(
    combiner: Combiner,
    scores: Sequence[np.ndarray],
    target: Target,
    view: np.ndarray,
    subjects: np.ndarray,
    *,
    rule: Rule = "shares",
    folds: int = 5,
    seed: int = 0,
    tries: int = 1,
) -> tuple[Gate, Verdict]:
    """Tell kinds and weight them on out-of-fold scores, and judge that on subjects that had no part in it.

    Args:
        combiner: the static weights.
        scores: out-of-fold, one `[recording, output]` per member.
        target: labels.
        view: float32 `[recording, dim]`.
        subjects: `[recording]`.
        rule: what may be negative of a kind's weights.
        folds: for the verdict: so many gates are fitted, each without one fold of the subjects, which judges it.
        seed: of everything random.
        tries: gates among which the best will be chosen.
    """
    rows = _telling(combiner, scores, target)
    scores, target, view = [score[rows] for score in scores], target.take(rows), view[rows]
    people = np.asarray(subjects)[rows]
    fold = subject_folds(people, folds, seed)
    gated = np.empty(target.y.shape)
    for k in range(folds):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        gate = tell_kinds(combiner, [score[inside] for score in scores], target.take(inside), view[inside], rule, seed)
        calibrated = combiner.calibrated([score[outside] for score in scores])
        gated[outside] = combiner.combine(calibrated, gate.gated(view[outside], combiner))
    plain = _loss(combiner, combiner.combine(combiner.calibrated(scores)), target.y)
    verdict = _verdict(_loss(combiner, gated, target.y) - plain, plain.mean(), people, tries)
    return tell_kinds(combiner, scores, target, view, rule, seed), verdict


def tell_kinds(
    combiner: Combiner,
    scores: Sequence[np.ndarray],
    target: Target,
    view: np.ndarray,
    rule: Rule = "shares",
    seed: int = 0,
) -> Gate:
    """The gate on a view, fitted and not judged; arguments as of `fit_gate`."""
    rows = _telling(combiner, scores, target)
    calibrated, y, view = combiner.calibrated([score[rows] for score in scores]), target.y[rows], view[rows]
    standard = Standard.fit(view)
    components = _principal(standard(view))
    centres = _centres(_placed(standard, components, view), seed)
    gate = Gate(standard, components, centres, *_repeated(combiner, len(centres)))
    kinds = gate.kinds(view)
    for kind in range(len(centres)):
        own = kinds == kind
        if own.sum() >= FEWEST:
            gate.weights[kind], gate.bias[kind] = combiner.near(calibrated[:, own], y[own], rule)
    return gate


def _telling(combiner: Combiner, scores: Sequence[np.ndarray], target: Target) -> np.ndarray:
    """Positions of the labelled recordings on which no member is silent: a silent one says nothing of the gate."""
    return np.flatnonzero(target.known & np.isfinite(combiner.calibrated(scores)).all((0, 2)))


def _repeated(combiner: Combiner, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The static weights and biases for each of `count` kinds."""
    return np.tile(combiner.weights, (count, 1, 1)), np.tile(combiner.bias, (count, 1))


def _placed(standard: Standard, components: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Where recordings lie among the kinds: float64 `[recording, VIEW]`."""
    return np.asarray(np.clip((standard(view) @ components).astype(np.float64), -CLIP, CLIP))


def _centres(place: np.ndarray, seed: int) -> np.ndarray:
    """Centres of `KINDS` kinds, or of fewer where recordings do not fall into so many: `[kind, VIEW]`."""
    from scipy.cluster.vq import ClusterError, kmeans2

    distinct = len(np.unique(place.round(6), axis=0))
    for count in range(min(KINDS, distinct), 1, -1):
        try:
            return np.asarray(kmeans2(place, count, iter=50, minit="++", missing="raise", seed=seed)[0])
        except ClusterError:  # a kind without a recording
            continue
    return np.asarray(place.mean(0, keepdims=True))


def _principal(z: np.ndarray) -> np.ndarray:
    """Leading principal directions, scaled so that the first component has unit variance: float32 `[dim, VIEW]`."""
    rows, dim = z.shape
    if dim == 0:  # nothing varies: all recordings are of one kind
        return np.zeros((0, 1), np.float32)
    wide = dim > rows  # then the smaller matrix is that of the recordings' products
    products = (z @ z.T if wide else z.T @ z).astype(np.float64) / rows
    values, vectors = np.linalg.eigh(products)
    values, vectors = np.maximum(values[::-1][:VIEW], 1e-6), vectors[:, ::-1][:, :VIEW]
    if wide:
        vectors = z.T @ (vectors / np.sqrt(values * rows))
    return np.asarray(vectors / np.sqrt(values[0]), np.float32)


def _loss(combiner: Combiner, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Loss per recording `[recording]`: absolute error, or log-loss summed over the outputs."""
    if combiner.kind == "regression":
        return np.asarray(np.abs(z - y)[:, 0])
    if combiner.kind == "multiclass":
        top = z.max(1)
        return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(1)) - (z * y).sum(1))
    return np.asarray((np.logaddexp(0, z) - y * z).sum(1))


def _verdict(change: np.ndarray, scale: float, subjects: np.ndarray, tries: int) -> Verdict:
    """Mean relative change of the loss with a normal interval over subjects, for the best of several tries."""
    _, index = np.unique(subjects, return_inverse=True)
    totals = np.bincount(index, change - change.mean())
    error = float(np.sqrt((totals**2).sum())) / len(change)
    mean = float(change.mean())
    reach = NormalDist().inv_cdf(1 - 0.025 / tries) * error
    return Verdict(mean / scale, (mean - reach) / scale, (mean + reach) / scale)
