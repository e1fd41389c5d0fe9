"""MOMENT's network: patches of one lead, read by the encoder of T5.

Goswami et al., "MOMENT", ICML 2024; T5 by Raffel et al., JMLR 2020, with gated GELU (Shazeer, 2020) as in Flan-T5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from enecg.experts.networks.lead_selection import kept

# Words that no ECG has, the head of the pretraining, and what stands for a hidden patch: none is hidden here.
UNUSED: Final = ("encoder.embed_tokens.*", "head.*", "patch_embedding.mask_embedding")
# Names in the published file, and those of the modules here.
NAMES: Final = (
    (r"^patch_embedding\.value_embedding\.", "patches."),
    (r"^patch_embedding\.position_embedding\.pe$", "places"),
    (r"^encoder\.block\.0\.layer\.0\.SelfAttention\.relative_attention_bias\.", "distances."),
    (r"^encoder\.block\.(\d+)\.", r"blocks.\1."),
    (r"\.layer\.0\.SelfAttention\.", "."),
    (r"\.layer\.0\.layer_norm\.", ".norm1."),
    (r"\.layer\.1\.DenseReluDense\.", "."),
    (r"\.layer\.1\.layer_norm\.", ".norm2."),
    (r"^encoder\.final_layer_norm\.", "norm."),
)
_EPS: Final = 1e-6


@dataclass(frozen=True)
class MomentShape:
    """Sizes of a MOMENT.

    Attributes:
        width: of the tokens.
        hidden: of each block's perceptron.
        heads: of each block's attention.
        layers: blocks.
        head: width of one head.
        patch: samples in a patch.
        places: that have an embedding.
        buckets: of distances between patches.
        reach: distance from which on all are one.
    """

    width: int
    hidden: int
    heads: int
    layers: int
    head: int = 64
    patch: int = 8
    places: int = 5000
    buckets: int = 32
    reach: int = 128


class T5Block(nn.Module):
    """Self-attention and a gated perceptron, each behind its norm and beside a residual path, without biases."""

    def __init__(self, shape: MomentShape) -> None:
        super().__init__()
        inner = shape.heads * shape.head
        self.heads = shape.heads
        self.norm1 = nn.RMSNorm(shape.width, eps=_EPS)
        self.q = nn.Linear(shape.width, inner, bias=False)
        self.k = nn.Linear(shape.width, inner, bias=False)
        self.v = nn.Linear(shape.width, inner, bias=False)
        self.o = nn.Linear(inner, shape.width, bias=False)
        self.norm2 = nn.RMSNorm(shape.width, eps=_EPS)
        self.wi_0 = nn.Linear(shape.width, shape.hidden, bias=False)
        self.wi_1 = nn.Linear(shape.width, shape.hidden, bias=False)
        self.wo = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, tokens: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Tokens `[sequence, token, width]` to the same; `bias` is added to the scores, which T5 does not scale."""
        normed = self.norm1(tokens)
        query, key, value = (
            part(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        looked = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype), scale=1.0)
        tokens = tokens + self.o(looked.transpose(1, 2).flatten(2))
        normed = self.norm2(tokens)
        updated: torch.Tensor = tokens + self.wo(F.gelu(self.wi_0(normed), approximate="tanh") * self.wi_1(normed))
        return updated


class Moment(nn.Module):
    """The encoder of single leads; the embedding of a lead is the mean of its tokens."""

    places: torch.Tensor

    def __init__(self, shape: MomentShape) -> None:
        super().__init__()
        self.shape = shape
        self.patches = nn.Linear(shape.patch, shape.width, bias=False)
        self.register_buffer("places", torch.zeros(1, shape.places, shape.width))
        self.distances = nn.Embedding(shape.buckets, shape.heads)
        self.blocks = nn.ModuleList(T5Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=_EPS)

    def tokens(self, leads: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed the patches of single leads.

        Args:
            leads: `[lead, sample]` in any unit; each is scaled to mean 0 and deviation 1.
            length: `[lead]`; samples that are not padding.

        Returns:
            Tokens `[lead, patch, width]`, and which patches are whole, bool `[lead, patch]`.
        """
        inside = torch.arange(leads.shape[1], device=leads.device) < length[:, None]
        mean = (leads * inside).sum(1, keepdim=True) / length[:, None]
        variance = ((leads - mean).square() * inside).sum(1, keepdim=True) / length[:, None]
        scaled = (leads - mean) / (variance.sqrt() + 1e-5)
        patches = scaled.unfold(1, self.shape.patch, self.shape.patch)
        count = patches.shape[1]
        whole = torch.arange(count, device=leads.device) < (length // self.shape.patch).clamp(min=1)[:, None]
        hidden = self.patches(patches) + self.places[:, :count]
        bias = self._bias(count).masked_fill(~whole[:, None, None], -torch.inf)
        for block in self.blocks:
            hidden = block(hidden, bias)
        return self.norm(hidden), whole

    def _bias(self, count: int) -> torch.Tensor:
        """What the distance of two patches adds to their score, `[1, head, patch, patch]`.

        Half of the buckets are for patches behind; of each half, one half is for single distances, the other for
        ranges that grow with the logarithm.
        """
        place = torch.arange(count, device=self.places.device)
        distance = place[None, :] - place[:, None]
        half = self.shape.buckets // 2
        exact = half // 2
        far = distance.abs().clamp(min=1)
        ranged = exact + (
            torch.log(far.float() / exact) / math.log(self.shape.reach / exact) * (half - exact)
        ).long().clamp(max=half - exact - 1)  # fmt: skip
        bucket = torch.where(far < exact, distance.abs(), ranged) + half * (distance > 0)
        bias: torch.Tensor = self.distances(bucket).permute(2, 0, 1)[None]
        return bias

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, lead * width]`."""
        count, leads, _ = signal.shape
        tokens, whole = self.tokens(signal.flatten(0, 1), length.repeat_interleave(leads))
        share = whole / whole.sum(1, keepdim=True)
        pooled = (tokens * share[..., None]).sum(1)
        return kept(pooled.view(count, leads, -1), signal)
