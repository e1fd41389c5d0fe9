"""TiRex on the leads of a recording, and xECG; their recurrent blocks are those of the packages tirex-ts and xlstm."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from enecg.experts.networks.ecg_fm import mean_of
from enecg.experts.networks.lead_selection import kept


class TirexLeads(nn.Module):
    """Mean over patches of TiRex's last block, the leads side by side. What is filled up behind counts as unknown.

    Args:
        network: `TiRexZero` of the package, with its weights.
        patch: samples in a patch.
    """

    not_exported: ClassVar[str] = "its cells step through time; written out one by one that takes too long"

    def __init__(self, network: Any, patch: int) -> None:
        super().__init__()
        self.network = network
        self.patch = patch

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, lead * width]`."""
        count, leads, samples = signal.shape
        behind = torch.arange(samples, device=signal.device) >= length[:, None]
        series = signal.masked_fill(behind[:, None], torch.nan).flatten(0, 1)
        patches = -(-samples // self.patch)
        tokens = self.network._embed_context(series)[:, -patches:, -1]
        begins = samples - self.patch * torch.arange(patches, 0, -1, device=signal.device)  # the first may be cut
        padding = (begins >= length[:, None]).repeat_interleave(leads, dim=0)
        return kept(mean_of(tokens, padding).view(count, leads, -1), signal)


class XEcg(nn.Module):
    """xECG (Lunelli et al., npj Digital Medicine 2026): patches of all leads, read in turn forwards and backwards.

    Args:
        core: `xLSTMBlockStack` of the package.
        width: of the tokens.
        patch: samples in a patch.
        leads: rows of the signal.
    """

    def __init__(self, core: Any, width: int, patch: int, leads: int = 12) -> None:
        super().__init__()
        self.patch_embedding = nn.ModuleDict({"conv": nn.Conv1d(leads, width, patch, stride=patch, bias=False)})
        self.core = nn.ModuleDict({"model": core})
        self.patch = patch

    def tokens(self, signal: torch.Tensor) -> torch.Tensor:
        """Last tokens `[window, patch, width]` of signals `[window, lead, sample]`."""
        stack: Any = self.core["model"]
        hidden: torch.Tensor = self.patch_embedding["conv"](signal).transpose(1, 2)
        for number, block in enumerate(stack.blocks):
            hidden = block(hidden.flip(1) if number else hidden)
        normed: torch.Tensor = stack.post_blocks_norm(hidden)
        return normed

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` in mV to `[window, width]`; as the authors, without patches that are pad."""
        tokens = self.tokens(signal)
        padding = self.patch * torch.arange(tokens.shape[1], device=signal.device) >= length[:, None]
        return mean_of(tokens, padding)
