"""ST-MEM: a transformer pretrained by masking patches in time and over leads. Restricted: nothing of it comes along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish

if TYPE_CHECKING:
    import torch

SIZES: Final[Mapping[str, int]] = {
    "width": 768, "depth": 12, "heads": 12, "hidden": 3072, "leads": 12, "samples": 2250, "patch": 75,
}  # fmt: skip

CARD: Final = Card(
    name="st-mem",
    title="ST-MEM, vision transformer base with patches of 0.3 s of single leads",
    source="Na, Park, Tae, Joo: Guiding Masked Representation Learning to Capture Spatio-Temporal Relationship of "
    "Electrocardiogram, ICLR 2024; github.com/bakqui/ST-MEM",
    licence="CC-BY-NC-4.0",
    licence_class="restricted",
    dim=768,
    parameters=85_150_614,
    input=InputSpec(
        rate=250.0,
        seconds=9.0,
        hop_seconds=0.5,
        max_windows=3,
        missing="error",
        band=(0.67, 40.0),
        order=5,
        scaling="record_zscore",
        eps=1e-8,
        resampler="fft",
        steps=("resample", "window", "filter", "scale"),
    ),
    corpora=("Chapman-Shaoxing", "Ningbo", "CODE-15"),
    weights=Weights(
        file="st_mem_vit_base_encoder.pth",
        page="https://drive.google.com/file/d/1E7J-A1HqWa2f08T6Sfk5uWk-_CFJhOYQ/view",
    ),
    padding="zeros",
    cost_ms=2630.0,
    notes="Its licence is CC BY-NC 4.0, and its README forbids use without the permission of VUNO. The file has to be "
    "fetched by hand. Three windows of 9 s cover the first 10 s of a recording, as in the authors' evaluation; their "
    "high-pass and low-pass of order 5 are one band-pass here. A shorter recording is filled up with zeros.",
)


def build(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> torch.nn.Module:
    """The encoder with the tensors of the authors' encoder file; `sizes` that differ from the published ones.

    Raises:
        WeightsError: not every key finds its place.
    """
    from enecg.experts.networks.st_mem import VIT_NAMES, Shape, StMem
    from enecg.experts.networks.transformer import rename
    from enecg.experts.weights import load_strict

    module = StMem(Shape(**{**SIZES, **sizes}))
    load_strict(module, rename(state, VIT_NAMES), ignore=("head.*",))
    return module


publish(Published(CARD, build, "ST-MEM-base", inside="model", chunk=4))
