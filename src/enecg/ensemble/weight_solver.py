"""The weights of a combination: where they may lie, and the problems that are solved for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from enecg.ensemble.losses import summed_loss
from enecg.tasks import Kind

# Pull of the class weights, in units of summed log-loss: of those that all outputs of a task share towards the uniform
# mean, then of each output's own towards those. A class with few positives keeps the weights that serve its task.
PULL: Final = 50.0
# What may be negative: no expert's share (one of its heads may correct another); or everything may, which is ordinary
# stacking.
Rule = Literal["shares", "free"]


def experts_of(member: str) -> dict[str, float]:
    """Return expert -> its part of the weight, for a member `expert/head` or `expert+expert/head`."""
    names = member.split("/")[0].split("+")
    return dict.fromkeys(names, 1 / len(names))


@dataclass
class WeightSpace:
    """Where weights may lie: linear in variables, some of which must not be negative.

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
    def of(cls, members: Sequence[str], silent: np.ndarray, rule: Rule) -> WeightSpace:
        """Return the space of some members; where `silent[member, output]` is true, the weight is zero."""
        count, outputs = silent.shape
        matrix = np.tile(np.eye(count), (outputs, 1, 1))
        bounded = np.zeros((outputs, count), bool)
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
                else:  # only heads on several experts read it
                    bounded[output] |= share > 0
        return cls(matrix, bounded, silent.T)

    @property
    def tied(self) -> WeightSpace:
        """The space of weights that all outputs share: silent only where all outputs are."""
        first = int(self.silent.sum(1).argmin())
        return WeightSpace(self.matrix[[first]], self.bounded[[first]], np.all(self.silent, axis=0, keepdims=True))

    def variables(self, weights: np.ndarray) -> np.ndarray:
        """Return the variables of weights `[member, output]`, of the same shape."""
        return np.linalg.solve(self.matrix, weights.T[..., None])[..., 0].T

    def weights(self, variables: np.ndarray) -> np.ndarray:
        """Return the weights of variables `[variable, output]`, of the same shape."""
        return np.asarray(np.einsum("omv,vo->mo", self.matrix, variables))

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient in the variables from that in the weights."""
        return np.asarray(np.einsum("omv,mo->vo", self.matrix, gradient))

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Bounds of the variables, in the order of their flattened array."""
        return [
            (0.0, 0.0) if quiet else (0.0 if low else None, None)
            for low, quiet in zip(self.bounded.T.ravel(), self.silent.T.ravel(), strict=True)
        ]


def fit_weights(stack: np.ndarray, y: np.ndarray, kind: Kind, space: WeightSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return weights `[member, output]` and biases `[output]` of least loss.

    Regressions take the least absolute error. Classes take the log-loss with a pull towards the uniform mean.

    Args:
        stack: log odds or values `[member, recording, output]`, all known.
        y: labels `[recording, output]`.
        kind: of the task.
        space: where the weights may lie.
    """
    return _fit_values(stack, y, space) if kind == "regression" else _fit_classes(stack, y, kind, space)


def refit_weights(
    stack: np.ndarray, y: np.ndarray, kind: Kind, space: WeightSpace, weights: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases for some recordings, pulled by `PULL` towards those given; arguments as before."""
    if kind != "regression":
        return _fit_pulled(stack, y, kind, space, weights, bias, bias_pull=PULL)
    centre = float(np.median(y))
    unit = float(np.median(np.abs(y - centre))) or 1.0
    bias = (bias + centre * (weights.sum(0) - 1)) / unit
    stack, y = (stack - centre) / unit, (y - centre) / unit
    weights, bias = _fit_pulled(stack, y, kind, space, weights, bias, bias_pull=PULL)
    return weights, bias * unit + centre * (1 - weights.sum(0))


def _fit_values(stack: np.ndarray, y: np.ndarray, space: WeightSpace) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the absolute error (smoothed near zero) of a weighted sum of deviations from the median label.

    The sum of the weights is free: heads that shrink towards the mean are stretched again.
    """
    from scipy.optimize import minimize

    centre = float(np.median(y))
    x, truth = stack[:, :, 0].T - centre, y[:, 0] - centre
    count = x.shape[1]
    unit = float(np.median(np.abs(truth))) or 1.0
    soft = 1e-3 * unit

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = space.weights(flat[:count, None])[:, 0]
        error = x @ weights + flat[count] * unit - truth
        size = np.sqrt(error**2 + soft**2)
        slope = error / size / len(truth)
        gradient = space.gradient((x.T @ slope / unit)[:, None])[:, 0]
        return float(size.mean() / unit), np.append(gradient, slope.sum())

    start = np.append(space.variables(np.full((count, 1), 1 / count)), 0.0)
    bounds = [*space.bounds, (None, None)]
    found = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, options={"maxiter": 500, "ftol": 1e-9}).x
    weights = space.weights(found[:count, None])
    weights = np.where(np.abs(weights) < 1e-4, 0, weights)
    return weights, np.array([found[count] * unit + centre * (1 - weights.sum())])


def _fit_classes(stack: np.ndarray, y: np.ndarray, kind: Kind, space: WeightSpace) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the log-loss of weighted log odds: first weights that all outputs share, then each output's own."""
    members, _, outputs = stack.shape
    uniform = np.full((members, 1), 1 / members)
    shared, bias = _fit_pulled(stack, y, kind, space.tied, uniform, np.zeros(outputs))
    if outputs == 1:
        return shared, bias
    return _fit_pulled(stack, y, kind, space, np.tile(shared, outputs), bias)


def _fit_pulled(
    stack: np.ndarray,
    y: np.ndarray,
    kind: Kind,
    space: WeightSpace,
    prior: np.ndarray,
    bias: np.ndarray,
    bias_pull: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the loss with a pull of the weights towards `prior`, and of the biases towards `bias`.

    Args:
        stack: log odds, or values in units of about one, `[member, recording, output]`.
        y: labels `[recording, output]`.
        kind: of the task; a regression takes the absolute error.
        space: where the weights may lie.
        prior: `[member, output]`, or `[member, 1]` for weights that all outputs share.
        bias: `[output]`.
        bias_pull: strength of the biases' pull.
    """
    from scipy.optimize import minimize

    outputs, tied = stack.shape[2], prior.shape[1] == 1
    each = np.ascontiguousarray(stack.transpose(2, 1, 0))  # [output, recording, member], for matrix products

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offset = space.weights(flat[:-outputs].reshape(prior.shape)), flat[-outputs:]
        z = (each @ np.broadcast_to(weights, (len(stack), outputs)).T[..., None])[..., 0].T + offset
        cost, error = summed_loss(kind, z, y)
        gradient = (error.T[:, None] @ each)[:, 0].T
        gradient = (gradient.sum(1, keepdims=True) if tied else gradient) + 2 * PULL * (weights - prior)
        cost += PULL * ((weights - prior) ** 2).sum() + bias_pull * ((offset - bias) ** 2).sum()
        offsets = error.sum(0) + 2 * bias_pull * (offset - bias)
        return float(cost), np.concatenate([space.gradient(gradient).ravel(), offsets])

    bounds = [*space.bounds, *[(None, None)] * outputs]
    start = np.concatenate([space.variables(prior).ravel(), bias])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    return space.weights(found[:-outputs].reshape(prior.shape)), found[-outputs:]
