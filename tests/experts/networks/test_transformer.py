from __future__ import annotations

import pytest
import torch
from torch import nn

from enecg.experts.networks.st_mem import Jepa, Shape, StMem
from enecg.experts.networks.transformer import Layer, TransformerBlock, rename, seen_by_all


def test_block_equals_the_encoder_layer_of_torch() -> None:
    torch.manual_seed(0)
    own = TransformerBlock(16, 4, 32).eval()
    other = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True, norm_first=True).eval()
    names = (
        (r"^qkv\.", "self_attn.in_proj_"), (r"^proj\.", "self_attn.out_proj."),
        (r"^fc1\.", "linear1."), (r"^fc2\.", "linear2."),
    )  # fmt: skip
    other.load_state_dict(rename(own.state_dict(), names))
    tokens = torch.randn(2, 5, 16)
    with torch.inference_mode():
        torch.testing.assert_close(own(tokens), other(tokens), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_layer_equals_the_encoder_layer_of_torch(norm_first: bool) -> None:
    torch.manual_seed(0)
    own = Layer(16, 4, 32, norm_first).eval()
    other = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True, norm_first=norm_first).eval()
    other.load_state_dict(own.state_dict())
    tokens = torch.randn(2, 5, 16)
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.inference_mode():
        assert seen_by_all(valid[:1]) is None
        torch.testing.assert_close(own(tokens), other(tokens), atol=1e-6, rtol=1e-5)
        masked = other(tokens, src_key_padding_mask=~valid)
        torch.testing.assert_close(own(tokens, seen_by_all(valid))[valid], masked[valid], atol=1e-6, rtol=1e-5)


def test_causal_block_does_not_look_ahead() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(16, 4, 32, causal=True).eval()
    tokens = torch.randn(1, 6, 16)
    with torch.inference_mode():
        before = block(tokens)
        tokens[:, 4] *= -1
        after = block(tokens)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 5], before[:, 5])


@pytest.mark.parametrize(("lead", "time", "seen"), [(0, 3, True), (2, 1, True), (2, 3, False)])
def test_jepa_patch_sees_its_lead_and_its_time_only(lead: int, time: int, seen: bool) -> None:
    module = Jepa(Shape(width=8, depth=1, heads=2, hidden=16, leads=3, samples=20, patch=5))
    assert bool(module.crossing[0 * 4 + 1, lead * 4 + time]) is seen  # from lead 0, patch 1


def test_st_mem_knows_leads_apart() -> None:
    torch.manual_seed(0)
    module = StMem(Shape(width=8, depth=1, heads=2, hidden=16, leads=3, samples=20, patch=5)).eval()
    for lead in module.lead_embeddings:
        nn.init.normal_(lead)
    signal = torch.randn(1, 3, 20)
    length = torch.tensor([20])
    with torch.inference_mode():
        assert not torch.allclose(module(signal, length), module(signal[:, [1, 0, 2]], length), atol=1e-4)
        torch.manual_seed(1)
        for lead in module.lead_embeddings:
            lead.zero_()
        torch.testing.assert_close(module(signal, length), module(signal[:, [1, 0, 2]], length))
