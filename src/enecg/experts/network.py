"""The base of experts with a torch network: device, runtime, chunks."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from typing_extensions import override

from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch
from enecg.experts.runtimes.runtime import Runtime
from enecg.experts.runtimes.sessions import Session, Torch

if TYPE_CHECKING:
    import torch


def pick_device(wanted: str | None = None) -> torch.device:
    """Return the wanted device, else a GPU when there is one, else the CPU."""
    import torch

    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


class NetworkExpert(Expert):
    """An expert whose encoder is a torch module, frozen: always in evaluation mode, never with gradients.

    The module maps (signal `[window, lead, sample]`, length `[window]`) to `[window, dim]`, both tensors.

    Args:
        card: what it declares.
        module: the encoder with its weights.
        device: see `pick_device`.
    """

    chunk: ClassVar[int] = 32  # windows at a time: bounds the memory

    def __init__(self, card: Card, module: torch.nn.Module, device: str | None = None) -> None:
        self.card = card
        self.device = pick_device(device)
        self.module = module.to(self.device).requires_grad_(False).eval()
        self._session: Session = Torch(self.module, self.device)

    def with_session(self, runtime: Runtime, session: Session) -> Self:
        """Return a copy whose network is run by `session`; see `enecg.experts.runtimes.export.run_with`."""
        other = copy(self)
        other.runtime, other._session = runtime, session
        if runtime.name != "torch":
            other.device = pick_device("cpu")
            del other.module
        return other

    @override
    def fingerprints(self) -> frozenset[str]:
        found = set()
        for runtime in Runtime.every():
            other = copy(self)
            other.runtime = runtime
            other.device = self.device if runtime.name == "torch" else pick_device("cpu")
            found.add(other.fingerprint)
        return frozenset(found)

    @property
    @override
    def rounding(self) -> str:
        return f"{self.runtime} on {self.device.type}"

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """Embed windows: float32 `[window, dim]`."""
        out = np.empty((len(batch), self.card.dim), np.float32)
        for start in range(0, len(batch), self.chunk):
            rows = slice(start, start + self.chunk)
            out[rows] = self._session(batch.signal[rows], batch.length[rows])
        return out
