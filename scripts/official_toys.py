"""Make tests/experts/published/official_toys.json: answers of the authors' own code on the toys of experts/toys.py.

    python scripts/official_toys.py FOLDER

FOLDER holds checkouts, each in a folder of the name that is given here: `MERL` of
github.com/cheliu-computation/MERL-ICML2024 (38799b7), `ST-MEM` of bakqui/ST-MEM (69ec702), `ECG_JEPA` of
sehunfromdaegu/ECG_JEPA (d937ad2), `HuBERT-ECG` of Edoar-do/HuBERT-ECG (affe1f9), `TEMPO` of DC-research/TEMPO
(cd56d75), `TSLib` of thuml/Time-Series-Library (4e938a1), `MELP` of HKU-MedAI/MELP (088741d) and
`fairseq_signals_backbone` of fuying-wang/fairseq-signals (27d94ba). They need transformers, einops, omegaconf,
hydra-core and timm; of what they import besides and never use here, an empty stand-in is put in place. Nothing of
their code is kept.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final
from unittest.mock import MagicMock

import torch
from torch import nn

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "tests" / "experts" / "official_toys.json"
COUNT: Final = 2  # windows
sys.path.insert(0, str(ROOT / "tests" / "experts"))

from toys import TOYS, Toy  # noqa: E402

from enecg.experts.networks.hubert_ecg import join  # noqa: E402
from enecg.experts.networks.tempo import PROMPTS  # noqa: E402

Official = Callable[[Path, Toy, torch.Tensor], torch.Tensor]


def imported(folder: Path, name: str) -> ModuleType:
    """A module of a checkout; what another checkout has imported under the same name is forgotten first."""
    root = name.split(".")[0]
    for key in [key for key in sys.modules if key.split(".")[0] in (root, "layers", "utils")]:
        del sys.modules[key]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


class StandIn(ModuleType):
    """Something empty in the place of a module that is imported and not used."""

    LightningModule = type("Plain", (nn.Module,), {"save_hyperparameters": lambda self: None})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


def stand_in(*names: str) -> None:
    """Put stand-ins in the place of modules."""
    for name in names:
        sys.modules[name] = StandIn(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)


def loaded(module: nn.Module, toy: Toy, ignored: tuple[str, ...] = ()) -> nn.Module:
    """The module with the toy's tensors, all of them."""
    state = {key: tensor for key, tensor in toy.state().items() if not key.startswith(ignored)}
    module.load_state_dict(state)
    return module.eval()


def _vit(toy: Toy) -> dict[str, int]:
    sizes = toy.config
    return {
        "seq_len": sizes["samples"], "patch_size": sizes["patch"], "num_leads": 12, "width": sizes["width"],
        "depth": sizes["depth"], "mlp_dim": sizes["hidden"], "heads": sizes["heads"],
        "dim_head": sizes["width"] // sizes["heads"],
    }  # fmt: skip


def st_mem(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """ST-MEM's encoder."""
    official = imported(folder / "ST-MEM", "models.encoder.st_mem_vit")
    return loaded(official.ST_MEM_ViT(**_vit(toy)), toy)(signal)  # type: ignore[no-any-return]


def merl_vit(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """MERL's transformer, which sees [0, 1]."""
    official = imported(folder / "MERL/finetune", "models.vit1d")
    return loaded(official.ViT(**_vit(toy)), toy)((signal + 1) / 2)  # type: ignore[no-any-return]


def merl(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """MERL's residual network with other widths, without the classifier that the encoder's file has not."""
    official = imported(folder / "MERL/finetune", "models.resnet1d")
    network, widths = official.ResNet18(2), toy.config["widths"]
    network.in_channels = widths[0]
    network.conv1 = nn.Conv1d(12, widths[0], kernel_size=7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm1d(widths[0])
    for number, width in enumerate(widths):
        layer = network._make_layer(official.BasicBlock, width, 2, stride=1 if number == 0 else 2)
        setattr(network, f"layer{number + 1}", layer)
    network.linear = nn.Identity()
    return loaded(network, toy, ("linear.",))((signal + 1) / 2)  # type: ignore[no-any-return]


def ecg_jepa(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """ECG-JEPA's encoder with nothing hidden."""
    official = imported(folder / "ECG_JEPA", "ecg_jepa")
    sizes, patches = toy.config, toy.config["samples"] // toy.config["patch"]
    network = official.MaskTransformer(
        embed_dim=sizes["width"], depth=sizes["depth"], num_heads=sizes["heads"], c=8, p=patches, t=sizes["patch"]
    )
    hidden = torch.zeros(patches, dtype=torch.bool)
    tokens = loaded(network, toy)(signal.view(len(signal), 8, patches, -1), hidden)[0]
    return tokens.mean(1)  # type: ignore[no-any-return]


def hubert_ecg(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """HuBERT-ECG's encoder on the joined leads."""
    official = imported(folder / "HuBERT-ECG/code", "hubert_ecg")
    shape = toy.state()["label_embedding.0.weight"].shape
    config = official.HuBERTECGConfig(**toy.config, vocab_sizes=[shape[0]], classifier_proj_size=shape[1])
    return loaded(official.HuBERTECG(config), toy)(join(signal)).last_hidden_state.mean(1)  # type: ignore[no-any-return]


def _tempo(folder: Path, toy: Toy, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Last hidden states `[lead, token, width]` and forecasts `[lead, ahead]` of TEMPO, with constants as tokens."""
    official = imported(folder / "TEMPO", "tempo.models.TEMPO")
    sizes = toy.config
    words = iter(PROMPTS)

    class Tokens(dict[str, torch.Tensor]):
        def to(self, device: object) -> Tokens:
            return self

    official.GPT2Tokenizer = MagicMock()
    official.GPT2Tokenizer.from_pretrained.return_value = lambda **_: Tokens(input_ids=torch.tensor([next(words)]))
    config = official.GPT2Config(n_embd=sizes["width"], n_head=sizes["heads"], n_positions=sizes["places"])
    official.GPT2Config = lambda: config
    settings = SimpleNamespace(
        is_gpt=1, patch_size=16, pretrain=0, stride=8, seq_len=sizes["samples"], gpt_layers=sizes["layers"], prompt=1,
        use_token=0, pool=False, d_model=sizes["width"], pred_len=sizes["ahead"], freeze=1, num_nodes=1,
        loss_func="mse",
    )  # fmt: skip
    network = loaded(official.TEMPO(settings, "cpu"), toy)
    seen: list[torch.Tensor] = []
    network.gpt2_trend.register_forward_hook(lambda *of: seen.append(of[-1].last_hidden_state))  # type: ignore[union-attr]
    series = signal.flatten(0, 1)[..., None]
    ahead = network(series, 0, series, series, series, test=True)
    return seen[0], (ahead[0] if isinstance(ahead, tuple) else ahead)[..., 0]


def tempo(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """Mean over the patches of each part and over leads."""
    hidden = _tempo(folder, toy, signal)[0]
    parts = hidden.view(len(hidden), 3, -1, hidden.shape[-1])[:, :, len(PROMPTS[0]) :]
    return parts.mean(2).view(*signal.shape[:2], -1).mean(1)


def tempo_forecast(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """The forecasts of the leads side by side."""
    return _tempo(folder, toy, signal)[1].reshape(len(signal), -1)


def timesnet(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """TimesNet, one recording at a time, since its periods are those of the batch; mean over time of each lead."""
    official = imported(folder / "TSLib", "models.TimesNet")
    sizes = toy.config
    settings = SimpleNamespace(
        task_name="long_term_forecast", seq_len=sizes["samples"], label_len=0, pred_len=1, top_k=sizes["periods"],
        d_model=sizes["width"], d_ff=sizes["hidden"], num_kernels=sizes["kernels"], e_layers=sizes["layers"], enc_in=1,
        c_out=1, embed="timeF", freq="h", dropout=0.1,
    )  # fmt: skip
    network = loaded(official.Model(settings), toy)
    means = []
    for leads in signal:
        seen: list[torch.Tensor] = []
        handle = network.layer_norm.register_forward_hook(lambda *of, seen=seen: seen.append(of[-1]))  # type: ignore[misc, union-attr]
        network(leads[..., None], None, None, None)
        handle.remove()
        means.append(seen[-1].mean(1).flatten())
    return torch.stack(means)


def dlinear(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """DLinear's forecast of each lead."""
    official = imported(folder / "TSLib", "models.DLinear")
    settings = SimpleNamespace(
        task_name="long_term_forecast", seq_len=toy.config["samples"], pred_len=1, moving_avg=toy.config["average"],
        enc_in=1,
    )  # fmt: skip
    series = signal.flatten(0, 1)[..., None]
    ahead: torch.Tensor = loaded(official.Model(settings), toy)(series, None, None, None)
    return ahead.reshape(len(signal), -1)


def melp(folder: Path, toy: Toy, signal: torch.Tensor) -> torch.Tensor:
    """MELP's encoder, which sees [0, 1]: mean over tokens, and the pooled queries of its probes."""
    stand_in("torchvision", "torchvision.ops", "torchvision.ops.misc")
    sys.path.insert(0, str(folder / "fairseq_signals_backbone/src"))
    official = imported(folder / "MELP/src", "melp.models.ecgfm_model")
    sizes, config = toy.options["sizes"]["small"], toy.config
    settings = {
        "apply_mask": True, "quantize_targets": True, "final_dim": 256, **sizes, "in_d": 12,
    }  # fmt: skip

    def init(self: Any) -> None:
        self.ecg_encoder = official.Wav2Vec2CMSCModel(official.Wav2Vec2CMSCConfig(**settings))

    official.ECGFMModel.init_ecg_encoder = init
    official.nn.BatchNorm1d, original = (lambda width, **more: original(48, **more)), official.nn.BatchNorm1d
    network = official.ECGFMModel(
        shared_emb_dim=config["shared_emb_dim"], embed_dim_caption=48, use_attentional_pool_contrast=True,
        use_attentional_pool_caption=True, n_queries_contrast=14, n_queries_caption=128,
    )  # fmt: skip
    official.nn.BatchNorm1d = original
    unused = ("ecg_encoder.quantizer", "ecg_encoder.project_q", "ecg_encoder.final_proj")
    state = {key: tensor for key, tensor in toy.state().items() if not key.startswith(unused)}
    missing = network.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and all(key.startswith(unused) for key in missing.missing_keys)
    network.eval()
    unit = (signal + 1) / 2
    tokens = network.ecg_encoder(source=unit, mask=False, features_only=True)["x"]
    return torch.cat([tokens.mean(1), network.ext_ecg_emb(unit)], dim=1)


OFFICIAL: Final[dict[str, Official]] = {
    "st-mem": st_mem,
    "merl": merl,
    "merl-vit": merl_vit,
    "ecg-jepa": ecg_jepa,
    "hubert-ecg-small": hubert_ecg,
    "tempo": tempo,
    "tempo-forecast": tempo_forecast,
    "timesnet-enecg": timesnet,
    "dlinear-enecg": dlinear,
    "melp": melp,
}


def main(folder: Path) -> None:
    """Run the authors' code and write down what it answers."""
    torch.set_num_threads(1)
    stand_in("ipdb", "lightning", "cosine_annealing_warmup", "timm", "timm.models", "timm.models.layers", "timm.optim")
    answers = {}
    for toy in TOYS:
        if toy.name in OFFICIAL:
            with torch.no_grad():
                found = OFFICIAL[toy.name](folder, toy, toy.signal(COUNT))
            answers[toy.name] = [[float(f"{value:.7g}") for value in row] for row in found.tolist()]
    lines = [f"{json.dumps(name)}: {json.dumps(rows, separators=(',', ':'))}" for name, rows in answers.items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
