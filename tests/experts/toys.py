"""Toys of published models: the file's structure with small sizes and few layers, for tests from file to embedding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import Published, find
from enecg.experts.published.chronos import BOLT, CHRONOS2
from enecg.experts.published.hubert_ecg import FIXED
from enecg.experts.published.melp import CONFIG as MELP
from enecg.experts.published.tirex import CONFIG as TIREX
from enecg.experts.published.xecg import SIZES as XECG
from enecg.experts.weights import fold_weight_norm

torch.set_num_threads(1)  # toys: threads cost more than they save


@dataclass(frozen=True)
class Toy:
    """A small model in the layout of a published one.

    Attributes:
        name: of the expert.
        sizes: size in the published file -> size in the toy's.
        config: what `build` is told beyond the file.
        shape: of the input, `[lead, sample]`.
        dim: of the embedding.
        needed: a key of the file that the network needs.
        drop: regular expression of the keys that the toy does not have.
        options: what `build` is told besides.
    """

    name: str
    sizes: Mapping[int, int]
    config: Mapping[str, Any]
    shape: tuple[int, int]
    dim: int
    needed: str
    drop: str = r"(block|blocks\.|h\.|encoder\.layers\.)([2-9]|1\d)\."
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def published(self) -> Published:
        found = find(self.name)
        assert found is not None
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors as the file has them, by seed 0."""
        shapes = generate.layout(self.published.layout)
        kept = {key: shape for key, shape in shapes.items() if not re.search(self.drop, key)}
        return generate.draw({key: [self.sizes.get(size, size) for size in shape] for key, shape in kept.items()})

    def build(self, state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
        return self.published.build(fold_weight_norm(state), self.config, **self.options)

    def signal(self, count: int = 3) -> torch.Tensor:
        """Wandering signals `[window, lead, sample]`, by seed 1."""
        rng = np.random.default_rng(1)
        return torch.from_numpy(rng.standard_normal((count, *self.shape)).astype(np.float32).cumsum(-1))


_VIT = {"width": 16, "depth": 2, "heads": 4, "hidden": 64, "samples": 30, "patch": 5}
_TEMPO = {
    "sizes": {336: 48, 768: 16, 1344: 192, 1024: 64, 2304: 48, 3072: 64, 96: 4, 32256: 96},
    "config": {"samples": 48, "ahead": 4, "width": 16, "layers": 2, "heads": 4, "places": 64},
    "shape": (12, 48),
    "dim": 48,
}
_TIMESNET = {"samples": 40, "width": 4, "hidden": 6, "layers": 1, "periods": 2, "kernels": 3}
_HUBERT = {
    **FIXED, "conv_dim": [32] * 5, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64,
}  # fmt: skip

_MELP = {"encoder_layers": 2, "encoder_embed_dim": 48, "encoder_attention_heads": 12, "encoder_ffn_embed_dim": 64,
         "conv_feature_layers": "[(16, 2, 2)] * 4"}  # fmt: skip
_TIREX = {
    "model_config": {
        **TIREX["model_config"],
        "block_kwargs": {"embedding_dim": 32, "num_blocks": 2, "num_heads": 4},
        "input_ff_dim": 128,
    },
    "train_ctx_len": 128,
}
_XECG = {"config": {**XECG, "embedding_size": 32, "xlstm_config": ["s", "s", "m"]}}

_CHRONOS = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}

TOYS = (
    Toy("st-mem", {768: 16, 2304: 48, 3072: 64, 75: 5, 32: 8}, _VIT, (12, 30), 16, "block1.attn.fn.to_qkv.weight"),
    Toy("ecg-jepa", {768: 16, 2304: 48, 3072: 64, 50: 5, 400: 48}, _VIT, (8, 30), 16, "W_P.weight"),
    Toy("merl", {64: 4, 128: 6, 256: 8, 512: 10}, {"widths": (4, 6, 8, 10)}, (12, 100), 10, "layer2.0.conv1.weight"),
    Toy("merl-vit", {192: 16, 576: 48, 768: 64, 50: 5, 100: 6}, _VIT, (12, 30), 16, "to_patch_embedding.weight"),
    Toy("tempo", **_TEMPO, needed="gpt2_trend.base_model.model.wpe.weight"),
    Toy("tempo-forecast", **_TEMPO, needed="out_layer_season.weight"),
    Toy("timesnet-enecg", {16: 4, 32: 6, 500: 40, 501: 41}, _TIMESNET, (12, 40), 48, "predict_linear.weight",
        drop=r"kernels\.[3-5]|model\.[12]"),
    Toy("hubert-ecg-small", {512: 32, 2048: 64, 32: 2, 256: 8, 500: 5}, _HUBERT, (12, 200), 32,
        "feature_projection.projection.weight"),
    Toy("melp", {768: 48, 48: 3, 256: 16, 3072: 64, 2304: 144}, {**MELP, "shared_emb_dim": 16}, (12, 400), 64,
        "attn_pool_contrast.attn.k_proj_weight",
        options={"sizes": {"small": _MELP}}),
    Toy("mantis", {}, {}, (12, 512), 3072, "tokgen_unit.convs.0.conv.weight", drop="never"),
    Toy("mantis-v2", {}, {}, (12, 512), 6144, "tokgen_unit.convs.0.conv.weight", drop="never"),
    Toy("chronos-2", {768: 32, 3072: 64}, {**CHRONOS2, **_CHRONOS}, (12, 100), 32, "shared.weight",
        drop=r"block\.([2-9]|1\d)\."),
    Toy("chronos-bolt-tiny", {256: 32, 1024: 64}, {**BOLT["tiny"], **_CHRONOS, "num_decoder_layers": 2}, (12, 100),
        384, "input_patch_embedding.output_layer.weight", drop=r"block\.[23]\."),
    Toy("tirex", {512: 32, 128: 8, 2048: 128, 1408: 128}, _TIREX, (12, 100), 384, "out_norm.weight"),
    Toy("xecg", {1024: 32, 256: 8, 4096: 128, 2048: 64, 512: 16, 6144: 192, 1344: 64, 2688: 128}, _XECG, (12, 100), 32,
        "patch_embedding.conv.weight", drop=r"blocks\.[3-8]\."),
    Toy("dlinear-enecg", {500: 40}, {"samples": 40, "average": 81}, (12, 40), 12, "Linear_Trend.weight"),
)  # fmt: skip
