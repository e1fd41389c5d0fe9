"""The expert `rhythm`: when the beats come and how alike they are, by signal processing."""

from __future__ import annotations

from typing import Final

import numpy as np
from typing_extensions import override

from enecg.experts.analytic.features.beats import BEAT_INPUT, FoundBeats, find_beats, steady
from enecg.experts.analytic.features.columns import Columns, named
from enecg.experts.analytic.features.rhythm import agreement_columns, rr_columns, shape_columns, spectrum_columns
from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch
from enecg.experts.registry import Entry, register

MEASUREMENTS: Final = {"rr_interval": "rr_mean_ms", "heart_rate": "heart_rate_bpm"}

CARD: Final = Card(
    name="rhythm",
    title="Signal processing: RR intervals, how alike the beats are, atrial activity, spectrum",
    source=(
        "Analytic. QRS energy: Pan and Tompkins 1985; variability: Task Force 1996; turning points: Dash et al. 2009"
    ),
    licence="Apache-2.0",
    dim=174,
    input=BEAT_INPUT,
    padding="zeros",
    cost_ms=0.9,
    notes="Nothing is learned, and no amplitude counts. Shares R peaks with morphology and beat.",
)


class Rhythm(Expert):
    """Measurements of the rhythm; see `columns`. The mean RR interval and the heart rate are native outputs."""

    card = CARD
    tabular = True

    def __init__(self) -> None:
        self.columns = named(measure, BEAT_INPUT)
        self.measurements = {name: self.columns.index(column) for name, column in MEASUREMENTS.items()}

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, dim]`; NaN for what a window does not show: an absent lead, no beats."""
        return measure(batch).matrix()


def measure(batch: Batch) -> Columns:
    """All measurements of each window of a batch."""
    batch = batch.once("steady", steady)
    beats: FoundBeats = batch.once("beats", find_beats)
    columns = Columns(batch.present)
    rr_columns(columns, beats)
    agreement_columns(columns, beats)
    spectrum_columns(columns, batch, beats)
    shape_columns(columns, batch, beats)
    return columns


register(Entry("rhythm", lambda: CARD, Rhythm))
