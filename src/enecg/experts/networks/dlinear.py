"""DLinear: the trend and what is left of it, each mapped linearly to the future (Zeng et al., AAAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from enecg.experts.networks.lead_selection import kept


@dataclass(frozen=True)
class DLinearShape:
    """Sizes of a DLinear whose weights all leads share.

    Attributes:
        samples: that it sees.
        ahead: that it forecasts.
        average: length of the moving average that is the trend; odd.
    """

    samples: int = 500
    ahead: int = 96
    average: int = 25


class DLinear(nn.Module):
    """The forecaster; key names are those of the library's files, which EnECG's has too."""

    def __init__(self, shape: DLinearShape) -> None:
        super().__init__()
        self.shape = shape
        self.Linear_Seasonal = nn.Linear(shape.samples, shape.ahead)
        self.Linear_Trend = nn.Linear(shape.samples, shape.ahead)
        for layer in (self.Linear_Seasonal, self.Linear_Trend):
            nn.init.constant_(layer.weight, 1 / shape.samples)  # the mean, where the authors' training starts

    def forecast(self, signal: torch.Tensor) -> torch.Tensor:
        """What follows: signals `[window, lead, sample]` to `[window, lead, ahead]`."""
        reach = self.shape.average // 2
        trend = F.avg_pool1d(F.pad(signal, (reach, reach), mode="replicate"), self.shape.average, stride=1)
        ahead: torch.Tensor = self.Linear_Seasonal(signal - trend) + self.Linear_Trend(trend)
        return ahead

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to each lead's forecast, `[window, lead * ahead]`."""
        return kept(self.forecast(signal), signal)
