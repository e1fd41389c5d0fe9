"""Networks of the project's own that read the authors' files: layouts, refusals, batch mates, dropout, numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import TOYS, Toy

from enecg.errors import WeightsError
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import installed
from enecg.experts.weights import fold_weight_norm, load_state, save_state

GOLDEN = Path(__file__).parent / "golden_own.json"
OFFICIAL: dict[str, Any] = json.loads((Path(__file__).parent / "official_toys.json").read_text())


def marked(toy: Toy) -> Any:
    missing = not installed(toy.published)
    return pytest.param(toy, id=toy.name, marks=pytest.mark.skipif(missing, reason="its package is not installed"))


each = pytest.mark.parametrize("toy", [marked(toy) for toy in TOYS])


def embed(module: torch.nn.Module, signal: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = module(signal, torch.full((len(signal),), signal.shape[-1]))
    return out


@each
def test_reads_the_official_layout_whole(toy: Toy) -> None:
    published = toy.published
    with torch.device("meta"):
        module = published.build(
            fold_weight_norm(generate.on_meta(generate.layout(published.layout))), published.config
        )
    assert sum(parameter.numel() for parameter in module.parameters()) == published.card.parameters


@each
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_toy_of_the_layout_loads_from_a_file_and_embeds(toy: Toy, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"toy{suffix}"
    if suffix == ".pth":
        torch.save(toy.state(), path)
    else:
        save_state(toy.state(), path)
    embedding = embed(toy.build(load_state(path)).eval(), toy.signal())
    assert embedding.shape == (3, toy.dim)
    assert torch.isfinite(embedding).all()
    assert (embedding.std(0) > 0).float().mean() > 0.5  # it looks at its input


@each
def test_refuses_missing_extra_and_misshapen_keys(toy: Toy) -> None:
    state = toy.state()
    with pytest.raises(WeightsError, match="missing"):
        toy.build({key: tensor for key, tensor in state.items() if key != toy.needed})
    with pytest.raises(WeightsError, match="left over: stranger"):
        toy.build({**state, "stranger": torch.zeros(1)})
    with pytest.raises(WeightsError, match="of another shape"):
        toy.build({**state, toy.needed: state[toy.needed][..., :-1]})


@each
def test_does_not_depend_on_batch_mates(toy: Toy) -> None:
    module, signal = toy.build(toy.state()).eval(), toy.signal()
    together = embed(module, signal)
    largest = max(1.0, float(together.abs().max()))
    for row in range(len(signal)):
        alone = embed(module, signal[row : row + 1])[0]
        torch.testing.assert_close(alone, together[row], atol=1e-6 * largest, rtol=1e-5)


@each
def test_bfloat16_changes_the_embedding_little(toy: Toy) -> None:
    module, signal = toy.build(toy.state()).eval(), toy.signal()
    exact = embed(module, signal)
    with torch.autocast("cpu", torch.bfloat16):
        rough = embed(module, signal).float()
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("toy", [marked(toy) for toy in TOYS if toy.name in OFFICIAL])
def test_answers_as_the_authors_code_does(toy: Toy) -> None:
    """`scripts/official_toys.py` runs that code on the same weights and signals, and writes its answers."""
    official = torch.tensor(OFFICIAL[toy.name])
    embedding = embed(toy.build(toy.state()).eval(), toy.signal(len(official)))
    torch.testing.assert_close(embedding, official, atol=2e-6 * float(official.abs().max()) + 1e-6, rtol=0)


def test_every_network_of_our_own_is_held_to_its_authors_code() -> None:
    packaged = {toy.name for toy in TOYS if toy.published.package}
    assert {toy.name for toy in TOYS} - packaged == OFFICIAL.keys()


@each
def test_gives_the_golden_numbers(toy: Toy) -> None:
    """`ENECG_WRITE_GOLDEN=1 pytest tests/experts/test_layouts_own.py -k golden` writes them anew, by seeds 0 and 1."""
    embedding = embed(toy.build(toy.state()).eval(), toy.signal(2))
    found = [[float(f"{value:.7g}") for value in row[:8]] for row in embedding.tolist()]
    known = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("ENECG_WRITE_GOLDEN") == "1":
        known[toy.name] = found
        GOLDEN.write_text(json.dumps(known, indent=1) + "\n")
    np.testing.assert_allclose(found, known[toy.name], atol=1e-5, rtol=1e-4)
