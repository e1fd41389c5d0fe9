"""Input contracts against the authors' recipes, step by step, on a real recording of 10 s at 500 Hz in mV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, filtfilt, firwin, resample, sosfiltfilt

from enecg.experts import registry
from enecg.experts.inputs import Batch, prepare
from enecg.leads import STANDARD
from enecg.readers import read
from enecg.recording import Recording


@pytest.fixture(scope="module")
def recording(shared_data: Path) -> Recording:
    return read(shared_data / "ludb" / "data" / "1.hea")


@pytest.fixture(scope="module")
def leads(recording: Recording) -> np.ndarray:
    """Twelve leads in the usual order, float64."""
    found = [recording.get(name) for name in STANDARD]
    return np.stack([lead for lead in found if lead is not None]).astype(np.float64)


def prepared(name: str, recording: Recording) -> Batch:
    return prepare(recording, registry.entry(name).card().input)


@pytest.mark.parametrize("name", ["merl", "merl-vit"])
def test_merl_scales_all_leads_together_and_has_avf_before_avl(
    name: str, recording: Recording, leads: np.ndarray
) -> None:
    wanted = (leads - leads.min()) / (leads.max() - leads.min() + 1e-8)
    wanted[[4, 5]] = wanted[[5, 4]]
    signal = prepared(name, recording).signal
    assert signal.shape == (1, 12, 5000)
    np.testing.assert_allclose((signal[0] + 1) / 2, wanted, atol=1e-6)  # the network itself goes from -1..1 to 0..1


def test_ecg_jepa_resamples_eight_leads_by_fft_and_keeps_millivolts(recording: Recording, leads: np.ndarray) -> None:
    wanted = resample(leads[[0, 1, *range(6, 12)]], 2500, axis=1)
    np.testing.assert_allclose(prepared("ecg-jepa", recording).signal[0], wanted, atol=1e-5)


def test_st_mem_crops_filters_and_standardises(recording: Recording, leads: np.ndarray) -> None:
    slower = resample(leads, 2500, axis=1)
    signal = prepared("st-mem", recording).signal
    assert signal.shape == (3, 12, 2250)
    for start, crop in zip((0, 125, 250), signal, strict=True):
        wanted = slower[:, start : start + 2250]
        wanted = sosfiltfilt(butter(5, 0.67, "highpass", fs=250, output="sos"), wanted)
        wanted = sosfiltfilt(butter(5, 40, "lowpass", fs=250, output="sos"), wanted)
        wanted = (wanted - wanted.mean()) / wanted.std()
        # One band-pass instead of a high-pass and a low-pass: alike but for the ringing at the ends.
        middle = slice(250, -250)
        assert np.corrcoef(crop[:, middle].ravel(), wanted[:, middle].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_hubert_ecg_filters_scales_the_whole_and_cuts_then(size: str, recording: Recording, leads: np.ndarray) -> None:
    filtered = filtfilt(firwin(151, [0.05, 47], pass_zero=False, fs=500), 1.0, leads)
    low, high = filtered.min(1, keepdims=True), filtered.max(1, keepdims=True)
    wanted = 2 * (filtered - low) / (high - low + 1e-8) - 1
    signal = prepared(f"hubert-ecg-{size}", recording).signal
    np.testing.assert_allclose(signal, wanted.reshape(12, 2, 2500).swapaxes(0, 1), atol=1e-4)


@pytest.mark.parametrize(("name", "samples"), [("tempo", 336), ("timesnet-enecg", 500), ("dlinear-enecg", 500)])
def test_the_papers_forecasters_see_ten_seconds_scaled_over_all_leads(
    name: str, samples: int, recording: Recording, leads: np.ndarray
) -> None:
    wanted = resample((leads - leads.mean()) / leads.std(), samples, axis=1)
    np.testing.assert_allclose(prepared(name, recording).signal[0], wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["mantis", "mantis-v2"])
def test_mantis_sees_512_samples_twice(name: str, recording: Recording) -> None:
    assert prepared(name, recording).signal.shape == (2, 12, 512)
