"""The data that a page draws: the samples of each lead, and the R peaks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from enecg.experts.analytic.features.beats import BEAT_INPUT, r_peaks, slope_energy, steady
from enecg.experts.inputs import prepare
from enecg.leads import STANDARD
from enecg.quality import LOWEST_RATE
from enecg.recording import Recording
from enecg.serve.documents import DisplaySignal

LARGEST: Final = 2.0**53  # a browser holds whole numbers up to here exactly


def drawn_leads(recording: Recording) -> list[str]:
    """Return the standard leads that are there or can be derived, in their order, then leads with other names."""
    there = [name for name in STANDARD if recording.get(name) is not None]
    return there + [name for name in recording.leads if name not in STANDARD]


def signal_of(recording: Recording) -> DisplaySignal:
    """Return the samples of each lead as JSON values: whole microvolts, or SD with three decimals; null in gaps.

    Nothing is filtered or left out.
    """
    in_mv = recording.amplitude == "mV"
    names = drawn_leads(recording)
    leads: dict[str, list[float | None]] = {}
    for name in names:
        samples = recording.lead(name).astype(np.float64)
        shown = np.nan_to_num(np.clip(samples * 1e3, -LARGEST, LARGEST)).round()
        values: list[float | None] = (shown.astype(int) if in_mv else shown / 1e3).tolist()
        for gap in np.flatnonzero(~np.isfinite(samples)).tolist():
            values[gap] = None
        leads[name] = values
    return {
        "rate": recording.rate,
        "unit": "uV" if in_mv else "SD",
        "leads": leads,
        "derived": [name for name in names if name not in recording.leads],
        "others": [name for name in names if name not in STANDARD],
        "r_peaks": [round(float(t), 4) for t in r_peak_times(recording)],
    }


def r_peak_times(recording: Recording) -> np.ndarray:
    """Return the R peaks in seconds from the start, as the experts `rhythm` and `beat` find them; empty without any."""
    known = any(name in STANDARD for name in drawn_leads(recording))
    if not known or recording.rate < LOWEST_RATE or recording.seconds < 1:
        return np.empty(0)
    spec = replace(BEAT_INPUT, seconds=float(max(math.ceil(recording.seconds), 1)), max_windows=1)
    batch = steady(prepare(recording, spec))
    signal = batch.signal[0, batch.present[0], : int(batch.length[0])].astype(np.float64)
    if len(signal) == 0:
        return np.empty(0)
    at, _ = r_peaks(signal, slope_energy(signal))
    return np.asarray(at / spec.rate)
