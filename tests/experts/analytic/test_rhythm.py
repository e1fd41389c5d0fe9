"""`rhythm` and `morphology`: against cardiologists' marks, against what was put in, and where nothing can be known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import wfdb
from dipole import WAVES, dipole, regular
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg.experts import registry
from enecg.experts.analytic import morphology, rhythm
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch, prepare
from enecg.leads import LIMB, STANDARD
from enecg.readers import read
from enecg.recording import Recording

EXPERTS = (rhythm.Rhythm(), morphology.Morphology())
COLUMNS = np.concatenate([expert.columns for expert in EXPERTS])
MEASUREMENTS = {**rhythm.MEASUREMENTS, **morphology.MEASUREMENTS}
IN_MV = np.array([name.endswith("_mv_ms") or "_mv" in name for name in COLUMNS])


def seen(*recordings: Recording) -> Batch:
    """As both want to see them."""
    return Batch.join([prepare(recording, EXPERTS[0].card.input) for recording in recordings])


def encode_windows(batch: Batch) -> np.ndarray:
    """Of both, side by side."""
    return np.concatenate([expert.encode(batch) for expert in EXPERTS], axis=1)


def pool(windows: np.ndarray) -> np.ndarray:
    """Of both, side by side."""
    parts = np.split(windows, [EXPERTS[0].card.dim], axis=1)
    return np.concatenate([expert.pool(part) for expert, part in zip(EXPERTS, parts, strict=True)])


def encode(recording: Recording) -> np.ndarray:
    """The pooled embeddings of both, side by side."""
    return pool(encode_windows(seen(recording)))


def measured(recording: Recording) -> dict[str, float]:
    return dict(zip(COLUMNS, encode(recording).tolist(), strict=True))


def normalised(recording: Recording) -> Recording:
    signal = recording.signal - recording.signal.mean(1, keepdims=True)
    return replace(recording, signal=signal / signal.std(1, keepdims=True), amplitude="normalised")


@pytest.mark.parametrize(("expert", "module"), [*zip(EXPERTS, (rhythm, morphology), strict=True)])
def test_they_are_registered_and_say_what_they_give(expert: Expert, module: ModuleType) -> None:
    assert registry.entry(expert.card.name).card() is expert.card
    assert expert.columns is not None
    assert {name: expert.columns[column] for name, column in expert.measurements.items()} == module.MEASUREMENTS
    assert expert.tabular
    assert expert.card.input == EXPERTS[0].card.input  # they share what they look at


def test_no_column_is_in_both() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) >= 629


def marks(path: Path) -> dict[str, float]:
    """Mean RR, and medians of QRS, QT and P onset to QRS in ms, over lead II as a cardiologist marked it."""
    read_marks = wfdb.rdann(str(path), "ii")
    kind, at = np.array(read_marks.symbol), read_marks.sample * 2.0
    wave = {name: np.flatnonzero(kind == name) for name in "Npt"}
    wave = {name: places[(places > 0) & (places < len(kind) - 1)] for name, places in wave.items()}
    start, peak, end = ({name: at[places + step] for name, places in wave.items()} for step in (-1, 0, 1))

    def until(first: np.ndarray, later: np.ndarray, most: float) -> float:
        gaps = [gap for one in first for gap in (later - one) if 0 < gap < most]
        return float(np.median(gaps)) if gaps else float("nan")

    return {
        "rr": float(np.diff(peak["N"]).mean()),
        "qrs": float(np.median(end["N"] - start["N"])),
        "qt": until(start["N"], end["t"], 600),
        "pr": until(start["p"], start["N"], 350),
    }


def test_intervals_agree_with_cardiologists_marks(shared_data: Path) -> None:
    """LUDB, every fifth record: lead II by hand against all leads by this expert."""
    rows = []
    for number in range(1, 201, 5):
        path = shared_data / "ludb" / "data" / str(number)
        ours, theirs = measured(read(path)), marks(path)
        rows.append([ours[f"{name}_ms"] - theirs[name.split("_")[0]] for name in ("rr_mean", "qrs", "qt", "pr")])
    rr, qrs, qt, pr = np.array(rows).T
    assert np.isfinite(rr).all()
    assert np.abs(rr).mean() < 8  # the marks leave out the first and the last beat
    assert np.median(np.abs(rr)) < 5
    assert abs(np.nanmedian(qrs)) < 12 and np.nanmedian(np.abs(qrs - np.nanmedian(qrs))) < 10
    assert abs(np.nanmedian(qt)) < 20 and np.nanmedian(np.abs(qt - np.nanmedian(qt))) < 20
    assert abs(np.nanmedian(pr)) < 20 and np.nanmedian(np.abs(pr - np.nanmedian(pr))) < 15


def test_the_rr_interval_of_normalised_recordings_is_right(shared_data: Path) -> None:
    """PTB-XL: 40 records against the mean RR that XQRS found in the 500-Hz originals."""
    table = pd.read_csv(shared_data / "manifest.csv")
    chosen = (table["record"].str.startswith("ptbxl_filtered")) & (table["rr_ok"] == 1) & (table["strat_fold"] < 9)
    table = table[chosen].iloc[::36]
    assert len(table) == 40
    rr = [measured(read(shared_data / record))["rr_mean_ms"] for record in table["record"]]
    error = np.abs(np.array(rr) - table["rr_mean_ms"].to_numpy())
    assert np.median(error) < 0.5
    assert error.mean() < 7
    assert (error < 100).all()


def test_the_wave_form_gives_back_what_was_put_in() -> None:
    found = measured(dipole(regular(75), noise=0.01))
    assert found["rr_mean_ms"] == pytest.approx(800, abs=0.5)
    assert found["heart_rate_bpm"] == pytest.approx(75, abs=0.1)
    assert found["rr_sd_ms"] < 1
    assert found["qrs_ms"] == pytest.approx(80, abs=20)
    assert found["pr_ms"] == pytest.approx(1000 * (0.16 + 2 * 0.022 - 0.022 - 0.016), abs=25)
    assert found["qt_ms"] == pytest.approx(1000 * (0.28 + 2 * 0.05 + 0.04), abs=30)
    assert found["qtc_bazett_ms"] == pytest.approx(found["qt_ms"] / np.sqrt(0.8), rel=1e-4)
    assert found["t_axis_deg"] == pytest.approx(axis("T"), abs=4)
    assert found["p_axis_deg"] == pytest.approx(axis("P"), abs=6)
    assert found["qrs_peak_axis_deg"] == pytest.approx(axis("R"), abs=6)
    assert found["p_alike_median"] > 0.9


def axis(wave: str) -> float:
    left, down, _ = WAVES[wave][2]
    return float(np.degrees(np.arctan2(down, left)))


def test_heights_in_millivolts_are_those_of_the_signal() -> None:
    recording = dipole(regular(70))
    found = measured(recording)
    for lead in ("II", "V2", "V5"):
        tall = recording.lead(lead).max()
        assert found[f"r_mv_{lead}"] == pytest.approx(tall, rel=0.15)  # 40 Hz round an R off
    deep = -recording.lead("V1").min()
    tall = max(recording.lead("V5").max(), recording.lead("V6").max())
    assert found["sokolow_lyon_mv"] == pytest.approx(deep + tall, abs=0.25)
    assert found["cornell_product_mv_ms"] == pytest.approx(found["cornell_mv"] * found["qrs_ms"], rel=1e-4)


def test_normalised_recordings_have_no_millivolts_and_the_same_shape() -> None:
    recording = dipole(regular(70), noise=0.02)
    in_mv, plain = encode(recording), encode(normalised(recording))
    assert IN_MV.sum() > 70
    assert np.isfinite(in_mv).all()
    assert np.isnan(plain[IN_MV]).all()
    np.testing.assert_allclose(in_mv[~IN_MV], plain[~IN_MV], rtol=0.02, atol=0.02)


def test_stated_millivolts_that_contradict_the_limb_leads_are_not_used() -> None:
    recording = dipole(regular(70), noise=0.02)
    each = np.linspace(0.5, 2, 12, dtype=np.float32)[:, None]
    false, true = encode(replace(recording, signal=recording.signal * each)), encode(recording)
    assert np.isnan(false[IN_MV]).all()
    np.testing.assert_allclose(false[~IN_MV], true[~IN_MV], rtol=0.02, atol=0.02)


@given(factor=st.floats(0.05, 20))
@settings(max_examples=10)
def test_a_common_factor_changes_nothing_but_millivolts(factor: float) -> None:
    recording = dipole(regular(70), noise=0.02)
    one, other = encode(recording), encode(replace(recording, signal=recording.signal * np.float32(factor)))
    np.testing.assert_allclose(other[~IN_MV], one[~IN_MV], rtol=0.01, atol=0.01)
    column = list(COLUMNS).index("r_mv_V5")
    assert other[column] == pytest.approx(factor * one[column], rel=1e-3)


@given(shift=st.floats(0, 0.8))
@settings(max_examples=15)
def test_when_the_recording_begins_changes_little(shift: float) -> None:
    one, other = (measured(dipole(regular(75, first=first), noise=0.005)) for first in (0.4, 0.4 + shift))
    for name, tolerance in {"rr_mean_ms": 0.5, "qrs_ms": 6, "qt_ms": 8, "qrs_axis_deg": 5, "t_axis_deg": 5}.items():
        assert other[name] == pytest.approx(one[name], abs=tolerance)


@given(rate=st.floats(25, 250))
@settings(max_examples=15)
def test_the_heart_rate_is_right_from_25_to_250(rate: float) -> None:
    found = measured(dipole(regular(rate), noise=0.01, short=min(1.0, np.sqrt(60 / rate))))
    assert found["rr_mean_ms"] == pytest.approx(60000 / rate, rel=0.003)
    assert found["heart_rate_bpm"] == pytest.approx(rate, rel=0.003)


def test_irregular_beats_without_p_waves_are_told_from_regular_ones() -> None:
    step = 0.8 * np.exp(0.25 * np.random.default_rng(3).normal(size=20))
    without = measured(dipole(np.cumsum(step) - 1, noise=0.02, without=("P",)))
    sinus = measured(dipole(regular(75), noise=0.02))
    assert without["rr_cv"] > 0.1 > 0.01 > sinus["rr_cv"]
    assert np.isnan(without["pr_ms"]) and np.isnan(without["p_axis_deg"])
    assert np.isfinite(sinus["pr_ms"])
    assert without["rr_mean_ms"] == pytest.approx(1000 * step[2:12].mean(), rel=0.1)


def test_an_early_beat_and_its_pause_show() -> None:
    beats = regular(60)
    beats[6] -= 0.4
    found = measured(dipole(beats, noise=0.02))
    assert found["rr_early_late_share"] > 0
    assert found["rr_early_share"] == pytest.approx(found["rr_late_share"])
    assert found["rr_min_ms"] == pytest.approx(600, abs=10)
    assert found["rr_max_ms"] == pytest.approx(1400, abs=10)
    assert found["rr_mean_ms"] == pytest.approx(1000, abs=2)


def test_absent_leads_are_unknown_and_spoil_nothing_else() -> None:
    recording = dipole(regular(70), noise=0.01)
    whole = measured(recording)
    recording.signal[STANDARD.index("V3")] = 0  # flat
    found = measured(recording)
    unknown = {name for name, value in found.items() if np.isnan(value)}
    assert "r_sd_V3" in unknown and "cornell_mv" in unknown and "r_centre" in unknown
    assert "r_sd_V4" not in unknown and "sokolow_lyon_mv" not in unknown
    chest = ("r_transition", "r_centre", "t_share_max", "cornell", "limb_height_mv", "chest_height_mv")
    assert all("V3" in name or name.startswith(chest) for name in unknown)
    for name in ("rr_mean_ms", "qrs_axis_deg", "r_mv_V5"):
        assert found[name] == pytest.approx(whole[name], rel=0.02)


@pytest.mark.parametrize("lead", ["II", "V1"])
@pytest.mark.parametrize("amplitude", ["mV", "normalised"])
def test_one_lead_gives_its_rhythm_and_its_own_waves(lead: str, amplitude: str) -> None:
    recording = dipole(regular(70), noise=0.01).select([lead])
    found = measured(recording if amplitude == "mV" else normalised(recording))
    assert found["rr_mean_ms"] == pytest.approx(60000 / 70, rel=0.002)
    assert np.isfinite(found[f"t_share_{lead}"]) and np.isfinite(found["qrs_ms"])
    assert np.isnan(found["qrs_axis_deg"])
    assert np.isfinite(found[f"r_mv_{lead}"]) == (amplitude == "mV")
    other = {name for name in COLUMNS if name.endswith(tuple(f"_{one}" for one in STANDARD if one != lead))}
    assert all(np.isnan(found[name]) for name in other)


def test_six_limb_leads_give_the_axes_of_normalised_recordings() -> None:
    recording = dipole(regular(70), noise=0.01)
    found = measured(normalised(recording.select(LIMB)))
    assert found["t_axis_deg"] == pytest.approx(axis("T"), abs=4)
    assert np.isfinite(found["limb_scale_aVL"]) and np.isnan(found["r_to_s_log_V1"])


@pytest.mark.parametrize("seconds", [1.2, 2.5, 6])
def test_short_recordings_are_measured_as_far_as_they_go(seconds: float) -> None:
    found = measured(dipole(regular(100), seconds=seconds, noise=0.01))
    if seconds > 2:
        assert found["rr_mean_ms"] == pytest.approx(600, abs=3)
        assert found["qrs_axis_deg"] == pytest.approx(measured(dipole(regular(100)))["qrs_axis_deg"], abs=8)
    assert not np.isinf(list(found.values())).any()


@pytest.mark.parametrize(("kind", "level"), [("zero", 0.0), ("noise", 1.0), ("line", 2.0)])
def test_without_beats_what_depends_on_them_is_unknown(kind: str, level: float) -> None:
    signal = np.random.default_rng(0).normal(size=(12, 5000)).astype(np.float32) * np.float32(kind == "noise")
    row = encode(Recording(signal + np.float32(level), 500, STANDARD))
    assert row.shape == (len(COLUMNS),) and row.dtype == np.float32
    known = set(COLUMNS[np.isfinite(row)])
    beatless = ("band_", "skewness", "kurtosis", "repeat_", "limb_misfit", "lead_sd_log_mv")
    assert all(name.startswith(beatless) for name in known)
    assert bool(known) == (kind == "noise")


def test_real_recordings_are_known_in_full_and_the_same_every_time(shared_data: Path) -> None:
    folder = shared_data / "cinc_chapman_ningbo"
    paths = sorted(folder.glob("*.hea"))[:12]
    batches = [seen(read(path)) for path in paths]
    alone = np.concatenate([encode_windows(batch) for batch in batches])
    assert np.isfinite(alone).mean() > 0.99  # a P wave is not always there
    together = encode_windows(Batch.join(batches))
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(encode_windows(Batch.join(batches)), together)


def test_windows_are_pooled_to_one_row_with_angles_on_the_circle() -> None:
    sine, cosine, degrees = (list(COLUMNS).index(f"t_axis_{part}") for part in ("sin", "cos", "deg"))
    rows = np.zeros((2, len(COLUMNS)), np.float32)
    for row, angle in zip(rows, (170.0, -170.0), strict=True):
        row[[sine, cosine, degrees]] = np.sin(np.radians(angle)), np.cos(np.radians(angle)), angle
    assert abs(pool(rows)[degrees]) == pytest.approx(180, abs=1e-3)
    long = dipole(regular(75, seconds=30), seconds=30, noise=0.01)
    assert encode_windows(seen(long)).shape == (3, len(COLUMNS))
    assert measured(long)["rr_mean_ms"] == pytest.approx(800, abs=0.5)
