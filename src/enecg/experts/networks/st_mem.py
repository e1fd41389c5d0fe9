"""Three encoders of ECG patches made of the same block: ST-MEM, ECG-JEPA and the vision transformer of MERL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from enecg.experts.networks.transformer import TransformerBlock


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder of patches. The head count cannot be read from weights: it is the authors' own.

    Attributes:
        width: of the tokens.
        depth: number of blocks.
        heads: of each block's attention.
        hidden: of each block's perceptron.
        leads: rows of the signal.
        samples: of a window.
        patch: samples in a patch.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    leads: int
    samples: int
    patch: int

    @property
    def patches(self) -> int:
        """Patches along time."""
        return self.samples // self.patch

    def blocks(self, qkv_bias: bool = True) -> nn.ModuleList:
        """The stack of blocks."""
        return nn.ModuleList(TransformerBlock(self.width, self.heads, self.hidden, qkv_bias) for _ in range(self.depth))


# Names in the files of ST-MEM and MERL, and those of the modules here.
VIT_NAMES: Final = (
    (r"^block(\d+)\.", r"blocks.\1."),
    (r"\.attn\.norm\.", ".norm1."),
    (r"\.attn\.fn\.to_qkv\.", ".qkv."),
    (r"\.attn\.fn\.to_out\.0\.", ".proj."),
    (r"\.ff\.norm\.", ".norm2."),
    (r"\.ff\.fn\.net\.0\.", ".fc1."),
    (r"\.ff\.fn\.net\.3\.", ".fc2."),
)
# The same for ECG-JEPA.
JEPA_NAMES: Final = (
    (r"^encoder_blocks\.", ""),
    (r"\.attn\.", "."),
    (r"\.mlp\.", "."),
)


class StMem(nn.Module):
    """ST-MEM's encoder (Na et al., ICLR 2024): patches of single leads between two separators, joined over leads.

    Tokens know their place in time, their lead, and all others; the embedding is their mean, normed.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.to_patch_embedding = nn.Sequential(
            nn.Identity(), nn.LayerNorm(shape.patch), nn.Linear(shape.patch, shape.width), nn.LayerNorm(shape.width)
        )
        self.pos_embedding = nn.Parameter(torch.zeros(1, shape.patches + 2, shape.width))
        self.sep_embedding = nn.Parameter(torch.zeros(shape.width))
        self.lead_embeddings = nn.ParameterList(torch.zeros(shape.width) for _ in range(shape.leads))
        self.blocks = shape.blocks()
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, width]`."""
        count, leads, _ = signal.shape
        tokens = self.to_patch_embedding(signal.reshape(count, leads, -1, self.shape.patch))
        border = self.sep_embedding.expand(count, leads, 1, -1)
        tokens = torch.cat([border, tokens, border], dim=2) + self.pos_embedding
        tokens = tokens + torch.stack(list(self.lead_embeddings))[:, None]
        tokens = tokens.flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        patches = tokens.view(count, leads, -1, self.shape.width)[:, :, 1:-1]
        embedding: torch.Tensor = self.norm(patches.mean((1, 2)))
        return embedding


class Jepa(nn.Module):
    """ECG-JEPA's encoder (Kim, arXiv 2410.08559): a patch sees those of its own lead and those of its own time.

    The positions are added anew before every block.
    """

    crossing: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.W_P = nn.Linear(shape.patch, shape.width)
        self.pos_embed = nn.Parameter(torch.zeros(shape.leads * shape.patches, shape.width))
        self.blocks = shape.blocks(qkv_bias=False)
        self.norm = nn.LayerNorm(shape.width)
        place = torch.arange(shape.leads * shape.patches)
        lead, time = place // shape.patches, place % shape.patches
        crossing = (lead[:, None] == lead) | (time[:, None] == time)
        self.register_buffer("crossing", crossing, persistent=False)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, width]`."""
        tokens = self.W_P(signal.reshape(signal.shape[0], -1, self.shape.patch))
        for block in self.blocks:
            tokens = block(tokens + self.pos_embed, self.crossing)
        embedding: torch.Tensor = self.norm(tokens).mean(1)
        return embedding


class MerlViT(nn.Module):
    """MERL's vision transformer (Liu et al., ICML 2024): patches of all leads together, mean of the tokens, normed."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.to_patch_embedding = nn.Conv1d(shape.leads, shape.width, shape.patch, stride=shape.patch, bias=False)
        self.pos_embedding = nn.Parameter(torch.zeros(1, shape.patches, shape.width))
        self.blocks = shape.blocks()
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]`, scaled to [-1, 1], to `[window, width]`."""
        tokens = self.to_patch_embedding((signal + 1) / 2).transpose(1, 2) + self.pos_embedding  # MERL's range: [0, 1]
        for block in self.blocks:
            tokens = block(tokens)
        embedding: torch.Tensor = self.norm(tokens.mean(1))
        return embedding
