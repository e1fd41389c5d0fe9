"""Named columns: what analytic experts measure, gathered block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from enecg.experts.inputs import Batch, InputSpec
from enecg.leads import STANDARD


class Columns:
    """Numbers per window under construction, each with its name; what is not known becomes NaN.

    Args:
        present: bool `[window, lead]`, the leads that are there.
    """

    def __init__(self, present: np.ndarray) -> None:
        self.present = present
        self.names: list[str] = []
        self._blocks: list[np.ndarray] = []

    def add(self, known: np.ndarray | None = None, **values: np.ndarray) -> None:
        """One number per window for each keyword, NaN where `known` `[window]` is False."""
        self.block(list(values), np.stack(list(values.values()), axis=1), known)

    def block(self, names: Sequence[str], values: np.ndarray, known: np.ndarray | None = None) -> None:
        """Several numbers per window, `[window, name]`; `known` is `[window]` or of the same shape."""
        if known is not None:
            values = np.where(known[:, None] if known.ndim == 1 else known, values, np.nan)
        self.names.extend(names)
        self._blocks.append(values)

    def per_lead(
        self, name: str, values: np.ndarray, known: np.ndarray | None = None, leads: Sequence[str] = STANDARD
    ) -> None:
        """One number per lead, `[window, len(leads)]`; NaN for absent leads."""
        there = self.present[:, [STANDARD.index(lead) for lead in leads]]
        if known is not None:
            there = there & (known[:, None] if known.ndim == 1 else known)
        self.block([f"{name}_{lead}" for lead in leads], values, there)

    def matrix(self) -> np.ndarray:
        """All columns, float32 `[window, column]`."""
        return np.concatenate(self._blocks, axis=1, dtype=np.float32, casting="same_kind")


def named(measure: Callable[[Batch], Columns], spec: InputSpec) -> tuple[str, ...]:
    """The names of all columns: those that `measure` gives for one window of twelve absent leads."""
    shape = (1, len(STANDARD), spec.samples)
    absent, scale = np.zeros(shape[:2], bool), np.full(shape[:2], np.nan, np.float32)
    return tuple(measure(Batch(np.zeros(shape, np.float32), absent, scale, np.zeros(1, int), spec.rate)).names)
