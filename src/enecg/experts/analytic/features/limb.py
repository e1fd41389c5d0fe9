"""The six limb leads as views of one frontal vector: their relative scales, and that vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enecg.experts.inputs import Batch
from enecg.leads import LIMB, LIMB_ALGEBRA

LEADS = len(LIMB)
_ALGEBRA = np.array([LIMB_ALGEBRA[lead] for lead in LIMB])  # [lead, (I, II)]
_TOLERANCE = 0.3  # of the misfit: noise half as strong as the signal; scales are right to 5 % then. Clean: 1e-4
_SLACK = 2e-3  # of the power: one lead of six that is wrong by some 15 %


@dataclass(frozen=True, eq=False)
class LimbScale:
    """How the limb leads of a batch relate.

    Attributes:
        scale: float64 `[window, 6]`; multiplies the batch's limb leads so that they are in one unit, mean 1 over the
            leads that are there; 1 where it is not known.
        known: bool `[window]`.
        in_mv: bool `[window]`; millivolts are stated, and the limb leads do not contradict them.
        misfit: float64 `[window]`; least eigenvalue over the next: near 0 where the leads obey the algebra, NaN with
            fewer than three leads.
    """

    scale: np.ndarray
    known: np.ndarray
    in_mv: np.ndarray
    misfit: np.ndarray


def limb_scale(batch: Batch) -> LimbScale:
    """Relative scales of limb leads that were scaled one by one.

    With C `[lead, 2]` the leads as combinations of I and II (Einthoven 1913, Goldberger 1942) and P the projector on
    the complement of C's columns, true leads satisfy P y = 0. With y = diag(s) z, z the scaled leads and G their Gram
    matrix, s is the eigenvector of the least eigenvalue of P * G (element by element). It takes three limb leads, is
    exact to 0.3 % on files in millivolts, and also finds files whose "millivolts" were normalised lead by lead. With
    two leads stated millivolts must do. Leads that do not obey (swapped electrodes, an inverted aVR) have no scale.
    """
    present, z = batch.present[:, :LEADS], batch.signal[:, :LEADS].astype(np.float64)
    count = present.sum(1)
    gram = z @ z.transpose(0, 2, 1) / np.maximum(batch.length, 1)[:, None, None]
    least = (np.eye(LEADS) - _pinv(present) @ _algebra(present).transpose(0, 2, 1)) * gram
    least[:, range(LEADS), range(LEADS)] += np.where(present, 0, 1e3)  # an absent lead has no part in it
    values, vectors = np.linalg.eigh(least)
    found = vectors[:, :, 0] * np.where(vectors[:, :, 0].sum(1) < 0, -1, 1)[:, None]
    misfit = np.maximum(values[:, 0], 0) / np.maximum(values[:, 1], 1e-9)
    obeys = (count >= 3) & (misfit < _TOLERANCE) & np.where(present, found > 0, True).all(1)

    stated = batch.scale[:, :LEADS].astype(np.float64)
    in_mv = np.isfinite(batch.scale).all(1)
    stated = _mean_one(np.where(in_mv[:, None], stated, 1), present)
    found = _mean_one(np.where(obeys[:, None], found, 1), present)
    worse = _violation(least, gram, stated * present) > 2 * _violation(least, gram, found * present) + _SLACK
    pair = in_mv & (count == 2)
    scale = np.where(obeys[:, None], found, np.where(pair[:, None], stated, 1))
    return LimbScale(scale, obeys | pair, in_mv & ~(obeys & worse), np.where(count >= 3, misfit, np.nan))


def _violation(least: np.ndarray, gram: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Share of the limb leads' power, each multiplied by its `scale`, that breaks the algebra."""
    broken = np.einsum("wi,wij,wj->w", scale, least, scale)
    power = np.einsum("wi,wii,wi->w", scale, gram, scale)
    share: np.ndarray = broken / np.maximum(power, 1e-12)
    return share


def _mean_one(scale: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Divide by the mean over the leads that are there; 1 for the others."""
    mean = np.where(present, scale, 0).sum(1) / np.maximum(present.sum(1), 1)
    even: np.ndarray = np.where(present, scale / np.where(mean > 0, mean, 1)[:, None], 1)
    return even


def _algebra(present: np.ndarray) -> np.ndarray:
    """`[window, lead, 2]`: the leads that are there as combinations of I and II."""
    rows: np.ndarray = _ALGEBRA * present[..., None]
    return rows


def _pinv(present: np.ndarray) -> np.ndarray:
    """Pseudo-inverse of `_algebra`, transposed: `[window, lead, 2]`; zero with fewer than two leads."""
    algebra = _algebra(present)
    two = (present.sum(1) >= 2)[:, None, None]
    square = np.where(two, algebra.transpose(0, 2, 1) @ algebra, np.eye(2))
    return np.where(two, algebra @ np.linalg.inv(square), 0)


def frontal(limb: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The frontal vector from limb leads in one unit, by least squares over those that are there.

    Args:
        limb: `[window, 6, sample]`.
        present: bool `[window, 6]`.

    Returns:
        `[window, 2, sample]`: along lead I (to the left) and perpendicular to it (downwards), in equal units; zero
        with fewer than two leads.
    """
    first, second = np.moveaxis(_pinv(present).transpose(0, 2, 1) @ limb, 1, 0)
    return np.stack([first, (2 * second - first) / np.sqrt(3)], 1)
