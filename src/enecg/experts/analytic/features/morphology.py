"""Features of the typical beat: intervals over all leads, then QRS, ST, T and P lead by lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from enecg.experts.analytic.features.beats import BEFORE, MS
from enecg.experts.analytic.features.columns import Columns
from enecg.experts.analytic.features.limb import LEADS, LimbScale
from enecg.experts.analytic.features.waves import SIZE, Waves

EPS = 1e-6
P_PARTS = 4  # from its start to the QRS
BINS = tuple(range(0, SIZE - 5, 6))  # starts of the 60-ms means of the beat
_AT = np.arange(SIZE)


@dataclass(frozen=True, eq=False)
class Parts:
    """The typical beat cut into its waves.

    Attributes:
        waves: beat and landmarks.
        inside: "qrs", "t", "p" -> bool `[window, 1, SIZE]`.
        unit: `[window, lead]`; one standard deviation of the lead, in the unit of `waves.beat`.
        r, s: `[window, lead]`; highest and lowest value of the QRS.
        height: `[window, lead]`; `r - s`, above zero.
        t_top, p_top: `[window, lead]`; the value of largest size in the T and in the P wave, with its sign.
        t_place: int `[window, lead]`; sample of `t_top`.
    """

    waves: Waves
    inside: Mapping[str, np.ndarray]
    unit: np.ndarray
    r: np.ndarray
    s: np.ndarray
    height: np.ndarray
    t_top: np.ndarray
    p_top: np.ndarray
    t_place: np.ndarray


def cut(waves: Waves, limb: LimbScale) -> Parts:
    """Cut the typical beat into QRS, T and P."""
    beat = waves.beat
    inside = {
        "qrs": waves.between(waves.qrs_on, waves.qrs_off),
        "t": waves.between(np.minimum(waves.qrs_off + 5, SIZE - 10), np.maximum(waves.t_end, waves.qrs_off + 12)),
        "p": waves.between(np.full(len(beat), 3), np.maximum(waves.qrs_on - 3, 7)),
    }
    unit = np.ones(beat.shape[:2])
    unit[:, :LEADS] = limb.scale
    r, s = highest(beat, inside["qrs"]), lowest(beat, inside["qrs"])
    place = {name: np.where(inside[name], np.abs(beat), -1).argmax(2) for name in ("t", "p")}
    t_top, p_top = (np.take_along_axis(beat, place[name][..., None], 2)[..., 0] for name in ("t", "p"))
    return Parts(waves, MappingProxyType(inside), unit, r, s, r - s + EPS, t_top, p_top, place["t"])


def highest(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Largest of `[..., sample]` where `inside`."""
    found: np.ndarray = np.where(inside, values, -np.inf).max(-1)
    return found


def lowest(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Smallest of `[..., sample]` where `inside`."""
    found: np.ndarray = np.where(inside, values, np.inf).min(-1)
    return found


def area(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Sum over samples of `[..., sample]` where `inside`."""
    found: np.ndarray = np.where(inside, values, 0).sum(-1)
    return found


def interval_columns(
    columns: Columns, parts: Parts, rr_ms: np.ndarray, rr_known: np.ndarray, known: np.ndarray, p_found: np.ndarray
) -> None:
    """Intervals in ms over all leads: PR, QRS, QT and its parts, with corrections for the rate.

    QTc after Bazett (1920), Fridericia (1920) and the Framingham study (Sagie et al. 1992). PR is not known where no
    P wave repeats itself.
    """
    waves, seconds = parts.waves, rr_ms / 1000
    qt, jt = (waves.t_end - waves.qrs_start) * MS, (waves.t_end - waves.qrs_end) * MS
    peak_to_end = (waves.t_end - waves.t_peak) * MS
    j_to_peak = (waves.t_peak - waves.qrs_end) * MS
    rows = np.arange(len(rr_ms))
    p, top, t = (waves.magnitude[rows, at] for at in (waves.p_peak, np.full(len(rows), BEFORE), waves.t_peak))
    top = np.maximum(top, EPS)
    columns.add(known & p_found, pr_ms=(waves.qrs_start - waves.p_start) * MS)
    columns.add(
        known,
        p_peak_to_qrs_ms=(waves.qrs_start - waves.p_peak) * MS,
        qrs_ms=(waves.qrs_end - waves.qrs_start) * MS,
        qrs_start_to_r_ms=(BEFORE - waves.qrs_start) * MS,
        qt_ms=qt,
        jt_ms=jt,
        j_to_t_peak_ms=j_to_peak,
        t_peak_to_end_ms=peak_to_end,
        t_peak_to_end_share=peak_to_end / np.maximum(qt, 1),
        p_magnitude=p,
        t_magnitude=t,
        qrs_magnitude=top,
        t_magnitude_share=t / top,
        p_magnitude_share=p / top,
    )
    columns.add(
        known & rr_known,
        qtc_bazett_ms=qt / np.sqrt(seconds),
        qtc_fridericia_ms=qt / np.cbrt(seconds),
        qtc_framingham_ms=qt + 154 * (1 - seconds),
        jtc_ms=jt / np.sqrt(seconds),
        j_to_t_peak_corrected_ms=j_to_peak / np.sqrt(seconds),
        qt_share_of_rr=qt / rr_ms,
    )


def moment_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """Centre, width and skewness of QRS, T and P as distributions of absolute area over time.

    Of each lead, and of the magnitude over all leads. Times are from the start of the QRS, for T from its end.
    """
    waves = parts.waves
    for name, inside in parts.inside.items():
        start = waves.qrs_end if name == "t" else waves.qrs_start
        centre, width, skew = _moments(np.abs(waves.beat), inside)
        columns.per_lead(f"{name}_centre_ms", (centre - start[:, None]) * MS, known)
        columns.per_lead(f"{name}_width_ms", width * MS, known)
        columns.per_lead(f"{name}_skew", skew, known)
        centre, width, skew = _moments(waves.magnitude, inside[:, 0])
        values = {"centre_ms": (centre - start) * MS, "width_ms": width * MS, "skew": skew}
        columns.add(known, **{f"{name}_{moment}": value for moment, value in values.items()})


def _moments(weight: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, standard deviation and skewness of `weight` `[..., sample]` where `inside`, in samples."""
    weight = np.where(inside, weight, 0)
    total = weight.sum(-1) + EPS
    centre = weight @ _AT / total
    offset = _AT - centre[..., None]
    second = (weight * offset**2).sum(-1) / total
    third = (weight * offset**3).sum(-1) / total
    return centre, np.sqrt(second), third / (second + EPS) ** 1.5


def qrs_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """The QRS lead by lead: waves in SD of the lead and as shares of its height, areas, beginning and end."""
    waves, beat, inside, height = parts.waves, parts.waves.beat, parts.inside["qrs"], parts.height
    r_place = np.where(inside, beat, -np.inf).argmax(2)[..., None]
    early = waves.between(waves.qrs_on, waves.qrs_on + 3)
    late = waves.between(waves.qrs_off - 3, waves.qrs_off)
    mean_height = np.sqrt(np.square(height).mean(1, keepdims=True))
    for name, values in {
        "r_sd": parts.r / parts.unit,
        "s_sd": parts.s / parts.unit,
        "r_share": parts.r / height,
        "q_share": lowest(beat, inside & (r_place >= _AT)) / height,
        "s_after_r_share": lowest(beat, inside & (r_place <= _AT)) / height,
        "r_to_mean": parts.r / mean_height,
        "s_to_mean": parts.s / mean_height,
        "qrs_area_share": area(beat, inside) / height,
        "qrs_size_share": area(np.abs(beat), inside) / height,
        "qrs_early_share": area(beat, early) / height,
        "qrs_late_share": area(beat, late) / height,
        "qrs_height_log": np.log(height + 1e-3),
    }.items():
        columns.per_lead(name, values, known)


def st_t_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """ST segment and T wave lead by lead; the ventricular gradient of Wilson et al. (1934) as a share of all area."""
    waves, beat, height, inside = parts.waves, parts.waves.beat, parts.height, parts.inside["t"]
    j, j40, j80 = (waves.at(waves.qrs_off + step) for step in (0, 4, 8))
    size = np.abs(parts.t_top) + EPS
    upright = beat * np.sign(parts.t_top)[..., None]
    step, before_top = np.diff(upright, axis=2), _AT[:-1] < parts.t_place[..., None]
    up = np.maximum(highest(step, inside[:, :, 1:] & before_top), 0)
    down = np.maximum(-lowest(step, inside[:, :, 1:] & ~before_top), 0)
    jt = np.maximum((waves.t_end - waves.qrs_end) * MS, 60)[:, None]
    both = area(beat, parts.inside["qrs"] | inside)
    for name, values in {
        "t_share": parts.t_top / height,
        "t_to_r": parts.t_top / (np.abs(parts.r) + 0.3 * height),
        "t_sd": parts.t_top / parts.unit,
        "t_max_sd": highest(beat, inside) / parts.unit,
        "t_min_sd": lowest(beat, inside) / parts.unit,
        "t_area_share": area(beat, inside) / height,
        "t_half_width_share": area((upright > 0.5 * size[..., None]), inside) * MS / jt,
        "t_up_share": up / size,
        "t_down_share": down / size,
        "t_slope_asymmetry": (up - down) / (up + down + EPS),
        "ventricular_gradient_share": both / (np.abs(beat).sum(2) + EPS),
        "j_share": j / height,
        "st40_share": j40 / height,
        "st_slope_share": (j40 - j) / height,
        "st_late_slope_share": (j80 - j40) / height,
        "j_sd": j / parts.unit,
        "st40_sd": j40 / parts.unit,
    }.items():
        columns.per_lead(name, values, known)


def p_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """The P wave lead by lead, and means over quarters of the time from its start to the QRS.

    Where there is none (atrial fibrillation) they say what is in its place.
    """
    waves, beat, inside = parts.waves, parts.waves.beat, parts.inside["p"]
    first = inside & waves.between(np.zeros(len(beat)), waves.p_peak)
    for name, values in {
        "p_share": parts.p_top / parts.height,
        "p_max_sd": highest(beat, inside) / parts.unit,
        "p_min_sd": lowest(beat, inside) / parts.unit,
        "p_early_area_share": area(beat, first) / parts.height,
        "p_late_area_share": area(beat, inside & ~first) / parts.height,
    }.items():
        columns.per_lead(name, values, known)
    length = (waves.qrs_start - 3 - waves.p_start) / P_PARTS
    for part in range(P_PARTS):
        quarter = waves.between(waves.p_start + part * length, waves.p_start + (part + 1) * length)
        mean = area(beat, quarter) / np.maximum(quarter.sum(2), 1)
        columns.per_lead(f"p_part_{part + 1}_sd", mean / parts.unit, known)


def outline_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """The beat in steps of 60 ms, in SD of each lead: its outline, independent of the landmarks."""
    for start in BINS:
        mean = parts.waves.beat[:, :, start : start + 6].mean(2) / parts.unit
        columns.per_lead(f"beat_{round((start - BEFORE) * MS):+d}_ms_sd", mean, known)
