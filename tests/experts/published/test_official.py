"""ECGFounder's, CLEF's, ECG-FM's and MOMENT's networks against numbers of the authors' own code.

`official.json` is made by scripts/official_goldens.py: small networks, weights and inputs drawn by seed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import butter, filtfilt, iirnotch, medfilt

from enecg.errors import WeightsError
from enecg.experts.inputs import prepare
from enecg.experts.published import ecg_fm as ecgfm
from enecg.experts.published import ecgfounder, moment
from enecg.experts.published.catalogue import locate
from enecg.experts.published.synthetic_weights import draw
from enecg.experts.sample import sample_recording
from enecg.experts.weights import fold_weight_norm, load_state

OFFICIAL: dict[str, Any] = json.loads((Path(__file__).parent / "official.json").read_text())
TOLERANCE = 2e-5

State = dict[str, torch.Tensor]


def signal(*shape: int) -> torch.Tensor:
    values = np.random.default_rng(1).standard_normal(shape, np.float32).cumsum(-1)
    return torch.from_numpy(np.asarray(values / 10, np.float32))


def drawn(case: dict[str, Any]) -> State:
    return fold_weight_norm(draw(case["shapes"]))


def run(module: torch.nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = module.eval()(*inputs)
    return out


def close(ours: torch.Tensor, official: list[Any]) -> None:
    expected = torch.tensor(official)
    assert ours.shape == expected.shape
    torch.testing.assert_close(ours, expected, atol=TOLERANCE * float(expected.abs().max()), rtol=0)


def net1d(case: dict[str, Any]) -> torch.nn.Module:
    return ecgfounder.build(drawn(case), case["sizes"])


@pytest.mark.parametrize("name", OFFICIAL["net1d"])
def test_net1d(name: str) -> None:
    case = OFFICIAL["net1d"][name]
    close(run(net1d(case), signal(2, case["sizes"]["leads"], 333), torch.tensor([333, 333])), case["features"])


def test_net1d_of_one_lead_reads_each_lead_by_itself() -> None:
    module = net1d(OFFICIAL["net1d"]["one"])
    leads = signal(1, 3, 333)
    leads[0, 1] = 0
    length = torch.tensor([333])
    together = run(module, leads, length).view(3, -1)
    torch.testing.assert_close(together[2:], run(module, leads[:, 2:], length))
    assert together[1].isnan().all()  # a silent lead is unknown


def test_net1d_leaves_the_padding_out_of_the_mean() -> None:
    module = net1d(OFFICIAL["net1d"]["twelve"])
    padded = torch.nn.functional.pad(signal(1, 3, 240), (0, 272))
    short, whole = run(module, padded, torch.tensor([240])), run(module, padded, torch.tensor([512]))
    assert (short - whole).abs().max() > 0.01 * whole.abs().max()


@pytest.mark.parametrize("name", OFFICIAL["ecgfm"])
def test_ecgfm(name: str) -> None:
    case = OFFICIAL["ecgfm"][name]
    module = ecgfm.build(drawn(case), case["config"])
    source = signal(2, 12, 400)
    source[1, :, 260:] = 0
    length = torch.tensor([400, 260])
    close(run(module, source, length), case["mean"])
    with torch.inference_mode():
        close(module.tokens(source, length)[0][:, 0], case["first"])  # type: ignore[operator]


def test_ecgfm_in_the_older_spelling_of_weight_norm_and_fine_tuned() -> None:
    case = OFFICIAL["ecgfm"]["behind"]
    plain = draw(case["shapes"])
    older = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for key, tensor in plain.items()
    }
    assert older.keys() != plain.keys()
    tuned = {f"encoder.{key}": tensor for key, tensor in older.items()}
    tuned |= {"proj.weight": torch.ones(5, 48), "proj.bias": torch.zeros(5)}
    module = ecgfm.build(fold_weight_norm(tuned), case["config"], labels=5)
    out = run(module, signal(1, 12, 400), torch.tensor([400]))
    close(out[:, :48], case["mean"][:1])
    torch.testing.assert_close(out[:, 48:], out[:, :48].sum(1, keepdim=True).expand(1, 5))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("encoder_layers", 24, "encoder_layers 24 instead of 2"),
        ("encoder_embed_dim", 1024, "encoder_embed_dim 1024 instead of 48"),
        ("encoder_ffn_embed_dim", 4096, "encoder_ffn_embed_dim 4096 instead of 96"),
        ("conv_pos_groups", 8, "conv_pos_groups 8 instead of 4"),
        ("in_d", 1, "in_d 1 instead of 12"),
        ("encoder_attention_heads", 7, "7 heads do not divide"),
        ("conv_feature_layers", "[(512, 10, 5)] * 7", "other convolutions"),
        ("extractor_mode", "layer_norm", "other convolutions"),
    ],
)
def test_ecgfm_refuses_a_configuration_that_contradicts_the_tensors(key: str, value: object, said: str) -> None:
    case = OFFICIAL["ecgfm"]["behind"]
    with pytest.raises(WeightsError, match=said) as error:
        ecgfm.build(drawn(case), {**case["config"], key: value})
    assert "\n" not in str(error.value)


def test_ecgfm_heads_come_from_the_configuration() -> None:
    case = OFFICIAL["ecgfm"]["behind"]
    other = ecgfm.build(drawn(case), {**case["config"], "encoder_attention_heads": 6})
    assert ecgfm.shape_of({}).heads == 12
    length = torch.tensor([400])
    away = run(other, signal(1, 12, 400), length) - torch.tensor(case["mean"][:1])
    assert away.abs().max() > 0.01


def test_ecgfm_cut_short_by_a_layer() -> None:
    case = OFFICIAL["ecgfm"]["behind"]
    cut = {key: tensor for key, tensor in drawn(case).items() if "layers.1." not in key or "conv" in key}
    with pytest.raises(WeightsError, match="encoder_layers 2 instead of 1"):
        ecgfm.build(cut, case["config"])
    with pytest.raises(WeightsError, match=r"missing: .*layers"):
        ecgfm.build(cut, {key: value for key, value in case["config"].items() if key != "encoder_layers"})


def test_moment() -> None:
    case = OFFICIAL["moment"]
    module = moment.build(drawn(case), case["config"], case["sizes"])
    places = torch.arange(5000)[:, None] * torch.exp(torch.arange(0, 32, 2) * (-np.log(10000.0) / 32))
    table = torch.stack([places.sin(), places.cos()], -1).flatten(1)[None]  # the authors' own, not drawn
    module.load_state_dict({"places": table}, strict=False)
    leads = signal(2, 3, 512)
    leads[1, :, 403:] = 0
    out = run(module, leads, torch.tensor([512, 403])).view(2, 3, -1)
    close(out[0], case["mean"][0])
    close(out[1], case["mean"][1])


def test_moment_of_a_silent_lead_is_unknown() -> None:
    case = OFFICIAL["moment"]
    leads = signal(1, 3, 512)
    leads[0, 2] = 0
    out = run(moment.build(drawn(case), {}, case["sizes"]), leads, torch.tensor([512])).view(3, -1)
    assert out[:2].isfinite().all()
    assert out[2].isnan().all()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"t5_config": {"d_model": 32, "num_heads": 4}}, "num_heads 4 instead of 3"),
        ({"t5_config": {"feed_forward_proj": "relu"}}, "feed_forward_proj"),
        ({"patch_len": 16}, "patch_len 16 instead of 8"),
        ({"t5_config": "small"}, "no table"),
    ],
)
def test_moment_refuses_a_stale_configuration(config: dict[str, Any], said: str) -> None:
    case = OFFICIAL["moment"]
    with pytest.raises(WeightsError, match=said) as error:
        moment.build(drawn(case), config, case["sizes"])
    assert "\n" not in str(error.value)


def test_ecgfounder_on_the_published_file() -> None:
    """Only where the file was fetched: logits of a ramp that others report for it."""
    folder = locate(ecgfounder.CARD)
    if folder is None:
        pytest.skip("the published file of ECGFounder is not here (enecg experts fetch ecgfounder)")
    state = load_state(folder / ecgfounder.CARD.weights.file, inside="state_dict")
    ramp = torch.linspace(-1, 1, 60000).view(1, 12, 5000)
    features = run(ecgfounder.build(state), ramp, torch.tensor([5000]))
    logits = features @ state["dense.weight"].T + state["dense.bias"]
    reported = [8.3751173, -4.1527028, -6.7856750, -2.8647900, 4.4135675, -2.2547250, -5.3009405, -6.1225495]
    torch.testing.assert_close(logits[0, :8], torch.tensor(reported), atol=1e-4, rtol=0)


def test_ecgfounder_prepares_as_its_authors_do() -> None:
    recording = sample_recording()
    prepared = prepare(recording, ecgfounder.CARD.input).signal[0]
    filtered = filtfilt(*iirnotch(50, 30, 500), recording.signal.astype(np.float64))
    filtered = filtfilt(*butter(4, [0.67, 40], "bandpass", fs=500), filtered)
    flat = filtered - np.stack([medfilt(lead, 201) for lead in filtered])
    np.testing.assert_allclose(prepared, (flat - flat.mean()) / flat.std(), atol=1e-3)
