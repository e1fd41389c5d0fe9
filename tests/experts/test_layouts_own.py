"""Networks of the project's own that read the authors' files: layouts, refusals, batch mates, dropout, numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import drawn
import numpy as np
import pytest
import torch
from families_own import FAMILIES, Family

from enecg.errors import WeightsError
from enecg.experts.weights import load_state, save_state

GOLDEN = Path(__file__).parent / "golden_own.json"

each = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def toy_state(family: Family) -> dict[str, torch.Tensor]:
    return drawn.draw(drawn.shrunk(drawn.layout(family.layout), family.sizes, family.drop))


def toy_input(family: Family, count: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.standard_normal((count, *family.shape)).astype(np.float32).cumsum(-1))


def embed(module: torch.nn.Module, signal: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = module.eval()(signal, torch.full((len(signal),), signal.shape[-1]))
    return out


@each
def test_reads_the_official_layout_whole(family: Family) -> None:
    with torch.device("meta"):
        module = family.build(drawn.on_meta(drawn.layout(family.layout)))
    assert sum(parameter.numel() for parameter in module.parameters()) == family.parameters


@each
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_toy_of_the_layout_loads_from_a_file_and_embeds(family: Family, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"toy{suffix}"
    state = toy_state(family)
    save_state(state, path) if suffix == ".safetensors" else torch.save(state, path)
    embedding = embed(family.toy(load_state(path)), toy_input(family))
    assert embedding.shape == (3, family.dim)
    assert torch.isfinite(embedding).all()
    assert embedding.std(0).min() > 0  # it looks at its input


@each
def test_refuses_missing_extra_and_misshapen_keys(family: Family) -> None:
    state = toy_state(family)
    needed = family.needed
    with pytest.raises(WeightsError, match="missing"):
        family.toy({key: tensor for key, tensor in state.items() if key != needed})
    with pytest.raises(WeightsError, match="left over: stranger"):
        family.toy({**state, "stranger": torch.zeros(1)})
    with pytest.raises(WeightsError, match="of another shape"):
        family.toy({**state, needed: state[needed][..., :-1]})


@each
def test_does_not_depend_on_batch_mates_nor_on_train(family: Family) -> None:
    module = family.toy(toy_state(family))
    signal = toy_input(family)
    together = embed(module, signal)
    for row in range(len(signal)):
        torch.testing.assert_close(embed(module, signal[row : row + 1])[0], together[row], atol=1e-6, rtol=1e-5)
    module.train()
    torch.testing.assert_close(embed(module, signal), together)


@each
def test_gives_the_golden_numbers(family: Family) -> None:
    """`ENECG_WRITE_GOLDEN=1 pytest tests/experts/test_layouts_own.py` writes them anew, from seeds 0 and 1."""
    embedding = embed(family.toy(toy_state(family)), toy_input(family, 2))
    found = [[float(f"{value:.7g}") for value in row[:8]] for row in embedding.tolist()]
    known = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("ENECG_WRITE_GOLDEN") == "1":
        GOLDEN.write_text(json.dumps({**known, family.name: found}, indent=1) + "\n")
        known[family.name] = found
    np.testing.assert_allclose(found, known[family.name], atol=1e-5, rtol=1e-4)
