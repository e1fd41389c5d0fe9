"""Small experts that are exactly known, for the tests of the store and the pipeline."""

from __future__ import annotations

import numpy as np

from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch, InputSpec


class Summary(Expert):
    """Mean, deviation, and last sample of each lead: batch independent, with NaN for an absent lead.

    Attributes:
        seen: number of windows in each call of `encode`.
    """

    def __init__(self, name: str = "summary", spec: InputSpec | None = None) -> None:
        spec = spec or InputSpec()
        self.card = Card(name, f"Test expert {name}", "tests", "Apache-2.0", 3 * len(spec.leads), spec)
        self.seen: list[int] = []

    def encode(self, batch: Batch) -> np.ndarray:
        self.seen.append(len(batch))
        last = np.take_along_axis(batch.signal, batch.length[:, None, None] - 1, axis=2)[..., 0]
        numbers = np.stack([batch.signal.mean(2), batch.signal.std(2), last])
        return np.where(batch.present, numbers, np.nan).transpose(1, 0, 2).reshape(len(batch), -1).astype(np.float32)
