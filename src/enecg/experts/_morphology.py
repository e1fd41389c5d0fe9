"""Features of the typical beat's shape: intervals, waves lead by lead, frontal plane, chest leads, complexity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enecg.experts._beats import BEFORE, MS
from enecg.experts._columns import Columns
from enecg.experts._limb import LEADS, LimbScale, frontal
from enecg.experts._waves import SIZE, Waves
from enecg.leads import CHEST, LIMB

INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]  # I, II and the chest leads: the other limb leads follow from these
_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class Parts:
    """The typical beat cut into its waves, every lead in its own unit.

    Attributes:
        waves: landmarks.
        qrs, t, p: float64 `[window, lead, SIZE]`; the beat inside that wave, zero outside.
        r, s: `[window, lead]`; highest and lowest value of the QRS.
        height: `[window, lead]`; `r - s`, above zero.
        t_top, p_top: `[window, lead]`; value of largest size in the T and in the P wave, with its sign.
        t_place: int `[window, lead]`; sample of `t_top`.
    """

    waves: Waves
    inside: dict[str, np.ndarray]
    r: np.ndarray
    s: np.ndarray
    height: np.ndarray
    t_top: np.ndarray
    p_top: np.ndarray
    t_place: np.ndarray


def cut(waves: Waves) -> Parts:
    """Cut the typical beat into QRS, T and P."""
    last = np.maximum(waves.t_end, waves.qrs_off + 12).astype(int)
    inside = {
        "qrs": waves.between(waves.qrs_on, waves.qrs_off),
        "t": waves.between(np.minimum(waves.qrs_off + 5, SIZE - 10), last),
        "p": waves.between(np.full_like(last, 3), np.maximum(waves.qrs_on - 3, 7)),
    }
    r = _highest(waves.beat, inside["qrs"])
    s = -_highest(-waves.beat, inside["qrs"])
    t_place = np.where(inside["t"], np.abs(waves.beat), -1).argmax(2)
    p_place = np.where(inside["p"], np.abs(waves.beat), -1).argmax(2)
    t_top, p_top = (np.take_along_axis(waves.beat, place[..., None], 2)[..., 0] for place in (t_place, p_place))
    return Parts(waves, inside, r, s, r - s + _EPS, t_top, p_top, t_place)


def _highest(beat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.where(inside, beat, -np.inf).max(2)


def _sum(beat: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.where(inside, beat, 0).sum(2)


def interval_columns(columns: Columns, waves: Waves, rr_ms: np.ndarray, known: np.ndarray) -> None:
    """Intervals in ms over all leads: PR, QRS, QT and its parts, with corrections for the rate.

    QTc after Bazett (1920), Fridericia (1920) and the Framingham study (Sagie et al. 1992).
    """
    seconds = rr_ms / 1000
    qt, jt = (waves.t_end - waves.qrs_start) * MS, (waves.t_end - waves.qrs_end) * MS
    peak_to_end = (waves.t_end - waves.t_peak) * MS
    j_to_peak = (waves.t_peak - waves.qrs_end) * MS
    rows = np.arange(len(rr_ms))
    p, top, t = (waves.magnitude[rows, at] for at in (waves.p_peak, np.full(len(rows), BEFORE), waves.t_peak))
    top = np.maximum(top, _EPS)
    columns.add(
        known,
        pr_ms=(waves.qrs_start - waves.p_start) * MS,
        p_peak_to_qrs_ms=(waves.qrs_start - waves.p_peak) * MS,
        qrs_ms=(waves.qrs_end - waves.qrs_start) * MS,
        qrs_start_to_r_ms=(BEFORE - waves.qrs_start) * MS,
        qt_ms=qt,
        qtc_bazett_ms=qt / np.sqrt(seconds),
        qtc_fridericia_ms=qt / np.cbrt(seconds),
        qtc_framingham_ms=qt + 154 * (1 - seconds),
        jt_ms=jt,
        jtc_ms=jt / np.sqrt(seconds),
        j_to_t_peak_ms=j_to_peak,
        j_to_t_peak_corrected_ms=j_to_peak / np.sqrt(seconds),
        t_peak_to_end_ms=peak_to_end,
        t_peak_to_end_share=peak_to_end / np.maximum(qt, 1),
        qt_share_of_rr=qt / rr_ms,
        p_magnitude=p,
        t_magnitude=t,
        qrs_magnitude=top,
        t_magnitude_share=t / top,
        p_magnitude_share=p / top,
    )


def qrs_columns(columns: Columns, parts: Parts, limb: LimbScale, known: np.ndarray) -> None:
    """The QRS lead by lead: heights in SD of the lead, shares of its own height, times, areas, notches."""
    waves, beat, inside, height = parts.waves, parts.waves.beat, parts.inside["qrs"], parts.height
    sd = _unit(beat, limb)
    at = np.arange(SIZE)
    r_place = np.where(inside, beat, -np.inf).argmax(2)
    s_place = np.where(inside, -beat, -np.inf).argmax(2)
    until_r, from_r = inside & (at <= r_place[..., None]), inside & (at >= r_place[..., None])
    early = waves.between(waves.qrs_on, waves.qrs_on + 3)
    late = waves.between(waves.qrs_off - 3, waves.qrs_off)
    mean_height = np.sqrt(np.square(height).mean(1, keepdims=True))
    start = waves.qrs_start[:, None]
    for name, values in {
        "r_sd": parts.r / sd,
        "s_sd": parts.s / sd,
        "r_share": parts.r / height,
        "q_share": -_highest(-beat, until_r) / height,
        "s_after_r_share": -_highest(-beat, from_r) / height,
        "r_to_mean": parts.r / mean_height,
        "s_to_mean": parts.s / mean_height,
        "qrs_area_share": _sum(beat, inside) / height,
        "qrs_size_share": _sum(np.abs(beat), inside) / height,
        "qrs_early_share": _sum(beat, early) / height,
        "qrs_late_share": _sum(beat, late) / height,
        "r_place_ms": (r_place - start) * MS,
        "s_place_ms": (s_place - start) * MS,
        "qrs_turns": _turns(beat, inside, 0.03 * height),
        "qrs_height_log": np.log(height + 1e-3),
    }.items():
        columns.per_lead(name, values, known)


def _unit(beat: np.ndarray, limb: LimbScale) -> np.ndarray:
    """`[window, lead]`: one standard deviation of each lead, in the unit of `Waves.beat`."""
    unit = np.ones(beat.shape[:2])
    unit[:, :LEADS] = limb.scale
    return unit


def _turns(beat: np.ndarray, inside: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Changes of direction inside the QRS, steps under `least` not counted: notches and slurs."""
    step = np.diff(beat, axis=2)
    sign = np.sign(np.where(np.abs(step) < least[..., None], 0, step))
    turn = (np.diff(sign, axis=2) != 0) & inside[:, :, 1:-1]
    count: np.ndarray = turn.sum(2)
    return count


def st_t_columns(columns: Columns, parts: Parts, limb: LimbScale, known: np.ndarray) -> None:
    """ST segment, T and P waves lead by lead."""
    waves, beat, height = parts.waves, parts.waves.beat, parts.height
    t, p = parts.inside["t"], parts.inside["p"]
    j, j40, j80 = (waves.at(np.minimum(waves.qrs_off + step, SIZE - 1)) for step in (0, 4, 8))
    size = np.abs(parts.t_top) + _EPS
    upright = beat * np.sign(parts.t_top)[..., None]
    steps = np.diff(upright, axis=2)
    at = np.arange(SIZE - 1)
    rising = t[:, :, 1:] & (at < parts.t_place[..., None])
    falling = t[:, :, 1:] & (at >= parts.t_place[..., None])
    up = np.maximum(_highest(steps, rising), 0)
    down = np.maximum(_highest(-steps, falling), 0)
    jt = np.maximum((waves.t_end - waves.qrs_end) * MS, 60)[:, None]
    sd = _unit(beat, limb)
    p_early = waves.between(np.full_like(waves.p_peak, 3), waves.p_peak)
    for name, values in {
        "t_share": parts.t_top / height,
        "t_to_r": parts.t_top / (np.abs(parts.r) + 0.3 * height),
        "t_sd": parts.t_top / sd,
        "t_max_sd": _highest(beat, t) / sd,
        "t_min_sd": -_highest(-beat, t) / sd,
        "t_area_share": _sum(beat, t) / height,
        "t_place_ms": (parts.t_place - waves.qrs_end[:, None]) * MS,
        "t_half_width_share": ((upright > 0.5 * size[..., None]) & t).sum(2) * MS / jt,
        "t_up_share": up / size,
        "t_down_share": down / size,
        "t_slope_asymmetry": (up - down) / (up + down + _EPS),
        "j_share": j / height,
        "st40_share": j40 / height,
        "st_slope_share": (j40 - j) / height,
        "st_late_slope_share": (j80 - j40) / height,
        "j_sd": j / sd,
        "st40_sd": j40 / sd,
        "p_share": parts.p_top / height,
        "p_max_sd": _highest(beat, p) / sd,
        "p_min_sd": -_highest(-beat, p) / sd,
        "p_early_area_share": _sum(beat, p & p_early) / height,
        "p_late_area_share": _sum(beat, p & ~p_early) / height,
    }.items():
        columns.per_lead(name, values, known)


def frontal_columns(columns: Columns, parts: Parts, limb: LimbScale, known: np.ndarray) -> None:
    """Axes in the frontal plane as angle, cosine and sine; angles between them; sizes and shapes of the loops.

    The axis is 0 degrees along lead I and +90 degrees downwards.
    """
    waves = parts.waves
    plane = frontal(waves.beat[:, :LEADS], columns.present[:, :LEADS])
    known = known & limb.known
    rows = np.arange(len(plane))

    def point(at: np.ndarray) -> np.ndarray:
        value: np.ndarray = plane[rows, :, np.clip(at, 0, SIZE - 1)]
        return value

    def area(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        return _sum(plane, waves.between(first, last))

    on, off = waves.qrs_on, waves.qrs_off
    vectors = {
        "qrs": _sum(plane, parts.inside["qrs"]),
        "t": _sum(plane, parts.inside["t"]),
        "p": _sum(plane, parts.inside["p"]),
        "qrs_peak": point(np.where(parts.inside["qrs"][:, 0], waves.magnitude, -1).argmax(1)),
        "t_peak": point(waves.t_peak),
        "p_peak": point(waves.p_peak),
        "st": point(np.minimum(off + 4, SIZE - 1)),
        "qrs_early": area(on, on + 2),
        "qrs_late": area(off - 2, off),
    }
    angle = {name: np.arctan2(vector[:, 1], vector[:, 0]) for name, vector in vectors.items()}
    length = {name: np.hypot(vector[:, 0], vector[:, 1]) + _EPS for name, vector in vectors.items()}
    for name, value in angle.items():
        parts_of = {"cos": np.cos(value), "sin": np.sin(value), "deg": np.degrees(value)}
        columns.add(known, **{f"{name}_axis_{part}": number for part, number in parts_of.items()})
    for first, second in (("qrs", "t"), ("qrs_peak", "t_peak"), ("qrs", "p"), ("qrs_early", "qrs_late")):
        between = np.abs((angle[first] - angle[second] + np.pi) % (2 * np.pi) - np.pi)
        columns.add(known, **{f"{first}_{second}_angle_deg": np.degrees(between)})
    for first, second in (("t", "qrs"), ("t_peak", "qrs_peak"), ("p_peak", "qrs_peak"), ("p", "qrs")):
        columns.add(known, **{f"{first}_to_{second}_length_log": np.log(length[first] / length[second] + 1e-3)})
    for name, inside in (("qrs", parts.inside["qrs"]), ("t", parts.inside["t"]), ("p", parts.inside["p"])):
        round_, thin = _loop(plane, inside)
        columns.add(known, **{f"{name}_loop_roundness": round_, f"{name}_loop_thinness_log": thin})
    columns.per_lead("limb_scale", limb.scale, limb.known, LIMB)
    limb_height = parts.height[:, :LEADS]
    columns.per_lead("limb_height_log", np.log(limb_height / limb_height.mean(1, keepdims=True) + 1e-3), known, LIMB)
    columns.add(known & np.isfinite(limb.misfit), limb_misfit_log=np.log10(limb.misfit + 1e-9))


def _loop(plane: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area over squared length of a loop, and the log ratio of its lesser to its greater variance."""
    path = np.where(inside, plane, 0)
    following = inside[:, :, 1:] & inside[:, :, :-1]
    step = np.where(following, np.diff(path, axis=2), 0)
    cross = np.where(following[:, 0], path[:, 0, :-1] * step[:, 1] - path[:, 1, :-1] * step[:, 0], 0).sum(1)
    rows = np.arange(len(plane))
    first = inside[:, 0].argmax(1)
    last = SIZE - 1 - inside[:, 0, ::-1].argmax(1)
    a, b = plane[rows, :, last], plane[rows, :, first]
    area = 0.5 * np.abs(cross + a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])  # closed by the chord
    way = np.hypot(step[:, 0], step[:, 1]).sum(1) + _EPS
    count = np.maximum(inside.sum(2), 1)
    centred = np.where(inside, plane - (path.sum(2) / count)[..., None], 0)
    spread = np.linalg.eigvalsh(centred @ centred.transpose(0, 2, 1) / count[..., None])
    return area / way**2, np.log((np.maximum(spread[:, 0], 0) + _EPS) / (spread[:, 1] + _EPS))


def chest_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """How QRS and T change from V1 to V6."""
    r, s, height = (values[:, LEADS:] for values in (parts.r, parts.s, parts.height))
    columns.per_lead("r_to_s_log", np.log((np.abs(r) + 0.02 * height) / (np.abs(s) + 0.02 * height)), known, CHEST)
    share = np.maximum(r, 0) / height
    rising = np.maximum.accumulate(share, axis=1)
    place = np.arange(len(CHEST))
    total = np.maximum(share.sum(1), _EPS)
    t_share = parts.t_top[:, LEADS:] / height
    columns.add(
        known & columns.present[:, LEADS:].all(1),
        r_transition=(rising < 0.5).sum(1).astype(float),
        r_centre=(share * place).sum(1) / total,
        t_share_max_place=t_share.argmax(1).astype(float),
        t_share_max=t_share.max(1),
    )


def complexity_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """Singular values of QRS and T over the independent leads, and the angle between their first directions.

    After the T-wave complexity of Acar et al. (1999), on leads scaled one by one.
    """
    first = {}
    for name in ("qrs", "t"):
        wave = np.where(parts.inside[name], parts.waves.beat, 0)[:, INDEPENDENT]
        values, vectors = np.linalg.eigh(wave @ wave.transpose(0, 2, 1))
        size = np.sqrt(np.maximum(values[:, ::-1], 0))
        ratio = np.log(size[:, 1:4] / (size[:, :1] + _EPS) + 1e-4)
        columns.block([f"{name}_singular_{i}_log" for i in (2, 3, 4)], ratio, known)
        first[name] = vectors[:, :, -1]
    columns.add(known, qrs_t_direction_cos=np.abs((first["qrs"] * first["t"]).sum(1)))
