from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from enecg.errors import InputError, WeightsError
from enecg.experts import registry
from enecg.experts.inputs import prepare
from enecg.experts.network import NetworkExpert
from enecg.experts.trained.forecasting import INPUT, TRAINING_INPUT, forecast_error, load_folder
from enecg.pretraining.card import CardFacts
from enecg.pretraining.forecasting import CROP, SETTINGS, Forecast, pretrain_forecaster
from enecg.pretraining.signals import Signals
from enecg.pretraining.training import TrainingSettings
from enecg.readers import read

each_kind = pytest.mark.parametrize("kind", sorted(SETTINGS))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def signals(shared_data: Path) -> Signals:
    """Windows of forty real recordings."""
    paths = sorted((shared_data / "ptbxl_filtered_100hz").rglob("*.hea"))[:40]
    batches = [prepare(read(path), TRAINING_INPUT) for path in paths]
    windows = np.concatenate([batch.signal for batch in batches]).astype(np.float16)
    return Signals(windows, np.full(len(windows), CROP), "forty", "digest", len(paths), 0)


def test_two_training_windows_cover_ten_seconds(signals: Signals) -> None:
    assert signals.windows.shape == (80, 12, CROP)


@each_kind
def test_training_learns_to_tell_what_can_be_told(kind: str) -> None:
    """Sines of one period: what follows is certain."""
    torch.set_num_threads(1)
    phase = np.random.default_rng(0).random((48, 4, 1))
    waves = np.sin(2 * np.pi * (np.arange(CROP) / 50 + phase)).astype(np.float16)
    run = Forecast(
        kind, Signals(waves, np.full(48, CROP), "waves", "", 48, 0), TrainingSettings(12, 6, CROP, 1e-2), 0, CPU
    )

    def error() -> float:
        with torch.no_grad():
            return float(forecast_error(run.student.eval(), torch.from_numpy(waves[:8].astype(np.float32))))

    before = error()
    for _ in range(12):
        run.advance()
    assert error() < 0.8 * before


@each_kind
def test_a_run_that_is_resumed_takes_the_same_steps(kind: str, signals: Signals, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    plan = TrainingSettings(steps=3, batch=3, crop=CROP)
    whole = Forecast(kind, signals, plan, 0, CPU)
    expected = [whole.advance() for _ in range(3)][2:]
    first = Forecast(kind, signals, plan, 0, CPU)
    first.advance()
    first.advance()
    first.save(tmp_path / "state.pt")
    second = Forecast(kind, signals, plan, 0, CPU)
    second.resume(tmp_path / "state.pt")
    assert [second.advance()] == expected


@each_kind
def test_pretraining_makes_an_expert_that_is_found_by_its_folder(
    kind: str, signals: Signals, shared_data: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    out = tmp_path / f"mine-{kind}"
    content = pretrain_forecaster(kind, signals, out, facts=CardFacts(corpora=("PTB-XL",)), steps=2, progress=False)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "weights.safetensors"]
    assert content["card"]["corpora"] == ("PTB-XL",)
    expert = registry.create(registry.entry(str(out)).name)
    assert isinstance(expert, NetworkExpert)
    assert expert.card.parameters == sum(each.numel() for each in expert.module.parameters())
    assert expert.card.input == INPUT
    recording = read(next((shared_data / "ptbxl_filtered_100hz").rglob("*.hea")))
    batch = prepare(recording, INPUT)
    embedding = expert.encode(batch)
    assert embedding.shape == (2, expert.card.dim)
    assert np.isfinite(embedding).all()
    np.testing.assert_allclose(expert.encode(batch[1:])[0], embedding[1], rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="holds an expert already"):
        pretrain_forecaster(kind, signals, out, steps=2, progress=False)


def test_changed_weights_are_refused(signals: Signals, tmp_path: Path) -> None:
    from enecg.experts.trained.dlinear import build

    pretrain_forecaster("dlinear", signals, tmp_path, facts=CardFacts("changed"), steps=1, progress=False)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(WeightsError, match="sha256"):
        load_folder(tmp_path, build)


def test_an_unknown_kind_is_refused(signals: Signals, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known: timesnet, dlinear"):
        pretrain_forecaster("patchtst", signals, tmp_path, progress=False)
