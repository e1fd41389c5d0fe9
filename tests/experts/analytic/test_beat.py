"""The expert `beat`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dipole import dipole, regular
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg.experts import registry
from enecg.experts.analytic.beat import SIZE, Beat
from enecg.experts.inputs import Batch, prepare
from enecg.leads import STANDARD
from enecg.readers import read
from enecg.recording import Recording

EXPERT = Beat()


def encode(recording: Recording) -> np.ndarray:
    """`[window, lead, SIZE]`."""
    return EXPERT.encode(prepare(recording, EXPERT.card.input)).reshape(-1, len(STANDARD), SIZE)


def test_it_is_registered_and_says_what_it_gives() -> None:
    assert registry.entry("beat").card() is EXPERT.card
    assert EXPERT.columns is not None
    assert len(EXPERT.columns) == len(set(EXPERT.columns)) == EXPERT.card.dim == 1200
    assert EXPERT.columns[:2] == ("I_-300ms", "I_-290ms")
    assert EXPERT.columns[-1] == "V6_+690ms"


def test_the_r_peak_lies_where_the_column_says() -> None:
    beat = encode(dipole(regular(70)))[0]
    names = np.array(EXPERT.columns).reshape(12, SIZE)
    second = STANDARD.index("II")
    assert names[second, beat[second].argmax()] in ("II_-10ms", "II_+0ms")
    assert beat[second].max() > 3
    assert np.abs(beat[:, 20:25]).max() < 0.4  # the PR segment is the zero line


def test_it_does_not_depend_on_amplitudes() -> None:
    recording = dipole(regular(70), noise=0.02)
    scaled = replace(recording, signal=recording.signal * np.linspace(0.3, 4, 12, dtype=np.float32)[:, None])
    np.testing.assert_allclose(encode(recording), encode(scaled), atol=2e-3)


def test_beats_of_real_recordings_look_like_their_own_beats(shared_data: Path) -> None:
    """The typical beat of 5 s correlates with that of the other 5 s, and not as much with other people's."""
    halves = []
    for number in range(1, 41, 4):
        recording = read(shared_data / "ludb" / "data" / str(number))
        parts = (replace(recording, signal=part) for part in np.split(recording.signal, 2, axis=1))
        halves.append([encode(part)[0].ravel() for part in parts])
    first, second = np.array(halves).transpose(1, 0, 2)
    likeness = np.corrcoef(first, second)[: len(first), len(first) :]
    assert np.median(np.diag(likeness)) > 0.97
    assert np.diag(likeness).min() > likeness[~np.eye(len(first), dtype=bool)].mean()
    assert (likeness.argmax(1) == np.arange(len(first))).mean() >= 0.9


def test_an_absent_lead_is_unknown_and_leaves_the_others_as_they_are() -> None:
    recording = dipole(regular(70))
    batch = prepare(recording, EXPERT.card.input)
    batch.signal[0, 3], batch.present[0, 3] = 0, False
    beat, whole = EXPERT.encode(batch).reshape(12, SIZE), encode(recording)[0]
    assert np.isnan(beat[3]).all()
    others = np.delete(np.arange(12), 3)
    np.testing.assert_allclose(beat[others], whole[others], atol=0.3)


@pytest.mark.parametrize("lead", ["I", "V5"])
def test_one_lead_is_enough(lead: str) -> None:
    beat = encode(dipole(regular(70)).select([lead]))[0]
    at = STANDARD.index(lead)
    assert np.isfinite(beat[at]).all()
    assert np.isnan(np.delete(beat, at, axis=0)).all()
    whole = encode(dipole(regular(70)))[0, at]
    assert np.corrcoef(beat[at], whole)[0, 1] > 0.95


@pytest.mark.parametrize("signal", ["zero", "noise"])
def test_without_beats_everything_is_unknown(signal: str) -> None:
    scale = {"zero": 0, "noise": 1}[signal]
    noise = np.random.default_rng(0).normal(size=(12, 5000)).astype(np.float32)
    beat = encode(Recording(noise * scale, 500, STANDARD))
    assert beat.shape == (1, 12, SIZE)
    assert np.isnan(beat).all()


@given(rates=st.lists(st.integers(40, 150), min_size=2, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_windows_do_not_see_each_other(rates: list[int], seed: int) -> None:
    parts = [prepare(dipole(regular(rate), noise=0.05, seed=seed), EXPERT.card.input) for rate in rates]
    alone = np.concatenate([EXPERT.encode(part) for part in parts])
    np.testing.assert_array_equal(EXPERT.encode(Batch.join(parts)), alone)
    np.testing.assert_array_equal(EXPERT.encode(Batch.join(parts[::-1])), alone[::-1])
