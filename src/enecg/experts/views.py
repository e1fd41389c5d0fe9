"""Views: what a gate looks at besides the experts. They come through the store like an embedding, and get no head."""

from __future__ import annotations

from typing import Final

import numpy as np

from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch, InputSpec
from enecg.experts.registry import Entry, register
from enecg.leads import STANDARD

LEAD: Final = "II"

CARD: Final = Card(
    name="lead-ii",
    title="The samples of lead II: 10 s at 500 Hz",
    source="EnECG (arXiv 2511.22935): what its gate looks at, scaled as there, by mean and deviation of all leads",
    licence="Apache-2.0",
    dim=5000,
    input=InputSpec(rate=500.0, seconds=10.0, max_windows=1, scaling="record_zscore"),
    cost_ms=0.1,
    notes="A view for the gate of the recipe paper, not an encoder. Of a longer recording, the first 10 s.",
)


class LeadII(Expert):
    """Lead II itself; a recording without it is a row of NaN."""

    card = CARD
    view = True

    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 5000]`."""
        row = STANDARD.index(LEAD)
        found: np.ndarray = np.where(batch.present[:, row, None], batch.signal[:, row], np.float32(np.nan))
        return found.astype(np.float32)


register(Entry(CARD.name, lambda: CARD, LeadII, view=True))
