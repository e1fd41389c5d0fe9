"""MELP: ECG-FM's network, pretrained to agree with reports in their words, their sentences and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError
from enecg.experts.base import Card, Weights
from enecg.experts.published import ecg_fm as ecgfm
from enecg.experts.published.catalogue import Published, publish, require_equal
from enecg.experts.published.merl import INPUT

if TYPE_CHECKING:
    import torch

# What the authors call the sizes of an encoder. Heads cannot be read from the tensors.
SIZES: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {
        "encoder_layers": layers,
        "encoder_embed_dim": width,
        "encoder_attention_heads": width // 64,
        "encoder_ffn_embed_dim": 4 * width,
    }
    for name, layers, width in (("small", 8, 768), ("base", 12, 768), ("large", 24, 1024))
}
CONFIG: Final[Mapping[str, Any]] = {
    "model_size": "small",
    "shared_emb_dim": 256,
    "use_attentional_pool_contrast": True,
    "n_queries_contrast": 14,
    "attn_pooler_heads": 8,
    "num_leads": 12,
}

CARD: Final = Card(
    name="melp",
    title="MELP's ECG encoder, mean over the tokens and what its queries for beats find",
    source="Wang, Xu, Yu: From Token to Rhythm: A Multi-Scale Approach for ECG-Language Pretraining, ICML 2025, "
    "arXiv 2506.21803; github.com/HKU-MedAI/MELP",
    licence="Apache-2.0",
    dim=1024,
    parameters=62_553_088,
    input=INPUT,
    label_corpora=("MIMIC-IV-ECG",),
    weights=Weights(file="model.safetensors", hub="fuyingw/MELP_Encoder", config="config.json"),
    padding="zeros",
    cost_ms=529.0,
    notes="It has learned from the reports of MIMIC-IV-ECG, which say the diagnoses. The page of the weights says "
    "Apache-2.0, the repository MIT. The layout is that of the authors' code, not verified against the real file; as "
    "many queries are read as the file has. 10 s in one window; aVF comes before aVL and the range of all leads "
    "together is scaled to [0, 1], as in the authors' code. The first 768 numbers are the mean of the tokens, the "
    "last 256 what the authors' own probes see. A shorter recording is filled up behind, and what is filled up is "
    "not looked at.",
)


def build(
    state: Mapping[str, torch.Tensor], config: Mapping[str, Any], sizes: Mapping[str, Mapping[str, Any]] = SIZES
) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file.

    Args:
        state: tensors by key, the outermost `ecg_encoder.` cut off.
        config: of the authors' `config.json`; what it leaves out is as in `CONFIG`.
        sizes: what its `model_size` means.

    Raises:
        WeightsError: configuration and tensors contradict each other, or not every key finds its place.
    """
    from enecg.experts.networks.melp import UNUSED, Melp, arrange
    from enecg.experts.weights import load_strict

    stated = {**CONFIG, **config}
    if stated["model_size"] not in sizes or not stated["use_attentional_pool_contrast"]:
        raise WeightsError(
            f"MELP: config.json means another network: model_size {stated['model_size']!r}, attentional pooling "
            f"{stated['use_attentional_pool_contrast']!r}; fetch the expert again"
        )
    arranged = arrange(state)
    meant = sizes[stated["model_size"]]
    require_equal("MELP", meant, ecgfm.sizes_of(arranged))
    query = arranged.get("pool.query")
    queries, width = query.shape if query is not None else (stated["n_queries_contrast"], stated["shared_emb_dim"])
    require_equal("MELP", config, {"n_queries_contrast": queries, "shared_emb_dim": width})
    heads = int(stated["attn_pooler_heads"])
    if width % heads:
        raise WeightsError(f"MELP: config.json says {heads} heads for queries of {width}; is it stale?")
    module = Melp(ecgfm.shape_of(meant), queries, width, heads)
    load_strict(module, arranged, ignore=UNUSED)
    return module


publish(Published(CARD, build, "MELP-encoder", strip="ecg_encoder.", config=CONFIG, chunk=4))
