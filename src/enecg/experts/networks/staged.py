"""Networks whose first step is no network (sorting, or a filter). Only the rest can be exported."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class Staged(nn.Module, ABC):
    """A network in two stages; `forward` is one after the other."""

    @staticmethod
    @abstractmethod
    def first(signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """What is done to the signals `[window, lead, sample]` before the network sees them; of any shape."""

    @abstractmethod
    def core(self, seen: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """The network: what `first` gives to `[window, dim]`."""

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]`, of which `length` `[window]` samples are no padding, to `[window, dim]`."""
        return self.core(self.first(signal, length), length)


class Core(nn.Module):
    """The second stage alone."""

    def __init__(self, staged: Staged) -> None:
        super().__init__()
        self.staged = staged

    def forward(self, seen: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """What `Staged.first` gives to `[window, dim]`."""
        return self.staged.core(seen, length)
