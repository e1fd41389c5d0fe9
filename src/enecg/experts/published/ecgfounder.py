"""ECGFounder: a convolutional network taught 150 diagnoses on ten million ECGs; for twelve leads, or lead I alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish
from enecg.leads import STANDARD

if TYPE_CHECKING:
    import torch

SIZES: Final[Mapping[str, Any]] = {
    "leads": 12, "base": 64, "filters": (64, 160, 160, 400, 400, 1024, 1024), "blocks": (2, 2, 2, 3, 3, 4, 4),
    "group": 16,
}  # fmt: skip


def _card(name: str, what: str, file: str, leads: tuple[str, ...], parameters: int, cost_ms: float) -> Card:
    return Card(
        name=name,
        title=f"ECGFounder, {what}",
        source="Li, Aguirre, Moura, Jin, Liu, Zhong, Sun, Clifford, Westover, Hong: An Electrocardiogram Foundation "
        "Model Built on over 10 Million Recordings, NEJM AI 2025; github.com/PKUDigitalHealth/ECGFounder",
        licence="MIT",
        dim=1024,
        parameters=parameters,
        input=InputSpec(
            rate=500.0,
            leads=leads,
            missing="error",
            band=(0.67, 40.0),
            notch=50.0,
            baseline=0.4,
            scaling="record_zscore",
            eps=1e-8,
            steps=("resample", "filter", "window", "scale"),
        ),
        label_corpora=("HEEDB",),
        weights=Weights(file=file, hub="PKUDigitalHealth/ECGFounder"),
        padding="zeros",
        cost_ms=cost_ms,
        notes="The authors insist on their preparation: notch, band-pass, running median taken off, one mean and "
        "deviation for all leads together. The code is under MIT; the page of the weights was not read. A shorter "
        "recording is filled up behind, and what is filled up is left out of the mean over time.",
    )


CARD: Final = _card("ecgfounder", "twelve leads", "12_lead_ECGFounder.pth", STANDARD, 30_598_896, 53.0)
ONE_LEAD: Final = _card("ecgfounder-1lead", "lead I alone", "1_lead_ECGFounder.pth", ("I",), 30_587_632, 52.0)


def build(state: Mapping[str, torch.Tensor], sizes: Mapping[str, Any] = SIZES) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file (`WeightsError` unless every key finds its place)."""
    from enecg.experts.networks.ecgfounder import UNUSED, Net1d, Net1dShape
    from enecg.experts.weights import load_strict

    module = Net1d(Net1dShape(**sizes))
    load_strict(module, state, ignore=UNUSED)
    return module


publish(Published(CARD, lambda state, config: build(state), layout="ECGFounder-12lead", inside="state_dict"))
publish(
    Published(
        ONE_LEAD,
        lambda state, config: build(state, {**SIZES, "leads": 1}),
        layout="ECGFounder-1lead",
        inside="state_dict",
    )
)
