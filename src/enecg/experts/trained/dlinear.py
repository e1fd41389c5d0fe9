"""DLinear, one of the five experts of the EnECG paper: pretrained on one's own recordings, or EnECG's own file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Weights
from enecg.experts.published.catalogue import Published, publish
from enecg.experts.registry import register_kind
from enecg.experts.trained.forecasting import AHEAD, ENECG_PAGE, SAMPLES, enecg_card, load_folder, own_card

if TYPE_CHECKING:
    import torch

KIND: Final = "dlinear"
SIZES: Final[Mapping[str, int]] = {"samples": SAMPLES, "ahead": AHEAD, "average": 25}
ENECG_SIZES: Final[Mapping[str, int]] = {"samples": SAMPLES, "ahead": 1, "average": 1001}

OWN: Final = own_card(
    "dlinear",
    "DLinear, the forecast of each lead",
    "Zeng, Chen, Zhang, Xu: Are Transformers Effective for Time Series Forecasting?, AAAI 2023; written anew after "
    "github.com/thuml/Time-Series-Library (MIT)",
    dim=12 * SIZES["ahead"],
    parameters=96_192,
    cost_ms=3.0,
)
CARD: Final = enecg_card(
    "dlinear-enecg",
    "DLinear with EnECG's weights, the next sample that it expects of each lead",
    dim=12,
    parameters=1_002,
    weights=Weights(file="checkpoint.pth", page=ENECG_PAGE, bytes=6_248),
    cost_ms=3.0,
    notes="One number a lead, which says next to nothing of age, sex or rhythm.",
)


def build(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> torch.nn.Module:
    """The network with tensors in the library's layout; `sizes` that differ from those of one's own pretraining.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.dlinear import DLinear, DLinearShape
    from enecg.experts.weights import load_strict

    module = DLinear(DLinearShape(**{**SIZES, **sizes}))
    load_strict(module, state)
    return module


register_kind(KIND, lambda folder: load_folder(folder, build))
publish(Published(CARD, lambda state, config: build(state, {**ENECG_SIZES, **config}), "DLinear-EnECG"))
