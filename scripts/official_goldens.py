"""Make tests/experts/published/official.json: what the authors' own code answers on small networks with drawn weights.

    python scripts/official_goldens.py --net1d ECGFounder --moment moment --fairseq fairseq-signals

The three folders are checkouts of github.com/PKUDigitalHealth/ECGFounder (04edac7), of
github.com/moment-timeseries-foundation-model/moment (38f7310; needs transformers) and of
github.com/Jwoo5/fairseq-signals (6b9e137; its modules are loaded one by one, since the package as a whole cannot be
imported on Python 3.11). Nothing of their code is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from enecg.experts.published.synthetic_weights import draw

TARGET = Path(__file__).parents[1] / "tests" / "experts" / "official.json"


def drawn(module: torch.nn.Module) -> dict[str, list[int]]:
    """Give a module drawn weights, except for what it has computed itself; returns the shapes of its tensors."""
    state = module.state_dict()
    shapes = {key: list(tensor.shape) for key, tensor in state.items()}
    fresh = {key: tensor for key, tensor in draw(shapes).items() if not key.endswith("position_embedding.pe")}
    module.load_state_dict(state | fresh)
    return shapes


def signal(*shape: int) -> torch.Tensor:
    """The input that the tests draw too."""
    values = np.random.default_rng(1).standard_normal(shape, np.float32).cumsum(-1)
    return torch.from_numpy(np.asarray(values / 10, np.float32))


def rounded(tensor: torch.Tensor) -> list[Any]:
    """Nested lists of seven digits."""
    return json.loads(json.dumps(tensor.tolist()), parse_float=lambda text: float(f"{float(text):.7g}"))  # type: ignore[no-any-return]


def net1d(folder: Path) -> dict[str, Any]:
    """ECGFounder's and CLEF's network, with odd lengths that need padding."""
    sys.path.insert(0, str(folder))
    official = importlib.import_module("net1d").Net1D
    cases = {}
    for name, leads, ratio, group in (("twelve", 3, 1, 8), ("one", 1, 0.5, 4)):
        sizes = {
            "leads": leads,
            "base": 16,
            "filters": [16, 32, 48],
            "blocks": [2, 1, 2],
            "group": group,
            "ratio": ratio,
        }
        module = official(leads, 16, ratio, [16, 32, 48], [2, 1, 2], 16, 2, group, 5, use_bn=False, use_do=False,
                          return_features=True).eval()  # fmt: skip
        shapes = drawn(module)
        with torch.inference_mode():
            features = module(signal(2, leads, 333))[1]
        cases[name] = {"sizes": sizes, "shapes": shapes, "features": rounded(features)}
    return cases


def ecgfm(folder: Path) -> dict[str, Any]:
    """ECG-FM's network, norms behind and before, and a recording that ends early."""
    base = folder / "fairseq_signals"
    for name, path in (("", base), (".modules", base / "modules"), (".utils", base / "utils")):
        package = types.ModuleType(f"fairseq_signals{name}")
        package.__path__ = [str(path)]
        sys.modules[f"fairseq_signals{name}"] = package
    modules = sys.modules["fairseq_signals.modules"]
    for file, names in (
        ("layer_norm", "LayerNorm Fp32LayerNorm"), ("fp32_group_norm", "Fp32GroupNorm"),
        ("transpose_last", "TransposeLast"), ("same_pad", "SamePad"), ("quant_noise", "quant_noise"),
        ("multi_head_attention", "MultiHeadAttention"), ("transformer_encoder_layer", "TransformerEncoderLayer"),
        ("transformer_encoder", "TransformerEncoder"), ("conv_feature_extraction", "ConvFeatureExtraction"),
        ("conv_positional_encoding", "ConvPositionalEncoding"),
    ):  # fmt: skip
        loaded = importlib.import_module(f"fairseq_signals.modules.{file}")
        for name in names.split():
            setattr(modules, name, getattr(loaded, name))
    cases = {}
    for name, norm_first in (("behind", False), ("before", True)):
        config = {
            "layer_norm_first": norm_first, "in_d": 12, "encoder_embed_dim": 48, "encoder_layers": 2,
            "encoder_ffn_embed_dim": 96, "encoder_attention_heads": 4, "conv_feature_layers": "[(16, 2, 2)] * 4",
            "conv_pos": 16, "conv_pos_groups": 4,
        }  # fmt: skip
        rest = {"dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1, "encoder_layerdrop": 0.0,
                "saliency": False}  # fmt: skip
        settings = types.SimpleNamespace(**config, **rest)
        parts = torch.nn.ModuleDict({
            "feature_extractor": modules.ConvFeatureExtraction([(16, 2, 2)] * 4, in_d=12),
            "layer_norm": modules.LayerNorm(16),
            "post_extract_proj": torch.nn.Linear(16, 48),
            "conv_pos": modules.ConvPositionalEncoding(settings),
            "encoder": modules.TransformerEncoder(settings),
        }).eval()  # fmt: skip
        shapes = drawn(parts)
        ends = torch.arange(25) >= torch.tensor([[25], [16]])  # the second recording ends after 260 of 400 samples
        source = signal(2, 12, 400)
        source[1, :, 260:] = 0
        with torch.inference_mode():
            hidden = parts["layer_norm"](parts["feature_extractor"](source).transpose(1, 2))
            hidden = parts["post_extract_proj"](hidden)
            hidden = hidden + parts["conv_pos"](hidden, channel_first=False)
            tokens = parts["encoder"](hidden, padding_mask=ends)["x"]
        mean = torch.stack([tokens[0].mean(0), tokens[1, :16].mean(0)])
        cases[name] = {"config": config, "shapes": shapes, "mean": rounded(mean), "first": rounded(tokens[:, 0])}
    return cases


def moment(folder: Path) -> dict[str, Any]:
    """MOMENT's network, and a recording that ends early, within a patch."""
    sys.path.insert(0, str(folder))
    official = importlib.import_module("momentfm.models.moment").MOMENTPipeline
    sizes = {"width": 32, "hidden": 48, "heads": 3, "layers": 2, "head": 8}
    t5 = {
        "d_model": 32, "d_ff": 48, "d_kv": 8, "num_heads": 3, "num_layers": 2, "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128,
        "vocab_size": 10, "is_encoder_decoder": True, "tie_word_embeddings": False, "dropout_rate": 0.1,
    }  # fmt: skip
    config = {
        "task_name": "reconstruction", "transformer_type": "encoder_only", "d_model": None, "seq_len": 512,
        "patch_len": 8, "patch_stride_len": 8, "transformer_backbone": "google/flan-t5-small", "t5_config": t5,
        "enable_gradient_checkpointing": False,
    }  # fmt: skip
    module = official(config, model_kwargs={}).eval()
    shapes = drawn(module)
    leads, mask = signal(2, 3, 512), torch.ones(2, 512)
    leads[1, :, 403:] = mask[1, 403:] = 0
    with torch.inference_mode():
        tokens = module.embed(x_enc=leads, input_mask=mask, reduction="none").embeddings
    mean = torch.stack([tokens[0].mean(1), tokens[1, :, :50].mean(1)])
    return {"sizes": sizes, "config": config, "shapes": shapes, "mean": rounded(mean)}


def main() -> None:
    """Run the authors' code and write down what it answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("net1d", "moment", "fairseq"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    told = parser.parse_args()
    torch.set_num_threads(1)
    answers = {"net1d": net1d(told.net1d), "ecgfm": ecgfm(told.fairseq), "moment": moment(told.moment)}
    TARGET.write_text(json.dumps(answers, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
