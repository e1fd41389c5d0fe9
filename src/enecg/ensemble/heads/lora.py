"""Low-rank adapters (LoRA: Hu et al. 2021) as arrays, and in the files of peft."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from enecg.errors import InputError

if TYPE_CHECKING:
    from torch import nn

CONFIG: Final = "adapter_config.json"
TENSORS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."  # how peft names the layers of what it wraps


@dataclass(frozen=True, eq=False)
class Adapter:
    """Low-rank changes of some linear layers of a network.

    Attributes:
        alpha: a layer's weight changes by `alpha / rank * B @ A`.
        layers: name -> `A` float32 `[rank, in]` and `B` float32 `[out, rank]`.
    """

    alpha: float
    layers: Mapping[str, tuple[np.ndarray, np.ndarray]]

    @property
    def rank(self) -> int:
        """Rank of the adapters, the same for all layers."""
        return len(next(iter(self.layers.values()))[0])

    @property
    def parameters(self) -> int:
        """Count of the trained numbers."""
        return sum(a.size + b.size for a, b in self.layers.values())

    def change(self, layer: str) -> np.ndarray:
        """Return the change of a layer's weight, float32 `[out, in]`."""
        a, b = self.layers[layer]
        changed: np.ndarray = np.float32(self.alpha / self.rank) * (b @ a)
        return changed

    def added(self, layer: str, x: np.ndarray) -> np.ndarray:
        """Return the change of a layer's output for inputs `[row, in]`, float32 `[row, out]`."""
        a, b = self.layers[layer]
        more: np.ndarray = np.float32(self.alpha / self.rank) * (x @ a.T @ b.T)
        return more

    @classmethod
    def of(cls, adapted: nn.Module, alpha: float, within: str = "") -> Adapter:
        """Return the adapters of a network that `peft.get_peft_model` has wrapped.

        Args:
            adapted: the wrapped network.
            alpha: its `lora_alpha`.
            within: take only layers below this module, named from there.
        """
        start, side = f"{_PREFIX}{within}", ".lora_A.default.weight"
        state = {key: value.detach().cpu().numpy().copy() for key, value in adapted.state_dict().items()}
        return cls(
            alpha,
            {
                key.removeprefix(start).removesuffix(side): (value, state[key.replace("lora_A", "lora_B")])
                for key, value in state.items()
                if key.startswith(start) and key.endswith(side)
            },
        )

    def save(self, folder: Path) -> None:
        """Write the two files that `peft.PeftModel.from_pretrained(network, folder)` reads."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": None,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": sorted(self.layers),
            "inference_mode": True,
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        tensors = {}
        for layer, sides in self.layers.items():
            for side, tensor in zip("AB", sides, strict=True):
                tensors[f"{_PREFIX}{layer}.lora_{side}.weight"] = np.ascontiguousarray(tensor)
        save_file(tensors, folder / TENSORS)
        (folder / TENSORS).chmod(0o644)

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """Read what `save`, or peft's `save_pretrained`, has written.

        Raises:
            InputError: a file is missing, or it is no plain LoRA of one rank.
        """
        from safetensors.numpy import load_file

        try:
            config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            tensors = load_file(folder / TENSORS)
            layers = {
                key.removeprefix(_PREFIX).removesuffix(".lora_A.weight"): (
                    value,
                    tensors[key.replace("lora_A", "lora_B")],
                )
                for key, value in tensors.items()
                if key.endswith(".lora_A.weight")
            }
            alpha = float(config["lora_alpha"])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: no adapter as peft writes it ({error}); save it again") from None
        plain = config.get("peft_type") == "LORA" and not config.get("use_rslora") and not config.get("use_dora")
        if not plain or len(tensors) != 2 * len(layers) or {len(a) for a, _ in layers.values()} != {config["r"]}:
            raise InputError(f"{folder}: not a plain LoRA of rank {config.get('r')}; only such adapters are read")
        return cls(alpha, layers)
