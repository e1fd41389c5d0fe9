"""CLEF: the network of ECGFounder in three sizes, pretrained on single leads to tell risks apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published import ecgfounder
from enecg.experts.published.catalogue import Published, publish
from enecg.leads import CHEST

if TYPE_CHECKING:
    import torch

LEADS: Final = ("I", "II", *CHEST)  # the limb leads that are left follow from I and II

SIZES: Final[Mapping[str, Mapping[str, Any]]] = {
    "small": {"leads": 1, "base": 32, "filters": (32, 64, 64, 128, 128, 256), "blocks": (1, 1, 2, 2, 2, 2),
              "group": 8, "ratio": 0.5},
    "medium": {**ecgfounder.SIZES, "leads": 1},
    "large": {"leads": 1, "base": 128, "filters": (128, 256, 256, 512, 512, 1024, 1024, 2048, 2048),
              "blocks": (2, 3, 3, 4, 4, 5, 5, 6, 6), "group": 32, "ratio": 1.5},
}  # fmt: skip


def _card(size: str, file: str, parameters: int, cost_ms: float) -> Card:
    return Card(
        name=f"clef-{size}",
        title=f"CLEF {size}, eight leads one by one",
        source="Shu, Charlton, Kawsar, Hernesniemi, Malekzadeh: CLEF, Clinically-Guided Contrastive Learning for "
        "Electrocardiogram Foundation Models, arXiv 2512.02180; github.com/Nokia-Bell-Labs/ecg-foundation-model",
        licence="BSD-3-Clause-Clear",
        dim=len(LEADS) * SIZES[size]["filters"][-1],
        parameters=parameters,
        input=InputSpec(
            rate=500.0,
            leads=LEADS,
            band=(0.67, 40.0),
            order=5,
            eps=1e-8,
            steps=("resample", "window", "filter", "scale"),
        ),
        label_corpora=("MIMIC-IV-ECG",),
        weights=Weights(file=file, url=f"https://zenodo.org/records/17572734/files/{file}?download=1"),
        padding="zeros",
        cost_ms=cost_ms,
        notes="Pretrained on MIMIC-IV-ECG, guided by risk scores that are made of age, sex and diagnoses. Made for "
        "single leads: the embeddings of eight leads stand side by side, those of an absent lead are unknown (NaN). "
        "Its licence grants no patents.",
    )


CARDS: Final[Mapping[str, Card]] = {
    "small": _card("small", "clef_small.ckpt", 443_184, 19.0),
    "medium": _card("medium", "clef_medium.ckpt", 30_587_632, 259.0),
    "large": _card("large", "clef_largel.ckpt", 296_301_312, 2069.0),  # the name as it was published
}


def _build(size: str, state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> torch.nn.Module:
    return ecgfounder.build(state, SIZES[size])


for _size, _one in CARDS.items():
    publish(
        Published(
            _one,
            partial(_build, _size),
            layout=f"CLEF-{_size}",
            inside="state_dict",
            strip="backbone.",
            chunk=2 if _size == "large" else 8,
        )
    )
