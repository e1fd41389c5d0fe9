"""The experts `beat-cnn` and `resnet`, and those of a user's own: small networks trained on labels, then frozen.

Their answers for recordings whose labels they have learned are too good. Where a cohort holds such recordings, `fit`
and `crossval` train new networks of the same kind on the rest of the cohort, in each fold anew. `network_input` names
what these are trained on. `enecg.pretraining` makes such experts.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from typing_extensions import override

from enecg.experts.analytic.beat import Beat
from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch
from enecg.experts.network import pick_device
from enecg.experts.registry import CARD_FILE, Entry, read_card, register, register_kind
from enecg.experts.trained.tiny import INPUT, WEIGHTS_FILE
from enecg.leads import STANDARD

if TYPE_CHECKING:
    from enecg.experts.networks.supervised import SupervisedNet

SIGNAL: Final = Card(
    name="signal",
    title="The signal itself: 12 x 1000 samples at 100 Hz, each lead in units of its standard deviation",
    source="Analytic",
    licence="Apache-2.0",
    dim=len(STANDARD) * INPUT.samples,
    input=INPUT,
    padding="zeros",
    cost_ms=0.1,
    notes="Examples for networks that are trained on labels; no other head is made for it.",
)
PACKAGED: Final = Path(str(files("enecg.experts") / "data"))


class Signal(Expert):
    """The samples as prepared; an absent lead is NaN. Of several windows of a recording the mean says nothing."""

    card = SIGNAL
    network_input = "signal"

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 12000]`."""
        seen = np.where(batch.present[..., None], batch.signal, np.float32(np.nan))
        return np.ascontiguousarray(seen.reshape(len(seen), -1), dtype=np.float32)

    @override
    def pool(self, windows: np.ndarray) -> np.ndarray:
        """The first window."""
        first: np.ndarray = windows[0]
        return first


VIEWS: Final[dict[str, type[Expert]]] = {"beat": Beat, "signal": Signal}  # what networks are trained on
KINDS: Final = {"beat-cnn": "beat", "resnet": "signal"}  # kind of expert -> of network


class SupervisedExpert(Expert):
    """A network that was trained on labels: its last hidden layer and its outputs.

    Args:
        card: what it declares; its dimension is that of the hidden layer and the outputs.
        kind: of `KINDS`.
        module: the network.
        pretraining: facts of its training, from `card.json`.
        device: where to compute; a GPU when there is one by default.

    Attributes:
        trained_on: name of the expert that networks of this kind are trained on.
        training: what its card keeps to know its training part again.
    """

    chunk = 64

    def __init__(
        self, card: Card, kind: str, module: SupervisedNet, pretraining: dict[str, Any], device: str | None = None
    ) -> None:
        self.card = card
        self.trained_on = KINDS[kind]
        self.training = pretraining if "salt" not in pretraining else {**pretraining, "digest": pretraining["salt"]}
        self.device = pick_device(device)
        self.module = module.to(self.device).requires_grad_(False).eval()
        self._view = VIEWS[self.trained_on]()

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, dim]`; NaN for a window without an example (no whole beat)."""
        import torch

        self.module.eval()
        examples = self._view.encode(batch)
        out = np.full((len(batch), self.card.dim), np.nan, np.float32)
        seen = np.flatnonzero(np.isfinite(examples).any(1))
        shaped = np.nan_to_num(examples).reshape(len(examples), len(STANDARD), -1)
        with torch.inference_mode():
            for start in range(0, len(seen), self.chunk):
                rows = seen[start : start + self.chunk]
                hidden = self.module.represent(torch.from_numpy(shaped[rows]).to(self.device))
                both = torch.cat([hidden, self.module.out(hidden)], 1)
                out[rows] = both.cpu().numpy()
        return out

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Self:
        """The expert in a folder that `enecg pretrain` made.

        Raises:
            InputError: no readable card.
            WeightsError: the weights are missing, changed or of another layout.
        """
        from enecg.experts.networks.supervised import NETS
        from enecg.experts.weights import load_state, load_strict

        card, kind = read_card(folder)
        pretraining = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["pretraining"]
        module = NETS[KINDS[kind]](len(pretraining["outputs"]))
        load_strict(module, load_state(folder / WEIGHTS_FILE, sha256=card.weights.sha256))
        return cls(card, kind, module, pretraining, device)


@cache
def _packaged_card(name: str) -> Card:
    return read_card(PACKAGED / name)[0]


register(Entry(SIGNAL.name, lambda: SIGNAL, Signal))
for _name in KINDS:
    register_kind(_name, SupervisedExpert.load)
    register(
        Entry(
            _name,
            card=lambda name=_name: _packaged_card(name),  # type: ignore[misc]
            create=lambda name=_name: SupervisedExpert.load(PACKAGED / name),  # type: ignore[misc]
        )
    )
