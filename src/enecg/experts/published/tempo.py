"""TEMPO: a forecaster made of GPT-2, one of the five experts of the EnECG paper; its tokens, or its forecast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish

if TYPE_CHECKING:
    import torch

# 10 s in the 336 samples that TEMPO sees, scaled over the whole recording first: EnECG's way.
_INPUT: Final = InputSpec(
    rate=33.6, scaling="record_zscore", eps=1e-8, resampler="fft", steps=("filter", "scale", "resample", "window")
)


def _card(name: str, what: str, dim: int, parameters: int) -> Card:
    return Card(
        name=name,
        title=f"TEMPO-80M, six blocks of GPT-2 that read trend, season and rest; {what}",
        source="Cao, Jia, Arik, Pfister, Zheng, Ye, Liu: TEMPO: Prompt-based Generative Pre-trained Transformer for "
        "Time Series Forecasting, ICLR 2024; github.com/DC-research/TEMPO",
        licence="MIT",
        dim=dim,
        parameters=parameters,
        input=_INPUT,
        weights=Weights(file="TEMPO-80M_v1.pth", hub="Melady/TEMPO"),
        padding="zeros",
        cost_ms=2120.0,
        notes="Layout not verified against the real file: both ways in which PEFT may have written it are read, and "
        "anything else is refused. The authors' repository has an MIT licence file and an Apache-2.0 badge. It was "
        "not trained on ECGs. 10 s are resampled to 336 samples (33.6 Hz), which rounds the QRS complex. It needs "
        "about 0.3 GB for each recording in a batch.",
    )


CARD: Final = _card("tempo", "mean over patches and leads of each part", 3 * 768, 44_372_450)
FORECAST: Final = _card("tempo-forecast", "the 96 samples that it expects of each lead", 12 * 96, 53_662_466)


def build(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any], forecasts: bool = False) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file, adapters merged.

    Args:
        state: tensors by key.
        sizes: that differ from the published ones.
        forecasts: whether the output is the forecast.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.tempo import Tempo, TempoShape, arrange
    from enecg.experts.weights import load_strict

    module = Tempo(TempoShape(**sizes), forecasts)
    arranged, unused = arrange(state, forecasts)
    load_strict(module, arranged, ignore=unused)
    return module


publish(Published(CARD, build, "TEMPO-80M-current-peft", chunk=4))
publish(Published(FORECAST, partial(build, forecasts=True), "TEMPO-80M-current-peft", chunk=4))
