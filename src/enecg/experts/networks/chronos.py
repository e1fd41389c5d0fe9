"""Chronos-2 and Chronos-Bolt on the leads of a recording; the networks are those of the package chronos-forecasting."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from enecg.experts.networks.lead_selection import averaged, kept


class Chronos2Leads(nn.Module):
    """Mean over patches and leads of Chronos-2's tokens; the leads of a window are one group and see one another.

    Args:
        network: `Chronos2Model` of the package, with its weights.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, width]`."""
        count, leads, _ = signal.shape
        group = torch.arange(count, device=signal.device).repeat_interleave(leads)
        tokens = self.network.encode(context=signal.flatten(0, 1), group_ids=group)[0][0]
        patches = tokens[:, :-2]  # behind them the register token and the patch that is forecast
        return averaged(patches.mean(1).view(count, leads, -1), signal)


class ChronosBoltLeads(nn.Module):
    """Mean over patches of Chronos-Bolt's tokens, the leads side by side.

    Args:
        network: `ChronosBoltModelForForecasting` of the package, with its weights.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, lead * width]`."""
        count, leads, _ = signal.shape
        tokens = self.network.encode(context=signal.flatten(0, 1))[0]
        patches = tokens[:, :-1]  # behind them the register token
        return kept(patches.mean(1).view(count, leads, -1), signal)
