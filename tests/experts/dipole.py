"""Twelve leads of one moving dipole, beat by beat as wanted: the truth is what was put in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from enecg.leads import LIMB, LIMB_ALGEBRA, STANDARD
from enecg.recording import Recording

# wave: time from the R peak (s), width (s), amplitude leftwards, downwards, forwards (mV)
WAVES = {
    "P": (-0.16, 0.022, (0.10, 0.08, 0.05)),
    "Q": (-0.022, 0.008, (-0.08, -0.10, 0.10)),
    "R": (0.0, 0.011, (1.00, 0.80, -0.30)),
    "S": (0.025, 0.009, (-0.20, -0.25, 0.40)),
    "T": (0.28, 0.050, (0.25, 0.20, -0.15)),
}
_CHEST = {"V1": 115, "V2": 94, "V3": 75, "V4": 60, "V5": 30, "V6": 0}  # degrees from the left towards the front


def regular(rate: float, seconds: float = 10.0, first: float = 0.37) -> np.ndarray:
    """R peaks in seconds at `rate` beats a minute, with some outside the recording on both sides."""
    step = 60 / rate
    return np.arange(first - 2 * step, seconds + 2 * step, step)


def dipole(
    beats: Sequence[float] | np.ndarray,
    *,
    seconds: float = 10.0,
    rate: float = 500.0,
    noise: float = 0.0,
    seed: int = 0,
    short: float = 1.0,
    without: Sequence[str] = (),
) -> Recording:
    """A recording in mV with R peaks at `beats` (s); `short` < 1 draws P and T nearer to the QRS, for fast rhythms."""
    at = np.arange(round(seconds * rate)) / rate
    vector = np.zeros((3, len(at)))
    for name, (delay, width, amplitude) in WAVES.items():
        if name not in without:
            squeeze = short if name in ("P", "T") else 1.0
            x = (at - np.asarray(beats)[:, None] - squeeze * delay) / (squeeze * width)
            vector += np.array(amplitude)[:, None] * np.exp(-0.5 * x**2).sum(0)
    left, down, front = vector
    first, second = left, 0.5 * left + np.sqrt(3) / 2 * down
    limb = [a * first + b * second for a, b in (LIMB_ALGEBRA[lead] for lead in LIMB)]
    angles = [np.deg2rad(degrees) for degrees in _CHEST.values()]
    chest = [np.cos(angle) * left - np.sin(angle) * front + 0.2 * down for angle in angles]
    signal = np.array([*limb, *chest])
    signal += noise * np.random.default_rng(seed).normal(size=signal.shape)
    return Recording(signal.astype(np.float32), rate, STANDARD)
