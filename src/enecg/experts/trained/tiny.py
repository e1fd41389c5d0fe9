"""The expert `tiny`: a small convolutional encoder pretrained without labels; so is every expert of a user's own.

Its weights come from `enecg.pretraining`; an expert is a folder with `card.json` and `weights.safetensors`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Self

from enecg.experts.base import Card
from enecg.experts.inputs import InputSpec
from enecg.experts.network import NetworkExpert
from enecg.experts.registry import Entry, read_card, register, register_kind

KIND: Final = "tiny"
WEIGHTS_FILE: Final = "weights.safetensors"
INPUT: Final = InputSpec(band=(0.5, 40.0))
COST_MS: Final = 1.0  # of a 10-s recording on one core
PACKAGED: Final = Path(str(files("enecg.experts") / "data" / "tiny"))


class TinyExpert(NetworkExpert):
    """Residual convolutions over all leads; mean, deviation and maximum over time of every stage."""

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Self:
        """The expert in a folder that `enecg pretrain` made.

        Args:
            folder: holds `card.json` and `weights.safetensors`.
            device: where to compute; a GPU when there is one by default.

        Raises:
            InputError: no readable card.
            WeightsError: the weights are missing, changed or of another layout.
        """
        from enecg.experts.networks.convolutional import Encoder
        from enecg.experts.weights import load_state, load_strict

        card, _ = read_card(folder)
        module = Encoder(len(card.input.leads))
        load_strict(module, load_state(folder / WEIGHTS_FILE, sha256=card.weights.sha256))
        return cls(card, module, device)


@cache
def _packaged_card() -> Card:
    return read_card(PACKAGED)[0]


register_kind(KIND, TinyExpert.load)
register(Entry("tiny", card=_packaged_card, create=lambda: TinyExpert.load(PACKAGED)))
