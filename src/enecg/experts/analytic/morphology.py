"""The expert `morphology`: what a reader of ECGs measures on the waves, by signal processing."""

from __future__ import annotations

from typing import Final

import numpy as np
from typing_extensions import override

from enecg.experts.analytic.features.amplitude import amplitude_columns
from enecg.experts.analytic.features.beats import BEAT_INPUT, FoundBeats, find_beats, steady
from enecg.experts.analytic.features.columns import Columns, named
from enecg.experts.analytic.features.limb import limb_scale
from enecg.experts.analytic.features.morphology import (
    cut,
    interval_columns,
    moment_columns,
    outline_columns,
    p_columns,
    qrs_columns,
    st_t_columns,
)
from enecg.experts.analytic.features.rhythm import has_p_wave, mean_rr
from enecg.experts.analytic.features.vectors import chest_columns, complexity_columns, frontal_columns
from enecg.experts.analytic.features.waves import delineate
from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch
from enecg.experts.registry import Entry, register

MEASUREMENTS: Final = {
    "pr_interval": "pr_ms",
    "qrs_duration": "qrs_ms",
    "qt_interval": "qt_ms",
    "qtc_interval": "qtc_bazett_ms",
    "p_axis": "p_axis_deg",
    "qrs_axis": "qrs_axis_deg",
    "t_axis": "t_axis_deg",
}

CARD: Final = Card(
    name="morphology",
    title="Signal processing: intervals, axes, wave shapes and, where known, millivolts",
    source=(
        "Analytic. Limb leads: Einthoven 1913, Goldberger 1942; end of T: Lepeschkin and Surawicz 1952; QTc: Bazett "
        "1920, Fridericia 1920, Sagie et al. 1992; voltage criteria: Sokolow and Lyon 1949, Casale et al. 1985"
    ),
    licence="Apache-2.0",
    dim=963,
    input=BEAT_INPUT,
    padding="zeros",
    cost_ms=1.6,
    notes=(
        "Nothing is learned. Numbers in millivolts are missing for normalised recordings, and for files whose stated "
        "millivolts contradict the algebra of the limb leads. Shares R peaks with rhythm and beat."
    ),
)


class Morphology(Expert):
    """Measurements of the typical beat; see `columns`. PR, QRS, QT, QTc and the frontal axes are native outputs."""

    card = CARD
    tabular = True

    def __init__(self) -> None:
        self.columns = named(measure, BEAT_INPUT)
        self.measurements = {name: self.columns.index(column) for name, column in MEASUREMENTS.items()}
        self._angles = [
            tuple(self.columns.index(f"{name}_axis_{part}") for part in ("sin", "cos", "deg"))
            for name in (column.removesuffix("_axis_deg") for column in self.columns if column.endswith("_axis_deg"))
        ]

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, dim]`; NaN for what a window does not show: an absent lead, no beats, no millivolts."""
        return measure(batch).matrix()

    @override
    def pool(self, windows: np.ndarray) -> np.ndarray:
        """Mean over the windows; angles from the mean sine and cosine."""
        pooled = super().pool(windows).copy()
        for sine, cosine, degrees in self._angles:
            pooled[degrees] = np.degrees(np.arctan2(pooled[sine], pooled[cosine]))
        return pooled


def measure(batch: Batch) -> Columns:
    """All measurements of each window of a batch."""
    batch = batch.once("steady", steady)
    beats: FoundBeats = batch.once("beats", find_beats)
    columns = Columns(batch.present)
    rr_ms, rr_known = mean_rr(beats)
    p_found = has_p_wave(beats)

    limb = limb_scale(batch)
    parts = cut(delineate(beats, limb, batch.present), limb)
    known = beats.whole > 0
    interval_columns(columns, parts, rr_ms, rr_known, known, p_found)
    moment_columns(columns, parts, known)
    qrs_columns(columns, parts, known)
    st_t_columns(columns, parts, known)
    p_columns(columns, parts, known)
    outline_columns(columns, parts, known)
    frontal_columns(columns, parts, limb, known, p_found)
    chest_columns(columns, parts, known)
    complexity_columns(columns, parts, known)
    amplitude_columns(columns, parts, limb, batch, known)
    return columns


register(Entry("morphology", lambda: CARD, Morphology))
