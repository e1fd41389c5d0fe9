"""What was tried to make torch itself faster, and is not offered: torch.compile, channels last, folded batch norms."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import Measured, median, run
from encoders import TURNS, batch_of, expert_of, pairs
from torch import nn

from enecg.experts.runtimes.export import difference

EXPERTS: Final = ("tiny", "merl")


class ChannelsLast(nn.Module):
    """A convolution over time as one over images of one row, channels last in memory."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        kernel, stride, padding = ((1, each[0]) for each in (conv.kernel_size, conv.stride, conv.padding))
        padding = (0, padding[1])
        self.conv = nn.Conv2d(
            conv.in_channels, conv.out_channels, kernel, stride, padding, groups=conv.groups, bias=conv.bias is not None
        )
        self.conv.weight.data = conv.weight.data[:, :, None].contiguous(memory_format=torch.channels_last)
        if conv.bias is not None:
            self.conv.bias.data = conv.bias.data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[window, channel, time]` to the same."""
        return self.conv(x[:, :, None].contiguous(memory_format=torch.channels_last))[:, :, 0]


def channels_last(module: nn.Module) -> nn.Module:
    """The module with all its convolutions so."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv1d):
            setattr(module, name, ChannelsLast(child))
        else:
            channels_last(child)
    return module


def folded(module: nn.Module) -> nn.Module:
    """The module with batch norms folded into the convolutions before them, where the two stand in a row."""
    for child in module.children():
        row = isinstance(child, nn.Sequential) and len(child) > 1
        if row and isinstance(child[0], nn.Conv1d) and isinstance(child[1], nn.BatchNorm1d):
            child[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(child[0], child[1])
            child[1] = nn.Identity()
        else:
            folded(child)
    return module


VARIANTS: Final[dict[str, Callable[[nn.Module], Any]]] = {
    "channels_last": channels_last,
    "folded_norms": folded,
    "torch_compile": torch.compile,
}


def measure(quick: bool, folder: Path) -> Measured:
    """Each variant of each expert, by turns with the module as it is."""
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    figures: dict[str, Any] = {}
    for name in EXPERTS[:1] if quick else EXPERTS:
        expert = expert_of(name)
        batch = batch_of(expert, folder / "cohort")
        signal, length = torch.from_numpy(batch.signal), torch.from_numpy(np.ascontiguousarray(batch.length))
        for variant, make in VARIANTS.items():
            module = make(deepcopy(expert.module))
            with torch.inference_mode():
                start = time.process_time()
                away = difference(module(signal, length).numpy(), expert.module(signal, length).numpy())
                first = time.process_time() - start
                taken = pairs(partial(expert.module, signal, length), partial(module, signal, length), TURNS)
            ratios[f"{name} {variant}"] = median(taken)
            figures[f"{name} {variant}"] = {
                "low": round(min(taken), 2), "high": round(max(taken), 2), "difference_max": float(f"{away:.2g}"),
                "first_call_cpu_s": round(first, 1),
            }  # fmt: skip
            print(name, variant, ratios[f"{name} {variant}"], figures[f"{name} {variant}"], file=sys.stderr)
    return ratios, figures


if __name__ == "__main__":
    run("encoders_considered", measure)
