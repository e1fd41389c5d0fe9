"""HuBERT-ECG in three sizes: pretrained to guess hidden stretches of twelve joined leads. Not for commercial use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish, require_equal

if TYPE_CHECKING:
    import torch

# What the configuration of every size says, and what the network here is.
FIXED: Final[Mapping[str, Any]] = {
    "conv_dim": [512] * 5,
    "conv_kernel": [10, 3, 3, 2, 2],
    "conv_stride": [4, 2, 2, 2, 2],
    "conv_bias": False,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "feat_proj_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "conv_pos_batch_norm": False,
    "do_stable_layer_norm": False,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-05,
}
UNUSED: Final = ("masked_spec_embed", "final_proj.*", "label_embedding.*")  # of the pretraining
_SIZES: Final = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")

_CORPORA: Final = (
    "CODE", "CODE-15", "MIMIC-IV-ECG", "PTB-XL", "PTB", "CPSC2018", "CPSC-Extra", "Georgia", "Chapman-Shaoxing",
    "Ningbo", "SPH", "SaMi-Trop", "Hefei",
)  # fmt: skip


def _publish(size: str, config: Mapping[str, int], parameters: int, cost_ms: float) -> None:
    card = Card(
        name=f"hubert-ecg-{size}",
        title=f"HuBERT-ECG {size}, mean over the tokens of 5 s",
        source="Coppola, Savardi, Massussi, Adamo, Metra, Signoroni: HuBERT-ECG as a self-supervised foundation model "
        "for broad and scalable cardiac applications, medRxiv 2024.11.14.24317328; github.com/Edoar-do/HuBERT-ECG",
        licence="CC-BY-NC-4.0",
        licence_class="non-commercial",
        dim=config["hidden_size"],
        parameters=parameters,
        input=InputSpec(
            rate=500.0,
            seconds=5.0,
            missing="error",
            band=(0.05, 47.0),
            design="fir",
            scaling="lead_minmax",
            eps=5e-9,
            resampler="fft",
            steps=("filter", "resample", "scale", "window"),
        ),
        corpora=_CORPORA,
        weights=Weights(file="model.safetensors", hub=f"Edoardo-BS/hubert-ecg-{size}", config="config.json"),
        padding="zeros",
        cost_ms=cost_ms,
        notes="Each lead is scaled to [-1, 1] over the whole recording; windows of 5 s follow one another, and their "
        "embeddings are averaged. The twelve leads of a window are joined and decimated to 100 Hz as one signal. The "
        "corpora are all data sets that the authors name; they do not say which of them are in the pretraining.",
    )
    publish(Published(card, build, f"HuBERT-ECG-{size}", config={**FIXED, **config}))


def build(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file.

    Args:
        state: tensors by key, weight norm folded.
        config: of the authors' `config.json`; heads cannot be read from the tensors.

    Raises:
        WeightsError: the configuration lacks a size or contradicts the network or the tensors, or not every key finds
            its place.
    """
    from enecg.experts.networks.ecg_fm import EcgFmShape
    from enecg.experts.networks.hubert_ecg import HubertEcg, arrange
    from enecg.experts.weights import load_strict

    absent = [key for key in (*_SIZES, "conv_dim") if key not in config]
    if absent:
        raise WeightsError(f"HuBERT-ECG: config.json does not say {', '.join(absent)}; fetch the expert again")
    kernels, strides, channels = FIXED["conv_kernel"], FIXED["conv_stride"], config["conv_dim"][0]
    require_equal("HuBERT-ECG", config, {**FIXED, "conv_dim": [channels] * len(kernels)})
    width, layers, heads, hidden = (int(config[key]) for key in _SIZES)
    if width % heads:
        raise WeightsError(f"HuBERT-ECG: config.json says {heads} heads for a width of {width}; is it stale?")
    shape = EcgFmShape(width, layers, heads, hidden, leads=1, channels=channels, convolutions=0)
    module = HubertEcg(shape, kernels, strides)
    load_strict(module, arrange(state), ignore=UNUSED)
    return module


for _size, _sizes, _parameters, _cost_ms in (
    ("small", (512, 8, 8, 2048), 30_209_024, 168.0),
    ("base", (768, 12, 12, 3072), 92_797_952, 442.0),
    ("large", (960, 16, 12, 3840), 187_643_648, 833.0),
):
    _publish(_size, dict(zip(_SIZES, _sizes, strict=True)), _parameters, _cost_ms)
