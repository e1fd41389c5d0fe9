"""Mantis: small transformers pretrained to tell time series apart; the networks come with the package mantis-tsfm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import require
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish

if TYPE_CHECKING:
    import torch

# What the published networks are; a `config.json` beside the weights may say otherwise, and is then held to.
SIZES: Final[Mapping[str, Any]] = {
    "hidden_dim": 256, "num_patches": 32, "hidden_dim_scalar_enc": 32, "epsilon_scalar_enc": 1.1, "transf_depth": 6,
    "transf_num_heads": 8, "transf_mlp_dim": 512, "transf_dim_head": 128, "seq_len": 512,
}  # fmt: skip
V2_SIZES: Final[Mapping[str, Any]] = {
    **{key: size for key, size in SIZES.items() if key != "seq_len"}, "transf_dim_head": 32, "kernel_size": 41,
}  # fmt: skip
V2_LAYER: Final = 2  # the authors' choice for frozen use, with both kinds of token


def _card(name: str, title: str, per_lead: int, parameters: int, weights: Weights, cost_ms: float) -> Card:
    return Card(
        name=name,
        title=title,
        source="Feofanov, Wen, Alonso, Ilbert, Guo, Tiomoko, Pan, Zhang, Redko: Mantis: Lightweight Calibrated "
        "Foundation Model for User-Friendly Time Series Classification, arXiv 2502.15637; github.com/vfeofanov/mantis",
        licence="MIT",
        dim=12 * per_lead,
        parameters=parameters,
        input=InputSpec(rate=102.4, seconds=5.0),
        weights=weights,
        padding="zeros",
        cost_ms=cost_ms,
        notes="Needs the extra mantis, which asks for pandas below 3. The card of the weights says MIT, the package "
        "Apache-2.0. The authors ask for 512 samples: here two windows of 5 s rather than 10 s in one, which would "
        "round the QRS off. The pretraining has public sets of time series in it, short ECGs among them. The "
        "numbers of an absent lead are unknown (NaN).",
    )


V1: Final = _card(
    "mantis", "Mantis-8M on single leads, class token of each", 256, 8_037_632,
    Weights(file="model.safetensors", hub="paris-noah/Mantis-8M", config="config.json"), 288.0,
)  # fmt: skip
V2: Final = _card(
    "mantis-v2", "MantisV2 on single leads, class token and mean token of its third layer", 512, 2_147_840,
    Weights(file="model.safetensors", hub="paris-noah/MantisV2"), 100.0,
)  # fmt: skip


def build(state: Mapping[str, torch.Tensor], config: Mapping[str, Any], version: int) -> torch.nn.Module:
    """The network of the package with the tensors of the authors' file.

    Args:
        state: tensors by key.
        config: of the authors' `config.json`; the published sizes where it is silent.
        version: 1 or 2.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: not every key finds its place.
    """
    from torch import nn

    from enecg.experts.networks.mantis import MantisLeads
    from enecg.experts.networks.transformer import rename
    from enecg.experts.weights import load_strict

    package: Any = require("mantis.architecture", "mantis", "the expert mantis")
    sizes = V2_SIZES if version == 2 else SIZES
    stated = {key: config[key] for key in sizes if key in config}
    device = "meta" if next(iter(state.values())).is_meta else "cpu"
    if version == 2:
        options = {"return_transf_layer": V2_LAYER, "output_token": "combined"}
        network = package.MantisV2(**{**sizes, **stated, **options}, device=device)
    else:
        network = package.MantisV1(**{**sizes, **stated}, device=device)
    constants = {key: tensor for key, tensor in network.state_dict().items() if key.endswith(".scales")}
    load_strict(network, {**rename(state, ((r"^vit_unit\.", "transf_unit."),)), **constants})
    network.prj = nn.Identity()  # of the pretraining
    if version == 2:
        network.remove_transf_layers()
    return MantisLeads(network)


publish(Published(V1, partial(build, version=1), "Mantis-8M", package="mantis"))
publish(Published(V2, partial(build, version=2), "MantisV2", package="mantis"))
