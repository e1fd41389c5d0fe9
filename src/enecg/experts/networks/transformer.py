"""Two plain transformer blocks that several networks share, with fused attention.

Vaswani et al., NeurIPS 2017; the norm first as in GPT-2 and the vision transformer (Dosovitskiy et al., ICLR 2021).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from enecg.experts.weights import State


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each behind its norm and beside a residual path.

    ST-MEM, MERL's ViT, ECG-JEPA and TEMPO's GPT-2 are made of it.

    Args:
        width: of the tokens.
        heads: of the attention; each is `width / heads` wide.
        hidden: of the perceptron.
        qkv_bias: whether queries, keys and values have a bias.
        causal: whether a token sees only itself and those before it, and GELU is its tanh approximation, as in GPT-2.
        eps: of the norms.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, qkv_bias: bool = True, causal: bool = False, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.norm1 = nn.LayerNorm(width, eps)
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens `[sequence, token, width]` to the same shape.

        Args:
            tokens: the sequences.
            seen: bool `[token, token]`; True where the row's token attends to the column's. All by default.
        """
        count, length, width = tokens.shape
        mixed = self.qkv(self.norm1(tokens)).view(count, length, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        looked = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=self.causal)
        tokens = tokens + self.proj(looked.transpose(1, 2).reshape(count, length, width))
        activated = F.gelu(self.fc1(self.norm2(tokens)), approximate="tanh" if self.causal else "none")
        updated: torch.Tensor = tokens + self.fc2(activated)
        return updated


class Layer(nn.Module):
    """torch's `TransformerEncoderLayer` with GELU in evaluation, its tensors under the same names.

    torch's own leaves fused attention for a path of its own, which took 1.7 times as long on the tokens of openecg
    and cannot be exported, quantised or run in bfloat16. The numbers are the same to 1e-7.

    Args:
        width: of the tokens.
        heads: of the attention; each is `width / heads` wide.
        hidden: of the perceptron.
        norm_first: whether the norms stand before attention and perceptron, rather than behind.
    """

    def __init__(self, width: int, heads: int, hidden: int, norm_first: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm_first = norm_first
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens `[sequence, token, width]` to the same shape; `seen` is from `seen_by_all`."""
        if self.norm_first:
            tokens = tokens + self._look(self.norm1(tokens), seen)
            return tokens + self._think(self.norm2(tokens))
        tokens = self.norm1(tokens + self._look(tokens, seen))
        normed: torch.Tensor = self.norm2(tokens + self._think(tokens))
        return normed

    def _look(self, tokens: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        count, length, width = tokens.shape
        mixed = F.linear(tokens, self.self_attn.in_proj_weight, self.self_attn.in_proj_bias)
        query, key, value = mixed.view(count, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        looked = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        joined: torch.Tensor = self.self_attn.out_proj(looked.transpose(1, 2).flatten(2))
        return joined

    def _think(self, tokens: torch.Tensor) -> torch.Tensor:
        activated: torch.Tensor = self.linear2(F.gelu(self.linear1(tokens)))
        return activated


def seen_by_all(valid: torch.Tensor) -> torch.Tensor | None:
    """Return the mask of tokens that every token attends to, bool `[sequence, 1, 1, token]`: all but the padding.

    None where there is no padding: attention without a mask is faster. An exported network must not depend on what it
    is shown, so there it is always a mask.

    Args:
        valid: bool `[sequence, token]`.
    """
    if not torch.compiler.is_exporting() and bool(valid.all()):
        return None
    return valid[:, None, None]


def rename(state: Mapping[str, torch.Tensor], pairs: Sequence[tuple[str, str]]) -> State:
    """Tensors under other names: each regular expression of `pairs` is replaced, in order, in every key."""
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in pairs:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed
