"""The codec's encoder: its published numbers, the package's own module, and what absence of either gives."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.stats import rankdata

from enecg.errors import MissingExtra
from enecg.experts import registry
from enecg.experts.inputs import Batch
from enecg.experts.networks.melp_codec import HEADS, Codec, rank_normalise
from enecg.experts.published import openecg
from enecg.experts.published.openecg import CARD, PER_LEAD, OpenEcg
from enecg.experts.weights import load_state, load_strict

torch.set_num_threads(1)  # of several, those that wait take the time of the others

TIME = np.arange(5000) / 500
WAVE = (np.sin(2 * np.pi * 1.2 * TIME) + 0.3 * np.sin(2 * np.pi * 7 * TIME)).astype(np.float32)


@pytest.fixture(scope="module")
def file() -> Path:
    folder = openecg.installed()
    if folder is None:
        pytest.skip("the package openecg is not installed")
    return folder / "models" / "codec_v6.pt"


@pytest.fixture(scope="module")
def codec(file: Path) -> Codec:
    module = Codec()
    load_strict(module, load_state(file, sha256=CARD.weights.sha256, inside="model_state"), ignore=HEADS)
    return module.eval()


def tokens(codec: Codec, leads: np.ndarray, length: int = 5000) -> torch.Tensor:
    size = torch.full((len(leads),), length)
    with torch.inference_mode():
        return codec.tokens(rank_normalise(torch.from_numpy(leads), size), size)[0]


def test_tokens_have_their_published_values(codec: Codec) -> None:
    found = tokens(codec, WAVE[None])[0]
    mean = [0.9376923, 2.0275424, 0.6539664, 3.2234926, -1.3394872, -1.4692898]
    first = [-1.351546, 4.228312, 0.5423806, 2.4319406]
    np.testing.assert_allclose(found.mean(0)[:6], mean, atol=5e-4)
    np.testing.assert_allclose(found[0, :4], first, atol=5e-4)


@pytest.mark.filterwarnings("ignore")
def test_tokens_are_those_of_the_packages_own_module(codec: Codec, file: Path) -> None:
    load = pytest.importorskip("openecg.stage2.model").load_model_from_ckpt
    module, _ = load(str(file))
    seen: list[torch.Tensor] = []
    module.eval().upper_transformer.register_forward_hook(lambda *call: seen.append(call[2]))
    leads = np.stack([WAVE, np.random.default_rng(0).normal(size=5000).astype(np.float32)])
    with torch.inference_mode():
        module(rank_normalise(torch.from_numpy(leads), torch.tensor([5000, 5000])), torch.zeros(2, dtype=torch.long))
    torch.testing.assert_close(tokens(codec, leads), seen[0], atol=1e-5, rtol=0)


@given(
    row=st.lists(st.integers(-3, 3), min_size=2, max_size=30),
    padding=st.integers(0, 5),
    factor=st.sampled_from([0.25, 1.0, 64.0]),
)
def test_ranks_are_mean_ranks_whatever_the_unit(row: list[int], padding: int, factor: float) -> None:
    padded = torch.tensor([[*row, *[0] * padding]], dtype=torch.float32) * factor
    found = rank_normalise(padded, torch.tensor([len(row)]))[0].numpy()
    np.testing.assert_allclose(found[: len(row)], 2 * (rankdata(row) - 1) / (len(row) - 1) - 1, atol=1e-6)
    assert not found[len(row) :].any()


def test_the_embedding_is_mean_and_deviation_of_each_lead(codec: Codec) -> None:
    leads = np.random.default_rng(1).normal(size=(8, 5000)).astype(np.float32)
    present = np.ones((1, 8), bool)
    present[0, 3] = False
    batch = Batch(leads[None], present, np.ones((1, 8), np.float32), np.array([5000]), 500.0)
    found = OpenEcg(device="cpu").encode(batch).reshape(8, PER_LEAD)
    assert np.isnan(found[3]).all()
    rest = tokens(codec, leads)
    expected = torch.cat([rest.mean(1), rest.std(1, correction=0)], dim=1).numpy()
    np.testing.assert_allclose(found[present[0]], expected[present[0]], atol=1e-4)


def test_padding_is_not_attended_to(codec: Codec) -> None:
    with torch.inference_mode():
        short = codec(torch.from_numpy(WAVE[None, None, :3000]), torch.tensor([3000]))
        padded = codec(torch.from_numpy(np.pad(WAVE[:3000], (0, 2000))[None, None]), torch.tensor([3000]))
    torch.testing.assert_close(padded, short, atol=1e-4, rtol=0)


def test_the_card_names_the_corpora_whose_labels_were_seen() -> None:
    assert {"PTB-XL", "LUDB"} <= set(CARD.label_corpora)
    assert "openecg" not in registry.SETS["offline"]
    assert sum(each.numel() for each in Codec().parameters()) == CARD.parameters


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openecg, "find_spec", lambda name: None)
    assert not registry.entry("openecg").available()
    with pytest.raises(MissingExtra, match=r"pip install 'enecg\[openecg\]'"):
        OpenEcg()
