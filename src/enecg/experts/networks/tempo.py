"""TEMPO: a series taken apart into trend, season and rest, each announced by words, read by six blocks of GPT-2.

Cao et al., ICLR 2024; GPT-2 by Radford et al., 2019; its adapters are LoRA (Hu et al., ICLR 2022), merged when loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn
from torch.nn import functional as F

from enecg.errors import WeightsError
from enecg.experts.networks.lead_selection import averaged, kept
from enecg.experts.networks.transformer import TransformerBlock, rename

if TYPE_CHECKING:
    from enecg.experts.weights import State

PARTS: Final = ("trend", "season", "noise")
# "Predict the future time step given the" + " trend", " season", " residual" in the byte pairs of GPT-2.
PROMPTS: Final = tuple((47, 17407, 262, 2003, 640, 2239, 1813, 262, last) for last in (5182, 1622, 29598))
LORA_RANK: Final = 16
LORA_ALPHA: Final = 16

# Stored but never used: by the official code, or for an embedding. GPT-2's causal mask was stored by old versions.
UNUSED: Final = (
    "mul_season.*",
    "map_resid.*",
    "rev_in_season.*",
    "rev_in_noise.*",
    "blocks.*.attn.bias",
    "blocks.*.attn.masked_bias",
)
_HEADS: Final = ("out_layer_trend.*", "out_layer_season.*", "out_layer_noise.*")

_NAMES: Final = (
    (r"^gpt2\.h\.", "blocks."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.attn\.c_attn\.", ".qkv."),
    (r"\.attn\.c_proj\.", ".proj."),
    (r"\.mlp\.c_fc\.", ".fc1."),
    (r"\.mlp\.c_proj\.", ".fc2."),
    (r"^gpt2\.", ""),
)


@dataclass(frozen=True)
class TempoShape:
    """Sizes of a TEMPO.

    Attributes:
        samples: that it sees.
        ahead: that it forecasts.
        width: of the tokens.
        layers: of GPT-2.
        heads: of each layer.
        places: that GPT-2 has embeddings for.
        patch: samples in a patch.
        stride: samples between patches.
        average: length of the moving average; odd.
    """

    samples: int = 336
    ahead: int = 96
    width: int = 768
    layers: int = 6
    heads: int = 12
    places: int = 1024
    patch: int = 16
    stride: int = 8
    average: int = 25

    @property
    def patches(self) -> int:
        """Patches of one part, the padded one included."""
        return (self.samples - self.patch) // self.stride + 2


class Tempo(nn.Module):
    """The encoder, and its forecast when `forecasts`.

    Args:
        shape: sizes.
        forecasts: whether the output is the forecast rather than the tokens' means.
    """

    prompts: torch.Tensor

    def __init__(self, shape: TempoShape, forecasts: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.rev_in_trend = nn.ParameterDict({"affine_weight": torch.ones(1), "affine_bias": torch.zeros(1)})
        self.map_trend = nn.Linear(shape.samples, shape.samples)
        self.map_season = nn.Sequential(
            nn.Linear(shape.samples, 4 * shape.samples), nn.ReLU(), nn.Linear(4 * shape.samples, shape.samples)
        )
        for part in PARTS:
            self.add_module(f"in_layer_{part}", nn.Linear(shape.patch, shape.width))
            if forecasts:
                self.add_module(f"out_layer_{part}", nn.Linear(shape.patches * shape.width, shape.ahead))
        self.register_buffer("prompts", torch.zeros(len(PARTS), len(PROMPTS[0]), shape.width))
        self.wpe = nn.Embedding(shape.places, shape.width)
        self.blocks = nn.ModuleList(
            TransformerBlock(shape.width, shape.heads, 4 * shape.width, causal=True) for _ in range(shape.layers)
        )
        self.ln_f = nn.LayerNorm(shape.width)
        self.forecasts = forecasts

    def tokens(self, leads: torch.Tensor) -> torch.Tensor:
        """Last hidden states of the patches, `[lead, part, patch, width]`, of leads `[lead, sample]` in RevIN's scale.

        A token sees those before it: the trend is read alone, the season after the trend, the rest after both.
        """
        reach = self.shape.average // 2
        smooth = F.avg_pool1d(F.pad(leads[:, None], (reach, reach), mode="replicate"), self.shape.average, stride=1)
        trend = self.map_trend(smooth[:, 0])
        season = self.map_season(leads - trend)
        sequence = []
        for part, series, prompt in zip(PARTS, (trend, season, leads - trend - season), self.prompts, strict=True):
            padded = F.pad(series[:, None], (0, self.shape.stride), mode="replicate")[:, 0]
            patches = self.get_submodule(f"in_layer_{part}")(padded.unfold(-1, self.shape.patch, self.shape.stride))
            sequence += [prompt.expand(leads.shape[0], -1, -1), patches]
        hidden = torch.cat(sequence, dim=1)
        hidden = hidden + self.wpe.weight[: hidden.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        parts: torch.Tensor = self.ln_f(hidden).view(leads.shape[0], len(PARTS), -1, self.shape.width)
        return parts[:, :, len(PROMPTS[0]) :]

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, 3 * width]`, means over the patches of each part and over
        leads, or to each lead's forecast, `[window, lead * ahead]`.
        """
        mean = signal.mean(-1, keepdim=True)
        deviation = (signal.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        weight, bias = self.rev_in_trend["affine_weight"], self.rev_in_trend["affine_bias"]
        leads = ((signal - mean) / deviation * weight + bias).flatten(0, 1)
        tokens = self.tokens(leads)
        if not self.forecasts:
            return averaged(tokens.mean(2).view(*signal.shape[:2], -1), signal)
        ahead = torch.zeros(*signal.shape[:2], self.shape.ahead, device=signal.device)
        for part, patches in zip(PARTS, tokens.unbind(1), strict=True):
            ahead += self.get_submodule(f"out_layer_{part}")(patches.flatten(1)).view_as(ahead)
        return kept((ahead - bias) / (weight + 1e-10) * deviation + mean, signal)


def arrange(state: Mapping[str, torch.Tensor], forecasts: bool = False) -> tuple[State, tuple[str, ...]]:
    """Bring the tensors of the published file into the names and shapes of `Tempo`.

    Both ways in which PEFT has written the adapted layers are read (`c_attn.base_layer.weight`, and `c_attn.weight`
    of versions before 0.6). The adapters are merged, GPT-2's matrices turned, and the prompts embedded once.

    Args:
        state: tensors of the file.
        forecasts: whether the layers of the forecast are wanted.

    Returns:
        The tensors, and patterns of the keys that are not needed.

    Raises:
        WeightsError: prompts, their layers, or the adapters are not there as they must be.
    """
    given = rename(state, ((r"^gpt2_trend\.base_model\.model\.", "gpt2."), (r"\.base_layer\.", ".")))
    if len(given) < len(state):
        raise WeightsError("TEMPO: a layer is there twice, with .base_layer and without; is the file a merge of two?")
    _merge_adapters(given)
    given["prompts"] = _prompts(given)
    arranged = {
        key: tensor.T if key.startswith("blocks.") and tensor.ndim == 2 else tensor  # GPT-2 stores [in, out]
        for key, tensor in rename(given, _NAMES).items()
    }
    return arranged, UNUSED if forecasts else (*UNUSED, *_HEADS)


def _merge_adapters(given: State) -> None:
    """Add `alpha / rank * B A` to each adapted matrix, in place, and drop the adapters."""
    layers = [key.removesuffix("ln_1.weight") for key in given if key.endswith(".ln_1.weight")]
    for layer in layers:
        keys = [f"{layer}attn.c_attn.{end}" for end in ("lora_A.default.weight", "lora_B.default.weight", "weight")]
        down, up, base = keys
        absent = [key for key in keys if key not in given]
        if absent:
            raise WeightsError(f"TEMPO: missing: {', '.join(absent)}; it is not the file that the card names")
        a, b = given.pop(down), given.pop(up)
        if a.shape[0] != LORA_RANK or b.shape[1] != LORA_RANK:
            raise WeightsError(f"TEMPO: {down} has rank {a.shape[0]}, not {LORA_RANK}; its scale is not known")
        given[base] = given[base] + (b @ a).T * (LORA_ALPHA / LORA_RANK)


def _prompts(given: State) -> torch.Tensor:
    """The embedded prompts, `[part, word, width]`; drops the table of words and the layers that it goes through."""
    keys = ["gpt2.wte.weight", *(f"prompt_layer_{part}.{kind}" for part in PARTS for kind in ("weight", "bias"))]
    absent = [key for key in keys if key not in given]
    if absent:
        raise WeightsError(f"TEMPO: missing: {', '.join(absent)}; it is not the file that the card names")
    table, *layers = (given.pop(key) for key in keys)
    words = [table[list(ids)] for ids in PROMPTS]
    return torch.stack([F.linear(word, layers[2 * i], layers[2 * i + 1]) for i, word in enumerate(words)])
