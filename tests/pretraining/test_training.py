"""Pretraining: it learns, looks at no label, goes on where it was, and makes an expert."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from enecg.cohorts.manifest import Cohort
from enecg.ensemble.heads.network import one_cycle
from enecg.errors import InputError
from enecg.experts import registry
from enecg.experts.inputs import prepare
from enecg.experts.trained.tiny import INPUT, WEIGHTS_FILE, TinyExpert
from enecg.pretraining import contrastive as pretraining
from enecg.pretraining import signals as gathering
from enecg.pretraining.card import CardFacts
from enecg.pretraining.contrastive import pretrain_tiny
from enecg.pretraining.signals import Signals, gather
from enecg.pretraining.training import ContrastiveSettings, Run, TwoViews, objective, views
from enecg.readers import read
from enecg.simulation import make_cohort

torch.set_num_threads(1)  # of several, those that wait take the time of the others

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """38 recordings, one of them broken, and two that are not there."""
    manifest = make_cohort(tmp_path_factory.mktemp("made"), n_subjects=32, seed=3, rate=250.0)
    with manifest.open("a") as file:
        file.write("records/none,x,1,,,,,,,,1\n../outside,y,1,,,,,,,,1\n")
    cohort = Cohort.load(manifest)
    cohort.path(4).with_suffix(".hea").write_text("damaged")
    return cohort


@pytest.fixture(scope="module")
def signals(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Signals:
    return gather(cohort, INPUT, tmp_path_factory.mktemp("work"), progress=False)


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS_FILE).read_bytes()


def test_signals_are_those_that_an_expert_sees(cohort: Cohort, signals: Signals) -> None:
    assert signals.skipped == 3
    assert signals.recordings == len(signals.windows) == len(cohort) - 3
    assert signals.digest == cohort.digest()
    for window, row in ((0, 0), (4, 5)):
        seen = prepare(read(cohort.path(row)), INPUT)
        np.testing.assert_array_equal(signals.windows[window], seen.signal[0].astype(np.float16))


def test_signals_are_read_once(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = cohort.take(range(4))
    first = gather(few, INPUT, tmp_path, progress=False)
    monkeypatch.setattr(gathering, "prepared_recordings", None)
    np.testing.assert_array_equal(gather(few, INPUT, tmp_path, progress=False).windows, first.windows)
    with pytest.raises(TypeError):
        gather(few, replace(INPUT, seconds=5.0), tmp_path, progress=False)


def test_a_cohort_without_a_readable_recording_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no recording to pretrain on; the first says: .* leaves the manifest"):
        gather(cohort.take([-1, -2]), INPUT, tmp_path, progress=False)


def test_too_few_recordings_are_refused(signals: Signals, tmp_path: Path) -> None:
    few = replace(signals, windows=signals.windows[:31], length=signals.length[:31])
    with pytest.raises(InputError, match="31 windows of at least 512 samples; pretraining needs 32"):
        pretrain_tiny(few, tmp_path / "out", steps=1, progress=False)
    short = replace(signals, length=np.where(np.arange(len(signals.length)) < 20, 511, signals.length))
    with pytest.raises(InputError, match="pretraining needs 32"):
        pretrain_tiny(short, tmp_path / "out", steps=1, progress=False)


def test_an_expert_is_made_that_can_be_named(cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "of-my-own"
    stated = CardFacts(licence="CC0-1.0", corpora=("Made",), data_licence="CC BY 4.0")
    content = pretrain_tiny(cohort, out, steps=1, progress=False, facts=stated)
    assert {path.name for path in out.iterdir()} == {registry.CARD_FILE, WEIGHTS_FILE}
    assert json.loads((out / registry.CARD_FILE).read_text()) == json.loads(json.dumps(content))
    card, kind = registry.read_card(out)
    assert (card.name, card.licence, card.corpora, kind) == ("of-my-own", "CC0-1.0", ("Made",), "tiny")
    assert "Made (CC BY 4.0)" in card.notes
    facts = content["pretraining"]
    assert facts["cohort_digest"] == cohort.digest()
    assert (facts["recordings"], facts["skipped"], facts["seed"]) == (len(cohort) - 3, 3, 0)
    expert = TinyExpert.load(out)
    assert expert.encode(prepare(read(cohort.path(0)), INPUT)).shape == (1, card.dim)
    with pytest.raises(InputError, match="holds an expert already"):
        pretrain_tiny(cohort, out, steps=1, progress=False)


def test_labels_are_not_looked_at(cohort: Cohort, signals: Signals, tmp_path: Path) -> None:
    pretrain_tiny(signals, tmp_path / "one", steps=2, progress=False)
    table = cohort.table.assign(age=1.0, sex="F", subject_id="all")
    other = gather(replace(cohort, table=table), INPUT, tmp_path / "work", progress=False)
    assert other.digest != signals.digest
    pretrain_tiny(other, tmp_path / "two", steps=2, progress=False)
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    pretrain_tiny(signals, tmp_path / "three", steps=2, seed=1, progress=False)
    assert weights(tmp_path / "one") != weights(tmp_path / "three")


def test_an_interrupted_run_goes_on_where_it_was(
    signals: Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain_tiny(signals, tmp_path / "whole", steps=4, progress=False)
    monkeypatch.setattr(pretraining, "EVERY", 2)
    advance, taken = Run.advance, []

    def interrupted(self: Run) -> float:
        if self.step == 3 and len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(self.step)
        return advance(self)

    monkeypatch.setattr(Run, "advance", interrupted)
    out = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        pretrain_tiny(signals, out, steps=4, progress=False)
    assert not (out / registry.CARD_FILE).exists()
    with pytest.raises(InputError, match="belongs to another run"):
        pretrain_tiny(signals, out, steps=5, progress=False)
    pretrain_tiny(signals, out, steps=4, progress=False)
    assert taken == [0, 1, 2, 2, 3]
    assert weights(out) == weights(tmp_path / "whole")


def test_it_learns(signals: Signals) -> None:
    run = TwoViews(signals, ContrastiveSettings(steps=25), seed=0, device=CPU)
    rows, rng = run.rows, np.random.default_rng(0)
    pair = zip(*(views(signals.windows[rows], signals.length[rows], run.settings, rng) for _ in range(2)), strict=True)
    held = [torch.from_numpy(np.concatenate(both)) for both in pair]
    with torch.inference_mode():
        before = objective(run.student, *held, run.settings)
    for _ in range(25):
        run.advance()
    with torch.inference_mode():
        after = objective(run.student, *held, run.settings)
    assert after < 0.8 * before


@given(
    length=st.lists(st.integers(64, 200), min_size=1, max_size=5),
    hide_time=st.sampled_from([0.0, 0.25, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_view_is_a_crop_with_parts_hidden(length: list[int], hide_time: float, seed: int) -> None:
    windows = np.random.default_rng(seed).normal(size=(len(length), 12, 200)).astype(np.float16)
    for window, valid in zip(windows, length, strict=True):
        window[:, valid:] = np.nan
    settings = replace(ContrastiveSettings(), crop=64, gain=0.0, noise=0.0, hide_time=hide_time)
    seen, crop, visible = views(windows, np.array(length), settings, np.random.default_rng(seed))
    assert np.isfinite(crop).all()
    np.testing.assert_array_equal(seen, crop * visible)
    assert set(np.unique(visible)) <= {0.0, 1.0}
    for row, window in zip(crop, windows, strict=True):
        assert any(np.array_equal(row, window[:, at : at + 64]) for at in range(137))
    if hide_time == 1.0:
        assert not visible.any()


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [one_cycle(step / 100, warm=0.15) for step in range(101)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(rates[15]) == pytest.approx(1)
    assert rates[100] == pytest.approx(0)
    assert (np.diff(rates[:16]) > 0).all()
    assert (np.diff(rates[15:]) < 0).all()
