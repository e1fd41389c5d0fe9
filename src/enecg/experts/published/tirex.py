"""TiRex: a recurrent forecaster of any series; the network comes with the package tirex-ts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError, require
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish, require_equal

if TYPE_CHECKING:
    import torch

PATCH: Final = 32
CONFIG: Final[Mapping[str, Any]] = {
    "model_config": {
        "input_patch_size": PATCH,
        "output_patch_size": PATCH,
        "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "block_kwargs": {"embedding_dim": 512, "num_blocks": 12, "num_heads": 4},
        "input_ff_dim": 2048,
    },
    "train_ctx_len": 2048,
}

CARD: Final = Card(
    name="tirex",
    title="TiRex on single leads, mean over the patches of its last block",
    source="Auer, Podest, Klotz, Böck, Klambauer, Hochreiter: TiRex: Zero-Shot Forecasting Across Long and Short "
    "Horizons with Enhanced In-Context Learning, NeurIPS 2025, arXiv 2505.23719; github.com/NX-AI/tirex",
    licence="NXAI Community License",
    licence_class="restricted",
    dim=12 * 512,
    parameters=33_502_208,
    input=InputSpec(scaling="none", steps=("filter", "resample", "window", "scale")),
    weights=Weights(file="model.ckpt", hub="NX-AI/TiRex"),
    padding="zeros",
    cost_ms=1612.0,
    notes="Needs the extra tirex. Its licence asks for attribution, and for a licence of its own from companies with "
    "a revenue above EUR 100 million. It was not made for ECGs: 10 s at 100 Hz are its context, scaled by itself. Its "
    "recurrence is computed in bfloat16, as in the package. The package joins all twelve blocks; here it is the last "
    "one, and the leads stand side by side. The numbers of an absent lead are unknown (NaN).",
)


def build(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> torch.nn.Module:
    """TiRex of the package with the tensors of the authors' file.

    Args:
        state: the file's `state_dict`.
        config: the file's `hyper_parameters`.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: the configuration lacks what makes the network, or not every key finds its place.
    """
    from torch import nn

    from enecg.experts.networks.recurrent import TirexLeads
    from enecg.experts.networks.transformer import rename
    from enecg.experts.weights import load_strict

    stated = config.get("model_config")
    absent = [key for key in CONFIG["model_config"] if not isinstance(stated, Mapping) or key not in stated]
    if stated is None or absent or "train_ctx_len" not in config:
        raise WeightsError(f"TiRex: its configuration lacks {', '.join(absent) or 'train_ctx_len'}; fetch it again")
    require_equal("TiRex", stated, {"input_patch_size": PATCH, "output_patch_size": PATCH})
    package: Any = require("tirex.models.tirex", "tirex", "the expert tirex")
    network = package.TiRexZero("torch", model_config=dict(stated), train_ctx_len=config["train_ctx_len"])
    load_strict(network, rename(state, ((r"^block_stack\.", ""),)))  # a prefix that older files have
    network.out_norm = network.output_patch_embedding = nn.Identity()  # of the forecast
    return TirexLeads(network, PATCH)


publish(
    Published(
        CARD,
        build,
        "TiRex",
        inside="state_dict",
        config_inside="hyper_parameters",
        config=CONFIG,
        package="tirex",
        chunk=4,
    )
)
