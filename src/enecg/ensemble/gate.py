"""The recording-dependent part of the weights: a small residual on the static ones, kept only where it helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from enecg.cohort.split import subject_folds
from enecg.ensemble.combine import Combiner
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.features import Standard
from enecg.tasks import Target

VIEW = 32  # leading components of the view that the gate looks at
OUTPUTS = "outputs"  # the view of what the heads say themselves


@dataclass
class Gate:
    """A multilayer perceptron from a cheap view of the recording to one log factor per member.

    Its last layer starts at zero: an untrained gate leaves the static weights as they are.

    Attributes:
        standard: of the view.
        components: float32 `[view dim, VIEW]`, principal directions, scaled to unit variance.
        layers: weights and biases of two layers, float32.
    """

    standard: Standard
    components: np.ndarray
    layers: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    def residual(self, view: np.ndarray) -> np.ndarray:
        """float64 `[recording, member]` log factors for views `[recording, dim]`."""
        w1, b1, w2, b2 = self.layers
        hidden = np.tanh(self.standard(view) @ self.components @ w1 + b1)
        return np.asarray(hidden @ w2 + b2, np.float64)

    @property
    def trained(self) -> int:
        """Numbers that labels have determined."""
        return sum(layer.size for layer in self.layers)

    def state(self) -> HeadState:
        """Everything needed to restore it."""
        state = HeadState.nested({}, {"standard": self.standard.state()})
        names = ("components", "w1", "b1", "w2", "b2")
        state.tensors |= dict(zip(names, (self.components, *self.layers), strict=True))
        return state

    @classmethod
    def restore(cls, state: HeadState) -> Gate:
        """The gate from its `state`."""
        w1, b1, w2, b2 = (state.tensors[name] for name in ("w1", "b1", "w2", "b2"))
        return cls(Standard.restore(state.part("standard")), state.tensors["components"], (w1, b1, w2, b2))


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


def view_of(name: str, embeddings: Mapping[str, np.ndarray], calibrated: np.ndarray) -> np.ndarray:
    """What a gate looks at, float32 `[recording, dim]`: an embedding by name, or the members' calibrated outputs."""
    if name != OUTPUTS:
        return np.asarray(embeddings[name])
    return calibrated.transpose(1, 0, 2).reshape(calibrated.shape[1], -1).astype(np.float32)


def best_gate(
    combiner: Combiner,
    scores: Sequence[np.ndarray],
    target: Target,
    embeddings: Mapping[str, np.ndarray],
    views: Sequence[str],
    subjects: np.ndarray,
    *,
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
        folds: for the verdict.
        seed: of everything random.
    """
    at_hand = [name for name in views if name in embeddings or name == OUTPUTS]
    tried = []
    for name in at_hand:
        view = view_of(name, embeddings, combiner.calibrated(scores))
        gate, verdict = fit_gate(combiner, scores, target, view, subjects, folds=folds, seed=seed, tries=len(at_hand))
        tried.append((name, gate, verdict))
    return min(tried, key=lambda each: each[2].change, default=None)


def fit_gate(
    combiner: Combiner,
    scores: Sequence[np.ndarray],
    target: Target,
    view: np.ndarray,
    subjects: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    tries: int = 1,
) -> tuple[Gate, Verdict]:
    """Train the residual on out-of-fold scores and judge it on subjects that it has not seen.

    `folds` gates are trained, each without one fold of the subjects, which judges it; a last one on all. All of
    them are trained at once, as a batch of small networks.

    Args:
        combiner: the static weights.
        scores: out-of-fold, one `[recording, output]` per member.
        target: labels.
        view: float32 `[recording, dim]`.
        subjects: `[recording]`.
        folds: for the verdict.
        seed: of everything random.
        tries: gates among which the best will be chosen.
    """
    rows = target.known
    calibrated = combiner.calibrated([score[rows] for score in scores])
    rows = rows.copy()
    answered = np.isfinite(calibrated).all((0, 2))
    rows[np.flatnonzero(rows)[~answered]] = False  # a silent member says nothing of the gate
    calibrated, y = calibrated[:, answered], target.y[rows]
    people = np.asarray(subjects)[rows]
    standard = Standard.fit(view[rows])
    z = standard(view[rows])
    components = _principal(z)
    fold = subject_folds(people, folds, seed)
    trained = np.stack([fold != k for k in range(folds)] + [np.ones(len(fold), bool)])
    layers = _train(combiner, calibrated, y, z @ components, people, trained, seed)
    gates = [Gate(standard, components, tuple(layer[k] for layer in layers)) for k in range(folds + 1)]

    residual = np.zeros((len(y), len(combiner.members)))
    for k in range(folds):
        residual[fold == k] = gates[k].residual(view[rows][fold == k])
    plain = _loss(combiner, combiner.combine(calibrated), y)
    gated = _loss(combiner, combiner.combine(calibrated, residual), y)
    return gates[-1], _verdict(gated - plain, plain.mean(), people, tries)


def _principal(z: np.ndarray) -> np.ndarray:
    """Leading principal directions, scaled so that each component has unit variance: float32 `[dim, VIEW]`."""
    rows, dim = z.shape
    wide = dim > rows  # then the smaller matrix is that of the recordings' products
    products = (z @ z.T if wide else z.T @ z).astype(np.float64) / rows
    values, vectors = np.linalg.eigh(products)
    values, vectors = np.maximum(values[::-1][:VIEW], 1e-6), vectors[:, ::-1][:, :VIEW]
    if wide:
        vectors = z.T @ (vectors / np.sqrt(values * rows))
    scaled: np.ndarray = (vectors / np.sqrt(values)).astype(np.float32)
    return scaled


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


def _train(
    combiner: Combiner,
    calibrated: np.ndarray,
    y: np.ndarray,
    view: np.ndarray,
    subjects: np.ndarray,
    trained: np.ndarray,
    seed: int,
    *,
    hidden: int = 32,
    steps: int = 240,
    batch: int = 2048,
) -> list[np.ndarray]:
    """Train one gate per row of `trained` at once; each keeps its best weights on a held tenth of its subjects.

    Returns:
        w1 `[gate, VIEW, hidden]`, b1, w2 `[gate, hidden, member]`, b2.
    """
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(seed)
    held = trained & (subject_folds(subjects, min(10, len(np.unique(subjects))), seed + 1) == 0)
    used = torch.from_numpy(trained & ~held).float()
    judged = torch.from_numpy(held).float()
    members, n, _ = calibrated.shape
    gates = len(trained)
    unit = float(np.abs(y - np.median(y)).mean()) if combiner.kind == "regression" else 1.0
    stack, truth = torch.from_numpy(calibrated).float(), torch.from_numpy(y).float()
    static, bias = torch.from_numpy(combiner.weights).float(), torch.from_numpy(combiner.bias).float()
    seen = torch.from_numpy(view).float()
    dim = seen.shape[1]
    w1 = torch.randn(gates, dim, hidden, generator=generator) / dim**0.5
    parameters = [
        w1,
        torch.zeros(gates, 1, hidden),
        torch.zeros(gates, hidden, members),
        torch.zeros(gates, 1, members),
    ]
    parameters = [parameter.requires_grad_() for parameter in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.1)

    def losses(rows: torch.Tensor, drop: float) -> torch.Tensor:
        """`[gate, row]`."""
        a1, c1, a2, c2 = parameters
        hidden_units = torch.tanh(seen[rows] @ a1 + c1)
        if drop:
            keep = torch.rand(hidden_units.shape, generator=generator) > drop
            hidden_units = hidden_units * keep / (1 - drop)
        factor = torch.exp((hidden_units @ a2 + c2).clamp(-8, 8))
        weights = factor[..., None] * static  # [gate, row, member, output]
        weights = weights * (static.abs().sum(0) / weights.abs().sum(2).clamp(min=1e-9))[:, :, None]
        z = (weights * stack[:, rows].transpose(0, 1)).sum(2) + bias
        y_rows = truth[rows].expand_as(z)
        if combiner.kind == "regression":
            return (z - y_rows).abs().sum(2) / unit
        if combiner.kind == "multiclass":
            return torch.logsumexp(z, 2) - (z * y_rows).sum(2)
        return F.binary_cross_entropy_with_logits(z, y_rows, reduction="none").sum(2)

    everything = torch.arange(n)
    best = torch.full((gates,), float("inf"))
    kept = [parameter.detach().clone() for parameter in parameters]
    for step in range(steps):
        if step % 10 == 0:
            with torch.no_grad():
                score = (losses(everything, 0.0) * judged).sum(1) / judged.sum(1).clamp(min=1)
                better = score < best
                best = torch.where(better, score, best)
                for keep_here, parameter in zip(kept, parameters, strict=True):
                    keep_here[better] = parameter.detach()[better]
        rows = everything if n <= batch else torch.randint(n, (batch,), generator=generator)
        optimiser.zero_grad(set_to_none=True)
        each = losses(rows, 0.5) * used[:, rows]
        (each.sum(1) / used[:, rows].sum(1).clamp(min=1)).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return [layer.squeeze(1).numpy() if layer.shape[1] == 1 else layer.numpy() for layer in kept]
