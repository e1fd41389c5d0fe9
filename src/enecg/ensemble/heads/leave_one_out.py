"""Ridge regression with the penalty chosen by exact leave-one-out, for many outputs and subsets of rows at once."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from typing_extensions import override

# Relative to the mean squared length of a feature vector. Not lower: interpolation looks perfect to leave-one-out.
ALPHAS = np.logspace(-2, 3.5, 23)
MAX_LEFT_OUT = 4096  # rows, at most, on which leave-one-out chooses the penalty
PORTION = 4096  # rows whose inner products are summed in single precision
AXES = 4096  # of many rows with more features than this, so many principal axes are taken
SPANNED = 16384  # rows, at most, whose principal axes these are
STEPS = 100  # of conjugate gradients, at most
SETTLED = 1e-3  # standard deviations of an output: what is left of the error when they end


class Ridges:
    """Ridge regressions on subsets of the same rows: inner products are shared between them.

    What a decomposition takes grows with the third power of the smaller side. Where both are larger than `AXES`, the
    features are taken along so many principal axes: the others have little variance, which a ridge shrinks away.

    Args:
        features: float32 `[row, feature]`.
    """

    def __init__(self, features: np.ndarray) -> None:
        self._axes = _principal_axes(features, AXES) if min(features.shape) > AXES else None
        if self._axes is not None:
            features = features @ self._axes
        self.features = features
        self.wide = features.shape[1] >= len(features)
        if self.wide:
            self._products = (features @ features.T).astype(np.float64)
        else:
            self._middle = features.mean(0, dtype=np.float64).astype(np.float32)
            self._whole = self._inner(np.arange(len(features)))

    def solve(self, rows: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit a ridge for each column of `y` with its own penalty, chosen by exact leave-one-out.

        Of more rows than `MAX_LEFT_OUT`, that many are left out in turn, spread evenly.

        Args:
            rows: positions of the rows to train on, ascending.
            y: float64 `[len(rows), output]`, NaN where a label is not known. Such a label is set to what is then
                predicted for it, which comes to the ridge on the known ones.

        Returns:
            Coefficients `[feature, output]`, intercepts `[output]`, chosen penalties `[output]` (relative).
        """
        basis = self._dual(rows) if self.wide else self._primal(rows)
        known = np.isfinite(y)
        filled = np.where(known, y, np.nanmean(y, axis=0))
        if not known.all():
            filled = basis.fill(filled, known, basis.penalties(filled, known))
        alpha = basis.penalties(filled, known)
        if not known.all():
            filled = basis.fill(filled, known, alpha)
        coefficients = basis.coefficients(basis.shrink(filled, alpha))
        intercepts = filled.mean(0) - basis.mean @ coefficients
        if self._axes is not None:
            coefficients = self._axes @ coefficients
        return coefficients.astype(np.float32), intercepts, alpha

    def _dual(self, rows: np.ndarray) -> _Basis:
        products = self._products[np.ix_(rows, rows)]
        middle = products.mean(0)
        values, left = np.linalg.eigh(products - middle - middle[:, None] + middle.mean())
        return _Dual(self.features, rows, np.maximum(values, 0.0), _left_out_rows(len(rows)), left)

    def _primal(self, rows: np.ndarray) -> _Basis:
        others = np.setdiff1d(np.arange(len(self.features)), rows, assume_unique=True)
        if len(others) < len(rows):
            products, total = (whole - part for whole, part in zip(self._whole, self._inner(others), strict=True))
        else:
            products, total = self._inner(rows)
        values, right = np.linalg.eigh(products - np.outer(total, total / len(rows)))
        keep = values > 1e-9 * values[-1]
        return _Primal(self.features, rows, values[keep], _left_out_rows(len(rows)), right[:, keep])

    def _inner(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inner products of features minus their mean, and the sum of these, both float64."""
        products = np.zeros((self.features.shape[1],) * 2)
        total = np.zeros(self.features.shape[1])
        for start in range(0, len(rows), PORTION):
            part = self.features[rows[start : start + PORTION]] - self._middle
            products += part.T @ part
            total += part.sum(0, dtype=np.float64)
        return products, total


def _principal_axes(features: np.ndarray, count: int) -> np.ndarray:
    """Return axes that nearly span the leading principal components: float32 `[feature, count]`, orthonormal.

    By a randomised range finder with one power iteration (Halko, Martinsson and Tropp 2011).
    """
    rows = _spread(len(features), SPANNED)
    part = features[rows]
    part -= part.mean(0)
    span = np.random.default_rng(0).standard_normal((features.shape[1], count), np.float32)
    for _ in range(2):
        span = np.linalg.qr(part.T @ (part @ span))[0]
    return span


def _left_out_rows(count: int) -> np.ndarray:
    """Return the positions of the rows of `count` that choose the penalty."""
    return _spread(count, MAX_LEFT_OUT)


def _spread(count: int, most: int) -> np.ndarray:
    """Return the positions of at most `most` rows of `count`, spread evenly."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(int)


class _Basis(ABC):
    """Centred features of some rows, decomposed: left singular vectors times singular values times right ones.

    Args:
        features: float32 `[row, feature]`, of all rows.
        rows: those that count.
        values: squared singular values `[component]`.
        left_out: positions in `rows` that choose the penalty.
        vectors: singular ones, float64 `[row or feature, component]`: the left ones, or the right ones.
    """

    def __init__(
        self, features: np.ndarray, rows: np.ndarray, values: np.ndarray, left_out: np.ndarray, vectors: np.ndarray
    ) -> None:
        self.features, self.rows, self.values, self.left_out, self.vectors = features, rows, values, left_out, vectors
        self.mean = features[rows].mean(0, dtype=np.float64)
        self.unit = float(values.sum() / len(rows)) or 1.0

    @abstractmethod
    def left(self, positions: np.ndarray) -> np.ndarray:
        """Return left singular vectors at some positions in `rows`: float64 `[position, component]`."""

    @abstractmethod
    def _project(self, y: np.ndarray) -> np.ndarray:
        """Return left singular vectors times `y` `[len(rows), output]` of mean zero."""

    @abstractmethod
    def coefficients(self, weights: np.ndarray) -> np.ndarray:
        """Return float64 `[feature, output]` from weights of the left singular vectors."""

    def project(self, y: np.ndarray) -> np.ndarray:
        """Return left singular vectors times `y` `[len(rows), output]`: `[component, output]`."""
        return self._project(y - y.mean(0))

    def penalties(self, y: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return relative penalties `[output]`, chosen by leave-one-out where `y` is known."""
        left, projected = self.left(self.left_out), self.project(y)
        truth, judged, squares = (y - y.mean(0))[self.left_out], known[self.left_out], left**2
        errors = np.empty((len(ALPHAS), y.shape[1]))
        for i, alpha in enumerate(ALPHAS):
            shrink = self.values / (self.values + alpha * self.unit)
            leverage = 1 / len(self.rows) + squares @ shrink
            residual = truth - left @ (shrink[:, None] * projected)
            errors[i] = ((residual / np.maximum(1 - leverage, 1e-5)[:, None]) ** 2).mean(0, where=judged)
        return np.asarray(ALPHAS[errors.argmin(0)])

    def shrink(self, y: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return weights of the left singular vectors `[component, output]` with these penalties."""
        return np.asarray(self.project(y) / (self.values[:, None] + alpha * self.unit))

    def fill(self, y: np.ndarray, known: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return `y` with unknown labels set to the prediction of the ridge that is fitted to them too.

        The prediction is linear in these labels, and the hat matrix minus one is definite: conjugate gradients apply.
        """
        gaps = np.flatnonzero(~known.all(1))
        left, missing = self.left(gaps), ~known[gaps]
        shrink = self.values[:, None] / (self.values[:, None] + alpha * self.unit)

        def residual(put: np.ndarray) -> np.ndarray:
            """Return the labels that are put in, minus their predictions."""
            return np.asarray(missing * (put - put.sum(0) / len(self.rows) - left @ (shrink * (left.T @ put))))

        change = np.zeros(missing.shape)
        error = missing * (y.mean(0) + left @ (shrink * self.project(y)) - y[gaps])
        direction, size = error, (error**2).sum(0)
        enough = missing.sum(0) * (SETTLED * y.std(0)) ** 2
        for _ in range(STEPS):
            if (size <= enough).all():
                break
            curved = residual(direction)
            step = size / np.maximum((direction * curved).sum(0), 1e-300)
            change, error = change + step * direction, error - step * curved
            size, before = (error**2).sum(0), size
            direction = error + direction * (size / np.maximum(before, 1e-300))
        found = y.copy()
        found[gaps] += change
        return found


class _Dual(_Basis):
    """A decomposition by the inner products of rows, for more features than rows."""

    @override
    def left(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors[positions])

    @override
    def _project(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors.T @ y)

    @override
    def coefficients(self, weights: np.ndarray) -> np.ndarray:
        dual = self.vectors @ weights  # sums to zero over rows, as the features are centred
        return np.asarray(self.features[self.rows].T @ dual.astype(np.float32) - np.outer(self.mean, dual.sum(0)))


class _Primal(_Basis):
    """A decomposition by the inner products of features, for more rows than features."""

    @override
    def left(self, positions: np.ndarray) -> np.ndarray:
        centred = self.features[self.rows[positions]] - self.mean.astype(np.float32)
        return np.asarray((centred @ (self.vectors / np.sqrt(self.values)).astype(np.float32)).astype(np.float64))

    @override
    def _project(self, y: np.ndarray) -> np.ndarray:
        spread = np.zeros((len(self.features), y.shape[1]), np.float32)
        spread[self.rows] = y
        cross = (self.features.T @ spread).astype(np.float64)
        return np.asarray(self.vectors.T @ cross / np.sqrt(self.values)[:, None])

    @override
    def coefficients(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors @ (np.sqrt(self.values)[:, None] * weights))
