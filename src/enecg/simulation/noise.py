"""What an electrocardiograph records beside the heart, electrode by electrode, so that it obeys the lead algebra too.

Sizes follow resting recordings of PTB-XL and LUDB: baseline wander below 0.5 Hz of about 0.03 mV (standard deviation),
muscle and amplifier above 40 Hz of 0.003 to 0.01 mV, little mains.
"""

from __future__ import annotations

import numpy as np

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")


def noise_of(rng: np.random.Generator, times: int, rate: float) -> np.ndarray:
    """Noise in the leads I, II, V1 to V6, float64 `[8, sample]` in mV."""
    return leads_of(_electrodes(rng, times, rate))


def leads_of(electrodes: np.ndarray) -> np.ndarray:
    """Leads I, II and V1 to V6 from the potentials of the electrodes `[9, sample]`; V against Wilson's terminal."""
    right, left, foot = electrodes[:3]
    return np.vstack([left - right, foot - right, electrodes[3:] - (right + left + foot) / 3])


def _electrodes(rng: np.random.Generator, times: int, rate: float) -> np.ndarray:
    count = len(ELECTRODES)
    t = np.arange(times) / rate
    level = np.exp(rng.normal(0, [0.65, 0.5, 1.0]))  # of wander, muscle and mains in this recording

    frequency = np.array([0.04, 0.09, 0.17, 0.27, 0.42])
    phase = 2 * np.pi * (frequency[:, None] * t + rng.random((5, 1)))
    basis = np.vstack([np.cos(phase), np.sin(phase)])
    size = np.tile(0.6 / (1 + (frequency / 0.08) ** 1.3), 2)
    wander = 0.045 * level[0] * (rng.standard_normal((count, 10)) * size) @ basis

    muscle = rng.standard_normal((count, times), dtype=np.float32)
    muscle[:, 1:] -= 0.45 * muscle[:, :-1]  # more of it above than below 50 Hz
    tremor = 1 + 0.5 * np.sin(2 * np.pi * (rng.uniform(0.05, 0.4) * t + rng.random()))
    per_electrode = np.exp(rng.normal(0, 0.3, (count, 1))) * np.array([1.0] * 3 + [0.7] * 6)[:, None]
    muscle = 0.003 * level[1] * per_electrode * tremor * muscle

    mains = (
        0.0015
        * level[2]
        * rng.standard_normal((count, 2))
        @ np.stack([np.cos(2 * np.pi * 50 * t), np.sin(2 * np.pi * 50 * t)])
    )
    return np.asarray(wander + muscle + mains)
