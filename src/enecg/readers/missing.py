"""Codes for missing samples and ends of the scale: values that a file holds in place of a voltage become gaps (NaN)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from enecg.leads import LIMB
from enecg.recording import Recording

# Steps from zero at which converters of 12, 14, 15, 16 and 24 bits end, and rows of nines: exports write such a value
# for "no sample".
_ENDS: Final = (999, 2048, 8192, 9999, 16384, 32767, 32768, 99999, 8388608)
_INT16_LOWEST: Final = -32768  # the common code: a gap even where other samples lie near it
_FEWEST: Final = 50  # other samples of a lead; among fewer, one that stands apart may be chance
_LOOKED_AT: Final = 512  # samples from which a lead's step is read


def without_codes(recording: Recording) -> Recording:
    """Return the recording with NaN for samples that are codes or ends of the scale, and a note that says so.

    A value is one of these where it lies farther from all other samples of its lead than these lie from each other, and

    - it is a whole number of steps at which a converter ends (such as -32768), or
    - two leads or more hold the same value at the same instant, or
    - two leads or more stay at it together from some instant to the end, or from the start.

    -32768 steps are a code wherever they stand. Where two limb leads have no sample, the other limb leads, which are
    made of the same electrodes, have none.
    """
    missing = _codes(recording.signal)
    if not missing.any():
        return recording
    limb = np.isin(recording.leads, LIMB)
    missing[np.ix_(limb, missing[limb].sum(0) >= 2)] = True
    count = missing.sum(1)
    leads = [name for name, n in zip(recording.leads, count, strict=True) if n]
    note = (
        f"not read: {count.max()} samples of {', '.join(leads)} that hold a code for missing samples or the end of "
        "the scale, not a voltage"
    )
    signal = np.where(missing, np.float32(np.nan), recording.signal)
    return replace(recording, signal=signal, notes={**recording.notes, "missing_samples": note})


def _codes(signal: np.ndarray) -> np.ndarray:
    """Which samples are codes, bool `[lead, sample]`."""
    found = np.zeros(signal.shape, bool)
    low, high = (np.array(end) for end in _ends(signal))
    steps = np.array([_step(row) for row in signal])
    lowest = _INT16_LOWEST * steps
    exact = np.abs(low - lowest) < 0.01 * steps
    found[exact] = signal[exact] == low[exact, None]

    candidates = []
    middle = (low + high) / 2
    for end, near in ((low, signal < middle[:, None]), (high, signal > middle[:, None])):
        at = signal == end[:, None]
        alone = near.sum(1) == at.sum(1)  # nothing lies on this side of the middle but the value itself
        apart = (low < high) & alone & (np.isfinite(signal).sum(1) - at.sum(1) >= _FEWEST)
        candidates.append((end, at & apart[:, None]))
    for end, at in candidates:
        if not at.any():
            continue
        whole = np.abs(end) / np.where(steps > 0, steps, np.inf)
        coded = (np.abs(whole[:, None] - _ENDS) < 0.01).any(1)
        found[coded] |= at[coded]
        found |= _shared(at, end) | _edges(at)
    return found


def _ends(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample of each lead; 0 for a lead without samples."""
    known = np.isfinite(signal).any(1)
    low, high = np.zeros(len(signal), signal.dtype), np.zeros(len(signal), signal.dtype)
    low[known], high[known] = np.nanmin(signal[known], axis=1), np.nanmax(signal[known], axis=1)
    return low, high


def _step(row: np.ndarray) -> float:
    """Smallest distance of two values in the first samples of a lead: one step of its converter; 0 if there is none."""
    values = np.unique(row[:_LOOKED_AT][np.isfinite(row[:_LOOKED_AT])].astype(np.float64))
    gaps = np.diff(values)
    gaps = gaps[gaps > 1e-9]
    if not len(gaps):
        return 0.0
    rough = gaps.min()
    return float(np.mean(gaps[gaps < 1.5 * rough]))  # float32 rounds each gap a little


def _shared(at: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Candidates that two leads or more hold at one instant: with the same value, or again and again together."""
    found = np.zeros(at.shape, bool)
    for value in np.unique(end[at.any(1)]):
        same = at & (end == value)[:, None]
        found |= same & (same.sum(0) >= 2)
    patterns: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(at.sum(1) >= 2):
        patterns.setdefault(at[row].tobytes(), []).append(int(row))
    for rows in patterns.values():
        if len(rows) >= 2:
            found[rows] = at[rows]
    return found


def _edges(at: np.ndarray) -> np.ndarray:
    """Candidates in a run that reaches the last or the first sample in two leads or more."""
    tail = np.flip(np.logical_and.accumulate(np.flip(at, 1), axis=1), 1)
    head = np.logical_and.accumulate(at, axis=1)
    found = np.zeros(at.shape, bool)
    for run in (tail, head):
        if (run.sum(1) >= 2).sum() >= 2:
            found |= run
    return found
