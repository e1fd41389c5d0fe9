"""MERL's residual network of 18 layers over time (He et al., CVPR 2016, in one dimension)."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS: Final = (64, 128, 256, 512)


class Residual(nn.Module):
    """Two convolutions of three samples beside a shortcut, each with batch norm; key names are those of the file."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm1d(width)
        self.shortcut = nn.Sequential()
        if before != width or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv1d(before, width, 1, stride=stride, bias=False), nn.BatchNorm1d(width))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[window, channel, time]` to `[window, width, time / stride]`."""
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(hidden)))))
        return F.relu(inner + self.shortcut(hidden))


class MerlResNet(nn.Module):
    """MERL's ResNet18 (Liu et al., ICML 2024); the embedding is the mean over time of the last stage.

    Args:
        widths: channels of the four stages.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(12, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm1d(widths[0])
        for stage, width in enumerate(widths):
            before, stride = (widths[stage - 1], 2) if stage else (width, 1)
            blocks = nn.Sequential(Residual(before, width, stride), Residual(width, width, 1))
            self.add_module(f"layer{stage + 1}", blocks)
        self.stages = len(widths)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, 12, sample]`, scaled to [-1, 1], to `[window, 512]`."""
        hidden = F.relu(self.bn1(self.conv1((signal + 1) / 2)))  # MERL's range: [0, 1]
        for stage in range(self.stages):
            hidden = self.get_submodule(f"layer{stage + 1}")(hidden)
        return hidden.mean(-1)
