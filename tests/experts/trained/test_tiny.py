"""The encoder and its folder; that pretraining learns is tested with the room `pretrain`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from enecg.errors import InputError, WeightsError
from enecg.experts import registry
from enecg.experts.inputs import Batch
from enecg.experts.networks.convolutional import Encoder, pool
from enecg.experts.trained.tiny import INPUT, PACKAGED, WEIGHTS_FILE, TinyExpert

torch.set_num_threads(1)  # of several, those that wait take the time of the others


def batch(count: int = 2, seed: int = 0) -> Batch:
    signal = np.random.default_rng(seed).normal(size=(count, 12, INPUT.samples)).astype(np.float32)
    ones = np.ones(signal.shape[:2])
    return Batch(signal, ones > 0, ones.astype(np.float32), np.full(count, INPUT.samples), INPUT.rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The packaged expert, copied and named anew."""
    made = tmp_path / "shelf" / "mine"
    shutil.copytree(PACKAGED, made)
    rename(made, "mine")
    return made


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    registry.names()
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


def rename(folder: Path, name: str) -> None:
    path = folder / registry.CARD_FILE
    content = json.loads(path.read_text())
    content["card"]["name"] = name
    path.write_text(json.dumps(content))


def test_the_packaged_expert_is_small_and_says_what_it_saw() -> None:
    assert sum(file.stat().st_size for file in PACKAGED.iterdir()) < 1_000_000
    card = registry.entry("tiny").card()
    assert card.corpora == ("PTB-XL",)
    assert card.label_corpora == ()
    assert "CC BY 4.0" in card.notes
    facts = json.loads((PACKAGED / registry.CARD_FILE).read_text())["pretraining"]
    assert facts["recordings"] == 1442
    assert len(facts["cohort_digest"]) == 64


def test_each_stage_gives_mean_deviation_and_maximum() -> None:
    hidden = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(0))
    found = pool([hidden, hidden[:, :1]], torch.tensor([160, 73]), 160)
    whole, part = hidden[0], hidden[1, :, :5]  # 73 of 160 samples reach into the fifth of ten steps
    for row, (each, first) in enumerate([(whole, whole[:1]), (part, part[:1])]):
        parts = [f(x) for x in (each, first) for f in (lambda x: x.mean(1), lambda x: x.std(1, correction=0),
                                                       lambda x: x.amax(1))]  # fmt: skip
        torch.testing.assert_close(found[row], torch.cat(parts))


def test_padding_hardly_matters() -> None:
    module = TinyExpert.load(PACKAGED, device="cpu").module
    signal = torch.from_numpy(batch(1).signal)
    padded = signal.clone()
    padded[..., 640:] = 0
    with torch.inference_mode():
        short = module(signal[..., :640], torch.tensor([640]))
        found = module(padded, torch.tensor([640]))
        other = module(signal[..., 360:], torch.tensor([640]))
    assert (found - short).abs().mean() < 0.1 * (other - short).abs().mean()


def test_a_folder_is_an_expert(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.resolve(f"rocket,{folder},{folder}/") == ["rocket", "mine"]
    assert registry.entry("mine").card().name == "mine"
    expert = registry.entry("mine").create()
    same = TinyExpert.load(PACKAGED)
    np.testing.assert_array_equal(expert.encode(batch()), same.encode(batch()))
    assert expert.fingerprint != same.fingerprint
    monkeypatch.chdir(folder.parent)
    assert registry.resolve("mine") == ["mine"]


def test_a_shelf_is_looked_through(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no expert or set named 'mine'"):
        registry.entry("mine")
    monkeypatch.setenv("ENECG_EXPERTS", str(folder.parent))
    monkeypatch.setattr(registry, "_PACKAGES", ())
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    registry._load_families.cache_clear()
    assert "mine" in registry.names()


def test_a_name_that_is_taken_is_refused(folder: Path, tmp_path: Path) -> None:
    registry.resolve(str(folder))
    shutil.copytree(folder, tmp_path / "again")
    for name in ("mine", "tiny", "offline"):
        rename(tmp_path / "again", name)
        with pytest.raises(InputError, match=f"another expert is named '{name}'"):
            registry.resolve(str(tmp_path / "again"))


def test_a_folder_whose_card_or_weights_were_changed_is_refused(folder: Path) -> None:
    weights = folder / WEIGHTS_FILE
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(WeightsError, match="sha256 is"):
        TinyExpert.load(folder)
    weights.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        TinyExpert.load(folder)
    card = folder / registry.CARD_FILE
    for text, says in (("{", "not the card of an expert"), ('{"kind": "tiny"}', "not the card of an expert")):
        card.write_text(text)
        with pytest.raises(InputError, match=says):
            registry.resolve(str(folder))
    content = json.loads((PACKAGED / registry.CARD_FILE).read_text())
    card.write_text(json.dumps(content | {"kind": "large"}))
    with pytest.raises(InputError, match="an expert of kind 'large'; known: tiny"):
        registry.resolve(str(folder))


def test_the_encoder_has_the_parameters_of_the_card() -> None:
    card = registry.entry("tiny").card()
    module = Encoder()
    assert sum(each.numel() for each in module.parameters()) == card.parameters
    assert module.dim == card.dim
