"""What networks of single leads do with their leads: keep each one's embedding, or take the mean."""

from __future__ import annotations

import torch


def _silent(signal: torch.Tensor) -> torch.Tensor:
    """`[window, lead]`: True where a lead is missing or flat, which is all zeros."""
    return (signal == 0).all(-1)


def kept(embedding: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """Embeddings of leads `[window, lead, dim]` side by side, `[window, lead * dim]`; NaN where a lead is silent."""
    return embedding.masked_fill(_silent(signal)[..., None], torch.nan).flatten(1)


def averaged(embedding: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """Mean `[window, dim]` of the embeddings `[window, lead, dim]` of the leads that are not silent."""
    heard = (~_silent(signal))[..., None].to(embedding.dtype)
    return (embedding * heard).sum(1) / heard.sum(1).clamp(min=1)
