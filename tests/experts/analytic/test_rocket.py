"""MiniRocket against its definition written out, against aeon, and exact in any batch."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from enecg.cohorts.manifest import Cohort
from enecg.experts.analytic.rocket import (
    CARD,
    FEATURES,
    LIMIT,
    SEED,
    STEP,
    RocketExpert,
    draw,
    packaged_biases,
)
from enecg.experts.inputs import Batch, prepare
from enecg.readers import read

torch.set_num_threads(1)  # of several, those that wait take the time of the others

# Of kernels and thresholds together: embeddings that are stored stay valid as long as it does not change.
STATE = "b30af8d5aa8a605c32af0508673c51cbdf220d678db1f3ad2948778bf6b872aa"
LEVELS = (np.arange(1, FEATURES + 1) * (np.sqrt(5) + 1) / 2) % 1


@pytest.fixture(scope="module")
def expert() -> RocketExpert:
    return RocketExpert(device="cpu")


def windows(count: int, seed: int = 0, samples: int = 1000) -> np.ndarray:
    """Smooth noise, each lead z-scored, and on the grid that the expert rounds to."""
    rng = np.random.default_rng(seed)
    noise = np.apply_along_axis(np.convolve, 2, rng.normal(size=(count, 12, samples + 19)), np.hanning(20), "valid")
    scaled = (noise - noise.mean(2, keepdims=True)) / noise.std(2, keepdims=True)
    return (np.round(scaled * STEP) / STEP).astype(np.float32)


def batch(signal: np.ndarray, length: int = 1000) -> Batch:
    shape = signal.shape[:2]
    return Batch(signal, np.ones(shape, bool), np.ones(shape, np.float32), np.full(len(signal), length), 100.0)


def by_definition(signal: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """One recording `[lead, sample]` of any length, kernel by kernel, as the paper defines it."""
    kernels, features, at = draw(SEED, 1000), [], 0
    for step, dilation in enumerate(kernels.dilations):
        for kernel, twos in enumerate(combinations(range(9), 3)):
            padded = np.pad(signal[kernels.leads[step, kernel]].astype(float), ((0, 0), (4 * dilation, 4 * dilation)))
            taps = np.where(np.isin(np.arange(9), twos), 2.0, -1.0)
            shifted = [padded[:, tap * dilation : tap * dilation + signal.shape[1]] for tap in range(9)]
            values = np.einsum("t,tls->s", taps, np.array(shifted))
            if (step + kernel) % 2:
                values = values[4 * dilation : len(values) - 4 * dilation]
            for _ in range(kernels.thresholds[step]):
                features.append((values > biases[at]).mean() if len(values) else np.nan)
                at += 1
    return np.array(features, np.float32)


def test_the_features_are_those_of_the_definition(expert: RocketExpert) -> None:
    signal = windows(2)
    for row, found in zip(signal, expert.encode(batch(signal)), strict=True):
        np.testing.assert_allclose(found, by_definition(row, expert.biases), atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_features_are_those_of_aeon(expert: RocketExpert) -> None:
    aeon = pytest.importorskip("aeon.transformations.collection.convolution_based", reason="aeon is not installed")
    signal, kernels = windows(3, seed=1), expert.kernels
    other = aeon.MiniRocket(n_kernels=FEATURES, random_state=0).fit(signal[:1])
    np.testing.assert_array_equal(other.parameters[2], kernels.dilations)
    np.testing.assert_array_equal(other.parameters[3], kernels.thresholds)
    leads = kernels.leads.reshape(-1, 12)
    chosen = np.concatenate([np.flatnonzero(row) for row in leads])
    other.parameters = (
        leads.sum(1).astype(np.int32), chosen.astype(np.int32), *other.parameters[2:4], expert.biases
    )  # fmt: skip
    np.testing.assert_allclose(expert.encode(batch(signal)), other.transform(signal), atol=1e-6)
    rough = signal + np.float32(1 / 3 / STEP)  # off the grid: a sample on a threshold may fall to the other side
    assert np.abs(expert.encode(batch(rough)) - other.transform(rough)).max() < 0.005


def test_bits_do_not_depend_on_batch_mates_nor_on_the_precision_of_products(expert: RocketExpert) -> None:
    signal = np.random.default_rng(2).normal(size=(19, 12, 1000)).astype(np.float32)
    alone = np.concatenate([expert.encode(batch(signal[i : i + 1])) for i in range(len(signal))])
    np.testing.assert_array_equal(expert.encode(batch(signal)), alone)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_array_equal(expert.encode(batch(signal[:2])), alone[:2])
    finally:
        torch.set_float32_matmul_precision(before)


def test_sums_of_the_largest_signals_stay_exact() -> None:
    assert 9 * (6 * 1 + 3 * 2) * LIMIT * STEP < 2**24


def test_padding_counts_for_nothing(expert: RocketExpert) -> None:
    signal = windows(1, samples=640)
    padded = np.pad(signal, ((0, 0), (0, 0), (0, 360)))
    whole = windows(1, seed=3)
    mixed = Batch.join([batch(whole), batch(padded, length=640), batch(whole)])
    found = expert.encode(mixed)
    expected = by_definition(signal[0], expert.biases)
    np.testing.assert_array_equal(np.isnan(found[1]), np.isnan(expected))
    assert 0 < np.isnan(expected).mean() < 0.2
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    np.testing.assert_array_equal(found[[0, 2]], np.repeat(expert.encode(batch(whole)), 2, axis=0))


def test_an_absent_lead_is_zeros(expert: RocketExpert) -> None:
    signal = windows(1, seed=4)
    signal[:, 3:6] = 0
    np.testing.assert_allclose(expert.encode(batch(signal))[0], by_definition(signal[0], expert.biases), atol=1e-6)


def test_the_seed_draws_the_same_kernels_for_ever(expert: RocketExpert) -> None:
    kernels = draw(SEED, 1000)
    assert 84 * kernels.thresholds.sum() == FEATURES
    assert set(kernels.leads.sum(-1).ravel()) == set(range(1, 10))
    assert (np.diff(kernels.dilations) > 0).all()
    assert kernels.dilations[0] == 1
    assert 8 * kernels.dilations[-1] < 1000
    assert expert.state_hash() == STATE
    assert (draw(1, 1000).leads != kernels.leads).any()
    other = RocketExpert(packaged_biases() + 1, device="cpu")
    assert other.fingerprint != expert.fingerprint


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Iterator[np.ndarray]:
    where = 'record.str.startswith("ptbxl_filtered_100hz/") and strat_fold <= 8'
    cohort = Cohort.load(shared_data / "manifest.csv", where)
    rows = np.random.default_rng(0).permutation(len(cohort))[:60]
    yield np.concatenate([prepare(read(cohort.path(row)), CARD.input).signal for row in rows])


def test_the_packaged_thresholds_are_quantiles_of_real_recordings(expert: RocketExpert, real: np.ndarray) -> None:
    shares = expert.encode(batch(real)).mean(0)
    step = np.repeat(np.arange(len(expert.kernels.dilations)), 84 * expert.kernels.thresholds)
    untrimmed = expert.kernels.dilations[step] < 40  # wide kernels that stay inside see a few samples only
    assert np.abs(shares - (1 - LEVELS))[untrimmed].mean() < 0.03


def test_thresholds_can_be_fitted_again(real: np.ndarray) -> None:
    path = Path(__file__).parents[3] / "scripts" / "rocket_biases.py"
    fit_biases = runpy.run_path(str(path))["fit_biases"]
    kernels = draw(SEED, 1000, features=168)
    biases = fit_biases(real[:20], kernels, windows=4)
    assert biases.dtype == np.float16
    assert biases.shape == (168,)
    np.testing.assert_array_equal(biases, fit_biases(real[:20], kernels, windows=4))
    assert (biases != fit_biases(real[:20], kernels, seed=1, windows=4)).any()
