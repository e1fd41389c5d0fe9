"""The gate of a mixture: from the samples of a lead to one logit per member, as EnECG has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from enecg.ensemble.combiner import Combiner, Gated
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.lora import Adapter

LAYERS = ("first", "second")


@dataclass(eq=False)
class MixtureGate:
    """A perceptron with one hidden layer of random, frozen weights and their trained low-rank changes.

    Over equal static weights its logits make the members' weights a softmax.

    Attributes:
        weights: of both layers, float32 `[out, in]`, as they were drawn.
        biases: of both layers, float32 `[out]`.
        adapter: what was trained.
    """

    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    adapter: Adapter

    def __post_init__(self) -> None:
        self._now = [w + self.adapter.change(layer) for w, layer in zip(self.weights, LAYERS, strict=True)]

    def logits(self, view: np.ndarray) -> np.ndarray:
        """float64 `[recording, member]` for views `[recording, dim]`; an unknown view counts as a flat lead."""
        hidden = np.maximum(np.nan_to_num(view) @ self._now[0].T + self.biases[0], 0)
        return np.asarray(hidden @ self._now[1].T + self.biases[1], np.float64)

    def gated(self, view: np.ndarray, combiner: Combiner) -> Gated:
        """Weights for views `[recording, dim]`."""
        return combiner.scaled(self.logits(view))

    @property
    def trained(self) -> int:
        """Numbers that labels have determined."""
        return self.adapter.parameters

    def state(self) -> HeadState:
        """Everything needed to restore it."""
        tensors: dict[str, np.ndarray] = {}
        for layer, weight, bias in zip(LAYERS, self.weights, self.biases, strict=True):
            tensors |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
        return HeadState({"type": "mixture"}, tensors, adapters={"gate": self.adapter})

    @classmethod
    def restore(cls, state: HeadState) -> MixtureGate:
        """The gate from its `state`."""
        weights, biases = ([state.tensors[f"{layer}.{kind}"] for layer in LAYERS] for kind in ("weight", "bias"))
        return cls(weights, biases, state.adapters["gate"])
