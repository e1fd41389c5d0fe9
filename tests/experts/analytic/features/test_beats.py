"""R peaks and typical beats: against cardiologists' marks, and against beats that were put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from dipole import dipole, regular
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg.experts.analytic.features.beats import BEAT_INPUT, BEFORE, MOST, FoundBeats, find_beats, steady
from enecg.experts.inputs import Batch, prepare
from enecg.leads import CHEST, STANDARD
from enecg.readers import read
from enecg.recording import Recording

CLEAR = ("I", "II", "aVR", "aVF", *CHEST)  # III and aVL look across this dipole
MARKED = ("i", "ii", "v2", "v5")


def beats_of(recording: Recording) -> FoundBeats:
    return find_beats(steady(prepare(recording, BEAT_INPUT)))


def found(recording: Recording) -> np.ndarray:
    """R peaks of the first window in seconds."""
    beats = beats_of(recording)
    return beats.at[0, : beats.count[0]] / 100


def within(beats: np.ndarray, seconds: float = 10.0) -> np.ndarray:
    return beats[(beats > 0.15) & (beats < seconds - 0.15)]


def test_r_peaks_are_where_cardiologists_marked_a_qrs(shared_data: Path) -> None:
    """LUDB: every marked complex has one R peak inside it or at most 75 ms away, and no other R peak lies between."""
    missed = extra = marked = 0
    for number in range(1, 201, 5):
        path = shared_data / "ludb" / "data" / str(number)
        peaks = found(read(path)) * 1000
        spans = [spans_of(path, lead) for lead in MARKED]
        reference = spans_of(path, "ii")
        marked += len(reference)
        lead_marks = np.concatenate(spans)
        hit = [np.any((peaks > low - 75) & (peaks < high + 75)) for low, high in reference]
        missed += len(hit) - sum(hit)
        inner = peaks[(peaks > reference[0, 0]) & (peaks < reference[-1, 1])]
        extra += sum(not np.any((peak > lead_marks[:, 0] - 75) & (peak < lead_marks[:, 1] + 75)) for peak in inner)
        extra += len(inner) - len(np.unique([np.abs(reference.mean(1) - peak).argmin() for peak in inner]))
    assert marked > 300
    assert missed == 0
    assert extra == 0


def spans_of(path: Path, lead: str) -> np.ndarray:
    """Marked QRS complexes of one lead: (onset, end) in ms."""
    marks = wfdb.rdann(str(path), lead)
    kinds, places = np.array(marks.symbol), marks.sample * 2
    at = np.flatnonzero(kinds == "N")
    at = at[(at > 0) & (at < len(kinds) - 1)]
    return np.stack([places[at - 1], places[at + 1]], 1)


@given(rate=st.floats(25, 250), first=st.floats(0, 1), lead=st.sampled_from([None, *CLEAR]))
@settings(max_examples=40)
def test_every_beat_is_found_at_any_rate_in_twelve_leads_or_one(rate: float, first: float, lead: str | None) -> None:
    truth = regular(rate, first=first)
    recording = dipole(truth, short=min(1.0, np.sqrt(60 / rate)))
    peaks = found(recording if lead is None else recording.select([lead]))
    inner = peaks[(peaks > 0.3) & (peaks < 9.7)]  # nearer to an end a P or T wave may belong to an unseen QRS
    wanted = truth[(truth > 0.3) & (truth < 9.7)]
    assert np.abs(peaks[:, None] - wanted).min(0).max() < 0.035  # none is missed
    assert np.abs(np.diff(inner) - 60 / rate).max() < 0.008  # none is put in between
    assert len(peaks) <= ((truth > 0) & (truth < 10)).sum() + 1


@pytest.mark.parametrize("early", [0.45, 0.6])
def test_ectopic_beats_are_counted(early: float) -> None:
    beats = regular(70)
    beats[6] = beats[5] + early
    assert len(within(found(dipole(beats)))) == len(within(beats))


def test_no_beat_is_put_into_a_pause() -> None:
    beats = regular(60)
    beats = beats[(beats < 3) | (beats > 7.2)]
    recording = dipole(beats, noise=0.02)
    assert len(found(recording)) == len(within(beats))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_noise_as_strong_as_a_t_wave_hides_no_beat(seed: int) -> None:
    truth = regular(75)
    peaks = found(dipole(truth, noise=0.25, seed=seed))  # per sample at 500 Hz
    assert len(peaks) == len(truth[(truth > 0.1) & (truth < 9.9)])
    assert np.abs(np.diff(peaks) * 1000 - 800).max() < 12


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_noise_alone_holds_no_beats(scale: float) -> None:
    noise = np.random.default_rng(1).normal(size=(12, 5000)).astype(np.float32) * scale
    for leads in (STANDARD, ("II",)):
        beats = beats_of(Recording(noise[: len(leads)], 500, leads))
        assert beats.count[0] == 0
        assert np.isnan(beats.at).all()
        assert not beats.typical.any()


def test_real_recordings_hold_beats_and_noise_tracks_do_not_pass_for_them(shared_data: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "noise" / "nstdb.h5") as tracks:
        track = tracks["ma"][:, 0].astype(np.float32)
    apart = np.stack([track[start : start + 3600] for start in range(0, 12 * 40000, 40000)])
    assert beats_of(Recording(apart, 360, STANDARD)).count[0] == 0


@given(shift=st.integers(1, 400))
@settings(max_examples=20)
def test_beats_move_with_the_signal(shift: int) -> None:
    """Cut `shift` samples (2 ms each) later, the same beats are found earlier by as much, and look the same."""
    whole = dipole(regular(66, seconds=12), seconds=12)
    here, there = (beats_of(Recording(whole.signal[:, s : s + 5000], 500, STANDARD)) for s in (0, shift))
    first, second = here.at[0, : here.count[0]], there.at[0, : there.count[0]] + shift / 5
    distance = np.abs(first[:, None] - second)
    both = (first > second.min() - 1) & (first < second.max() + 1)
    assert distance.min(1)[both].max() < 0.1  # 1 ms
    assert (here.typical - there.typical).std() < 0.25 * here.typical.std()  # most when the cut goes through a QRS


def test_the_typical_beat_is_the_beat_that_was_put_in() -> None:
    beats = regular(60, first=0.4567)
    quiet, noisy = (beats_of(dipole(beats, noise=noise)).typical[0] for noise in (0, 0.03))
    assert all(np.corrcoef(a, b)[0, 1] > 0.98 for a, b in zip(quiet, noisy, strict=True))
    second = STANDARD.index("II")
    assert abs(quiet[second].argmax() - BEFORE) <= 2
    assert abs(quiet[second, BEFORE + 15 :].argmax() + 15 - 28) <= 2  # T was put 280 ms behind R
    assert abs(quiet[second, : BEFORE - 8].argmax() - BEFORE + 16) <= 2  # P 160 ms before


def test_one_strange_beat_in_eight_does_not_change_the_typical_one() -> None:
    beats = regular(60)
    plain = dipole(beats)
    strange = plain.signal.copy()
    start = round((beats[6] - 0.2) * 500)
    strange[:, start : start + 250] *= -3
    one, other = beats_of(plain), beats_of(Recording(strange, 500, STANDARD))
    assert one.whole[0] == other.whole[0] >= 8
    a, b = one.typical[0].ravel(), other.typical[0].ravel()
    assert np.corrcoef(a, b)[0, 1] > 0.995
    assert np.nanmin(other.alike[0, 0]) < 0.6 < 0.99 < np.nanmin(one.alike[0, 0])


def test_what_is_left_without_the_beats_is_small() -> None:
    batch = prepare(dipole(regular(100)), BEAT_INPUT)
    inner = np.s_[0, :, 100:700]  # away from the band-pass filter's edges
    assert find_beats(batch).rest[inner].std() < 0.05 * batch.signal[inner].std()


@pytest.mark.parametrize("samples", [0, 1, 21, 22, 60, 130, 400])
def test_short_recordings_give_what_they_hold(samples: int) -> None:
    signal = np.zeros((1, 12, 1000), np.float32)
    full = prepare(dipole(regular(80)), BEAT_INPUT)
    signal[..., :samples] = full.signal[..., :samples]
    present = np.ones((1, 12), bool)
    beats = find_beats(Batch(signal, present, full.scale, np.array([samples]), 100))
    count = beats.count[0]
    assert np.isfinite(beats.at[0, :count]).all() and np.isnan(beats.at[0, count:]).all()
    assert (beats.at[0, :count] < samples).all()
    assert beats.whole[0] <= count <= MOST
    assert (count > 0) == (samples >= 60)


def test_padding_changes_nothing() -> None:
    """The beats of 6 s are the same with and without 4 s of padding behind."""
    recording = dipole(regular(72), seconds=6)
    padded = prepare(recording, BEAT_INPUT)
    bare = Batch(padded.signal[..., :600], padded.present, padded.scale, padded.length, 100)
    one, other = find_beats(padded), find_beats(bare)
    assert one.count[0] > 5
    for name in ("at", "typical", "whole", "spread", "alike"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert not one.rest[..., 600:].any() and not one.energy[:, 600:].any()
