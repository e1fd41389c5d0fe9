from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import decimate
from toys import TOYS

from enecg.errors import WeightsError
from enecg.experts.networks.hubert_ecg import join
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import find
from enecg.experts.published.hubert_ecg import build
from enecg.experts.weights import fold_weight_norm

TOY = next(toy for toy in TOYS if toy.name == "hubert-ecg-small")


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_every_size_reads_its_layout_with_its_configuration(size: str) -> None:
    published = find(f"hubert-ecg-{size}")
    assert published is not None
    with torch.device("meta"):
        module = build(fold_weight_norm(generate.on_meta(generate.layout(published.layout))), published.config)
    assert sum(each.numel() for each in module.parameters()) == published.card.parameters


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_attention_heads": None}, "does not say num_attention_heads"),
        ({"num_attention_heads": 5}, "5 heads for a width of 32"),
        ({"do_stable_layer_norm": True}, "do_stable_layer_norm True instead of False"),
        ({"conv_stride": [5, 2, 2, 2, 2]}, "conv_stride"),
        ({"conv_dim": [32, 32, 32, 32, 16]}, "conv_dim"),
        ({"hidden_size": 48}, "of another shape"),
        ({"num_hidden_layers": 3}, "missing: layers.2"),
        ({"num_hidden_layers": 1}, "left over: layers.1"),
    ],
)
def test_refuses_a_configuration_of_another_model(change: dict[str, Any], said: str) -> None:
    config = {key: value for key, value in {**TOY.config, **change}.items() if value is not None}
    with pytest.raises(WeightsError, match=said):
        build(fold_weight_norm(TOY.state()), config)


def test_both_spellings_of_weight_norm_give_the_same_network() -> None:
    state = TOY.state()
    pair = ("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")
    old = dict(state)
    for new_name, old_name in pair:
        old[f"encoder.pos_conv_embed.conv.{old_name}"] = old.pop(f"encoder.pos_conv_embed.conv.{new_name}")
    signal, length = TOY.signal(), torch.full((3,), 200)
    with torch.inference_mode():
        one, other = (TOY.build(each).eval()(signal, length) for each in (state, old))
    assert torch.equal(one, other)


def test_leads_are_joined_first_and_decimated_then() -> None:
    signal = TOY.signal()
    for row, joined in zip(signal.numpy().astype(float), join(signal).numpy(), strict=True):
        np.testing.assert_allclose(joined, decimate(row.reshape(-1), 5), atol=1e-5)
