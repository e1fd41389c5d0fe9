"""Networks that are trained on labels: one on typical beats, one on the whole signal.

Both map a flat example to a hidden vector and to the outputs of the tasks. Dropout and all other random steps use
a generator of its own, so that several can be trained at a time and each is the same every time.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from enecg.experts.networks.convolutional import Encoder

LEADS: Final = 12


class SupervisedNet(nn.Module):
    """A network from an example `[recording, number]` to the outputs of its tasks.

    Attributes:
        hidden: numbers before the last layer; with the outputs they are the embedding of a frozen one.
        out: the last layer.
    """

    hidden: int
    out: nn.Linear

    @abstractmethod
    def represent(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`[recording, lead, sample]` to `[recording, hidden]`; with dropout when a generator is given."""

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`[recording, lead, sample]` to `[recording, output]`; with dropout when a generator is given."""
        outputs: Tensor = self.out(dropped(self.represent(x, generator), 0.4, generator))
        return outputs


def dropped(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Dropout (Srivastava et al. 2014) by a generator of its own; nothing without one."""
    if generator is None:
        return x
    keep = torch.rand(x.shape, generator=generator, device=x.device) >= share
    return x * keep / (1 - share)


class _Residual(nn.Module):
    """Two convolutions around a shortcut (He et al. 2016), the first with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, 5, 2, 2, bias=False)
        self.second = nn.Conv1d(outputs, outputs, 5, 1, 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm1d(outputs) for _ in range(2))
        self.shortcut = nn.Conv1d(inputs, outputs, 1, 2)

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        hidden = dropped(F.relu(self.norms[0](self.first(x))), 0.1, generator)
        return F.relu(self.norms[1](self.second(hidden)) + self.shortcut(x))


class BeatNet(SupervisedNet):
    """A small network on typical beats that keeps where in the beat something is.

    Average pooling over time would forget it; a beat is aligned, so its last feature map is taken as it is.
    """

    hidden = 128

    def __init__(self, outputs: int, samples: int = 100) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(LEADS, 48, 7, padding=3, bias=False), nn.BatchNorm1d(48), nn.ReLU(), nn.AvgPool1d(2)
        )
        self.blocks = nn.ModuleList([_Residual(48, 64), _Residual(64, 96)])
        self.narrow = nn.Conv1d(96, 32, 1)
        steps = math.ceil(math.ceil(samples // 2 / 2) / 2)
        self.mix = nn.Linear(32 * steps + 96, self.hidden)
        self.out = nn.Linear(self.hidden, outputs)

    @override
    def represent(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, generator)
        seen = torch.cat([self.narrow(x).flatten(1), x.amax(-1)], 1)
        return F.relu(self.mix(dropped(seen, 0.4, generator)))


class SignalNet(SupervisedNet):
    """A residual network on the whole signal; what each channel does over time is summed up in three numbers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = Encoder(LEADS)
        self.hidden = self.encoder.dim
        self.out = nn.Linear(self.hidden, outputs)

    @override
    def represent(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        length = torch.full((len(x),), x.shape[-1], device=x.device)
        pooled: Tensor = self.encoder(x, length)
        return pooled


NETS: Final[dict[str, type[SupervisedNet]]] = {"beat": BeatNet, "signal": SignalNet}
