"""Combining heads: calibrated out-of-fold outputs, weighted per task so that no expert counts against itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from enecg.tasks import Kind, Target

# Pull of the class weights, in units of summed log-loss: of those that all outputs of a task share towards the uniform
# mean, then of each output's own towards those. A class with a handful of positives keeps what serves its task.
PULL = 50.0
SETTLED = 1e-12  # of a loss: a step that changes it by less is the last
AS_GOOD = 0.005  # a value that is as good alone, up to this share of its error, is passed through as it is
# What may be negative: no head's weight; no expert's share (of its heads one may correct another); or everything may,
# which is ordinary stacking.
Rule = Literal["heads", "shares", "free"]


def experts_of(member: str) -> dict[str, float]:
    """The experts that a member `expert/head` or `expert+expert/head` reads, each with its part of the weight."""
    names = member.split("/")[0].split("+")
    return dict.fromkeys(names, 1 / len(names))


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def softmax(z: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def link(kind: Kind, z: np.ndarray) -> np.ndarray:
    """From a combined score to a value or probabilities."""
    if kind == "regression":
        return z
    return softmax(z) if kind == "multiclass" else sigmoid(z)


@dataclass
class Platt:
    """Scores to log odds: `slope * score + offset` per output (Platt 1999)."""

    slope: np.ndarray  # [output]
    offset: np.ndarray  # [output]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """float64 `[recording, output]` log odds; unchanged for a regression."""
        return np.asarray(scores * self.slope + self.offset)

    @classmethod
    def identity(cls, outputs: int) -> Platt:
        """For regressions."""
        return cls(np.ones(outputs), np.zeros(outputs))

    @classmethod
    def fit(cls, scores: np.ndarray, y: np.ndarray, steps: int = 60) -> Platt:
        """Logistic regression per output by damped Newton steps, with Platt's softened labels.

        Args:
            scores: `[recording, output]`, out of fold.
            y: 0/1 `[recording, output]`.
        """
        centre, spread = scores.mean(0), scores.std(0) + 1e-9
        s = (scores - centre) / spread
        positives = y.sum(0)
        soft = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
        slope, offset = np.zeros(y.shape[1]), np.log((positives + 1) / (len(y) - positives + 1))

        def cost(slope: np.ndarray, offset: np.ndarray) -> np.ndarray:
            z = s * slope + offset
            return np.asarray((np.logaddexp(0, z) - soft * z).sum(0) + 5e-4 * slope**2)

        best, reach = cost(slope, offset), np.ones(y.shape[1])
        for _ in range(steps):
            p = sigmoid(s * slope + offset)
            g, h = soft - p, p * (1 - p)
            g0, g1 = g.sum(0), (g * s).sum(0) - 1e-3 * slope
            h00, h01, h11 = h.sum(0) + 1e-9, (h * s).sum(0), (h * s * s).sum(0) + 1e-3
            determinant = h00 * h11 - h01**2
            there = slope + reach * (h00 * g1 - h01 * g0) / determinant
            then = offset + reach * (h11 * g0 - h01 * g1) / determinant
            costs = cost(there, then)
            if (np.abs(costs - best) <= SETTLED * best).all():
                break
            nearer = costs <= best  # else half a step from the same place
            slope, offset = np.where(nearer, there, slope), np.where(nearer, then, offset)
            best, reach = np.where(nearer, costs, best), np.where(nearer, 1.0, reach / 2)
        slope = np.maximum(slope, 0) / spread  # a head that is worse than chance says nothing
        return cls(slope, offset - np.where(slope > 0, slope * centre, 0))


@dataclass
class Gated:
    """Weights of each recording's own, as a gate gives them.

    Attributes:
        weights: `[member, recording, output]`.
        bias: `[recording, output]`.
    """

    weights: np.ndarray
    bias: np.ndarray


@dataclass
class Combiner:
    """One task's members, weighted.

    Attributes:
        kind: of the task.
        members: names, `expert/head`.
        platt: one per member.
        weights: `[member, output]`.
        bias: `[output]`.
    """

    kind: Kind
    members: tuple[str, ...]
    platt: list[Platt]
    weights: np.ndarray
    bias: np.ndarray

    def calibrated(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """`[member, recording, output]`: log odds or values of each member."""
        return np.stack([platt(score) for platt, score in zip(self.platt, scores, strict=True)])

    def effective(self, calibrated: np.ndarray, gated: Gated | None = None) -> np.ndarray:
        """Weights per recording `[member, recording, output]`, none for a member without answer.

        Args:
            calibrated: from `calibrated`.
            gated: what a gate says; None for the static weights.
        """
        static = self.weights[:, None, :] if gated is None else gated.weights
        there = np.isfinite(calibrated)
        whole = there.all(0)
        weights = np.where(whole, static, np.maximum(static, 0) * there)  # what corrects a silent head is left out
        lost = ~weights.any(0)  # every weighted member is silent: the others count alike
        weights = np.where(lost, there.astype(float), weights)
        scale = static.sum(0) / np.maximum(weights.sum(0), 1e-12)
        return np.asarray(np.where(whole, weights, weights * scale))

    def scaled(self, factors: np.ndarray) -> Gated:
        """The static weights times e to the power of `factors` `[recording, member]`, of the same sum."""
        static = self.weights[:, None, :]
        weights = static * np.exp(factors.T[:, :, None])
        weights = weights * (np.abs(static).sum(0) / np.maximum(np.abs(weights).sum(0), 1e-12))
        return Gated(weights, np.tile(self.bias, (len(factors), 1)))

    def combine(self, calibrated: np.ndarray, gated: Gated | None = None) -> np.ndarray:
        """Combined scores `[recording, output]`, before the link; NaN where no member has an answer."""
        weights = self.effective(calibrated, gated)
        bias = self.bias if gated is None else gated.bias
        z: np.ndarray = (np.nan_to_num(calibrated) * weights).sum(0) + bias
        return np.asarray(np.where(np.isfinite(calibrated).any(0), z, np.nan))

    def near(self, calibrated: np.ndarray, y: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """Weights and biases for some recordings of their own, pulled towards those of all by `PULL`.

        A member that has no weight gets none: nobody need ask it.

        Args:
            calibrated: log odds or values `[member, recording, output]`, all known.
            y: labels `[recording, output]`.
            rule: what may be negative.

        Returns:
            Weights `[member, output]` and biases `[output]`.
        """
        silent = np.stack([p.slope == 0 for p in self.platt]) | ~self.weighted[:, None]
        space = _Space.of(self.members, silent, rule)
        stack = np.where(silent[:, None], 0.0, calibrated)
        charges = np.zeros(len(self.members))
        if self.kind != "regression":
            return _logistic(stack, y, self.kind, space, self.weights, self.bias, charges, hold=PULL)
        centre = float(np.median(y))
        unit = float(np.median(np.abs(y - centre))) or 1.0
        bias = (self.bias + centre * (self.weights.sum(0) - 1)) / unit
        stack, y = (stack - centre) / unit, (y - centre) / unit
        weights, bias = _logistic(stack, y, self.kind, space, self.weights, bias, charges, hold=PULL)
        return weights, bias * unit + centre * (1 - weights.sum(0))

    @property
    def weighted(self) -> np.ndarray:
        """Which members have weight in some output, bool `[member]`."""
        return np.asarray(self.weights.any(1))

    def shares(self) -> dict[str, float]:
        """Expert name -> its static share, the mean over outputs; they sum to one. A head on several is shared out."""
        each = self.weights.mean(1)
        out: dict[str, float] = {}
        for member, weight in zip(self.members, each, strict=True):
            for expert, part in experts_of(member).items():
                out[expert] = out.get(expert, 0.0) + float(part * weight / max(each.sum(), 1e-12))
        return out

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "kind": self.kind,
            "members": self.members,
            "platt": [[p.slope.tolist(), p.offset.tolist()] for p in self.platt],
            "weights": self.weights.tolist(),
            "bias": self.bias.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Combiner:
        """From `as_dict`."""
        platt = [Platt(np.array(slope), np.array(offset)) for slope, offset in data["platt"]]
        return cls(data["kind"], tuple(data["members"]), platt, np.array(data["weights"]), np.array(data["bias"]))

    def passed_through(self, scores: Sequence[np.ndarray], target: Target) -> Combiner:
        """This combiner, or of a regression the one member that is as good alone, exactly as it is.

        Args:
            scores: out-of-fold, one `[recording, 1]` per member.
            target: labels.
        """
        if self.kind != "regression":
            return self
        each = np.stack([*scores, self.predict(scores)])
        rows = target.known & np.isfinite(each).all((0, 2))
        errors = np.abs(each[:, rows] - target.y[rows]).mean((1, 2))
        best = int(errors[:-1].argmin())
        if errors[best] > (1 + AS_GOOD) * errors[-1]:
            return self
        weights = np.zeros_like(self.weights)
        weights[best] = 1.0
        return replace(self, weights=weights, bias=np.zeros(1))

    def predict(self, scores: Sequence[np.ndarray], gated: Gated | None = None) -> np.ndarray:
        """Value or probabilities `[recording, output]` from the members' scores."""
        return link(self.kind, self.combine(self.calibrated(scores), gated))

    @classmethod
    def fit(
        cls,
        members: Sequence[str],
        scores: Sequence[np.ndarray],
        target: Target,
        rule: Rule,
        charges: np.ndarray | None = None,
    ) -> Combiner:
        """Calibrate each member, then weight them, on out-of-fold scores of recordings that a member has answered.

        Regressions: least absolute error. Classes: log-loss with a pull towards the uniform mean.

        Args:
            members: names, `expert/head`.
            scores: one `[recording, output]` for each.
            target: labels of the same recordings.
            rule: what may be negative.
            charges: what a weight of one costs each member, as a share of the loss of a constant answer; added to the
                loss (and to the pull, of classes).
        """
        kind = target.task.kind
        rows = target.known & np.any([np.isfinite(score).all(1) for score in scores], axis=0)
        y = target.y[rows]
        inside = [score[rows] for score in scores]
        if kind == "regression":
            platt = [Platt.identity(1)] * len(inside)
        else:
            answered = [np.isfinite(score).all(1) for score in inside]
            platt = [Platt.fit(score[there], y[there]) for score, there in zip(inside, answered, strict=True)]
        stack = np.stack([p(score) for p, score in zip(platt, inside, strict=True)])
        with np.errstate(invalid="ignore"):
            known = np.isfinite(stack)
            mean = np.where(known, stack, 0).sum(0) / np.maximum(known.sum(0), 1)
        silent = np.stack([p.slope == 0 for p in platt])  # a constant: it belongs to the bias
        stack = np.where(silent[:, None], 0.0, np.where(known, stack, mean))
        space = _Space.of(members, silent, rule)
        solve = _weigh_values if kind == "regression" else _weigh_classes
        weights, bias = solve(stack, y, kind, space, np.zeros(len(members)) if charges is None else charges)
        return cls(kind, tuple(members), platt, weights, bias)


@dataclass
class _Space:
    """Where weights may be: linear in variables of which some must not be negative.

    Attributes:
        matrix: `[output, member, variable]`, from variables to weights. An expert's share takes the place of the weight
            of its first head.
        bounded: `[output, variable]`: not negative.
        silent: `[output, member]`: zero.
    """

    matrix: np.ndarray
    bounded: np.ndarray
    silent: np.ndarray

    @classmethod
    def of(cls, members: Sequence[str], silent: np.ndarray, rule: Rule) -> _Space:
        """The space of some members; `silent[member, output]` says nothing and has no weight."""
        count, outputs = silent.shape
        matrix = np.tile(np.eye(count), (outputs, 1, 1))
        bounded = np.tile(rule == "heads", (outputs, count))
        parts = [experts_of(member) for member in members]
        for expert in dict.fromkeys(name for part in parts for name in part) if rule == "shares" else ():
            reads = np.array([part.get(expert, 0.0) for part in parts])
            for output, quiet in enumerate(silent.T):
                share = np.where(quiet, 0.0, reads)
                own = np.flatnonzero(share == 1)
                if len(own):
                    matrix[output, own[0]] = -share
                    matrix[output, own[0], own[0]] = 1
                    bounded[output, own[0]] = True
                else:  # heads on several experts alone speak for it
                    bounded[output] |= share > 0
        return cls(matrix, bounded, silent.T)

    @property
    def tied(self) -> _Space:
        """That of weights which all outputs share: what every output allows, silent only where all are."""
        first = int(self.silent.sum(1).argmin())
        return _Space(self.matrix[[first]], self.bounded[[first]], np.all(self.silent, axis=0, keepdims=True))

    def variables(self, weights: np.ndarray) -> np.ndarray:
        """From weights `[member, output]` to variables of the same shape."""
        return np.linalg.solve(self.matrix, weights.T[..., None])[..., 0].T

    def weights(self, variables: np.ndarray) -> np.ndarray:
        """From variables `[variable, output]` to weights of the same shape."""
        return np.asarray(np.einsum("omv,vo->mo", self.matrix, variables))

    def slopes(self, slopes: np.ndarray) -> np.ndarray:
        """From slopes in the weights to slopes in the variables."""
        return np.asarray(np.einsum("omv,mo->vo", self.matrix, slopes))

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Of the variables, in the order of their flattened array."""
        return [
            (0.0, 0.0) if quiet else (0.0 if low else None, None)
            for low, quiet in zip(self.bounded.T.ravel(), self.silent.T.ravel(), strict=True)
        ]


def _weigh_values(
    stack: np.ndarray, y: np.ndarray, kind: Kind, space: _Space, charges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least absolute error (smoothed near zero) of a weighted sum of deviations from the median label.

    The sum of the weights is free: heads that shrink towards the mean are stretched again.
    """
    from scipy.optimize import minimize

    centre = float(np.median(y))
    x, truth = stack[:, :, 0].T - centre, y[:, 0] - centre
    count = x.shape[1]
    unit = float(np.median(np.abs(truth))) or 1.0
    soft, charge = 1e-3 * unit, charges * np.abs(truth).mean() / unit

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = space.weights(flat[:count, None])[:, 0]
        error = x @ weights + flat[count] * unit - truth
        size = np.sqrt(error**2 + soft**2)
        slope = error / size / len(truth)
        slopes = space.slopes((x.T @ slope / unit + charge)[:, None])[:, 0]
        return float(size.mean() / unit + charge @ weights), np.append(slopes, slope.sum())

    start = np.append(space.variables(np.full((count, 1), 1 / count)), 0.0)
    bounds = [*space.bounds, (None, None)]
    found = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, options={"maxiter": 500, "ftol": 1e-9}).x
    weights = space.weights(found[:count, None])
    weights = np.where(np.abs(weights) < 1e-4, 0, weights)
    return weights, np.array([found[count] * unit + centre * (1 - weights.sum())])


def _weigh_classes(
    stack: np.ndarray, y: np.ndarray, kind: Kind, space: _Space, charges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log-loss of weighted log odds: weights that all outputs share, then one set per output, pulled towards them."""
    members, _, outputs = stack.shape
    uniform = np.full((members, 1), 1 / members)
    shared, bias = _logistic(stack, y, kind, space.tied, uniform, np.zeros(outputs), charges)
    if outputs == 1:
        return shared, bias
    return _logistic(stack, y, kind, space, np.tile(shared, outputs), bias, charges)


def _logistic(
    stack: np.ndarray,
    y: np.ndarray,
    kind: Kind,
    space: _Space,
    prior: np.ndarray,
    bias: np.ndarray,
    charges: np.ndarray,
    hold: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights near `prior`, `[member, output]` or `[member, 1]` for one that all outputs share, and biases.

    `hold` pulls the biases towards those given. A regression is one of least absolute error, in units of about one.
    """
    from scipy.optimize import minimize

    outputs, tied = stack.shape[2], prior.shape[1] == 1
    unit = _constant_loss(y, kind) / prior.shape[1] if charges.any() else 0.0
    charge = np.tile((unit * charges)[:, None], prior.shape[1])
    each = np.ascontiguousarray(stack.transpose(2, 1, 0))  # [output, recording, member], for matrix products

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offset = space.weights(flat[:-outputs].reshape(prior.shape)), flat[-outputs:]
        z = (each @ np.broadcast_to(weights, (len(stack), outputs)).T[..., None])[..., 0].T + offset
        cost, error = _misfit(kind, z, y)
        slope = (error.T[:, None] @ each)[:, 0].T
        slope = (slope.sum(1, keepdims=True) if tied else slope) + 2 * PULL * (weights - prior) + charge
        cost += PULL * ((weights - prior) ** 2).sum() + (charge * weights).sum() + hold * ((offset - bias) ** 2).sum()
        offsets = error.sum(0) + 2 * hold * (offset - bias)
        return float(cost), np.concatenate([space.slopes(slope).ravel(), offsets])

    bounds = [*space.bounds, *[(None, None)] * outputs]
    start = np.concatenate([space.variables(prior).ravel(), bias])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    return space.weights(found[:-outputs].reshape(prior.shape)), found[-outputs:]


def _misfit(kind: Kind, z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Summed loss of combined scores, and its slope `[recording, output]`."""
    if kind == "regression":
        size = np.sqrt((z - y) ** 2 + 1e-6)
        return float(size.sum()), (z - y) / size
    p = link(kind, z)
    if kind == "multiclass":
        return float(-np.log(np.maximum((p * y).sum(1), 1e-12)).sum()), p - y
    return float((np.logaddexp(0, z) - y * z).sum()), p - y


def _constant_loss(y: np.ndarray, kind: Kind) -> float:
    """Summed log-loss of always saying how frequent each class is."""
    share = np.clip(y.mean(0), 1e-12, 1 - 1e-12)
    loss = -(y * np.log(share)).sum()
    return float(loss if kind == "multiclass" else loss - ((1 - y) * np.log(1 - share)).sum())
