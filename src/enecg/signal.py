"""Pure functions on signals `[..., sample]`: filter, resample, scale, cut. No names, no files, no state."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np

Resampler = Literal["polyphase", "fft", "linear"]
Scaling = Literal["none", "lead_zscore", "record_zscore", "lead_minmax", "record_minmax"]


def fill_gaps(signal: np.ndarray) -> np.ndarray:
    """Replace NaN by linear interpolation along the last axis; a row without any finite sample becomes zero."""
    if np.isfinite(signal).all():
        return signal
    filled = np.array(signal, copy=True).reshape(-1, signal.shape[-1])
    at = np.arange(filled.shape[1])
    for row in filled:
        good = np.isfinite(row)
        row[~good] = np.interp(at[~good], at[good], row[good]) if good.any() else 0.0
    return filled.reshape(signal.shape)


@lru_cache(maxsize=64)
def _butterworth(low: float, high: float, rate: float, order: int) -> np.ndarray:
    from scipy.signal import butter

    nyquist = rate / 2
    if high >= nyquist:  # nothing above to remove: a high-pass says the same
        sos: np.ndarray = butter(order, low, btype="highpass", fs=rate, output="sos")
    elif low <= 0:
        sos = butter(order, high, btype="lowpass", fs=rate, output="sos")
    else:
        sos = butter(order, (low, high), btype="bandpass", fs=rate, output="sos")
    return sos


def bandpass(signal: np.ndarray, rate: float, low: float, high: float, order: int = 4) -> np.ndarray:
    """Zero-phase Butterworth band-pass (forwards and backwards) along the last axis.

    Args:
        signal: `[..., sample]`.
        rate: Hz.
        low: lower edge in Hz; 0 for none.
        high: upper edge in Hz; at or above half the rate for none.
        order: order of the design, as `scipy.signal.butter` counts it.
    """
    from scipy.signal import sosfiltfilt

    if low <= 0 and high >= rate / 2:
        return np.asarray(signal, dtype=np.float32)
    sos = _butterworth(float(low), float(high), float(rate), order)
    pad = min(3 * (2 * len(sos) + 1), signal.shape[-1] - 1)
    return np.asarray(sosfiltfilt(sos, signal, axis=-1, padlen=pad), dtype=np.float32)


@lru_cache(maxsize=64)
def _low_pass(up: int, down: int) -> np.ndarray:
    """The filter that `resample_poly` designs at every call: as `firwin` with a Kaiser window of 5, float32."""
    from scipy.signal import firwin

    slower = max(up, down)
    taps: np.ndarray = firwin(20 * slower + 1, 1 / slower, window=("kaiser", 5.0)).astype(np.float32)
    return taps


def fir_bandpass(signal: np.ndarray, rate: float, low: float, high: float, seconds: float = 0.3) -> np.ndarray:
    """Zero-phase band-pass of `seconds` of Hamming-weighted taps, forwards and backwards, along the last axis.

    Args:
        signal: `[..., sample]`.
        rate: Hz.
        low: lower edge in Hz, above 0. Far below `1 / seconds` it takes off little more than the mean.
        high: upper edge in Hz; at or above half the rate for none.
        seconds: length of the filter.
    """
    from scipy.signal import filtfilt, firwin

    taps = int(seconds * rate) | 1  # odd
    edges = (low, high) if high < rate / 2 else low
    pad = min(3 * taps, signal.shape[-1] - 1)
    weights = np.asarray(firwin(taps, edges, pass_zero=False, fs=rate))
    return np.asarray(filtfilt(weights, [1.0], signal, axis=-1, padlen=int(pad)), dtype=np.float32)


def notch(signal: np.ndarray, rate: float, frequency: float, quality: float = 30.0) -> np.ndarray:
    """Zero-phase band-stop of the width `frequency / quality` along the last axis; nothing at half the rate or above.

    Args:
        signal: `[..., sample]`.
        rate: Hz.
        frequency: Hz, such as that of the mains.
        quality: frequency over width.
    """
    from scipy.signal import filtfilt, iirnotch

    if frequency >= rate / 2:
        return np.asarray(signal, dtype=np.float32)
    pad = min(9, signal.shape[-1] - 1)
    return np.asarray(filtfilt(*iirnotch(frequency, quality, rate), signal, axis=-1, padlen=pad), dtype=np.float32)


def running_median(signal: np.ndarray, count: int) -> np.ndarray:
    """Median of the `count` samples around each one along the last axis; zeros stand in beyond the ends.

    Args:
        signal: `[..., sample]`.
        count: odd.
    """
    from scipy.ndimage import median_filter

    rows = signal.reshape(-1, signal.shape[-1])  # one by one: scipy has a fast way in one dimension only
    return np.stack([median_filter(row, count, mode="constant") for row in rows]).reshape(signal.shape)


def resample(signal: np.ndarray, rate: float, new_rate: float, method: Resampler = "polyphase") -> np.ndarray:
    """Resample along the last axis from `rate` to `new_rate` Hz; the result has `round(n * new_rate / rate)` samples.

    The families differ by about 1 % in their transition bands, so an expert's input contract names its own.
    """
    if rate == new_rate:
        return signal
    count = round(signal.shape[-1] * new_rate / rate)
    if method == "linear":
        at = np.arange(count) * (rate / new_rate)
        old = np.arange(signal.shape[-1])
        rows = signal.reshape(-1, signal.shape[-1])
        out = np.stack([np.interp(at, old, row) for row in rows]).reshape(*signal.shape[:-1], count)
    elif method == "fft":
        from scipy.signal import resample as fft_resample

        out = fft_resample(signal, count, axis=-1)
    else:
        from scipy.signal import resample_poly

        ratio = Fraction(new_rate / rate).limit_denominator(1000)
        up, down = ratio.numerator, ratio.denominator
        window: Any = _low_pass(up, down)
        out = np.asarray(resample_poly(signal.astype(np.float32), up, down, axis=-1, window=window))[..., :count]
        short = count - out.shape[-1]  # of minutes at a rate such as 333.33 Hz, whose ratio is approximate
        out = np.pad(out, [(0, 0)] * (out.ndim - 1) + [(0, short)], mode="edge") if short else out
    return np.asarray(out, dtype=np.float32)


def scale(signal: np.ndarray, method: Scaling, eps: float = 1e-6, ddof: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scale `[..., lead, sample]` and say by what: `scaled = (signal - offset) / divisor`.

    Returns:
        The scaled signal, and the divisor per lead, float32 `[..., lead]`.
    """
    if method == "none":
        return signal, np.ones(signal.shape[:-1], np.float32)
    axis: tuple[int, ...] = (-1,) if method.startswith("lead") else (-2, -1)
    if method.endswith("zscore"):
        offset = signal.mean(axis, keepdims=True, dtype=np.float64)
        divisor = signal.std(axis, keepdims=True, dtype=np.float64, ddof=ddof) + eps
    else:
        low, high = signal.min(axis, keepdims=True), signal.max(axis, keepdims=True)
        offset, divisor = (low + high) / 2, (high - low) / 2 + eps  # to [-1, 1]
    scaled = ((signal - offset) / divisor).astype(np.float32)
    return scaled, np.broadcast_to(divisor[..., 0], signal.shape[:-1]).astype(np.float32)


def windows(count: int, window: int, hop: int, at_most: int) -> list[int]:
    """Starts of the windows of `window` samples in a signal of `count`; one at 0 when it is no longer than that."""
    if count <= window:
        return [0]
    return list(range(0, count - window + 1, hop))[:at_most]
