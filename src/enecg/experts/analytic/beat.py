"""The expert `beat`: the typical beat of each lead, as it is."""

from __future__ import annotations

from typing import Final

import numpy as np

from enecg.experts.analytic.features.beats import AFTER, BEAT_INPUT, BEFORE, MS, FoundBeats, find_beats, steady
from enecg.experts.analytic.features.waves import pr_level
from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch
from enecg.experts.registry import Entry, register
from enecg.leads import STANDARD

SIZE: Final = BEFORE + AFTER

CARD: Final = Card(
    name="beat",
    title="The typical beat of each lead: 12 x 100 samples from 300 ms before the R peak on",
    source="Analytic: beats aligned by their QRS and averaged robustly; QRS energy after Pan and Tompkins 1985",
    licence="Apache-2.0",
    dim=len(STANDARD) * SIZE,
    input=BEAT_INPUT,
    cost_ms=1.4,
    notes="Each lead in units of its own standard deviation, PR segment at zero. Shares R peaks with rhythm.",
)


class Beat(Expert):
    """The typical beat of each lead: at each sample the mean of the middle half of the aligned beats.

    Aligned at the centre of gravity of the QRS energy, between samples; PR level subtracted.
    """

    card = CARD
    columns = tuple(f"{lead}_{round((i - BEFORE) * MS):+d}ms" for lead in STANDARD for i in range(SIZE))

    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 1200]`; NaN for absent leads and for windows without a whole beat."""
        beats: FoundBeats = batch.once("steady", steady).once("beats", find_beats)
        known = batch.present & (beats.whole > 0)[:, None]
        level = np.where(known[..., None], beats.typical - pr_level(beats.typical), np.float32(np.nan))
        return level.reshape(len(level), -1).astype(np.float32)


register(Entry("beat", lambda: CARD, Beat))
