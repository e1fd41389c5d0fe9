"""The head without parameters: a measurement of an analytic expert is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.ensemble.heads.registry import register_head
from enecg.tasks import Target


@register_head
@dataclass
class FittedDirect(FittedHead):
    """Columns of the embedding that are the answers."""

    type: ClassVar[str] = "direct"

    columns: list[int]

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        return [x[:, [column]].astype(np.float64) for column in self.columns]

    @override
    def state(self) -> HeadState:
        return HeadState({"type": self.type, "columns": self.columns})

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedDirect:
        return cls(state.meta["columns"])


@register_head
@dataclass
class Direct(Head):
    """A head that answers with a measurement, in the task's own unit.

    Attributes:
        columns: one per task.
    """

    columns: Sequence[int]
    kind: ClassVar[str] = "direct"

    @override
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedDirect:
        return FittedDirect(list(self.columns))

    @override
    @classmethod
    def example(cls, sizes: Sequence[int]) -> Direct:
        return cls([0, 0])
