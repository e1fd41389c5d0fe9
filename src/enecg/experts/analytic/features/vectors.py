"""Features of how leads relate: axes and loops in the frontal plane, the chest leads in a row, complexity."""

from __future__ import annotations

from typing import Final

import numpy as np

from enecg.experts.analytic.features.columns import Columns
from enecg.experts.analytic.features.limb import LEADS, LimbScale, frontal
from enecg.experts.analytic.features.morphology import EPS, Parts, area
from enecg.experts.analytic.features.waves import SIZE
from enecg.leads import CHEST, LIMB, STANDARD

INDEPENDENT: Final = ("I", "II", *CHEST)  # the other limb leads follow from these
_ROWS = [STANDARD.index(lead) for lead in INDEPENDENT]
_PAIRS = np.triu_indices(len(INDEPENDENT), 1)


def frontal_columns(columns: Columns, parts: Parts, limb: LimbScale, known: np.ndarray, p_found: np.ndarray) -> None:
    """Axes in the frontal plane as cosine, sine and angle; angles between them; sizes and shapes of the loops.

    The axis is 0 degrees along lead I and +90 degrees downwards.
    """
    plane = frontal(parts.waves.beat[:, :LEADS], columns.present[:, :LEADS])
    vectors = _vectors(plane, parts)
    known = known & limb.known
    angle = {name: np.arctan2(vector[:, 1], vector[:, 0]) for name, vector in vectors.items()}
    length = {name: np.hypot(vector[:, 0], vector[:, 1]) + EPS for name, vector in vectors.items()}
    for name, value in angle.items():
        values = {"cos": np.cos(value), "sin": np.sin(value), "deg": np.degrees(value)}
        sure = known & p_found if name.startswith("p") else known
        columns.add(sure, **{f"{name}_axis_{part}": number for part, number in values.items()})
    for first, second in (("qrs", "t"), ("qrs_peak", "t_peak"), ("qrs", "p"), ("qrs_early", "qrs_late")):
        between = np.abs((angle[first] - angle[second] + np.pi) % (2 * np.pi) - np.pi)
        columns.add(known, **{f"{first}_{second}_angle_deg": np.degrees(between)})
    for first, second in (("t", "qrs"), ("t_peak", "qrs_peak"), ("p_peak", "qrs_peak"), ("p", "qrs")):
        columns.add(known, **{f"{first}_to_{second}_length_log": np.log(length[first] / length[second] + 1e-3)})
    for name, inside in parts.inside.items():
        roundness, thinness = _loop(plane, inside)
        columns.add(known, **{f"{name}_loop_roundness": roundness, f"{name}_loop_thinness_log": thinness})
    columns.per_lead("limb_scale", limb.scale, limb.known, LIMB)
    height = parts.height[:, :LEADS]
    columns.per_lead("limb_height_log", np.log(height / height.mean(1, keepdims=True) + 1e-3), known, LIMB)
    columns.add(np.isfinite(limb.misfit), limb_misfit_log=np.log10(limb.misfit + 1e-9))


def _vectors(plane: np.ndarray, parts: Parts) -> dict[str, np.ndarray]:
    """Frontal vectors `[window, 2]`: areas of whole waves, and single moments."""
    waves, qrs = parts.waves, parts.inside["qrs"]
    rows = np.arange(len(plane))
    highest = np.where(qrs[:, 0], waves.magnitude, -1).argmax(1)
    st = np.minimum(waves.qrs_off + 4, SIZE - 1)
    return {
        "qrs": area(plane, qrs),
        "t": area(plane, parts.inside["t"]),
        "p": area(plane, parts.inside["p"]),
        "qrs_peak": plane[rows, :, highest],
        "t_peak": plane[rows, :, waves.t_peak],
        "p_peak": plane[rows, :, waves.p_peak],
        "st": plane[rows, :, st],
        "qrs_early": area(plane, waves.between(waves.qrs_on, waves.qrs_on + 2)),
        "qrs_late": area(plane, waves.between(waves.qrs_off - 2, waves.qrs_off)),
    }


def _loop(plane: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area over squared length of a loop, and the log ratio of its lesser to its greater variance."""
    rows = np.arange(len(plane))
    first, last = inside[:, 0].argmax(1), SIZE - 1 - inside[:, 0, ::-1].argmax(1)
    path = np.where(inside, plane, 0)
    step = np.where(inside[:, :, 1:] & inside[:, :, :-1], np.diff(plane, axis=2), 0)
    begin, end = plane[rows, :, first], plane[rows, :, last]
    cross = (path[:, 0, :-1] * step[:, 1] - path[:, 1, :-1] * step[:, 0]).sum(1)
    cross += end[:, 0] * begin[:, 1] - end[:, 1] * begin[:, 0]  # closed by its chord
    way = np.hypot(step[:, 0], step[:, 1]).sum(1) + EPS
    count = inside.sum(2)[..., None]
    centred = np.where(inside, plane - path.sum(2, keepdims=True) / count, 0)
    variance = np.linalg.eigvalsh(centred @ centred.transpose(0, 2, 1) / count)
    return np.abs(cross) / (2 * way**2), np.log((np.maximum(variance[:, 0], 0) + EPS) / (variance[:, 1] + EPS))


def chest_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """How QRS and T change from V1 to V6."""
    r, s, height, t = (values[:, LEADS:] for values in (parts.r, parts.s, parts.height, parts.t_top))
    ratio = np.log((np.abs(r) + 0.02 * height) / (np.abs(s) + 0.02 * height))
    columns.per_lead("r_to_s_log", ratio, known, CHEST)
    share, t_share = np.maximum(r, 0) / height, t / height
    columns.add(
        known & columns.present[:, LEADS:].all(1),
        r_transition=(np.maximum.accumulate(share, axis=1) < 0.5).sum(1).astype(float),
        r_centre=share @ np.arange(len(CHEST)) / np.maximum(share.sum(1), EPS),
        t_share_max_place=t_share.argmax(1).astype(float),
        t_share_max=t_share.max(1),
    )


def complexity_columns(columns: Columns, parts: Parts, known: np.ndarray) -> None:
    """Singular values of QRS and T over the independent leads, and the angle between their first directions.

    After the T-wave complexity of Acar et al. (1999), on leads scaled one by one; and the correlations of T between
    those leads.
    """
    first = {}
    for name in ("qrs", "t"):
        wave = np.where(parts.inside[name], parts.waves.beat, 0)[:, _ROWS]
        gram = wave @ wave.transpose(0, 2, 1)
        values, vectors = np.linalg.eigh(gram)
        size = np.sqrt(np.maximum(values[:, ::-1], 0))
        ratio = np.log(size[:, 1:4] / (size[:, :1] + EPS) + 1e-4)
        columns.block([f"{name}_singular_{i}_log" for i in (2, 3, 4)], ratio, known)
        first[name] = vectors[:, :, -1]
    columns.add(known, qrs_t_direction_cos=np.abs((first["qrs"] * first["t"]).sum(1)))

    power = np.sqrt(gram[:, range(len(_ROWS)), range(len(_ROWS))]) + EPS  # of T
    correlation = (gram / power[:, :, None] / power[:, None])[:, *_PAIRS]
    there = columns.present[:, _ROWS]
    names = [f"t_correlation_{INDEPENDENT[i]}_{INDEPENDENT[j]}" for i, j in zip(*_PAIRS, strict=True)]
    columns.block(names, correlation, known[:, None] & there[:, _PAIRS[0]] & there[:, _PAIRS[1]])
