"""What experts with a torch network share: device, runtime, chunks."""

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
    """The device that is wanted, else a GPU when there is one, else the CPU."""
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

    @override
    def using(self, runtime: Runtime) -> Self:
        """The same expert, its network run by another runtime or in another precision.

        ONNX Runtime and OpenVINO run on the processor, and the expert then lets go of the torch module.

        Raises:
            MissingExtra: the runtime is not installed.
            InputError: the network cannot be run so, or would give other numbers.
        """
        from enecg.experts.runtimes.export import compared, open_session

        other = copy(self)
        other.runtime = runtime
        if runtime.name == "torch":
            other._session = Torch(self.module, self.device, runtime.precision)
            if not runtime.is_exact:  # some processors' kernels are far off
                compared(self, other._session, runtime)
        else:
            other._session = open_session(self, runtime)
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
