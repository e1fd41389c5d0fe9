"""Where the waves of the typical beat begin, peak and end, read from all leads at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enecg.experts.analytic.features.beats import AFTER, BEFORE, FoundBeats
from enecg.experts.analytic.features.limb import LEADS, LimbScale

SIZE = BEFORE + AFTER
PR_SEGMENT = slice(BEFORE - 10, BEFORE - 5)  # isoelectric: 100 to 60 ms before the R peak
_GRID = np.arange(SIZE)


@dataclass(frozen=True, eq=False)
class Waves:
    """The typical beat and its landmarks, in samples of the beat; `BEFORE` is the R peak.

    Attributes:
        beat: float64 `[window, lead, SIZE]`; PR level subtracted, limb leads in one unit.
        magnitude: float64 `[window, SIZE]`; root mean square of `beat` over the leads.
        p_peak, qrs_on, qrs_off, t_peak: int `[window]`.
        p_start, qrs_start, qrs_end, t_end: float64 `[window]`; onsets and ends between samples.
    """

    beat: np.ndarray
    magnitude: np.ndarray
    p_peak: np.ndarray
    qrs_on: np.ndarray
    qrs_off: np.ndarray
    t_peak: np.ndarray
    p_start: np.ndarray
    qrs_start: np.ndarray
    qrs_end: np.ndarray
    t_end: np.ndarray

    def between(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """bool `[window, 1, SIZE]`: samples from `first` to `last`, both counted."""
        return ((first[:, None] <= _GRID) & (last[:, None] >= _GRID))[:, None]

    def at(self, place: np.ndarray) -> np.ndarray:
        """`[window, lead]`: the beat at a sample of each window, at most its last."""
        return self.beat[np.arange(len(place)), :, np.minimum(place, SIZE - 1)]


def pr_level(typical: np.ndarray) -> np.ndarray:
    """`[..., 1]`: level of the PR segment, the isoelectric line of a typical beat `[..., SIZE]`."""
    level: np.ndarray = np.median(typical[..., PR_SEGMENT], axis=-1, keepdims=True)
    return level


def delineate(beats: FoundBeats, limb: LimbScale, present: np.ndarray) -> Waves:
    """Find the waves of each window's typical beat.

    QRS: from the greatest slope (root mean square over the leads) outwards to where it stays under 10 % of that for
    20 ms. T: the highest magnitude after it; its end where the tangent at the steepest descent meets the isoelectric
    line (Lepeschkin and Surawicz 1952). P: the highest magnitude before the QRS; its start by the tangent likewise.
    """
    beat = beats.typical.astype(np.float64)
    beat[:, :LEADS] *= limb.scale[..., None]
    beat -= pr_level(beat)
    leads = np.maximum(present.sum(1), 1)[:, None]
    magnitude = np.sqrt(np.square(beat).sum(1) / leads)
    slope = np.sqrt(np.square(np.diff(beat, axis=2)).sum(1) / leads)  # slope[i] lies between samples i and i + 1
    rows = np.arange(len(beat))

    steepest = _highest(slope, BEFORE - 6, BEFORE + 11)
    low = 0.1 * slope[rows, steepest]
    quiet = slope <= low[:, None]
    before = _last(quiet[:, 1:] & quiet[:, :-1], BEFORE - 18, steepest - 1) + 1  # the later of two quiet slopes
    after = _first(quiet[:, 1:] & quiet[:, :-1], steepest, BEFORE + 28)  # the earlier of two quiet slopes
    qrs_on, qrs_off = before + 1, np.maximum(after, before + 1)
    start = qrs_on - _share(slope[rows, before], slope[rows, before + 1], low)
    end = qrs_off + _share(slope[rows, after], slope[rows, after - 1], low)

    t_peak = _highest(magnitude, qrs_off + 6, np.minimum(qrs_off + 44, SIZE - 5))
    p_peak = _highest(magnitude, 5, np.maximum(qrs_on - 4, 7))
    climb = np.gradient(magnitude, axis=1)
    t_end = np.minimum(_tangent(magnitude, climb, -1, t_peak + 1, np.minimum(t_peak + 21, SIZE - 2)), SIZE - 1.0)
    p_start = np.maximum(_tangent(magnitude, climb, 1, np.maximum(p_peak - 8, 1), p_peak), 0.0)
    return Waves(beat, magnitude, p_peak, qrs_on, qrs_off, t_peak, p_start, start, end, t_end)


def _tangent(magnitude: np.ndarray, climb: np.ndarray, sign: int, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where the tangent at the steepest place of a wave's flank meets zero; `sign` 1 for its rise, -1 for its fall."""
    rows = np.arange(len(magnitude))
    steep = _highest(sign * climb, first, last)
    slope = climb[rows, steep]
    sure = sign * slope > 1e-6
    meets: np.ndarray = steep - np.where(sure, magnitude[rows, steep] / np.where(sure, slope, 1), 0)
    return meets


def _within(values: np.ndarray, first: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
    at = np.arange(values.shape[1])
    inside: np.ndarray = (np.atleast_1d(first)[:, None] <= at) & (at <= np.atleast_1d(last)[:, None])
    return inside


def _highest(values: np.ndarray, first: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
    """Index of the highest of `values` `[window, sample]` from `first` to `last`."""
    index: np.ndarray = np.where(_within(values, first, last), values, -np.inf).argmax(1)
    return index


def _last(flags: np.ndarray, first: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
    """Index of the last True from `first` to `last`, or `first`."""
    inside = flags & _within(flags, first, last)
    back = flags.shape[1] - 1 - inside[:, ::-1].argmax(1)
    return np.where(inside.any(1), back, first)


def _first(flags: np.ndarray, first: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
    """Index of the first True from `first` to `last`, or `last`."""
    inside = flags & _within(flags, first, last)
    return np.where(inside.any(1), inside.argmax(1), last)


def _share(quiet: np.ndarray, active: np.ndarray, level: np.ndarray) -> np.ndarray:
    """How far, 0 to 1, beyond the active slope the `level` is crossed on the way to the quiet one."""
    rise = active - quiet
    return np.where(rise > 0, np.clip((active - level) / np.where(rise > 0, rise, 1), 0, 1), 0)
