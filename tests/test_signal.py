"""Signal functions: what they keep, what they remove, and shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enecg.signal import bandpass, fill_gaps, fir_bandpass, notch, resample, running_median, scale, windows

RATES = st.sampled_from([50.0, 99.9, 100.0, 128.0, 240.0, 250.0, 257.3, 300.0, 333.33, 360.0, 500.0, 977.0, 1000.0])


def sine(frequency: float, rate: float, seconds: float = 10.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate).astype(np.float32)


class TestGaps:
    def test_a_gap_is_bridged(self) -> None:
        signal = np.array([[0, np.nan, 2, np.inf, np.nan, 5], [np.nan, 1, 1, 1, 1, np.nan]], np.float32)
        np.testing.assert_allclose(fill_gaps(signal), [[0, 1, 2, 3, 4, 5], [1] * 6])
        assert np.isnan(signal[0, 1])  # the input is left as it is

    def test_a_row_without_samples_is_zero(self) -> None:
        assert fill_gaps(np.full((2, 3, 4), np.nan)).tolist() == np.zeros((2, 3, 4)).tolist()

    def test_a_whole_signal_is_returned_as_it_is(self) -> None:
        signal = np.ones((2, 3))
        assert fill_gaps(signal) is signal


class TestBandpass:
    @pytest.mark.parametrize("rate", [100.0, 500.0, 1000.0])
    def test_keeps_the_middle_and_removes_the_ends(self, rate: float) -> None:
        def kept(frequency: float) -> float:
            wave = sine(frequency, rate, 20)
            middle = slice(len(wave) // 4, -len(wave) // 4)
            return float(np.std(bandpass(wave, rate, 0.5, 40)[middle]) / np.std(wave[middle]))

        assert kept(0.1) < 0.02
        assert kept(10) == pytest.approx(1, abs=0.01)
        assert kept(0.5) == pytest.approx(0.5, abs=0.06)  # -3 dB each way
        if rate > 100:
            assert kept(100) < 0.02

    def test_phase_is_kept(self) -> None:
        pulse = np.exp(-(((np.arange(1000) - 500) / 5) ** 2)).astype(np.float32)
        assert int(bandpass(pulse, 500, 0.5, 40).argmax()) == 500

    def test_without_a_lower_or_upper_edge(self) -> None:
        wave = 3 + sine(5, 100)
        assert bandpass(wave, 100, 0, 20).mean() == pytest.approx(3, abs=0.02)
        assert abs(bandpass(wave, 100, 0.5, 50).mean()) < 0.05
        np.testing.assert_array_equal(bandpass(wave, 100, 0, 80), wave)

    @pytest.mark.parametrize("count", [1, 2, 10])
    def test_short(self, count: int) -> None:
        assert bandpass(np.ones((2, count), np.float32), 500, 0.5, 40).shape == (2, count)


class TestFirBandpass:
    @pytest.mark.parametrize("rate", [100.0, 257.3, 500.0])
    def test_keeps_the_middle_and_removes_the_mean_and_the_top(self, rate: float) -> None:
        wave = sine(10, rate)
        middle = slice(len(wave) // 4, -len(wave) // 4)
        kept = fir_bandpass(wave, rate, 0.05, 47)[middle]
        assert np.std(kept) == pytest.approx(np.std(wave[middle]), rel=0.1)
        assert np.corrcoef(kept, wave[middle])[0, 1] > 0.999  # in phase
        if rate > 100:
            assert np.std(fir_bandpass(sine(65, rate), rate, 0.05, 47)[middle]) < 0.02

    def test_without_an_upper_edge_and_short(self) -> None:
        assert np.std(fir_bandpass(sine(10, 90), 90, 0.05, 47)) > 0.5
        assert fir_bandpass(np.ones((2, 5), np.float32), 500, 0.05, 47).shape == (2, 5)


class TestResample:
    @given(RATES, RATES, st.integers(1, 60000), st.sampled_from(["polyphase", "fft", "linear"]))
    @example(333.33, 999.996, 57014, "polyphase")
    @settings(deadline=None, max_examples=40)
    def test_length(self, rate: float, new: float, count: int, method: str) -> None:
        out = resample(np.ones((2, count), np.float32), rate, new, method)
        assert out.shape == (2, round(count * new / rate))
        assert out.dtype == np.float32

    @pytest.mark.parametrize("method", ["polyphase", "fft", "linear"])
    @pytest.mark.parametrize(("rate", "new"), [(500, 100), (360, 500), (1000, 240), (100, 500), (257.3, 100)])
    def test_a_wave_stays_that_wave(self, rate: float, new: float, method: str) -> None:
        out = resample(sine(5, rate)[None], rate, new, method)[0]
        middle = slice(round(new), -round(new))
        np.testing.assert_allclose(out[middle], sine(5, new, len(out) / new)[middle], atol=0.03)

    def test_same_rate(self) -> None:
        signal = np.ones((1, 5), np.float32)
        assert resample(signal, 250, 250) is signal


class TestScale:
    @given(st.integers(0, 2**32 - 1), st.sampled_from(["lead_zscore", "record_zscore", "lead_minmax", "record_minmax"]))
    def test_it_can_be_undone(self, seed: int, method: str) -> None:
        rng = np.random.default_rng(seed)
        signal = (rng.normal(size=(3, 4, 100)) * rng.uniform(0.1, 5, (3, 4, 1)) + rng.normal(size=(3, 4, 1))).astype(
            "f4"
        )
        scaled, divisor = scale(signal, method)
        assert divisor.shape == (3, 4)
        back = scaled * divisor[..., None]
        offset = signal - back
        spread = np.ptp(offset, axis=-1) if method.startswith("lead") else np.ptp(offset, axis=(-2, -1))
        assert spread.max() < 1e-4

    def test_what_it_gives(self) -> None:
        signal = np.random.default_rng(0).normal(3, 2, (2, 12, 500)).astype(np.float32)
        by_lead, _ = scale(signal, "lead_zscore")
        np.testing.assert_allclose(
            (by_lead.mean(-1), by_lead.std(-1)), (np.zeros((2, 12)), np.ones((2, 12))), atol=1e-4
        )
        whole, divisor = scale(signal, "record_zscore")
        np.testing.assert_allclose((whole.mean((1, 2)), whole.std((1, 2))), ([0, 0], [1, 1]), atol=1e-4)
        assert np.ptp(divisor, axis=1).max() == 0
        low_high, _ = scale(signal, "lead_minmax")
        np.testing.assert_allclose(low_high.min(-1), -1, atol=1e-5)
        np.testing.assert_allclose(low_high.max(-1), 1, atol=1e-5)
        same, ones = scale(signal, "none")
        assert same is signal
        assert (ones == 1).all()

    def test_a_flat_lead_becomes_zero(self) -> None:
        for method in ("lead_zscore", "lead_minmax"):
            assert not scale(np.full((1, 5), 7, np.float32), method)[0].any()


@given(st.integers(1, 5000), st.integers(1, 1000), st.integers(1, 1500), st.integers(1, 12))
def test_windows(count: int, window: int, hop: int, at_most: int) -> None:
    starts = windows(count, window, hop, at_most)
    assert starts[0] == 0
    assert 1 <= len(starts) <= at_most
    assert set(np.diff(starts)) <= {hop}
    if count >= window:
        assert starts[-1] + window <= count
        assert len(starts) == at_most or starts[-1] + hop + window > count
    else:
        assert starts == [0]


class TestNotch:
    def test_takes_off_the_mains_and_leaves_the_rest(self) -> None:
        time = np.arange(5000) / 500
        mains, wave = np.sin(2 * np.pi * 50 * time), np.sin(2 * np.pi * 10 * time)
        left = notch((wave + mains)[None], 500.0, 50.0)[0]
        assert left.dtype == np.float32
        assert np.abs(left - wave)[500:-500].max() < 0.02

    def test_above_half_the_rate_there_is_nothing(self) -> None:
        signal = np.random.default_rng(0).normal(size=(2, 400)).astype(np.float32)
        np.testing.assert_array_equal(notch(signal, 100.0, 50.0), signal)


class TestRunningMedian:
    @given(st.integers(1, 40).map(lambda half: 2 * half + 1), st.integers(0, 99))
    def test_is_the_median_of_what_lies_around(self, count: int, at: int) -> None:
        signal = np.random.default_rng(1).normal(size=(2, 3, 100)).astype(np.float32)
        padded = np.pad(signal, ((0, 0), (0, 0), (count // 2, count // 2)))
        expected = np.median(padded[..., at : at + count], axis=-1)
        np.testing.assert_array_equal(running_median(signal, count)[..., at], expected)
