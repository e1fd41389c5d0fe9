from __future__ import annotations

import pytest
import torch
from toys import TOYS

from enecg.errors import WeightsError
from enecg.experts.networks.tempo import LORA_ALPHA, LORA_RANK, PROMPTS, Tempo, arrange

TOY = next(toy for toy in TOYS if toy.name == "tempo")
LAYER = "gpt2_trend.base_model.model.h.0.attn.c_attn."


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return TOY.state()


def module_of(state: dict[str, torch.Tensor]) -> Tempo:
    module = TOY.build(state)
    assert isinstance(module, Tempo)
    return module.eval()


def test_both_spellings_of_the_adapters_give_the_same_tensors(state: dict[str, torch.Tensor]) -> None:
    old = {key.replace(".base_layer", ""): tensor for key, tensor in state.items()}
    old[LAYER.replace("c_attn.", "bias")] = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    old[LAYER.replace("c_attn.", "masked_bias")] = torch.tensor(-1e4)
    for key, tensor in module_of(state).state_dict().items():
        torch.testing.assert_close(module_of(old).state_dict()[key], tensor, atol=0, rtol=0)


def test_adapters_are_added_to_the_turned_matrix(state: dict[str, torch.Tensor]) -> None:
    merged = module_of(state).state_dict()["blocks.0.qkv.weight"]
    update = state[LAYER + "lora_B.default.weight"] @ state[LAYER + "lora_A.default.weight"]
    wanted = state[LAYER + "base_layer.weight"].T + update * LORA_ALPHA / LORA_RANK
    torch.testing.assert_close(merged, wanted)


def test_prompts_are_words_of_the_table_through_their_layer(state: dict[str, torch.Tensor]) -> None:
    season = module_of(state).prompts[1]
    words = state["gpt2_trend.base_model.model.wte.weight"][list(PROMPTS[1])]
    wanted = words @ state["prompt_layer_season.weight"].T + state["prompt_layer_season.bias"]
    torch.testing.assert_close(season, wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({LAYER + "lora_A.default.weight": None}, "missing: .*lora_A"),
        ({LAYER + "lora_A.default.weight": torch.zeros(8, 16)}, "rank 8, not 16"),
        ({"gpt2_trend.base_model.model.wte.weight": None}, "missing: gpt2.wte.weight"),
        ({LAYER + "weight": torch.zeros(16, 48)}, "there twice"),
    ],
)
def test_refuses_adapters_and_prompts_that_are_not_as_they_must_be(
    state: dict[str, torch.Tensor], change: dict[str, torch.Tensor | None], said: str
) -> None:
    changed = {key: tensor for key, tensor in {**state, **change}.items() if tensor is not None}
    with pytest.raises(WeightsError, match=said):
        arrange(changed)


def test_the_season_does_not_reach_back_into_the_trend(state: dict[str, torch.Tensor]) -> None:
    module = module_of(state)
    leads = torch.randn(2, 48, generator=torch.Generator().manual_seed(0))
    before = module.tokens(leads)
    with torch.no_grad():
        module.map_season[0].weight += 1
        after = module.tokens(leads)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1], before[:, 1], atol=1e-3)


def test_scale_and_offset_of_a_lead_do_not_matter(state: dict[str, torch.Tensor]) -> None:
    module = module_of(state)
    signal = torch.randn(1, 12, 48, generator=torch.Generator().manual_seed(0)) * 10
    length = torch.tensor([48])
    with torch.inference_mode():
        torch.testing.assert_close(module(signal * 3 + 7, length), module(signal, length), atol=1e-4, rtol=1e-3)


def test_a_silent_lead_is_left_out_of_the_mean(state: dict[str, torch.Tensor]) -> None:
    module = module_of(state)
    signal = torch.randn(1, 12, 48, generator=torch.Generator().manual_seed(0))
    signal[:, 5:] = 0
    length = torch.tensor([48])
    with torch.inference_mode():
        torch.testing.assert_close(module(signal, length), module(signal[:, :5], length))
