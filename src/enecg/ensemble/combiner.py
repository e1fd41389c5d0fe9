"""Combining heads: their out-of-fold scores become log odds, and weights per task combine them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from enecg.ensemble.losses import link, sigmoid
from enecg.ensemble.weight_solver import Rule, WeightSpace, experts_of, fit_weights, refit_weights
from enecg.tasks import Kind, Target

SETTLED: Final = 1e-12  # relative change of a loss below which Newton steps stop
AS_GOOD: Final = 0.005  # relative increase of the error up to which a single measurement replaces the combination


@dataclass
class PlattScaling:
    """Platt scaling (1999): scores to log odds, `slope * score + offset` per output."""

    slope: np.ndarray  # [output]
    offset: np.ndarray  # [output]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return log odds, float64 `[recording, output]`; for a regression the values themselves."""
        return np.asarray(scores * self.slope + self.offset)

    @classmethod
    def identity(cls, outputs: int) -> PlattScaling:
        """Return the scaling that changes nothing, for regressions."""
        return cls(np.ones(outputs), np.zeros(outputs))

    @classmethod
    def fit(cls, scores: np.ndarray, y: np.ndarray, steps: int = 60) -> PlattScaling:
        """Fit a logistic regression per output by damped Newton steps, with Platt's softened labels.

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
        slope = np.maximum(slope, 0) / spread  # a head that is worse than chance gets no weight
        return cls(slope, offset - np.where(slope > 0, slope * centre, 0))


@dataclass
class Gated:
    """The weights that a gate gives to each recording.

    Attributes:
        weights: `[member, recording, output]`.
        bias: `[recording, output]`.
    """

    weights: np.ndarray
    bias: np.ndarray


@dataclass
class Combiner:
    """The weighted members of one task.

    Attributes:
        kind: of the task.
        members: names, `expert/head`.
        platt: one per member.
        weights: `[member, output]`.
        bias: `[output]`.
    """

    kind: Kind
    members: tuple[str, ...]
    platt: list[PlattScaling]
    weights: np.ndarray
    bias: np.ndarray

    def calibrated(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Return log odds or values of each member, `[member, recording, output]`."""
        return np.stack([platt(score) for platt, score in zip(self.platt, scores, strict=True)])

    def effective(self, calibrated: np.ndarray, gated: Gated | None = None) -> np.ndarray:
        """Return weights per recording `[member, recording, output]`; zero for a member without an answer.

        Args:
            calibrated: from `calibrated`.
            gated: weights of a gate; None for the static ones.
        """
        static = self.weights[:, None, :] if gated is None else gated.weights
        there = np.isfinite(calibrated)
        whole = there.all(0)
        weights = np.where(
            whole, static, np.maximum(static, 0) * there
        )  # negative weights correct heads that may be missing
        lost = ~weights.any(0)  # no weighted member has an answer: the others count equally
        weights = np.where(lost, there.astype(float), weights)
        scale = static.sum(0) / np.maximum(weights.sum(0), 1e-12)
        return np.asarray(np.where(whole, weights, weights * scale))

    def scaled(self, factors: np.ndarray) -> Gated:
        """Return the static weights times exp(`factors` `[recording, member]`), rescaled to the same sum."""
        static = self.weights[:, None, :]
        weights = static * np.exp(factors.T[:, :, None])
        weights = weights * (np.abs(static).sum(0) / np.maximum(np.abs(weights).sum(0), 1e-12))
        return Gated(weights, np.tile(self.bias, (len(factors), 1)))

    def combine(self, calibrated: np.ndarray, gated: Gated | None = None) -> np.ndarray:
        """Return combined scores `[recording, output]`, before the link; NaN where no member has an answer."""
        weights = self.effective(calibrated, gated)
        bias = self.bias if gated is None else gated.bias
        z: np.ndarray = (np.nan_to_num(calibrated) * weights).sum(0) + bias
        return np.asarray(np.where(np.isfinite(calibrated).any(0), z, np.nan))

    def refit_towards(self, calibrated: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights `[member, output]` and biases `[output]` for some recordings, pulled towards those of all.

        A member without weight gets none, so its experts need not run.

        Args:
            calibrated: log odds or values `[member, recording, output]`, all known.
            y: labels `[recording, output]`.
        """
        silent = np.stack([p.slope == 0 for p in self.platt]) | ~self.weighted[:, None]
        space = WeightSpace.of(self.members, silent, "shares")
        stack = np.where(silent[:, None], 0.0, calibrated)
        return refit_weights(stack, y, self.kind, space, self.weights, self.bias)

    @property
    def weighted(self) -> np.ndarray:
        """Which members have weight in some output: bool `[member]`."""
        return np.asarray(self.weights.any(1))

    def shares(self) -> dict[str, float]:
        """Return expert name -> its static share, the mean over outputs; the shares sum to one.

        The weight of a head on several experts is divided equally among them.
        """
        each = self.weights.mean(1)
        out: dict[str, float] = {}
        for member, weight in zip(self.members, each, strict=True):
            for expert, part in experts_of(member).items():
                out[expert] = out.get(expert, 0.0) + float(part * weight / max(each.sum(), 1e-12))
        return out

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "members": self.members,
            "platt": [[p.slope.tolist(), p.offset.tolist()] for p in self.platt],
            "weights": self.weights.tolist(),
            "bias": self.bias.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Combiner:
        """Return what `as_dict` wrote."""
        platt = [PlattScaling(np.array(slope), np.array(offset)) for slope, offset in data["platt"]]
        return cls(data["kind"], tuple(data["members"]), platt, np.array(data["weights"]), np.array(data["bias"]))

    def select_single_if_as_good(self, scores: Sequence[np.ndarray], target: Target) -> Combiner:
        """Return this combiner, or for a regression the single member that is as good alone, with weight one.

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
        """Return values or probabilities `[recording, output]` from the members' scores."""
        return link(self.kind, self.combine(self.calibrated(scores), gated))

    @classmethod
    def fit(cls, members: Sequence[str], scores: Sequence[np.ndarray], target: Target, rule: Rule) -> Combiner:
        """Calibrate each member, then fit the weights, on out-of-fold scores of recordings that a member has answered.

        Args:
            members: names, `expert/head`.
            scores: one `[recording, output]` for each.
            target: labels of the same recordings.
            rule: what may be negative.
        """
        kind = target.task.kind
        rows = target.known & np.any([np.isfinite(score).all(1) for score in scores], axis=0)
        y = target.y[rows]
        inside = [score[rows] for score in scores]
        if kind == "regression":
            platt = [PlattScaling.identity(1)] * len(inside)
        else:
            answered = [np.isfinite(score).all(1) for score in inside]
            platt = [PlattScaling.fit(score[there], y[there]) for score, there in zip(inside, answered, strict=True)]
        stack = np.stack([p(score) for p, score in zip(platt, inside, strict=True)])
        with np.errstate(invalid="ignore"):
            known = np.isfinite(stack)
            mean = np.where(known, stack, 0).sum(0) / np.maximum(known.sum(0), 1)
        silent = np.stack([p.slope == 0 for p in platt])  # a constant: it belongs to the bias
        stack = np.where(silent[:, None], 0.0, np.where(known, stack, mean))
        weights, bias = fit_weights(stack, y, kind, WeightSpace.of(members, silent, rule))
        return cls(kind, tuple(members), platt, weights, bias)
