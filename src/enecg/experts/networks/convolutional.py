"""The encoder of the expert `tiny` and of those that users pretrain: residual convolutions over all leads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS: Final = (48, 64, 96, 128)  # channels of the stages; each halves the rate


class ConvolutionalBlock(nn.Module):
    """Two convolutions around a shortcut (He et al. 2016), the first with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv1d(inputs, outputs, 7, stride=2, padding=3, bias=False), nn.BatchNorm1d(outputs)
        )
        self.second = nn.Sequential(nn.Conv1d(outputs, outputs, 7, padding=3, bias=False), nn.BatchNorm1d(outputs))
        self.shortcut = nn.Sequential(nn.Conv1d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm1d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[window, inputs, time]` to `[window, outputs, time / 2]`."""
        hidden: torch.Tensor = self.second(F.relu(self.first(x)))
        return F.relu(hidden + self.shortcut(x))


class Encoder(nn.Module):
    """Four stages; what each channel of each stage does over time is summed up in three numbers.

    Pooling every stage, not the last alone, keeps the fine shape of the waves that late stages drop.
    """

    def __init__(self, leads: int = 12, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.dim = 3 * sum(widths)
        stem = nn.Sequential(
            nn.Conv1d(leads, widths[0], 15, stride=2, padding=7, bias=False), nn.BatchNorm1d(widths[0]), nn.ReLU()
        )
        blocks = [ConvolutionalBlock(inputs, outputs) for inputs, outputs in pairwise(widths)]
        self.stages = nn.ModuleList([stem, *blocks])

    def hidden(self, signal: torch.Tensor) -> list[torch.Tensor]:
        """The output of each stage, `[window, channel, time]`."""
        outputs = []
        for stage in self.stages:
            signal = stage(signal)
            outputs.append(signal)
        return outputs

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Mean, deviation and maximum over time of all stages.

        Args:
            signal: `[window, lead, sample]`.
            length: `[window]`; samples that are not padding.

        Returns:
            `[window, dim]`.
        """
        return pool(self.hidden(signal), length, signal.shape[-1])


def pool(stages: Sequence[torch.Tensor], length: torch.Tensor, samples: int) -> torch.Tensor:
    """Mean, deviation and maximum over time of each channel, padding left out: `[window, 3 * channels]`."""
    pooled = []
    for hidden in stages:
        steps = hidden.shape[-1]
        valid = -(-length * steps // samples)  # rounded up
        inside = (torch.arange(steps, device=hidden.device) < valid[:, None])[:, None]
        share = inside / valid[:, None, None]
        mean = (hidden * share).sum(-1)
        variance = ((hidden - mean[..., None]).square() * share).sum(-1)
        highest = hidden.masked_fill(~inside, -torch.inf).amax(-1)
        pooled += [mean, variance.clamp(min=1e-8).sqrt(), highest]
    return torch.cat(pooled, dim=1)
