"""The gate of EnECG: from the samples of a lead to one logit per member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from enecg.ensemble.combiner import Combiner, Gated
from enecg.ensemble.gates.base import register_gate
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.lora import Adapter

LAYERS = ("first", "second")


@register_gate
@dataclass(eq=False)
class PerceptronGate:
    """A perceptron with one hidden layer: random frozen weights with trained low-rank changes.

    With equal static weights, its logits make the members' weights a softmax.

    Attributes:
        weights: of both layers, float32 `[out, in]`, as they were drawn.
        biases: of both layers, float32 `[out]`.
        adapter: the trained changes.
    """

    type: ClassVar[str] = "perceptron"
    uses_static_weights: ClassVar[bool] = False

    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    adapter: Adapter

    def __post_init__(self) -> None:
        self._adapted = [w + self.adapter.change(layer) for w, layer in zip(self.weights, LAYERS, strict=True)]

    def logits(self, gate_input: np.ndarray) -> np.ndarray:
        """Return float64 `[recording, member]` for inputs `[recording, dim]`; an unknown input is a flat lead."""
        hidden = np.maximum(np.nan_to_num(gate_input) @ self._adapted[0].T + self.biases[0], 0)
        return np.asarray(hidden @ self._adapted[1].T + self.biases[1], np.float64)

    def gated(self, gate_input: np.ndarray, combiner: Combiner) -> Gated:
        """Return the weights of each recording; see `Gate.gated`."""
        return combiner.scaled(self.logits(gate_input))

    @property
    def trained(self) -> int:
        """Count of the numbers that labels have determined."""
        return self.adapter.parameters

    def state(self) -> HeadState:
        """Return all that `restore` needs."""
        tensors: dict[str, np.ndarray] = {}
        for layer, weight, bias in zip(LAYERS, self.weights, self.biases, strict=True):
            tensors |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
        return HeadState({"type": self.type}, tensors, adapters={"gate": self.adapter})

    @classmethod
    def restore(cls, state: HeadState) -> PerceptronGate:
        """Return the gate from its `state`."""
        weights, biases = ([state.tensors[f"{layer}.{kind}"] for layer in LAYERS] for kind in ("weight", "bias"))
        return cls(weights, biases, state.adapters["gate"])
