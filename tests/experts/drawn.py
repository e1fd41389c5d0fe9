"""Weights drawn at random in the layouts of published files, whole or shrunk to a toy of the same structure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

import enecg

torch.set_num_threads(1)  # toys: threads cost more than they save

LAYOUTS = Path(enecg.__file__).parent / "experts" / "data" / "layouts"

Shapes = dict[str, list[int]]


def layout(name: str) -> Shapes:
    """Names and shapes of all tensors in a published file."""
    shapes: Shapes = json.loads((LAYOUTS / f"{name}.json").read_text())["shapes"]
    return shapes


def on_meta(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Tensors that have a shape and no content."""
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def shrunk(shapes: Shapes, sizes: Mapping[int, int], drop: str) -> Shapes:
    """A toy of the same structure: other sizes, without the keys that match the regular expression `drop`."""
    return {key: [sizes.get(size, size) for size in shape] for key, shape in shapes.items() if not re.search(drop, key)}


def draw(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights that keep activations of scale 1; the same seed, the same numbers in any version of torch."""
    rng = np.random.default_rng(seed)
    state = {}
    for key, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32)
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        if key.endswith("running_var"):
            values = 1 + 0.1 * np.abs(values)
        elif len(shape) > 1:
            values /= np.sqrt(np.prod(shape[1:]))
        elif re.search(r"(norm|bn|ln_)\w*\.weight$|shortcut\.1\.weight$|affine_weight$", key):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        state[key] = torch.from_numpy(np.asarray(values))
    return state
