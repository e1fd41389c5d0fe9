"""ECG-FM's network: strided convolutions, a convolution that encodes positions, and a transformer.

wav2vec 2.0 (Baevski et al., NeurIPS 2020) on twelve leads: McKeen et al., "ECG-FM", 2024; Oh et al., CHIL 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn import functional as F

from enecg.experts.networks.transformer import Layer, seen_by_all

if TYPE_CHECKING:
    from enecg.experts.weights import State

# Needed for the pretraining only.
UNUSED: Final = ("mask_emb", "quantizer.*", "project_q.*", "final_proj.*")


@dataclass(frozen=True)
class EcgFmShape:
    """Sizes of an ECG-FM. Heads and the place of the norms cannot be read from weights.

    Attributes:
        width: of the tokens.
        layers: of the transformer.
        heads: of each layer.
        hidden: of each layer's perceptron.
        norm_first: whether a layer's norms stand before attention and perceptron, rather than behind.
        leads: rows of the signal.
        channels: of each convolution.
        convolutions: their number; each halves the rate.
        reach: tokens that the convolution of places sees.
        groups: of that convolution.
        labels: number of labels of a fine-tuned model; 0 for the pretrained one.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    norm_first: bool = False
    leads: int = 12
    channels: int = 256
    convolutions: int = 4
    reach: int = 128
    groups: int = 16
    labels: int = 0


class Feature(nn.Module):
    """One strided convolution; the first is normed for each channel over time."""

    def __init__(self, before: int, after: int, first: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, 2, stride=2, bias=False)
        self.norm = nn.GroupNorm(after, after) if first else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[window, before, time]` to `[window, after, time / 2]`."""
        return F.gelu(self.norm(self.conv(x)))


class EcgFm(nn.Module):
    """The encoder; the embedding is the mean of the last layer's tokens, and the logits of a fine-tuned model."""

    def __init__(self, shape: EcgFmShape) -> None:
        super().__init__()
        self.shape = shape
        self.features = nn.ModuleList(
            Feature(shape.channels if i else shape.leads, shape.channels, i == 0) for i in range(shape.convolutions)
        )
        self.feature_norm = nn.LayerNorm(shape.channels)
        self.project = nn.Linear(shape.channels, shape.width)
        self.places = nn.Conv1d(shape.width, shape.width, shape.reach, padding=shape.reach // 2, groups=shape.groups)
        self.norm = nn.LayerNorm(shape.width)
        self.layers = nn.ModuleList(
            Layer(shape.width, shape.heads, shape.hidden, shape.norm_first) for _ in range(shape.layers)
        )
        self.labels = nn.Linear(shape.width, shape.labels) if shape.labels else None

    def tokens(self, signal: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed time steps of 2 ** convolutions samples.

        Args:
            signal: `[window, lead, sample]`.
            length: `[window]`; samples that are not padding.

        Returns:
            Tokens `[window, token, width]`, and which of them are padding, bool `[window, token]`.
        """
        hidden = signal
        for feature in self.features:
            hidden = feature(hidden)
        hidden = self.project(self.feature_norm(hidden.transpose(1, 2)))
        count = hidden.shape[1]
        placed = F.gelu(self.places(hidden.transpose(1, 2))[..., :count]).transpose(1, 2)
        valid = (length >> self.shape.convolutions).clamp(1, count)
        padding = torch.arange(count, device=signal.device) >= valid[:, None]
        hidden = (hidden + placed).masked_fill(padding[..., None], 0)
        seen = seen_by_all(~padding)
        if not self.shape.norm_first:
            hidden = self.norm(hidden)
        for layer in self.layers:
            hidden = layer(hidden, seen)
        return self.norm(hidden) if self.shape.norm_first else hidden, padding

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, width + labels]`."""
        pooled = mean_of(*self.tokens(signal, length))
        return pooled if self.labels is None else torch.cat([pooled, self.labels(pooled)], dim=1)


def mean_of(tokens: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    """Mean `[window, width]` of the tokens `[window, token, width]` that are not padding, bool `[window, token]`."""
    share = ~padding / (~padding).sum(1, keepdim=True)
    return (tokens * share[..., None]).sum(1)


_NAMES: Final = (
    ("post_extract_proj.", "project."),
    ("conv_pos.pos_conv.0.", "places."),
    ("encoder.layer_norm.", "norm."),
    ("encoder.layers.", "layers."),
    ("layer_norm.", "feature_norm."),
    ("proj.", "labels."),
)
_LAYER_NAMES: Final = (
    (".self_attn_layer_norm.", ".norm1."),
    (".final_layer_norm.", ".norm2."),
    (".fc1.", ".linear1."),
    (".fc2.", ".linear2."),
)


def arrange(state: Mapping[str, torch.Tensor]) -> State:
    """The tensors of a published file, pretrained or fine-tuned, under the names of `EcgFm`."""
    if any(key.startswith("encoder.encoder.") for key in state):  # fine-tuned: the model is one level deeper
        state = {key.removeprefix("encoder."): tensor for key, tensor in state.items()}
    arranged: State = {}
    for key, tensor in state.items():
        name = key
        if key.startswith("feature_extractor.conv_layers."):
            _, _, number, part, kind = key.split(".")
            name = f"features.{number}.{'conv' if part == '0' else 'norm'}.{kind}"
        else:
            for old, new in _NAMES:
                if key.startswith(old):
                    name = new + key.removeprefix(old)
                    break
        if name.startswith("layers."):
            for old, new in _LAYER_NAMES:
                name = name.replace(old, new)
        arranged[name] = tensor
    return _join_projections(arranged)


def _join_projections(state: State) -> State:
    """Queries, keys and values of each layer as the one matrix that torch has; incomplete ones stay as they are."""
    for key in [key for key in state if key.endswith(".self_attn.q_proj.weight")]:
        base = key.removesuffix("q_proj.weight")
        for kind in ("weight", "bias"):
            names = [f"{base}{part}_proj.{kind}" for part in "qkv"]
            if all(name in state for name in names):
                state[f"{base}in_proj_{kind}"] = torch.cat([state.pop(name) for name in names])
    return state
