"""TimesNet, one of the five experts of the EnECG paper: pretrained on one's own recordings, or EnECG's own file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Weights
from enecg.experts.published.catalogue import Published, publish
from enecg.experts.registry import register_kind
from enecg.experts.trained.forecasting import AHEAD, ENECG_PAGE, SAMPLES, enecg_card, load_folder, own_card

if TYPE_CHECKING:
    import torch

KIND: Final = "timesnet"
SIZES: Final[Mapping[str, int]] = {
    "samples": SAMPLES, "ahead": AHEAD, "width": 16, "hidden": 16, "layers": 2, "periods": 2, "kernels": 3,
}  # fmt: skip
ENECG_SIZES: Final[Mapping[str, int]] = {
    **SIZES, "ahead": 1, "hidden": 32, "layers": 3, "periods": 3, "kernels": 6,
}  # fmt: skip

OWN: Final = own_card(
    "timesnet",
    "TimesNet, mean over time of the last hidden series of each lead",
    "Wu, Hu, Liu, Zhou, Wang, Long: TimesNet: Temporal 2D-Variation Modeling for General Time Series Analysis, "
    "ICLR 2023; written anew after github.com/thuml/Time-Series-Library (MIT)",
    dim=12 * SIZES["width"],
    parameters=334_725,
    cost_ms=78.0,
)
CARD: Final = enecg_card(
    "timesnet-enecg",
    "TimesNet with EnECG's weights, mean over time of the last hidden series of each lead",
    dim=12 * ENECG_SIZES["width"],
    parameters=1_130_554,
    weights=Weights(file="checkpoint.pth", page=ENECG_PAGE),
    cost_ms=230.0,
    notes="The layout is computed from EnECG's settings, not verified against the real file. Periods are chosen for "
    "each recording, by the full spectrum; EnECG chooses them for a whole batch, by the real part alone.",
)


def build(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> torch.nn.Module:
    """The network with tensors in the library's layout; `sizes` that differ from those of one's own pretraining.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.timesnet import UNUSED, TimesNet, TimesNetShape
    from enecg.experts.weights import load_strict

    module = TimesNet(TimesNetShape(**{**SIZES, **sizes}))
    load_strict(module, state, ignore=UNUSED)
    return module


register_kind(KIND, lambda folder: load_folder(folder, build))
publish(Published(CARD, lambda state, config: build(state, {**ENECG_SIZES, **config}), "TimesNet-EnECG"))
