"""ECG-JEPA (Kim): a transformer pretrained to predict the embeddings of hidden patches, in two ways of hiding."""

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
    "width": 768, "depth": 12, "heads": 16, "hidden": 3072, "leads": 8, "samples": 2500, "patch": 50,
}  # fmt: skip


def _card(name: str, hiding: str, file: str, drive: str) -> Card:
    return Card(
        name=name,
        title=f"ECG-JEPA, vision transformer base, pretrained with {hiding}",
        source="Kim: Learning General Representation of 12-Lead Electrocardiogram With a Joint-Embedding Predictive "
        "Architecture, arXiv 2410.08559; github.com/sehunfromdaegu/ECG_JEPA",
        licence="MIT",
        dim=768,
        parameters=85_374_720,
        input=InputSpec(
            rate=250.0,
            leads=("I", "II", *CHEST),
            missing="error",
            scaling="none",
            resampler="fft",
            steps=("filter", "resample", "window", "scale"),
            amplitude="mV",
        ),
        corpora=("Chapman-Shaoxing", "Ningbo", "CODE-15"),
        weights=Weights(file=file, page=f"https://drive.google.com/file/d/{drive}/view"),
        padding="zeros",
        cost_ms=887.0,
        notes="The file has to be fetched by hand. Sees millivolts as they are, without filter or scaling, as in the "
        "authors' code, so normalised recordings are refused. 16 heads cannot be read from the file; they stand in "
        "the authors' code. A shorter recording is filled up with zeros.",
    )


CARDS: Final = (
    _card("ecg-jepa", "whole stretches hidden", "multiblock_epoch100.pth", "1gMOT4xjQQg0GZkY1iE6NuDzua4ALw00l"),
    _card("ecg-jepa-random", "single patches hidden", "random_epoch100.pth", "1mh-XL0XOvvhFbhvuZ9c2KnTHa9B4F3Wx"),
)


def build(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file; `sizes` that differ from the published ones.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.st_mem import JEPA_NAMES, Jepa, Shape
    from enecg.experts.networks.transformer import rename
    from enecg.experts.weights import load_strict

    module = Jepa(Shape(**{**SIZES, **sizes}))
    load_strict(module, rename(state, JEPA_NAMES))
    return module


for _each in CARDS:
    publish(Published(_each, build, "ECG-JEPA-vitb", inside="encoder", chunk=4))
