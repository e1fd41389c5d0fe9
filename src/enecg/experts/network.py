"""What experts with a torch network share: device, evaluation mode, chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from typing_extensions import override

from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch

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

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """Embed windows: float32 `[window, dim]`."""
        import torch

        self.module.eval()  # whatever was done to it since
        out = np.empty((len(batch), self.card.dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(batch), self.chunk):
                rows = slice(start, start + self.chunk)
                signal = torch.from_numpy(batch.signal[rows]).to(self.device)
                length = torch.from_numpy(np.ascontiguousarray(batch.length[rows])).to(self.device)
                out[rows] = self.module(signal, length).float().cpu().numpy()
        return out
