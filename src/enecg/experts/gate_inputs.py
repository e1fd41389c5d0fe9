"""Inputs of gates and baselines: stored like embeddings, but no experts.

A gate reads lead II or the signal's quality. The untrained encoder is the baseline that reports compare with.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from typing_extensions import override

from enecg.experts.analytic.features.beats import BEAT_INPUT
from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch, InputSpec
from enecg.experts.network import NetworkExpert
from enecg.experts.registry import Entry, register
from enecg.experts.trained.tiny import INPUT
from enecg.leads import STANDARD

LEAD: Final = "II"
PER_LEAD: Final = ("absent", "wander", "middle", "fast", "peaks", "still", "apart")
OVERALL: Final = ("seconds", "leads", *(f"component_{i + 1}" for i in range(4)))
RANDOM_DIM: Final = 1008
RANDOM_SEED: Final = 20251122

LEAD_II: Final = Card(
    name="lead-ii",
    title="The samples of lead II: 10 s at 500 Hz",
    source="EnECG (arXiv 2511.22935): the input of its gate, scaled as there, by mean and deviation of all leads",
    licence="Apache-2.0",
    dim=5000,
    input=InputSpec(rate=500.0, seconds=10.0, max_windows=1, scaling="record_zscore"),
    padding="zeros",
    cost_ms=0.1,
    notes="The input of the gate of the recipe paper, not an encoder. Of a longer recording, the first 10 s.",
)
QUALITY: Final = Card(
    name="quality",
    title="Quality of each lead: lost, noisy, flat or unlike the other leads; and the recording's length",
    source="Analytic: power by frequency, kurtosis, and what the three strongest components of all leads leave",
    licence="Apache-2.0",
    dim=len(STANDARD) * len(PER_LEAD) + len(OVERALL),
    input=BEAT_INPUT,
    cost_ms=0.4,
    notes="An input of gates, not an encoder: it measures how far a recording can be trusted, not what it shows.",
)
RANDOM: Final = Card(
    name="random",
    title="The encoder of tiny with random weights: what an untrained network gives",
    source=f"Weights drawn by torch from seed {RANDOM_SEED}",
    licence="Apache-2.0",
    dim=RANDOM_DIM,
    parameters=390_624,
    input=INPUT,
    padding="zeros",
    cost_ms=1.0,
    notes="A baseline of reports, not an encoder to use: an expert that is no better has learned nothing.",
)


class LeadII(Expert):
    """Lead II itself; a recording without it is a row of NaN."""

    card = LEAD_II
    gate_input = True

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 5000]`."""
        row = STANDARD.index(LEAD)
        found: np.ndarray = np.where(batch.present[:, row, None], batch.signal[:, row], np.float32(np.nan))
        return found.astype(np.float32)


class SignalQuality(Expert):
    """Measures the quality of each lead, and how well the leads agree with projections of one heart.

    Clean leads are close to combinations of three signals (Frank 1956): what the three strongest components leave of
    a lead is mostly noise. Muscle noise has higher frequencies than the ECG, baseline wander lower ones.
    """

    card = QUALITY
    gate_input = True
    columns = (*(f"{name}_{lead}" for lead in STANDARD for name in PER_LEAD), *OVERALL)

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 90]`; shares and ratios, absent leads count as lost."""
        each = zip(batch.signal, batch.present, batch.length, strict=True)
        found: np.ndarray = np.stack([_quality(*one) for one in each])
        return found


def _quality(signal: np.ndarray, present: np.ndarray, length: int) -> np.ndarray:
    """The numbers of one window: signal `[lead, sample]`, of which `length` samples come from the recording."""
    z = signal[:, :length].astype(np.float64)
    z -= z.mean(1, keepdims=True)
    power = np.maximum((z**2).mean(1), 1e-12)
    spectrum = np.abs(np.fft.rfft(z, axis=1)) ** 2
    hertz = np.fft.rfftfreq(length, 1 / BEAT_INPUT.rate)
    total = np.maximum(spectrum.sum(1), 1e-12)
    wander, middle, fast = (
        spectrum[:, (hertz >= low) & (hertz < high)].sum(1) / total for low, high in ((0, 1), (5, 20), (20, 50))
    )
    peaks = np.log1p((z**4).mean(1) / power**2)
    still = (np.abs(np.diff(z, axis=1)) < 1e-3 * np.sqrt(power)[:, None]).mean(1)
    unit = z / np.sqrt(power * length)[:, None] * present[:, None]
    values, vectors = np.linalg.eigh(unit @ unit.T)
    strongest = vectors[:, -3:]
    left = unit - strongest @ (strongest.T @ unit)
    apart = (left**2).sum(1)
    absent = 1.0 - present
    each = np.stack([absent, wander, middle, fast, peaks, still, apart], 1) * np.where(present, 1, 0)[:, None]
    each[:, 0] = absent
    leads = max(int(present.sum()), 1)
    overall = [length / BEAT_INPUT.rate, leads, *(values[::-1][:4] / leads)]
    found: np.ndarray = np.concatenate([each.ravel(), overall]).astype(np.float32)
    return found


class RandomEncoder(NetworkExpert):
    """The encoder of `tiny`, never trained."""

    gate_input = True

    def __init__(self, device: str | None = None) -> None:
        import torch

        from enecg.experts.networks.convolutional import Encoder

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            super().__init__(RANDOM, Encoder(len(STANDARD)), device)

    @override
    def state_hash(self) -> str:
        return f"torch seed {RANDOM_SEED}"


register(Entry(LEAD_II.name, lambda: LEAD_II, LeadII, gate_input=True))
register(Entry(QUALITY.name, lambda: QUALITY, SignalQuality, gate_input=True))
register(Entry(RANDOM.name, lambda: RANDOM, RandomEncoder, gate_input=True))
