"""Feed-forward heads: one trunk for all tasks of an expert, low-rank adapters (LoRA) on it per task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState, Tensors
from enecg.ensemble.heads.feature_maps import Standard
from enecg.ensemble.heads.lora import Adapter
from enecg.ensemble.heads.registry import register_head
from enecg.ensemble.losses import label_scale, scaled_labels
from enecg.tasks import Target


@register_head
@dataclass
class FittedFeedForward(FittedHead):
    """A trunk, the scale of each task's labels, and each task's low-rank adapters where it was adapted.

    Two hidden layers and one linear output per task, in numpy: prediction needs no torch. With `frozen`, the trunk is
    random and only the adapters were trained.
    """

    type: ClassVar[str] = "feed_forward"

    standard: Standard
    trunk: Tensors
    adapters: list[Adapter]  # one per task, or none
    means: list[float]
    scales: list[float]
    frozen: bool = False

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        z = self.standard(x)
        start = self._layer("first", z)
        plain = [] if self.adapters else [self._hidden(start, z, None)]
        out = []
        for task, (mean, scale) in enumerate(zip(self.means, self.scales, strict=True)):
            hidden = plain[0] if plain else self._hidden(start, z, self.adapters[task])
            out.append(self._layer(f"outputs.{task}", hidden).astype(np.float64) * scale + mean)
        return out

    def _hidden(self, start: np.ndarray, z: np.ndarray, adapter: Adapter | None) -> np.ndarray:
        """Return the second hidden layer `[recording, hidden]`; `start` is the first one without adapter."""
        if adapter is None:
            return np.asarray(np.maximum(self._layer("second", np.maximum(start, 0)), 0))
        hidden = np.maximum(start + adapter.added("first", z), 0)
        return np.asarray(np.maximum(self._layer("second", hidden) + adapter.added("second", hidden), 0))

    def _layer(self, name: str, x: np.ndarray) -> np.ndarray:
        weighted: np.ndarray = x @ self.trunk[f"{name}.weight"].T + self.trunk[f"{name}.bias"]
        return weighted

    @property
    @override
    def trained(self) -> int:
        trunk = 0 if self.frozen else sum(tensor.size for tensor in self.trunk.values())
        return trunk + sum(adapter.parameters for adapter in self.adapters)

    @override
    def state(self) -> HeadState:
        meta = {"type": self.type, "means": self.means, "scales": self.scales, "frozen": self.frozen}
        state = HeadState.nested(meta, {"standard": self.standard.state()})
        state.tensors |= {f"trunk.{key}": value for key, value in self.trunk.items()}
        state.adapters = {str(task): adapter for task, adapter in enumerate(self.adapters)}
        return state

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedFeedForward:
        meta, inside = state.meta, "trunk."
        trunk = {key.removeprefix(inside): value for key, value in state.tensors.items() if key.startswith(inside)}
        adapters = [state.adapters[str(task)] for task in range(len(state.adapters))]
        standard = Standard.restore(state.part("standard"))
        return cls(standard, trunk, adapters, meta["means"], meta["scales"], meta["frozen"])


@register_head
@dataclass
class FeedForward(Head):
    """A feed-forward head trained on all tasks at once; each task's loss counts only where it is labelled.

    Attributes:
        hidden: width of both hidden layers.
        dropout: in training.
        epochs: at most; early stopping on a tenth of the subjects.
        rate: learning rate of AdamW with a cosine schedule.
        batch: recordings per step.
        decay: weight decay.
        lora_rank: rank of the adapters trained per task on the frozen trunk afterwards; 0 for none.
        lora_epochs: epochs for each task's adapters.
    """

    hidden: int = 256
    dropout: float = 0.3
    epochs: int = 40
    rate: float = 1e-3
    batch: int = 128
    decay: float = 0.05
    lora_rank: int = 0
    lora_epochs: int = 15
    kind: ClassVar[str] = "ffn"
    bag: ClassVar[bool] = True

    @override
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedFeedForward:
        from enecg.ensemble.heads.feed_forward_training import train

        standard = Standard.fit(x)
        units = [label_scale(target) for target in targets]
        labels = [replace(target, y=scaled_labels(target, unit)) for target, unit in zip(targets, units, strict=True)]
        means, scales = zip(*units, strict=True)
        trunk, adapters = train(self, standard(x), labels, subjects, seed)
        return FittedFeedForward(standard, trunk, adapters, list(means), list(scales))

    @override
    @classmethod
    def example(cls, sizes: Sequence[int]) -> FeedForward:
        return cls(hidden=32, epochs=8, rate=5e-3, batch=16, lora_rank=2, lora_epochs=2)
