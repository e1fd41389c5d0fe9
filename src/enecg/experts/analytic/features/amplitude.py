"""Features in millivolts, and the voltage criteria made of them; missing where millivolts are not known."""

from __future__ import annotations

import numpy as np

from enecg.experts.analytic.features.beats import MS
from enecg.experts.analytic.features.columns import Columns
from enecg.experts.analytic.features.limb import LEADS, LimbScale
from enecg.experts.analytic.features.morphology import Parts
from enecg.experts.inputs import Batch
from enecg.leads import STANDARD


def amplitude_columns(columns: Columns, parts: Parts, limb: LimbScale, batch: Batch, known: np.ndarray) -> None:
    """Heights of the waves in mV, and voltage criteria of left ventricular hypertrophy.

    Sokolow and Lyon (1949), Cornell (Casale et al. 1985) and its product with the QRS duration, Lewis (1914), and
    Peguero et al. (2017).
    """
    waves = parts.waves
    in_mv = np.where(np.isfinite(batch.scale), batch.scale, 0).astype(np.float64)
    columns.per_lead("lead_sd_log_mv", np.log(in_mv + 1e-6), limb.in_mv)
    in_mv /= parts.unit
    known = known & limb.in_mv
    st40 = waves.at(waves.qrs_off + 4)
    r, s, t = (np.where(batch.present, values * in_mv, 0) for values in (parts.r, parts.s, parts.t_top))
    for name, values in {"r_mv": r, "s_mv": s, "t_mv": t, "p_mv": parts.p_top * in_mv, "st40_mv": st40 * in_mv}.items():
        columns.per_lead(name, values, known)

    up = dict(zip(STANDARD, np.maximum(r, 0).T, strict=True))
    deep = dict(zip(STANDARD, np.maximum(-s, 0).T, strict=True))
    there = dict(zip(STANDARD, batch.present.T, strict=True))
    cornell = up["aVL"] + deep["V3"]
    duration = (waves.qrs_end - waves.qrs_start) * MS
    columns.add(known & there["V1"] & there["V5"] & there["V6"],
                sokolow_lyon_mv=deep["V1"] + np.maximum(up["V5"], up["V6"]))  # fmt: skip
    columns.add(known & there["aVL"] & there["V3"], cornell_mv=cornell, cornell_product_mv_ms=cornell * duration)
    columns.add(known & there["I"] & there["III"], lewis_mv=up["I"] + deep["III"] - up["III"] - deep["I"])
    columns.add(known & there["V4"], peguero_mv=np.max(np.maximum(-s, 0), axis=1) + deep["V4"])
    columns.add(
        known & batch.present.all(1),
        limb_height_mv=(r - s)[:, :LEADS].max(1),
        chest_height_mv=(r - s)[:, LEADS:].max(1),
    )
