"""What TimesNet and DLinear share: a user pretrains them to forecast recordings, or has EnECG's own file of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.network import NetworkExpert

if TYPE_CHECKING:
    import torch

SAMPLES: Final = 500  # that a forecaster sees
AHEAD: Final = 96  # that it is pretrained to forecast
WEIGHTS_FILE: Final = "weights.safetensors"

INPUT: Final = InputSpec(seconds=5.0, band=(0.5, 40.0))
# Longer by what is forecast. Two such windows overlap in a recording of 10 s.
TRAINING_INPUT: Final = replace(INPUT, seconds=INPUT.seconds + AHEAD / INPUT.rate, hop_seconds=4.0)

# EnECG shows its forecasters 10 s in 500 samples, scaled over the whole recording first.
ENECG_INPUT: Final = InputSpec(
    rate=50.0, scaling="record_zscore", eps=1e-8, resampler="fft", steps=("filter", "scale", "resample", "window")
)
ENECG_PAGE: Final = "https://github.com/yuhaoxu99/EnECG"
ENECG: Final = "Xu et al.: EnECG, arXiv 2511.22935; github.com/yuhaoxu99/EnECG"


def enecg_card(name: str, title: str, dim: int, parameters: int, weights: Weights, cost_ms: float, notes: str) -> Card:
    """The card of a forecaster with EnECG's own weights."""
    return Card(
        name=name,
        title=title,
        source=ENECG,
        licence="none stated",
        licence_class="restricted",
        dim=dim,
        parameters=parameters,
        input=ENECG_INPUT,
        weights=weights,
        padding="zeros",
        cost_ms=cost_ms,
        notes=f"The repository of EnECG has no licence: its file may not be passed on. It does not say what it was "
        f"trained on; assume MIMIC-IV-ECG. {notes} The numbers of an absent lead are unknown (NaN).",
    )


def own_card(name: str, title: str, source: str, dim: int, parameters: int, cost_ms: float) -> Card:
    """The card of a forecaster that is pretrained on a user's own recordings; corpora and hash are filled in then."""
    return Card(
        name=name,
        title=title,
        source=f"{source}",
        licence="not stated",
        dim=dim,
        parameters=parameters,
        input=INPUT,
        weights=Weights(file=WEIGHTS_FILE),
        padding="zeros",
        cost_ms=cost_ms,
        notes="Pretrained to forecast 1 s from the 5 s before it, without labels. Forecasting makes poor ECG "
        "features: measure what it adds. The numbers of an absent lead are unknown (NaN).",
    )


def forecast_error(module: torch.nn.Module, signal: torch.Tensor) -> torch.Tensor:
    """Mean squared error of a forecast, over the leads that are not silent.

    Args:
        module: a forecaster.
        signal: `[window, lead, SAMPLES + AHEAD]`, prepared by `TRAINING_INPUT`.
    """
    past, future = signal[..., :SAMPLES], signal[..., SAMPLES:]
    heard = (signal != 0).any(-1, keepdim=True)
    error: torch.Tensor = (module.forecast(past) - future).square() * heard  # type: ignore[operator]
    return error.sum() / (heard.sum() * AHEAD).clamp(min=1)


def load_folder(
    folder: Path, build: Callable[[Mapping[str, torch.Tensor], Mapping[str, Any]], torch.nn.Module]
) -> NetworkExpert:
    """The forecaster that was pretrained into a folder.

    Args:
        folder: holds `card.json` and `weights.safetensors`.
        build: the family's network from its tensors.

    Raises:
        InputError: no readable card.
        WeightsError: the weights are missing, changed or of another layout.
    """
    from enecg.experts.registry import read_card
    from enecg.experts.weights import load_state

    card, _ = read_card(folder)
    return NetworkExpert(card, build(load_state(folder / WEIGHTS_FILE, sha256=card.weights.sha256), {}))
