"""MOMENT: a transformer pretrained on many kinds of series, one of the five experts of the EnECG paper."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish, require_equal
from enecg.leads import CHEST

if TYPE_CHECKING:
    import torch

LEADS: Final = ("I", "II", *CHEST)  # the limb leads that are left follow from I and II

SIZES: Final[Mapping[str, Mapping[str, int]]] = {
    "small": {"width": 512, "hidden": 1024, "heads": 6, "layers": 8},
    "base": {"width": 768, "hidden": 2048, "heads": 12, "layers": 12},
    "large": {"width": 1024, "hidden": 2816, "heads": 16, "layers": 24},
}


def config_of(sizes: Mapping[str, int]) -> dict[str, Any]:
    """The authors' config.json, as far as it says what the network is."""
    return {
        "patch_len": 8,
        "patch_stride_len": 8,
        "transformer_type": "encoder_only",
        "t5_config": {
            "d_model": sizes["width"],
            "d_ff": sizes["hidden"],
            "d_kv": sizes.get("head", 64),
            "num_heads": sizes["heads"],
            "num_layers": sizes["layers"],
            "feed_forward_proj": "gated-gelu",
            "layer_norm_epsilon": 1e-6,
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
        },
    }


def _card(size: str, parameters: int, cost_ms: float, **known: Any) -> Card:
    return Card(
        name=f"moment-{size}",
        title=f"MOMENT-1-{size}, eight leads one by one",
        source="Goswami, Szafer, Choudhry, Cai, Li, Dubrawski: MOMENT: A Family of Open Time-series Foundation "
        "Models, ICML 2024; github.com/moment-timeseries-foundation-model/moment",
        licence="MIT",
        dim=len(LEADS) * SIZES[size]["width"],
        parameters=parameters,
        input=InputSpec(rate=100.0, seconds=5.12, hop_seconds=4.88, leads=LEADS, scaling="none"),
        weights=Weights(
            file="model.safetensors", hub=f"AutonLab/MOMENT-1-{size}", config="config.json", **known
        ),
        cost_ms=cost_ms,
        notes="Windows of 512 samples at 100 Hz; two cover 10 s, and their embeddings are averaged. (10 s in one "
        "window would be 51 Hz, which rounds the QRS off.) Each lead is scaled by itself inside the network, and the "
        "embeddings of eight leads stand side by side; the authors' code averages the leads. Those of an absent lead "
        "are unknown (NaN). The Time-series Pile, on which it was pretrained, holds a few ECGs of the UCR and UEA "
        "archives, such as ECG200 and ECG5000.",
    )  # fmt: skip


CARDS: Final[Mapping[str, Card]] = {
    "small": _card("small", 18_887_360, 432.0),
    "base": _card(
        "base",
        84_960_384,
        1845.0,
        sha256="1a436826ffe618273ec62b9656dc4cab8edc470364f104e90542a4ebc14fb825",
        bytes=453_940_120,
        revision="9fea447e740eb968a9e8d80c7562ae122bdb5dde",
    ),
    "large": _card("large", 308_340_224, 6507.0),
}


def build(state: Mapping[str, torch.Tensor], config: Mapping[str, Any], sizes: Mapping[str, int]) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file.

    Args:
        state: tensors by key.
        config: config.json. An old one of MOMENT-1-large has no `t5_config`; the sizes are then as `sizes` says.
        sizes: what the network must be.

    Raises:
        WeightsError: the configuration is of another network, or not every key finds its place.
    """
    from enecg.experts.networks.moment import NAMES, UNUSED, Moment, MomentShape
    from enecg.experts.networks.transformer import rename
    from enecg.experts.weights import load_strict

    wanted = config_of(sizes)
    inner = wanted.pop("t5_config")
    require_equal("MOMENT", config, wanted)
    stated = config.get("t5_config", {})
    if not isinstance(stated, Mapping):
        raise WeightsError("MOMENT: t5_config in config.json is no table; fetch the expert again")
    require_equal("MOMENT", stated, inner)
    module = Moment(MomentShape(**sizes))
    load_strict(module, rename(state, NAMES), ignore=UNUSED)
    return module


for _size, _one in CARDS.items():
    publish(
        Published(
            _one,
            partial(build, sizes=SIZES[_size]),
            layout=f"MOMENT-1-{_size}",
            config=config_of(SIZES[_size]),
            chunk=4,
        )
    )
