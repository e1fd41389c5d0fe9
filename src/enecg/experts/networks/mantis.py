"""Mantis on the leads of a recording; the network itself is that of the package mantis-tsfm."""

from __future__ import annotations

import torch
from torch import nn

from enecg.experts.networks.lead_selection import kept


class MantisLeads(nn.Module):
    """The embeddings of single leads side by side, as the package's own trainer joins channels.

    Args:
        network: `MantisV1` or `MantisV2` of the package, with its weights.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, lead * dim]`."""
        count, leads, samples = signal.shape
        embedded: torch.Tensor = self.network(signal.reshape(count * leads, 1, samples))
        return kept(embedded.view(count, leads, -1), signal)
