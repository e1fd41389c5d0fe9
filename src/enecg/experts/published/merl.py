"""MERL: encoders pretrained to agree with the reports of MIMIC-IV-ECG, a residual network and a small transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish
from enecg.leads import CHEST

if TYPE_CHECKING:
    import torch

SIZES: Final[Mapping[str, int]] = {
    "width": 192, "depth": 12, "heads": 3, "hidden": 768, "leads": 12, "samples": 5000, "patch": 50,
}  # fmt: skip

# Of a network that goes on from [-1, 1] to the authors' [0, 1].
INPUT: Final = InputSpec(
    rate=500.0,
    leads=("I", "II", "III", "aVR", "aVF", "aVL", *CHEST),  # the order of MIMIC-IV-ECG's files
    missing="error",
    scaling="record_minmax",
    eps=5e-9,
    steps=("filter", "resample", "window", "scale"),
)


def _card(name: str, title: str, dim: int, parameters: int, file: str, cost_ms: float) -> Card:
    return Card(
        name=name,
        title=title,
        source="Liu, Wan, Ouyang, Shah, Bai, Arcucci: Zero-Shot ECG Classification with Multimodal Learning and "
        "Test-time Clinical Knowledge Enhancement, ICML 2024; github.com/cheliu-computation/MERL-ICML2024",
        licence="MIT",
        dim=dim,
        parameters=parameters,
        input=INPUT,
        label_corpora=("MIMIC-IV-ECG",),
        weights=Weights(file=file, page="https://drive.google.com/drive/folders/13wb4DppUciMn-Y_qC2JRWTbZdz3xX0w2"),
        padding="zeros",
        cost_ms=cost_ms,
        notes="The file has to be fetched by hand. It has learned from the reports of MIMIC-IV-ECG, which say the "
        "diagnoses. aVF comes before aVL, as in MIMIC-IV-ECG; the authors swap the leads of other data sets. The "
        "range of all leads together is scaled to [0, 1]. A shorter recording is padded at its end.",
    )


RESNET: Final = _card("merl", "MERL, residual network of 18 layers", 512, 3_848_832, "res18_best_encoder.pth", 24.0)
VIT: Final = _card("merl-vit", "MERL, vision transformer tiny", 192, 5_473_152, "vit_tiny_best_encoder.pth", 17.0)


def build_resnet(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> torch.nn.Module:
    """The residual network with the tensors of the authors' file; `sizes` that differ from the published ones.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.merl import MerlResNet
    from enecg.experts.weights import load_strict

    module = MerlResNet(**sizes)
    load_strict(module, state, ignore=("linear.*",))  # a classifier that was never trained
    return module


def build_vit(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> torch.nn.Module:
    """The transformer with the tensors of the authors' file; `sizes` that differ from the published ones.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.st_mem import VIT_NAMES, MerlViT, Shape
    from enecg.experts.networks.transformer import rename
    from enecg.experts.weights import load_strict

    module = MerlViT(Shape(**{**SIZES, **sizes}))
    load_strict(module, rename(state, VIT_NAMES))
    return module


publish(Published(RESNET, build_resnet, "MERL-resnet18"))
publish(Published(VIT, build_vit, "MERL-vit_tiny"))
