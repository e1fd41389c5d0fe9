"""Features of the rhythm: RR intervals, how alike the beats are, and what is left between them."""

from __future__ import annotations

import numpy as np

from enecg.experts.analytic.features.beats import MS, FoundBeats
from enecg.experts.analytic.features.columns import Columns
from enecg.experts.inputs import Batch
from enecg.leads import STANDARD

BANDS = (0.0, 1.0, 2.5, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0, 32.0, 41.0)  # Hz
BAND_LEADS = ("I", "II", "aVF", "V1", "V2", "V5")
ATRIAL_LEADS = ("I", "II", "V1", "V2")
_PREMATURE, _LATE = 0.85, 1.15  # of the median RR
_P_ALIKE = 0.5  # correlation between beats before the QRS that shows a P wave


def mean_rr(beats: FoundBeats) -> tuple[np.ndarray, np.ndarray]:
    """Mean RR in ms `[window]`, 1000 where it is not known, and whether it is known."""
    rr = np.diff(beats.at, axis=1) * MS
    known: np.ndarray = np.isfinite(rr).sum(1) >= 1
    return np.where(known, _mean(rr), 1000), known


def has_p_wave(beats: FoundBeats) -> np.ndarray:
    """bool `[window]`: before the QRS the beats are alike: there is a P wave that belongs to them."""
    alike = beats.alike[:, 1]
    found: np.ndarray = (np.isfinite(alike).sum(1) >= 2) & (_quantile(alike, 0.5) > _P_ALIKE)
    return found


def rr_columns(columns: Columns, beats: FoundBeats) -> None:
    """RR intervals and their variability.

    Time-domain measures as the Task Force (1996) defines them, on 10 s; turning points after Dash et al. (2009).
    """
    rr = np.diff(beats.at, axis=1) * MS
    mean, one = mean_rr(beats)
    few, middle = np.isfinite(rr).sum(1) >= 3, np.where(one, _quantile(rr, 0.5), 1000)
    step = np.diff(rr, axis=1)
    spread, rmssd = _deviation(rr), np.sqrt(_mean(np.square(step)))
    columns.add(
        one,
        rr_mean_ms=mean,
        rr_median_ms=middle,
        heart_rate_bpm=60000 / mean,
        heart_rate_median_bpm=60000 / middle,
        rr_min_ms=_quantile(rr, 0),
        rr_max_ms=_quantile(rr, 1),
        beat_count=beats.count.astype(float),
    )
    columns.add(
        few,
        rr_sd_ms=spread,
        rr_rmssd_ms=rmssd,
        rr_sd_log=np.log(spread + 1),
        rr_rmssd_log=np.log(rmssd + 1),
        rr_cv=spread / mean,
        rr_rmssd_share=rmssd / mean,
        rr_step_max_share=_quantile(np.abs(step), 1) / middle,
        rr_step_median_share=_quantile(np.abs(step), 0.5) / middle,
        rr_pnn20=_share(np.abs(step) > 20, step),
        rr_pnn50=_share(np.abs(step) > 50, step),
        rr_q25_share=_quantile(rr, 0.25) / middle,
        rr_q75_share=_quantile(rr, 0.75) / middle,
        rr_min_share=_quantile(rr, 0) / middle,
        rr_max_share=_quantile(rr, 1) / middle,
        rr_correlation_1=_serial(rr, 1),
        rr_correlation_2=_serial(rr, 2),
        rr_poincare_log=np.log((_deviation(step) + 1) / (_deviation(rr[:, 1:] + rr[:, :-1]) + 1)),
        rr_turning_share=_share(step[:, 1:] * step[:, :-1] < 0, step[:, 1:]),
        rr_early_share=_share(rr < _PREMATURE * middle[:, None], rr),
        rr_late_share=_share(rr > _LATE * middle[:, None], rr),
        rr_early_late_share=_share(
            (rr[:, :-1] < _PREMATURE * middle[:, None]) & (rr[:, 1:] > _LATE * middle[:, None]), rr[:, 1:]
        ),
        rr_trend_share=_trend(rr) / mean,
    )


def agreement_columns(columns: Columns, beats: FoundBeats) -> None:
    """How alike the beats are: ectopy, P waves that come or stay away, noise."""
    known = np.isfinite(beats.alike).sum(2) >= 2
    for wave, part in enumerate(("qrs", "p", "t")):
        values = beats.alike[:, wave]
        columns.add(
            known[:, wave],
            **{
                f"{part}_alike_mean": _mean(values),
                f"{part}_alike_median": _quantile(values, 0.5),
                f"{part}_alike_min": _quantile(values, 0),
            },
        )
    place = np.where(np.isfinite(beats.at), beats.at, 0).round().astype(int)
    height = np.take_along_axis(beats.energy, np.minimum(place, beats.energy.shape[1] - 1), 1)
    height = np.where(np.isfinite(beats.at), height, np.nan)
    mean = np.maximum(np.where(beats.count > 0, _mean(height), 1), 1e-6)
    odd = _share(beats.alike[:, 0] < 0.8, height)
    columns.add(beats.count >= 3, qrs_energy_cv=_deviation(height) / mean, qrs_odd_share=odd)
    columns.per_lead("spread_log", np.log(beats.spread + 1e-3), beats.whole >= 2)


def spectrum_columns(columns: Columns, batch: Batch, beats: FoundBeats) -> None:
    """Power by frequency of the signal, and of what is left when the typical beat is taken away: atrial activity."""
    from scipy.ndimage import uniform_filter1d

    size = batch.signal.shape[2]
    frequency = np.fft.rfftfreq(size, 1 / batch.rate)
    window = _hann(batch.length, size)[:, None]
    leads = [STANDARD.index(lead) for lead in BAND_LEADS]
    power = np.square(np.abs(np.fft.rfft(batch.signal[:, leads] * window, axis=2)))
    share = _bands(power, frequency, BANDS) / np.maximum(power.sum(2, keepdims=True), 1e-12)
    for band, low in enumerate(BANDS[:-1]):
        name = f"band_{low:g}_{BANDS[band + 1]:g}hz_log"
        columns.per_lead(name, np.log(share[:, :, band] + 1e-6), leads=BAND_LEADS)

    found = beats.whole >= 2
    rest = np.square(np.abs(np.fft.rfft(beats.rest * window, axis=2)))
    columns.per_lead("rest_log", np.log(np.square(beats.rest).sum(2) / _samples(batch) + 1e-6), found)
    noise = _bands(rest, frequency, (20.0, 41.0))[:, :, 0] / np.maximum(np.square(window).sum(2), 1e-12) / size
    columns.per_lead("noise_log", np.log(noise + 1e-8), found)
    rest = rest[:, [STANDARD.index(lead) for lead in ATRIAL_LEADS]]
    atrial, wide = (_bands(rest, frequency, edges)[:, :, 0] for edges in ((4.0, 10.0), (0.5, 20.0)))
    columns.per_lead("atrial_share_log", np.log(atrial / np.maximum(wide, 1e-12) + 1e-6), found, ATRIAL_LEADS)
    inside = (frequency >= 3.5) & (frequency < 10)
    rest, frequency = rest[:, :, inside], frequency[inside]
    narrow = uniform_filter1d(rest, 5, axis=2, mode="constant")
    columns.per_lead("atrial_peak_hz", frequency[narrow.argmax(2)], found, ATRIAL_LEADS)
    share = 5 * narrow.max(2) / np.maximum(rest.sum(2), 1e-12)
    columns.per_lead("atrial_peak_share", share, found, ATRIAL_LEADS)


def shape_columns(columns: Columns, batch: Batch, beats: FoundBeats) -> None:
    """Skewness and kurtosis of each lead, and the period at which the slope energy repeats itself."""
    cubed = batch.signal * batch.signal * batch.signal
    columns.per_lead("skewness", cubed.sum(2) / _samples(batch))
    columns.per_lead("kurtosis_log", np.log((cubed * batch.signal).sum(2) / _samples(batch) + 1))
    inside = np.arange(beats.energy.shape[1]) < batch.length[:, None]
    energy = np.where(inside, beats.energy - (beats.energy.sum(1) / np.maximum(batch.length, 1))[:, None], 0)
    spectrum = np.fft.rfft(energy, 2048, axis=1)
    repeat = np.fft.irfft(np.square(np.abs(spectrum)), 2048, axis=1)
    lag = 24 + repeat[:, 24:240].argmax(1)
    total = repeat[:, 0]
    height = np.take_along_axis(repeat, lag[:, None], 1)[:, 0] / np.maximum(total, 1e-12)
    columns.add(total > 1e-6, repeat_ms=lag * MS, repeat_height=height)


def _samples(batch: Batch) -> np.ndarray:
    samples: np.ndarray = np.maximum(batch.length, 1)[:, None]
    return samples


def _hann(length: np.ndarray, size: int) -> np.ndarray:
    """A Hann window over the samples that are there, `[window, size]`."""
    at = np.arange(size)
    inside = at < length[:, None]
    return np.where(inside, 0.5 - 0.5 * np.cos(2 * np.pi * at / np.maximum(length, 2)[:, None]), 0).astype(np.float32)


def _bands(power: np.ndarray, frequency: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """Power between successive edges, `[window, lead, band]`."""
    starts = np.searchsorted(frequency, edges)
    return np.add.reduceat(power[:, :, : starts[-1]], starts[:-1], axis=2)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of the known values of each row; 0 without any."""
    known = np.isfinite(values)
    mean: np.ndarray = np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1)
    return mean


def _deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation of the known values of each row."""
    deviation: np.ndarray = np.sqrt(_mean(np.square(values - _mean(values)[:, None])))
    return deviation


def _quantile(values: np.ndarray, q: float) -> np.ndarray:
    """Quantile of the known values of each row, linear between order statistics; 0 without any."""
    ordered = np.sort(values, axis=1)  # NaN last
    place = q * np.maximum(np.isfinite(values).sum(1) - 1, 0)
    low = np.floor(place).astype(int)
    high = np.ceil(place).astype(int)
    first, second = (np.take_along_axis(ordered, index[:, None], 1)[:, 0] for index in (low, high))
    quantile: np.ndarray = np.nan_to_num(first + (place - low) * (second - first))
    return quantile


def _share(flags: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the known `values` whose flag is set."""
    known = np.isfinite(values)
    share: np.ndarray = (flags & known).sum(1) / np.maximum(known.sum(1), 1)
    return share


def _serial(values: np.ndarray, lag: int) -> np.ndarray:
    """Correlation of each row with itself `lag` later; 0 where a row does not vary."""
    both = np.isfinite(values[:, lag:])
    first, second = (np.where(both, part, np.nan) for part in (values[:, :-lag], values[:, lag:]))
    first, second = first - _mean(first)[:, None], second - _mean(second)[:, None]
    power = _mean(np.square(first)) * _mean(np.square(second))
    return np.where(power > 1e-6, _mean(first * second) / np.sqrt(np.maximum(power, 1e-6)), 0)


def _trend(values: np.ndarray) -> np.ndarray:
    """Slope of the least-squares line through each row's known values, per step."""
    known = np.isfinite(values)
    at = np.where(known, np.arange(values.shape[1]), np.nan)
    at = at - _mean(at)[:, None]
    slope: np.ndarray = _mean(at * (values - _mean(values)[:, None])) / np.maximum(_mean(np.square(at)), 1e-9)
    return slope
