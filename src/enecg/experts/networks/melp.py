"""MELP's network: ECG-FM's, with fewer layers, and a pooling by learned queries behind it.

Wang, Xu, Yu, ICML 2025; the pooling is CoCa's (Yu et al., TMLR 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from enecg.experts.networks import ecg_fm as ecgfm

if TYPE_CHECKING:
    from enecg.experts.weights import State

# Needed to pretrain, to caption, and to compare with texts only.
UNUSED: Final = (*ecgfm.UNUSED, "attn_pool_caption.*", "ln_caption.*", "proj_contrast", "logit_scale", "bn.*")


class QueryPool(nn.Module):
    """Learned queries attend to all tokens; their outputs are normalised and averaged.

    Args:
        queries: their number.
        width: of the queries, and of the result.
        context: width of the tokens.
        heads: of the attention.
    """

    def __init__(self, queries: int, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.attn = nn.MultiheadAttention(width, heads, kdim=context, vdim=context, batch_first=True)
        self.ln_q = nn.LayerNorm(width)
        self.ln_k = nn.LayerNorm(context)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        """Tokens `[window, token, context]`, padding bool `[window, token]`, to `[window, width]`."""
        query = self.ln_q(self.query).expand(len(tokens), -1, -1)
        context = self.ln_k(tokens)
        mask = padding if bool(padding.any()) else None
        found: torch.Tensor = self.norm(self.attn(query, context, context, mask, need_weights=False)[0])
        return found.mean(1)


class Melp(ecgfm.EcgFm):
    """The encoder; the embedding is the mean of the tokens, and what the queries for beats find.

    Args:
        shape: sizes of the encoder.
        queries: for the beats; their number.
        width: of the queries.
        heads: of the attention of the queries.
    """

    def __init__(self, shape: ecgfm.EcgFmShape, queries: int, width: int, heads: int) -> None:
        super().__init__(shape)
        self.pool = QueryPool(queries, width, shape.width, heads)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]`, scaled to [-1, 1], to `[window, shape.width + width]`."""
        tokens, padding = self.tokens((signal + 1) / 2, length)  # MELP's range: [0, 1]
        return torch.cat([ecgfm.mean_of(tokens, padding), self.pool(tokens, padding)], dim=1)


def arrange(state: Mapping[str, torch.Tensor]) -> State:
    """The tensors of the published file under the names of `Melp`."""
    inner = {key.removeprefix("ecg_encoder."): value for key, value in state.items() if key.startswith("ecg_encoder.")}
    outer = {key: value for key, value in state.items() if not key.startswith("ecg_encoder.")}
    names = (("attn_pool_contrast.", "pool."), ("ln_contrast.", "pool.norm."))
    for old, new in names:
        outer = {key.replace(old, new, 1) if key.startswith(old) else key: value for key, value in outer.items()}
    return {**ecgfm.arrange(inner), **outer}
