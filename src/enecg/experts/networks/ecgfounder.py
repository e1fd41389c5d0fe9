"""Net1D: residual grouped convolutions with squeeze and excitation, the network of ECGFounder and CLEF.

Hong et al., "HOLMES", KDD 2020; its blocks are RegNet's (Radosavovic et al., CVPR 2020) with the gates of SENet
(Hu et al., CVPR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from enecg.experts.networks.lead_selection import kept

# In the published files but never executed: batch norms that are switched off, and the classes of the pretraining.
UNUSED: Final = ("first_bn.*", "stage_list.*.bn?.*", "dense.*")


@dataclass(frozen=True)
class Net1dShape:
    """Sizes of a Net1D.

    Attributes:
        leads: that it sees at once; a network of one lead embeds each lead by itself.
        base: channels after the first convolution.
        filters: channels of each stage; each stage halves the rate.
        blocks: of each stage.
        group: output channels of one group of the middle convolution, over which `ratio` is taken.
        ratio: channels in the middle of a block, as a share of those at its end.
        kernel: samples of the first and the middle convolutions.
    """

    leads: int
    base: int
    filters: tuple[int, ...]
    blocks: tuple[int, ...]
    group: int
    ratio: float = 1.0
    kernel: int = 16


class SameConv(nn.Module):
    """A convolution padded so that stride alone shortens the signal, the odd sample behind."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, stride, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[window, before, time]` to `[window, after, time / stride]`, rounded up."""
        kernel, stride, time = self.conv.kernel_size[0], self.conv.stride[0], x.shape[-1]
        pad = max(0, (-(-time // stride) - 1) * stride + kernel - time)
        padded: torch.Tensor = self.conv(F.pad(x, (pad // 2, pad - pad // 2)))
        return padded


class Net1dBlock(nn.Module):
    """Three convolutions, a gate for each channel, and a shortcut."""

    def __init__(self, before: int, after: int, stride: int, first: bool, shape: Net1dShape) -> None:
        super().__init__()
        middle = int(after * shape.ratio)
        self.first = first
        self.stride = stride
        self.conv1 = SameConv(before, middle, 1)
        self.conv2 = SameConv(middle, middle, shape.kernel, stride, groups=after // shape.group)
        self.conv3 = SameConv(middle, after, 1)
        self.se_fc1 = nn.Linear(after, after // 2)
        self.se_fc2 = nn.Linear(after // 2, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[window, before, time]` to `[window, after, time / stride]`."""
        hidden = self.conv1(x if self.first else F.silu(x))
        hidden = self.conv3(F.silu(self.conv2(F.silu(hidden))))
        gate = torch.sigmoid(self.se_fc2(F.silu(self.se_fc1(hidden.mean(-1)))))
        if self.stride > 1:
            x = F.max_pool1d(F.pad(x, (0, self.stride - 1)), self.stride)
        extra = hidden.shape[1] - x.shape[1]
        shortcut = F.pad(x, (0, 0, extra // 2, extra - extra // 2))
        out: torch.Tensor = hidden * gate[..., None] + shortcut
        return out


class Stage(nn.Module):
    """Blocks of one width, the first of which halves the rate."""

    def __init__(self, before: int, after: int, blocks: int, first: bool, shape: Net1dShape) -> None:
        super().__init__()
        self.block_list = nn.Sequential(
            *(
                Net1dBlock(after if i else before, after, 1 if i else 2, first and i == 0, shape)
                for i in range(blocks)
            )
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[window, before, time]` to `[window, after, time / 2]`."""
        out: torch.Tensor = self.block_list(x)
        return out


class Net1d(nn.Module):
    """The encoder; key names are those of the published files. The embedding is the last stage's mean over time."""

    def __init__(self, shape: Net1dShape) -> None:
        super().__init__()
        self.shape = shape
        self.first_conv = SameConv(shape.leads, shape.base, shape.kernel, stride=2)
        widths = (shape.base, *shape.filters)
        self.stage_list = nn.Sequential(
            *(Stage(widths[i], widths[i + 1], blocks, i == 0, shape) for i, blocks in enumerate(shape.blocks))
        )

    def pooled(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """`[window, leads, sample]`, of which `length` are no padding, to `[window, filters[-1]]`."""
        hidden = self.stage_list(F.silu(self.first_conv(signal)))
        steps = hidden.shape[-1]
        valid = -(-length * steps // signal.shape[-1])  # rounded up
        inside = torch.arange(steps, device=signal.device) < valid[:, None]
        mean: torch.Tensor = (hidden * (inside / valid[:, None])[:, None]).sum(-1)
        return mean

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, width]`; of one-lead networks `[window, lead * width]`."""
        if self.shape.leads > 1:
            return self.pooled(signal, length)
        count, leads, _ = signal.shape
        single = self.pooled(signal.flatten(0, 1)[:, None], length.repeat_interleave(leads))
        return kept(single.view(count, leads, -1), signal)
