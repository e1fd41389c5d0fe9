"""ECG-FM: wav2vec 2.0 on twelve leads, one of the five experts of the EnECG paper; pretrained or fine-tuned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish, require_equal

if TYPE_CHECKING:
    import torch

    from enecg.experts.networks.ecg_fm import EcgFmShape

HUB: Final = "wanglab/ecg-fm"
_CORPORA: Final = ("MIMIC-IV-ECG", "PTB-XL", "CPSC2018", "CPSC-Extra", "Georgia", "Chapman-Shaoxing", "Ningbo")
# What the authors' configuration calls the sizes; `layer_norm_first` and the heads cannot be read from the tensors.
CONFIG: Final[Mapping[str, Any]] = {
    "layer_norm_first": False,
    "in_d": 12,
    "encoder_embed_dim": 768,
    "encoder_layers": 12,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "conv_feature_layers": "[(256, 2, 2)] * 4",
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "extractor_mode": "default",
    "conv_bias": False,
}


def _card(name: str, what: str, weights: Weights, labels: int, **more: Any) -> Card:
    return Card(
        name=name,
        title=f"ECG-FM, {what}",
        source="McKeen, Masood, Toma, Rubin, Wang: ECG-FM: An Open Electrocardiogram Foundation Model, "
        "arXiv 2408.05178; github.com/bowang-lab/ECG-FM",
        licence="MIT",
        dim=768 + labels,
        input=InputSpec(
            rate=500.0, seconds=5.0, eps=1e-8, resampler="linear", steps=("filter", "resample", "scale", "window")
        ),
        weights=weights,
        padding="zeros",
        cost_ms=604.0,
        **more,
    )


_NOTES: Final = (
    "Windows of 5 s, scaled by the whole recording, whose embeddings are averaged; an absent lead is zeros, as in the "
    "pretraining, which hid leads. Heads and the place of the norms are read from the configuration inside the file; "
    "the YAML file beside it on the hub is of another model and is not read."
)
CARD: Final = _card(
    "ecg-fm",
    "pretrained without labels",
    Weights(
        file="mimic_iv_ecg_physionet_pretrained.pt",
        sha256="4d0142bcb485eb9f0c7845e0c19ff3463f6ae9d0e458eab69136efe90ceb9b7e",
        bytes=1_090_825_421,
        hub=HUB,
    ),
    labels=0,
    parameters=90_373_120,
    corpora=_CORPORA,
    notes=_NOTES,
)
FINETUNED_17: Final = _card(
    "ecg-fm-17",
    "fine-tuned on 17 findings of MIMIC-IV-ECG",
    Weights(file="mimic_iv_ecg_finetuned.pt", hub=HUB),
    labels=17,
    parameters=90_386_193,
    corpora=_CORPORA,
    label_corpora=("MIMIC-IV-ECG",),
    notes=f"{_NOTES} The last 17 numbers are the logits of its findings.",
)
FINETUNED_26: Final = _card(
    "ecg-fm-26",
    "fine-tuned on the 26 diagnoses of PhysioNet/CinC 2021",
    Weights(file="physionet_finetuned.pt", page="https://huggingface.co/wanglab/ecg-fm-preprint"),
    labels=26,
    parameters=90_393_114,
    corpora=("MIMIC-IV-ECG",),
    label_corpora=_CORPORA[1:],
    notes=f"{_NOTES} The last 26 numbers are the logits of its diagnoses: what EnECG takes of ECG-FM. The authors no "
    "longer list the file.",
)


def shape_of(config: Mapping[str, Any], labels: int = 0) -> EcgFmShape:
    """The sizes that a configuration of the authors' code means; what it leaves out is as in `CONFIG`.

    Raises:
        WeightsError: it means a network of another kind.
    """
    from enecg.experts.networks.ecg_fm import EcgFmShape

    stated = {key: config.get(key, value) for key, value in CONFIG.items()}
    layers = str(stated["conv_feature_layers"]).replace(" ", "")
    found = re.fullmatch(r"\[\((\d+),2,2\)\]\*(\d+)", layers)
    if found is None or stated["extractor_mode"] != "default" or stated["conv_bias"]:
        raise WeightsError(
            f"ECG-FM's configuration means other convolutions than its network has: {layers}, "
            f"mode {stated['extractor_mode']!r}, bias {stated['conv_bias']!r}; is it another model's?"
        )
    return EcgFmShape(
        width=stated["encoder_embed_dim"],
        layers=stated["encoder_layers"],
        heads=stated["encoder_attention_heads"],
        hidden=stated["encoder_ffn_embed_dim"],
        norm_first=bool(stated["layer_norm_first"]),
        leads=stated["in_d"],
        channels=int(found[1]),
        convolutions=int(found[2]),
        reach=stated["conv_pos"],
        groups=stated["conv_pos_groups"],
        labels=labels,
    )


def build(state: Mapping[str, torch.Tensor], config: Mapping[str, Any], labels: int = 0) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file.

    Args:
        state: the file's `model`.
        config: the file's `cfg.model`.
        labels: of a fine-tuned model.

    Raises:
        WeightsError: tensors and configuration contradict each other, or not every key finds its place.
    """
    from enecg.experts.networks.ecg_fm import UNUSED, EcgFm, arrange
    from enecg.experts.weights import load_strict

    arranged = arrange(state)
    shape = shape_of(config, labels)
    require_equal("ECG-FM", config, sizes_of(arranged))
    if shape.width % shape.heads:
        raise WeightsError(f"ECG-FM: {shape.heads} heads do not divide tokens of {shape.width}; is it stale?")
    module = EcgFm(shape)
    load_strict(module, arranged, ignore=UNUSED)
    return module


def sizes_of(arranged: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What the tensors say, under the configuration's names; nothing where a tensor is missing."""
    sizes: dict[str, Any] = {}
    if (projection := arranged.get("project.weight")) is not None:
        sizes["encoder_embed_dim"] = projection.shape[0]
    if (perceptron := arranged.get("layers.0.linear1.weight")) is not None:
        sizes["encoder_ffn_embed_dim"] = perceptron.shape[0]
    if (first := arranged.get("features.0.conv.weight")) is not None:
        sizes["in_d"] = first.shape[1]
    if (places := arranged.get("places.weight")) is not None:
        sizes |= {"conv_pos": places.shape[2], "conv_pos_groups": places.shape[0] // places.shape[1]}
    sizes["encoder_layers"] = len({key.split(".")[1] for key in arranged if key.startswith("layers.")})
    return sizes


_PRETRAINED: Final = Published(
    CARD, build, layout="ECG-FM-pretrained", inside="model", config_inside="cfg.model", config=CONFIG
)
publish(_PRETRAINED)
publish(
    replace(
        _PRETRAINED,
        card=FINETUNED_17,
        build=lambda state, config: build(state, config, labels=17),
        layout="ECG-FM-finetuned-17",
    )
)
publish(
    replace(
        _PRETRAINED,
        card=FINETUNED_26,
        build=lambda state, config: build(state, config, labels=26),
        layout="ECG-FM-finetuned-26",
    )
)
