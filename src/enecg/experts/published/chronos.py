"""Chronos-2 and Chronos-Bolt: forecasters of any series; the networks come with the package chronos-forecasting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError, require
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish

if TYPE_CHECKING:
    import torch

_INPUT: Final = InputSpec(scaling="none", steps=("filter", "resample", "window", "scale"))
# What of the configuration makes the network.
_SIZES: Final = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads")
_COMMON: Final[Mapping[str, Any]] = {
    "d_kv": 64, "feed_forward_proj": "relu", "layer_norm_epsilon": 1e-06, "vocab_size": 2, "reg_token_id": 1,
    "pad_token_id": 0,
}  # fmt: skip
CHRONOS2: Final[Mapping[str, Any]] = {
    **_COMMON, "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "rope_theta": 10000.0,
    "chronos_config": {
        "context_length": 8192, "input_patch_size": 16, "input_patch_stride": 16, "output_patch_size": 16,
        "max_output_patches": 64, "use_reg_token": True, "use_arcsinh": True, "time_encoding_scale": 8192,
        "quantiles": [0.01, *(round(0.05 * step, 2) for step in range(1, 20)), 0.99],
    },
}  # fmt: skip
_BOLT: Final[Mapping[str, Any]] = {
    **_COMMON, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "is_encoder_decoder": True,
    "decoder_start_token_id": 0, "eos_token_id": 1,
    "chronos_config": {
        "context_length": 2048, "input_patch_size": 16, "input_patch_stride": 16, "prediction_length": 64,
        "use_reg_token": True, "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    },
}  # fmt: skip
BOLT: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {**_BOLT, "d_model": 256, "d_ff": 1024, "num_layers": 4, "num_decoder_layers": 4, "num_heads": 4},
    "small": {**_BOLT, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8},
}
_TIED: Final = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # a file has them once, as shared.weight


def _card(name: str, title: str, paper: str, dim: int, parameters: int, weights: Weights, cost_ms: float) -> Card:
    return Card(
        name=name,
        title=title,
        source=f"{paper}; github.com/amazon-science/chronos-forecasting",
        licence="Apache-2.0",
        dim=dim,
        parameters=parameters,
        input=_INPUT,
        weights=weights,
        padding="zeros",
        cost_ms=cost_ms,
        notes="Needs the extra chronos. It was not made for ECGs: 10 s at 100 Hz are its context, scaled by itself.",
    )


def build2(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> torch.nn.Module:
    """Chronos-2 of the package with the tensors of the authors' file.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: the configuration lacks a size, or not every key finds its place.
    """
    from torch import nn

    from enecg.experts.networks.chronos import Chronos2Leads
    from enecg.experts.weights import load_strict

    package: Any = require("chronos.chronos2.model", "chronos", "the expert chronos-2")
    settings = _settings(config, CHRONOS2)
    with _place(state):
        network = package.Chronos2Model(package.Chronos2CoreConfig(**settings))
    load_strict(network, state)
    network.output_patch_embedding = nn.Identity()  # of the forecast
    return Chronos2Leads(network)


def build_bolt(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> torch.nn.Module:
    """Chronos-Bolt of the package with the tensors of the authors' file.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: the configuration lacks a size, or not every key finds its place.
    """
    from torch import nn

    from enecg.experts.networks.chronos import ChronosBoltLeads
    from enecg.experts.weights import load_strict

    package: Any = require("chronos.chronos_bolt", "chronos", "the expert chronos-bolt")
    settings = _settings(config, BOLT["tiny"])
    with _place(state):
        network = package.ChronosBoltModelForForecasting(package.T5Config(**settings))
    tied = {key: state["shared.weight"] for key in _TIED if "shared.weight" in state}
    load_strict(network, {**tied, **state})
    network.decoder = network.output_patch_embedding = nn.Identity()  # of the forecast
    return ChronosBoltLeads(network)


def _settings(config: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration makes the network: the keys that `known` has."""
    absent = [key for key in (*_SIZES, "chronos_config") if key not in config]
    if absent:
        raise WeightsError(f"Chronos: config.json does not say {', '.join(absent)}; fetch the expert again")
    settings = {key: config.get(key, value) for key, value in known.items()}
    return {**settings, "chronos_config": dict(settings["chronos_config"])}


def _place(state: Mapping[str, torch.Tensor]) -> torch.device:
    """Where the network is made: without content when the tensors have none."""
    import torch

    return torch.device("meta" if next(iter(state.values())).is_meta else "cpu")


publish(
    Published(
        _card(
            "chronos-2",
            "Chronos-2, the twelve leads as one group, mean over patches and leads",
            "Ansari et al.: Chronos-2: From Univariate to Universal Forecasting, arXiv 2510.15821",
            768,
            115_824_384,
            Weights(file="model.safetensors", hub="amazon/chronos-2", bytes=477_930_472, config="config.json"),
            2260.0,
        ),
        build2,
        "Chronos-2",
        config=CHRONOS2,
        package="chronos",
        chunk=4,
    )
)
for _size, _parameters, _cost_ms in (("tiny", 3_453_312, 76.0), ("small", 20_015_872, 341.0)):
    publish(
        Published(
            _card(
                f"chronos-bolt-{_size}",
                f"Chronos-Bolt {_size} on single leads, mean over patches of each",
                "Ansari et al.: Chronos: Learning the Language of Time Series, TMLR 2024",
                12 * BOLT[_size]["d_model"],
                _parameters,
                Weights(file="model.safetensors", hub=f"amazon/chronos-bolt-{_size}", config="config.json"),
                _cost_ms,
            ),
            build_bolt,
            f"Chronos-Bolt-{_size}",
            config=BOLT[_size],
            package="chronos",
            chunk=4,
        )
    )
