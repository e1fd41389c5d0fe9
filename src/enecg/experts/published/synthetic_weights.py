"""Generated weights in the layout of a published file: they show that a loader fits, without the file itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enecg.experts.published.catalogue import Published

if TYPE_CHECKING:
    import torch

    from enecg.experts.weights import State

Shapes = Mapping[str, list[int]]


def layout(name: str) -> dict[str, list[int]]:
    """Names and shapes of all tensors in a published file, as its authors' code makes them."""
    text = (files("enecg.experts") / "data" / "layouts" / f"{name}.json").read_text(encoding="utf-8")
    shapes: dict[str, list[int]] = json.loads(text)["shapes"]
    return shapes


def on_meta(shapes: Shapes) -> State:
    """Tensors that have a shape and no content."""
    import torch

    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def draw(shapes: Shapes, seed: int = 0) -> State:
    """Random tensors that keep activations near 1; the same seed gives the same numbers with any version of torch."""
    import torch

    rng = np.random.default_rng(seed)
    return {key: torch.from_numpy(_drawn(key, shape, rng)) for key, shape in shapes.items()}


def _drawn(key: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """One tensor: matrices by the number of their inputs, norms near 1, all else near 0."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = rng.standard_normal(shape, np.float32)
    if key.endswith("running_var"):
        return 1 + np.abs(values) / 10
    if len(shape) > 1:
        return np.asarray(values / np.float32(np.sqrt(np.prod(shape[1:]))))
    scale = re.search(r"(norm|bn\d?|ln_\w|shortcut\.1|conv_layers\.0\.2|affine)\w*[._]weight$", key)
    return np.asarray(values / 10 + (1 if scale else 0), np.float32)


def write(published: Published, folder: Path, seed: int = 0) -> None:
    """Write what the authors publish, with generated weights: the file in its own format, and its configuration."""
    import torch
    from safetensors.torch import save_file

    weights = published.card.weights
    state = {f"{published.strip}{key}": tensor for key, tensor in draw(layout(published.layout), seed).items()}
    path = folder / weights.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path, {"format": "pt"})
    else:
        content: dict[str, Any] = dict(state)
        for name in reversed(published.inside.split(".") if published.inside else ()):
            content = {name: content}
        _put(content, published.config_inside, published.config)
        torch.save(content, path)
    if weights.config:
        (folder / weights.config).write_text(json.dumps(published.config), encoding="utf-8")


def _put(content: dict[str, Any], where: str, config: Mapping[str, Any]) -> None:
    """The configuration into a torch file's content."""
    if where:
        *path, last = where.split(".")
        for name in path:
            content = content.setdefault(name, {})
        content[last] = dict(config)


def build_on_meta(published: Published) -> torch.nn.Module:
    """The network, strictly loaded from the published layout, without memory for its weights (or `WeightsError`)."""
    import torch

    from enecg.experts.weights import fold_weight_norm

    with torch.device("meta"):
        return published.build(fold_weight_norm(on_meta(layout(published.layout))), published.config)
