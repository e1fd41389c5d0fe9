"""TimesNet: a series folded at its strongest periods into images, read by two-dimensional convolutions.

Wu et al., ICLR 2023. The periods are those of one recording, so that its embedding does not depend on others; the
library's code averages the spectrum over the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import nn
from torch.nn import functional as F

from enecg.experts.networks.lead_selection import kept

# Tensors of the library's files that are not needed without time stamps.
UNUSED: Final = ("enc_embedding.temporal_embedding.*",)


@dataclass(frozen=True)
class TimesNetShape:
    """Sizes of a TimesNet that forecasts one series.

    Attributes:
        samples: that it sees.
        ahead: that it forecasts.
        width: of the hidden series.
        hidden: channels between the two convolutions of a layer.
        layers: number of layers.
        periods: folded at, in every layer.
        kernels: of each convolution, 1, 3, 5, … samples wide, averaged.
    """

    samples: int = 500
    ahead: int = 96
    width: int = 16
    hidden: int = 32
    layers: int = 3
    periods: int = 3
    kernels: int = 6


class Inception(nn.Module):
    """The mean of square convolutions of growing size."""

    def __init__(self, before: int, width: int, kernels: int) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(nn.Conv2d(before, width, 2 * i + 1, padding=i) for i in range(kernels))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[series, channel, row, column]` to the same with other channels."""
        total: torch.Tensor = sum(kernel(image) for kernel in self.kernels)
        return total / len(self.kernels)


class TimesBlock(nn.Module):
    """One layer: fold at each period, convolve, unfold, and weigh the results by the amplitudes of the periods."""

    def __init__(self, shape: TimesNetShape) -> None:
        super().__init__()
        self.periods = shape.periods
        self.conv = nn.Sequential(
            Inception(shape.width, shape.hidden, shape.kernels),
            nn.GELU(),
            Inception(shape.hidden, shape.width, shape.kernels),
        )

    def forward(self, series: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """Hidden series `[lead, time, width]` of one recording to the same shape.

        Args:
            series: the leads.
            live: `[lead]`, 1 for the leads whose spectra choose the periods, else 0.
        """
        count, length, _ = series.shape
        amplitude = torch.fft.rfft(series.float(), dim=1).abs().mean(-1)
        spectrum = (amplitude * live[:, None]).sum(0)
        strongest = spectrum[1:].topk(self.periods).indices + 1  # not the mean
        folded = []
        for period in (length // strongest).tolist():
            rows = math.ceil(length / period)
            image = F.pad(series, (0, 0, 0, rows * period - length)).view(count, rows, period, -1)
            image = self.conv(image.permute(0, 3, 1, 2))
            folded.append(image.permute(0, 2, 3, 1).reshape(count, rows * period, -1)[:, :length])
        weights = amplitude[:, strongest].softmax(-1)
        mixed = torch.einsum("pltw,lp->ltw", torch.stack(folded), weights)
        return mixed + series


class TimesNet(nn.Module):
    """The forecaster; key names are those of the library's files."""

    not_exported: ClassVar[str] = "its shape follows the periods of each recording"

    def __init__(self, shape: TimesNetShape) -> None:
        super().__init__()
        self.shape = shape
        token = nn.Conv1d(1, shape.width, 3, padding=1, padding_mode="circular", bias=False)
        place = nn.Module()
        place.register_buffer("pe", _waves(5000, shape.width))
        self.enc_embedding = nn.ModuleDict(
            {"value_embedding": nn.ModuleDict({"tokenConv": token}), "position_embedding": place}
        )
        self.predict_linear = nn.Linear(shape.samples, shape.samples + shape.ahead)
        self.model = nn.ModuleList(TimesBlock(shape) for _ in range(shape.layers))
        self.layer_norm = nn.LayerNorm(shape.width)
        self.projection = nn.Linear(shape.width, 1)

    def hidden(self, leads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The last hidden series of one recording.

        Args:
            leads: `[lead, sample]`.

        Returns:
            `[lead, sample + ahead, width]`, and mean and standard deviation of each lead, `[lead, 1]`.
        """
        mean = leads.mean(1, keepdim=True)
        deviation = (leads.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        scaled = ((leads - mean) / deviation)[:, None]
        embedding = self.enc_embedding
        token = embedding.get_submodule("value_embedding.tokenConv")
        place = embedding.get_submodule("position_embedding").get_buffer("pe")
        series = token(scaled).transpose(1, 2) + place[:, : leads.shape[1]]
        series = self.predict_linear(series.transpose(1, 2)).transpose(1, 2)
        live = (leads != 0).any(1).to(leads.dtype)
        for layer in self.model:
            series = self.layer_norm(layer(series, live))
        return series, mean, deviation

    def forecast(self, signal: torch.Tensor) -> torch.Tensor:
        """What follows: signals `[window, lead, sample]` to `[window, lead, ahead]`."""
        ahead = []
        for leads in signal:
            series, mean, deviation = self.hidden(leads)
            ahead.append(self.projection(series[:, -self.shape.ahead :])[..., 0] * deviation + mean)
        return torch.stack(ahead)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` to `[window, lead * width]`: each lead's mean over time."""
        pooled = torch.stack([self.hidden(leads)[0].mean(1) for leads in signal])
        return kept(pooled, signal)


def _waves(count: int, width: int) -> torch.Tensor:
    """Sines and cosines of falling frequency at each place, `[1, place, width]` (Vaswani et al., NeurIPS 2017)."""
    place = torch.arange(count)[:, None]
    angle = place * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[None]
