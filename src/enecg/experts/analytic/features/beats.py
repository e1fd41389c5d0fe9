"""Beats of a batch: R peaks over several leads, aligned to a fraction of a sample, and one typical beat per lead.

Everything here works on windows at 100 Hz, band-passed and scaled per lead, as `BEAT_INPUT` prepares them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from enecg.experts.inputs import Batch, InputSpec

BEAT_INPUT: Final = InputSpec(rate=100.0, seconds=10.0, band=(0.5, 40.0), scaling="lead_zscore")
MS: Final = 10.0  # milliseconds per sample
BEFORE, AFTER = 30, 70  # samples of a beat before its R peak, and from it on
MOST = 48  # beats in one window; 250/min in 10 s are 42

_HALF = 10  # samples to each side of an R peak that hold the QRS; a beat cut off closer to an edge has no sure peak
_SPAN = 2  # samples: the slope over 20 ms keeps the QRS and weakens muscle noise
_APART = 22  # samples between two beats: at 250/min there are 24
_T_WAVE = 36  # samples after a beat in which a peak of less than _T_SHARE of its energy is its T wave
_T_SHARE = 0.6
_LAGS = np.arange(-3, 4)
_BESIDE = 2  # samples that interpolation takes in on each side of an interval, besides the interval's own two
_REACH = np.arange(-_HALF, _HALF + 1)
_RINGING = 50  # samples at each end that a filter's ringing may fill
_FLAT = 1e-8
_ALIKE = 0.5  # a beat that is less like the others is ectopic


@dataclass(frozen=True, eq=False)
class FoundBeats:
    """What is known of the beats in each window of a batch.

    Attributes:
        at: float64 `[window, MOST]`; R peaks in samples from the window's start, ascending, then NaN.
        count: int `[window]`; 0 when no beat is to be found (asystole, noise).
        typical: float32 `[window, lead, BEFORE + AFTER]`; at each sample the mean of the middle half of the beats,
            which are aligned at the centre of gravity of their QRS energy. Zero without beats and for absent leads.
        whole: int `[window]`; complete beats in the window; the typical beat is their mean.
        spread: float32 `[window, lead]`; root mean square of the beats about the typical one.
        alike: float64 `[window, 3, MOST]`; correlation of each beat with the mean of the others, over all leads, in
            the QRS, before it (the P wave) and after it (the T wave); NaN where it is not known.
        rest: float32 `[window, lead, sample]`; the signal less the typical beat at every beat.
        energy: float32 `[window, sample]`; see `slope_energy`.
    """

    at: np.ndarray
    count: np.ndarray
    typical: np.ndarray
    whole: np.ndarray
    spread: np.ndarray
    alike: np.ndarray
    rest: np.ndarray
    energy: np.ndarray


def steady(batch: Batch) -> Batch:
    """The batch with each lead in units of its standard deviation away from the ends.

    A band-pass filter rings where a recording begins or ends within a QRS, and that may make up most of a lead's
    deviation. Use `batch.once("steady", steady)` to share the result.
    """
    at, length = np.arange(batch.signal.shape[2]), batch.length[:, None]
    margin = np.where(length >= 4 * _RINGING, _RINGING, 0)
    inside = ((at >= margin) & (at < length - margin))[:, None]
    count = np.maximum(inside.sum(2), 1)
    mean = np.where(inside, batch.signal, 0).sum(2, dtype=np.float64) / count
    square = np.square(np.where(inside, batch.signal - mean[..., None], 0)).sum(2) / count
    unit = np.where(square > _FLAT, np.sqrt(square), 1).astype(np.float32)
    return replace(batch, signal=batch.signal / unit[..., None], scale=batch.scale * unit, _memo={})


def find_beats(batch: Batch) -> FoundBeats:
    """Find and align the beats of each window of a `steady` batch.

    Use `batch.once("beats", find_beats)` to share the result.
    """
    windows, leads, samples = batch.signal.shape
    out = FoundBeats(
        at=np.full((windows, MOST), np.nan),
        count=np.zeros(windows, int),
        typical=np.zeros((windows, leads, BEFORE + AFTER), np.float32),
        whole=np.zeros(windows, int),
        spread=np.zeros((windows, leads), np.float32),
        alike=np.full((windows, 3, MOST), np.nan),
        rest=batch.signal.copy(),
        energy=np.zeros((windows, samples), np.float32),
    )
    for row, (present, length) in enumerate(zip(batch.present, batch.length, strict=True)):
        signal = batch.signal[row, present, :length].astype(np.float64)
        if len(signal) and length > 2 * _HALF + 1:
            _fill(out, row, present, signal)
    return out


def _fill(out: FoundBeats, row: int, present: np.ndarray, signal: np.ndarray) -> None:
    """Write what is found in `signal`, the leads and samples that are there, into one row of `out`."""
    energy = slope_energy(signal)
    out.energy[row, : len(energy)] = energy
    at, alike = r_peaks(signal, energy)
    at, alike = at[:MOST], alike[:MOST]
    if len(at) == 0:
        return
    out.at[row, : len(at)], out.count[row], out.alike[row, 0, : len(at)] = at, len(at), alike
    beats, whole = cut_beats(signal, at)
    count = len(whole)
    if count == 0:
        return
    trim = (count + 1) // 4
    typical = np.sort(beats, axis=1)[:, trim : count - trim].mean(1)
    out.typical[row, present], out.whole[row] = typical, count
    out.spread[row, present] = np.sqrt(np.square(beats - typical[:, None]).mean((1, 2)))
    out.alike[row, 1, whole] = likeness(beats[:, :, 3 : BEFORE - 8])
    out.alike[row, 2, whole] = likeness(beats[:, :, BEFORE + 15 : BEFORE + 55])
    out.rest[row, present, : len(energy)] -= _repeated(typical, at[whole] - BEFORE, len(energy))


def _repeated(typical: np.ndarray, starts: np.ndarray, samples: int) -> np.ndarray:
    """A signal `[lead, samples]` of nothing but the typical beat, from each of `starts` up to the next."""
    signal = np.zeros((len(typical), samples))
    floor = np.floor(starts).astype(int)
    copies = _shift(np.pad(typical, ((0, 0), (_BESIDE + 1, _BESIDE)), mode="edge")[:, None], 1 - (starts - floor))
    for beat, (start, size) in enumerate(zip(floor, np.diff(floor, append=samples), strict=True)):
        size = min(size, BEFORE + AFTER)
        signal[:, start : start + size] = copies[:, beat, :size]
    return signal


def slope_energy(signal: np.ndarray) -> np.ndarray:
    """Energy of the slope over the leads, smoothed over 130 ms: high at each QRS complex.

    The energy of Pan and Tompkins (1985), of several leads at once: absolute slopes are averaged over the leads
    before they are squared, so that an artefact in one lead weighs little, and the steepest 0.5 % of each lead
    (pacing spikes, electrode pops) are clipped.

    Args:
        signal: `[lead, sample]`.

    Returns:
        float64 `[sample]`.
    """
    from scipy.ndimage import uniform_filter1d

    samples = signal.shape[1]
    padded = np.pad(signal, ((0, 0), (_SPAN // 2, _SPAN // 2)), mode="edge")
    slope = np.abs(padded[:, _SPAN:] - padded[:, :-_SPAN])
    rank = samples - max(1, samples // 200)
    cap = np.partition(slope, rank, axis=1)[:, rank : rank + 1]
    power = np.square(np.minimum(slope, cap).mean(0))
    for width in (9, 5):  # the second rounds the plateaus that the first leaves
        power = uniform_filter1d(power, width, mode="nearest")
    energy: np.ndarray = np.sqrt(np.maximum(power, 0))
    return energy


def r_peaks(signal: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R peaks of one window to a fraction of a sample.

    Peaks of the slope energy above a share of its level in the neighbourhood; where the energy between the beats
    is high (noise), a peak counts the less, the less it resembles the beats found first.

    Args:
        signal: `[lead, sample]`.
        energy: `slope_energy(signal)`.

    Returns:
        Positions in samples, ascending, and how much each beat's QRS is like the others (NaN for a single one).
        Empty when nothing stands out, or what stands out is not alike.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d
    from scipy.signal import find_peaks

    top = np.quantile(energy, 0.985)
    if not top > 1e-6:
        return np.empty(0), np.empty(0)
    level = uniform_filter1d(maximum_filter1d(energy, 200, mode="nearest"), 300, mode="nearest")
    height = energy / np.clip(level, 0.4 * top, 1.5 * top)
    found = find_peaks(np.pad(height, 1), distance=_APART, height=0.2)[0] - 1  # the ends may be peaks
    peaks = _chosen(found[height[found] > 0.45], height)
    noise = np.median(height)
    trust = np.clip(1 - 3 * (noise - 0.1), 0.3, 1)  # in the energy alone
    if len(peaks) >= 3 and trust < 1:
        height = height * (trust + (1 - trust) * _resemblance(signal, peaks))
        peaks = _chosen(found[height[found] > 0.2 + 0.25 * trust], height)
    if len(peaks) == 0:
        return np.empty(0), np.empty(0)
    at, alike = _align(signal, energy, peaks)
    chance = 0.35 + 0.15 / len(signal)  # noise in one lead resembles itself more than noise in twelve
    if (np.median(alike) < chance) if len(at) > 1 else (noise > 0.5):
        return np.empty(0), np.empty(0)
    return at, alike


def _chosen(peaks: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The peaks that are QRS complexes inside the window.

    Of two peaks closer than `_T_WAVE` the one that is much lower is left out: a T wave, or a P wave before its QRS.
    Then those are left out whose QRS may be cut off by an end.
    """
    keep: list[int] = []
    for peak in peaks.tolist():
        if keep and peak - keep[-1] < _T_WAVE:
            if height[peak] < _T_SHARE * height[keep[-1]]:
                continue
            if height[keep[-1]] < _T_SHARE * height[peak]:
                keep.pop()
        keep.append(peak)
    return np.array([peak for peak in keep if _HALF <= peak < len(height) - _HALF], int)


def _resemblance(signal: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Correlation over all leads, 0 to 1, of each place of the signal with the median QRS at `peaks`."""
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    size = 2 * _HALF + 1
    around = sliding_window_view(np.pad(signal, ((0, 0), (_HALF, _HALF)), mode="edge"), size, axis=1)
    template = np.median(around[:, peaks], axis=1)
    template -= template.mean(1, keepdims=True)
    product = np.einsum("lsk,lk->s", around, template)
    mean = uniform_filter1d(signal, size, axis=1, mode="nearest")
    square = uniform_filter1d(signal * signal, size, axis=1, mode="nearest")
    power = size * np.maximum(square - mean * mean, 0).sum(0) * np.square(template).sum()
    found: np.ndarray = np.clip(maximum_filter1d(product / np.sqrt(power + 1e-9), 7, mode="nearest"), 0, 1)
    return found


def _align(signal: np.ndarray, energy: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift each peak to where its QRS fits the median QRS best, then all to the centre of gravity of the energy."""
    margin = _HALF - _LAGS[0]
    around = sliding_window_view(np.pad(signal, ((0, 0), (margin, margin)), mode="edge"), 2 * _HALF + 1, axis=1)
    starts = peaks[:, None] + _LAGS + margin - _HALF
    shifted = around[:, starts]  # [lead, beat, lag, sample]
    template = np.median(shifted[:, :, len(_LAGS) // 2], axis=1)
    template -= template.mean(1, keepdims=True)
    fit = np.einsum("lbgk,lk->bg", shifted, template)
    best = fit.argmax(1)
    alike = likeness(shifted[:, np.arange(len(peaks)), best])
    at = peaks + _LAGS[best] + _vertex(fit, best)
    own = peaks + _vertex(energy[peaks[:, None] + [-1, 0, 1]], np.ones(len(peaks), int))
    at = np.where(alike < _ALIKE, own, at)  # an ectopic beat fits nowhere
    nearby = np.interp(at[:, None] + _REACH, np.arange(len(energy)), energy)
    shape = np.square(np.median(nearby, axis=0))
    at = at + (shape * _REACH).sum() / (shape.sum() + 1e-12)
    return at, alike


def _vertex(values: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Offset of a parabola's vertex from the maximum `values[:, top]`, within half a sample; 0 at the borders."""
    inner = np.clip(top, 1, values.shape[1] - 2)
    left, mid, right = (np.take_along_axis(values, inner[:, None] + step, 1)[:, 0] for step in (-1, 0, 1))
    bend = left - 2 * mid + right
    good = (bend < 0) & (inner == top)
    return np.clip(np.where(good, (left - right) / (2 * np.where(good, bend, 1)), 0), -0.5, 0.5)


def cut_beats(signal: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut out the complete beats of the signal, by cubic interpolation between samples.

    Args:
        signal: `[lead, sample]`.
        at: R peaks in samples.

    Returns:
        Beats `[lead, beat, BEFORE + AFTER]`, and their places in `at`.
    """
    start = at - BEFORE
    whole = np.flatnonzero((start >= _BESIDE) & (start + BEFORE + AFTER + _BESIDE + 1 <= signal.shape[1]))
    if len(whole) == 0:
        return np.empty((len(signal), 0, BEFORE + AFTER)), whole
    floor = np.floor(start[whole]).astype(int)
    around = sliding_window_view(signal, BEFORE + AFTER + 2 * _BESIDE + 1, axis=1)[:, floor - _BESIDE]
    return _shift(around, start[whole] - floor), whole


def _shift(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """`[lead, beat, n + 2 _BESIDE + 1]` to `[lead, beat, n]`, `by` `[beat]` of a sample later (Lagrange)."""
    places = np.arange(-_BESIDE, _BESIDE + 2)
    size = values.shape[2] - 2 * _BESIDE - 1
    shifted = np.zeros((len(values), len(by), size))
    for i, place in enumerate(places):
        others = np.delete(places, i)
        tap = np.prod((by[:, None] - others) / (place - others), axis=1)
        shifted += tap[:, None] * values[:, :, i : i + size]
    return shifted


def likeness(beats: np.ndarray) -> np.ndarray:
    """Correlation of each of several beats `[lead, beat, sample]` with the mean of the others; NaN for one alone."""
    count = beats.shape[1]
    if count < 2:
        return np.full(count, np.nan)
    beats = beats - beats.mean(2, keepdims=True)
    others = (beats.sum(1, keepdims=True) - beats) / (count - 1)
    product = (beats * others).sum((0, 2))
    power = np.square(beats).sum((0, 2)) * np.square(others).sum((0, 2))
    ratio: np.ndarray = product / np.sqrt(power + 1e-12)
    return ratio
