"""The encoder of openecg's layered codec: one lead, 10 s at 500 Hz, to 500 tokens of 20 ms.

A strided convolution, four residual convolutions, four transformer layers with the norm first.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from typing_extensions import override

from enecg.experts.networks.staged import Staged
from enecg.experts.networks.transformer import Layer, seen_by_all

WIDTH = 128
PATCH = 10  # samples per token
LAYERS = 4
# The heads that read the tokens, at the rate of the samples; `head` is one that the codec no longer uses.
HEADS = ("refine.*", "head.*", "head_sample.*", "beat_sample.*", "rhythm_sample.*")


class Codec(Staged):
    """Tokens of single leads; key names are those of the published file."""

    pos_enc: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv_tok = nn.Conv1d(1, WIDTH, 2 * PATCH, stride=PATCH, padding=PATCH // 2)
        self.register_buffer("pos_enc", torch.zeros(1, 512, WIDTH))
        self.lower_convs = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 7, padding=3) for _ in range(LAYERS))
        self.lower_norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(LAYERS))
        layers = nn.ModuleList(Layer(WIDTH, 4, 256, norm_first=True) for _ in range(LAYERS))
        self.upper_transformer = nn.ModuleDict({"layers": layers})

    def tokens(self, lead: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed single leads.

        Args:
            lead: `[lead, sample]`, from `rank_normalise`.
            length: `[lead]`; samples that are not padding.

        Returns:
            Tokens `[lead, token, 128]`, and which of them are not padding, bool `[lead, token]`.
        """
        hidden = self.conv_tok(lead[:, None]).transpose(1, 2)
        hidden = hidden + self.pos_enc[:, : hidden.shape[1]]
        valid = torch.arange(hidden.shape[1], device=lead.device) * PATCH < length[:, None]
        seen = seen_by_all(valid)
        for conv, norm in zip(self.lower_convs, self.lower_norms, strict=True):
            if seen is not None:  # zeros, as beyond the end of a window
                hidden = hidden.masked_fill(~valid[..., None], 0)
            hidden = norm(F.gelu(conv(hidden.transpose(1, 2)).transpose(1, 2)) + hidden)
        for layer in self.upper_transformer.get_submodule("layers").children():
            hidden = layer(hidden, seen)
        return hidden, valid

    @staticmethod
    @override
    def first(signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Ranks of the samples of each lead: signals at 500 Hz in any unit, for only their order counts."""
        return rank_normalise(signal.flatten(0, 1), length.repeat_interleave(signal.shape[1])).view(signal.shape)

    @override
    def core(self, seen: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Mean and deviation over time of each lead's tokens.

        Args:
            seen: ranks `[window, lead, sample]`.
            length: `[window]`; samples that are not padding.

        Returns:
            `[window, lead * 2 * 128]`.
        """
        count, leads, _ = seen.shape
        tokens, valid = self.tokens(seen.flatten(0, 1), length.repeat_interleave(leads))
        share = (valid / valid.sum(1, keepdim=True))[..., None]
        mean = (tokens * share).sum(1)
        variance = ((tokens - mean[:, None]).square() * share).sum(1)
        return torch.stack([mean, variance.sqrt()], dim=1).reshape(count, -1)


def rank_normalise(signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Replace each sample by its rank in its row, from -1 to 1, equal samples by their mean rank; padding by 0.

    Args:
        signal: `[row, sample]`.
        length: `[row]`; samples that are not padding.
    """
    padding = torch.arange(signal.shape[1], device=signal.device) >= length[:, None]
    filled = signal.masked_fill(padding, torch.inf)
    ordered = filled.sort(dim=1).values
    below = torch.searchsorted(ordered, filled)
    until = torch.searchsorted(ordered, filled, right=True)
    rank = (below + until - 1).to(signal.dtype)  # twice the mean rank, counted from 0
    return (rank / (length[:, None] - 1).clamp(min=1) - 1).masked_fill(padding, 0)
