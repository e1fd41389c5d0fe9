"""Recordings made by a formula: the contract suite and exports use them, and need no file."""

from __future__ import annotations

from typing import Final

import numpy as np

from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.leads import CHEST, LIMB_ALGEBRA, STANDARD
from enecg.recording import Recording

PERIOD: Final = 0.8  # seconds from beat to beat, unless another value is asked for
SHORT: Final = 0.7  # length of the short sample, as a share of the expert's window
# The waves of a beat: seconds from the R peak, width in s, height in mV in two directions of the heart's plane.
_WAVES: Final = ((-0.16, 0.025, 0.12, 0.15), (0.0, 0.012, 1.1, 0.7), (0.03, 0.012, -0.25, 0.2), (0.25, 0.05, 0.3, 0.25))


def sample_recording(rate: float = 500.0, seconds: float = 10.0, period: float = PERIOD) -> Recording:
    """Return a recording of twelve leads in mV: each beat is a sum of bell curves, and there is a little noise.

    The limb leads obey the lead algebra. The same arguments give the same numbers.

    Args:
        rate: Hz.
        seconds: duration.
        period: seconds from beat to beat.
    """
    time = np.arange(round(rate * seconds)) / rate
    rng = np.random.default_rng(round(1000 * period))
    leads = {}
    for number, name in enumerate(("I", "II", *CHEST)):
        side = 0.6 * number - 1.0
        beat = 0.01 * rng.standard_normal(len(time))
        for at, width, height, across in _WAVES:
            away = (time - 0.4 - at + period / 2) % period - period / 2
            beat += (height * np.cos(side) + across * np.sin(side)) * np.exp(-0.5 * (away / width) ** 2)
        leads[name] = beat
    for name, (first, second) in LIMB_ALGEBRA.items():
        leads[name] = first * leads["I"] + second * leads["II"]
    signal = np.stack([leads[name] for name in STANDARD]).astype(np.float32)
    return Recording(signal, rate, STANDARD, source="made by a formula")


def sample_batch(spec: InputSpec) -> Batch:
    """Return two recordings as `spec` prepares them: one of 10 s, and one at another rate that is padded."""
    short = sample_recording(400.0, SHORT * spec.seconds, 1.1)
    return prepared_batch(spec, sample_recording(), short)


def prepared_batch(spec: InputSpec, *recordings: Recording) -> Batch:
    """Return the windows of all recordings, prepared by `spec`, as one batch."""
    return Batch.join([prepare(each, spec) for each in recordings])
