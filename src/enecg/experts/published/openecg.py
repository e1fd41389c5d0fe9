"""The expert `openecg`: the single-lead encoder that the package openecg carries, on eight leads.

Its weights come with that package (extra `openecg`) and are read from its folder; none of its code runs.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from typing_extensions import override

from enecg.errors import MissingExtra
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import Batch, InputSpec
from enecg.experts.network import NetworkExpert
from enecg.experts.registry import Entry, register
from enecg.leads import CHEST

LEADS: Final = ("I", "II", *CHEST)  # the limb leads that are left follow from I and II
PER_LEAD: Final = 2 * 128  # mean and deviation over time of each hidden unit

CARD: Final = Card(
    name="openecg",
    title="Encoder of openecg's layered codec v6 (waves, beats, rhythm), on eight leads",
    source="PyPI package openecg 0.11, models/codec_v6.pt (VitalDB group, Seoul National University Hospital)",
    licence="Apache-2.0",
    dim=len(LEADS) * PER_LEAD,
    parameters=992_896,
    input=InputSpec(rate=500.0, leads=LEADS, scaling="none"),
    label_corpora=("PTB-XL", "LUDB", "QTDB", "ISP", "BUT-PDB", "MIT-BIH", "VitalDB", "AFDB", "VFDB", "CUDB", "MVEDB",
                   "SDDB", "SCDDB", "NSRDB", "lydus"),
    weights=Weights(
        file="openecg/models/codec_v6.pt",
        sha256="4caf710737c4b9024b5b2b79b897af04c13f82f4f8e5f29b7dc4c8309e487a58",
        bytes=4_926_283,
    ),
    cost_ms=170.0,
    notes="Trained on single leads with labels of waves, beats and rhythm, among them those of PTB-XL and LUDB: "
    "results on these are not a test. It sees the order of the samples only (ranks), never the amplitude. "
    "The numbers of an absent lead are unknown (NaN).",
)  # fmt: skip


class OpenEcg(NetworkExpert):
    """Mean and deviation over time of the codec's hidden state, lead by lead: columns lead, statistic, unit."""

    chunk: ClassVar[int] = 4

    def __init__(self, device: str | None = None) -> None:
        from enecg.experts.networks.melp_codec import HEADS, Codec
        from enecg.experts.weights import load_state, load_strict

        folder = installed()
        if folder is None:
            raise MissingExtra("openecg", "openecg", "the expert openecg")
        module = Codec()
        state = load_state(folder / "models" / "codec_v6.pt", sha256=CARD.weights.sha256, inside="model_state")
        load_strict(module, state, ignore=HEADS)
        super().__init__(CARD, module, device)

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 2048]`; NaN for absent leads."""
        embedded = super().encode(batch)
        embedded.reshape(len(batch), len(LEADS), PER_LEAD)[~batch.present] = np.nan
        return embedded


def installed() -> Path | None:
    """The folder of the installed package, found without importing it; None when it is not there."""
    spec = find_spec("openecg")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


register(Entry("openecg", card=lambda: CARD, create=OpenEcg, available=lambda: installed() is not None))
