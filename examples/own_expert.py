"""A network of one's own as an expert: what `docs/own-expert.md` explains.

python examples/own_expert.py                                        makes its weights (here: drawn, not trained)
enecg fit cohort.csv --experts rhythm,examples/own_expert.py ...     uses it beside another expert
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.network import NetworkExpert
from enecg.experts.registry import Entry, register
from enecg.experts.weights import load_state, load_strict, save_state, sha256_of

WEIGHTS = Path(__file__).with_name("own_expert.safetensors")


class Network(nn.Module):
    """Signals `[window, lead, sample]` and the number of samples that are no padding, to `[window, 64]`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(12, 32, 15, stride=4, padding=7)
        self.second = nn.Conv1d(32, 64, 15, stride=4, padding=7)

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """The mean over time of the last layer."""
        hidden: torch.Tensor = self.second(torch.relu(self.first(signal)))
        return torch.relu(hidden).mean(-1)


def card() -> Card:
    """What the expert declares. The hash of the weights is part of it: other weights, other embeddings."""
    return Card(
        name="own",
        title="My own network",
        source="where it was published, or who trained it",
        licence="MIT",
        dim=64,
        parameters=sum(parameter.numel() for parameter in Network().parameters()),
        padding="zeros",
        input=InputSpec(rate=100.0, seconds=10.0, band=(0.5, 40.0), scaling="lead_zscore"),
        corpora=("PTB-XL",),  # what it was trained on: reports warn where a cohort is one of these
        weights=Weights(file=WEIGHTS.name, sha256=sha256_of(WEIGHTS) if WEIGHTS.is_file() else None),
    )


def create() -> NetworkExpert:
    """The network with its weights, strictly loaded: a key too many or too few is an error."""
    network = Network()
    load_strict(network, load_state(WEIGHTS))
    return NetworkExpert(card(), network)


register(Entry("own", card=card, create=create, available=WEIGHTS.is_file))

if __name__ == "__main__":
    torch.manual_seed(0)
    save_state(Network().state_dict(), WEIGHTS)
    print(f"made {WEIGHTS}")
