"""xECG: recurrent blocks that read an ECG forwards and backwards; the blocks come with the package xlstm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from enecg.errors import WeightsError, require
from enecg.experts.base import Card, Weights
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, publish

if TYPE_CHECKING:
    import torch

    from enecg.experts.weights import State

SIZES: Final[Mapping[str, Any]] = {
    "embedding_size": 1024, "num_heads": 4, "patch_size": 25, "proj_factor": 2, "activation_fn": "gelu",
    "xlstm_config": list("ssmmssmms"),
}  # fmt: skip
_PATCHES: Final = 40  # of 10 s

CARD: Final = Card(
    name="xecg",
    title="xECG, xLSTM blocks that read patches of 0.25 s in both directions, mean over patches",
    source="Lunelli, Nicolson, Pröll, Reinstadler, Bauer, Dlaska: BenchECG and xECG: a benchmark and baseline for ECG "
    "foundation models, npj Digital Medicine 2026, arXiv 2509.10151; github.com/dlaskalab/bench-xecg",
    licence="MIT",
    dim=1024,
    parameters=57_020_448,
    input=InputSpec(scaling="none", resampler="fft", steps=("filter", "resample", "window", "scale"), amplitude="mV"),
    corpora=("CODE", "CODE-15", "Chapman-Shaoxing", "Ningbo", "INCART"),
    weights=Weights(
        file="model.safetensors",
        sha256="812dec69ac0fbf13f39e50bde4f35f85435a66966d8785baec65c2b5c70e722c",
        hub="riccardolunelli/xECG_base_model_v1",
        config="config.json",
    ),
    padding="zeros",
    cost_ms=477.0,
    notes="Needs the extra xecg. Sees millivolts as they are, so normalised recordings are refused; an absent lead is "
    "zeros, as in the pretraining, which dropped leads. The file was trained with the package's CUDA kernels; kernels "
    "and biases are turned into the order of its plain ones, which compute the same in float32 on any machine. The "
    "hash is one that another project has published.",
)


def build(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> torch.nn.Module:
    """The encoder with the tensors of the authors' file.

    Args:
        state: tensors by key.
        config: of the authors' `config.json`, whose inner `config` has the sizes.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: the configuration lacks a size, or not every key finds its place.
    """
    from enecg.experts.networks.recurrent import XEcg
    from enecg.experts.weights import load_strict

    stated = config.get("config", config)
    absent = [key for key in SIZES if not isinstance(stated, Mapping) or key not in stated]
    if absent:
        raise WeightsError(f"xECG: config.json does not say {', '.join(absent)}; fetch the expert again")
    module = XEcg(_core(stated), stated["embedding_size"], stated["patch_size"])
    load_strict(module, _turned(state, module), ignore=("mask_token",))
    return module


def _core(stated: Mapping[str, Any]) -> torch.nn.Module:
    """The stack of blocks, with the plain kernels, made as the authors make theirs."""
    package: Any = require("xlstm", "xecg", "the expert xecg")
    heads, kinds = stated["num_heads"], stated["xlstm_config"]
    layer = package.mLSTMLayerConfig(
        conv1d_kernel_size=4, qkv_proj_blocksize=heads, num_heads=heads, proj_factor=stated["proj_factor"]
    )
    cell = package.sLSTMLayerConfig(num_heads=heads, conv1d_kernel_size=4, backend="vanilla")
    forward = package.FeedForwardConfig(proj_factor=1.3, act_fn=stated["activation_fn"])
    stack: torch.nn.Module = package.xLSTMBlockStack(
        package.xLSTMBlockStackConfig(
            mlstm_block=package.mLSTMBlockConfig(mlstm=layer),
            slstm_block=package.sLSTMBlockConfig(slstm=cell, feedforward=forward),
            context_length=_PATCHES,
            num_blocks=len(kinds),
            embedding_dim=stated["embedding_size"],
            slstm_at=[number for number, kind in enumerate(kinds) if kind == "s"],
            dropout=0.0,
            add_post_blocks_norm=bool(stated.get("use_final_layer_norm", False)),
        )
    )
    return stack


def _turned(state: Mapping[str, torch.Tensor], module: torch.nn.Module) -> State:
    """The tensors with recurrent kernels `[head, in, gate * out]` and biases `[head, gate, out]` of the CUDA kernels
    in the order of the plain ones; those that have the plain kernels' shape are left as they are.
    """
    turned = dict(state)
    for name, cell in module.named_modules():
        kernel, bias = f"{name}._recurrent_kernel_", f"{name}._bias_"
        if not hasattr(cell, "_recurrent_kernel_ext2int") or kernel not in state or bias not in state:
            continue
        heads, wide, narrow = cell._recurrent_kernel_.shape
        if state[kernel].shape == (heads, narrow, wide):
            turned[kernel] = cell._recurrent_kernel_ext2int(state[kernel])
            turned[bias] = cell._bias_ext2int(state[bias])
    return turned


publish(Published(CARD, build, "xECG-base", config={"config": SIZES}, package="xlstm", chunk=8))
