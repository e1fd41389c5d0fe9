"""The generator: exact lead algebra, truth that the signal bears out, rhythms, and effects in the right direction."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.leads import LIMB, LIMB_ALGEBRA, STANDARD
from enecg.readers import read
from enecg.recording import Recording
from enecg.simulation import CONDUCTIONS, RHYTHMS, Simulated, make_cohort, simulate

RATE = 500
SEEDS = range(12)


def qrs_at(recording: Recording) -> np.ndarray:
    """Samples of the QRS complexes by a detector that knows nothing of the model: energy of the slope in II and V5."""
    slopes = np.gradient(recording.select(["II", "V5"]).signal, axis=1)
    energy = np.convolve(np.square(slopes).sum(axis=0), np.ones(50), "same")
    peaks, _ = find_peaks(energy, height=0.3 * np.percentile(energy, 99), distance=round(0.3 * RATE))
    return np.asarray(peaks)


def onset_to_peak(made: Simulated) -> float:
    return float(np.median(made.truth.r_peaks - made.truth.qrs_onset))


def beat(made: Simulated, lead: str, before: float = 0.35, after: float = 0.65) -> np.ndarray:
    """Mean beat of a lead around the R peak, in mV, against the level just before the QRS."""
    x = made.recording.lead(lead).astype(float)
    dominant = max(set(made.truth.symbols), key=made.truth.symbols.count)
    at = [
        round(peak * RATE)
        for peak, symbol in zip(made.truth.r_peaks, made.truth.symbols, strict=True)
        if symbol == dominant and before < peak < len(x) / RATE - after
    ]
    mean = np.mean([x[i - round(before * RATE) : i + round(after * RATE)] for i in at], axis=0)
    zero = round((before - onset_to_peak(made) - 0.006) * RATE)
    return np.asarray(mean - mean[zero - 3 : zero + 3].mean())


def t_wave(made: Simulated, lead: str = "V3") -> tuple[float, float]:
    """Amplitude of T in mV and its width at half amplitude in ms, from the signal."""
    late = beat(made, lead)[round(0.5 * RATE) :]
    peak = int(late.argmax())
    high = late > late[peak] / 2
    left = peak - int((~high[:peak])[::-1].argmax())
    right = peak + int((~high[peak:]).argmax())
    return float(late[peak]), (right - left) / RATE * 1e3


def qrs_width(made: Simulated, part: float = 0.08) -> float:
    """QRS duration in ms from the signal: where any lead's slope exceeds a small part of its steepest."""
    slope = np.max([np.abs(np.gradient(beat(made, lead))) for lead in STANDARD], axis=0)
    start = round((0.35 - onset_to_peak(made) - 0.03) * RATE)  # after P
    near = slope[start : start + round(made.truth.qrs / 1e3 * RATE) + 35]
    steep = np.flatnonzero(near > part * near.max())
    return float(steep[-1] - steep[0] + 1) / RATE * 1e3


def axis(made: Simulated) -> float:
    """Frontal QRS axis in degrees from net areas in I and aVF."""
    middle = round(0.35 * RATE)
    one, foot = (beat(made, lead)[middle - 40 : middle + 50].sum() for lead in ("I", "aVF"))
    return float(np.degrees(np.arctan2(foot * 2 / np.sqrt(3), one)))


def clean(seed: int, **more: object) -> Simulated:
    return simulate(seed, noise=0, heart_rate=more.pop("heart_rate", 65), **more)  # type: ignore[arg-type]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    rhythm=st.sampled_from(sorted(RHYTHMS)),
    conduction=st.sampled_from(CONDUCTIONS),
    age=st.floats(18, 100),
    sex=st.sampled_from(["F", "M"]),
    potassium=st.floats(2.0, 8.5),
    rate=st.sampled_from([250.0, 500.0, 1000.0]),
    noise=st.floats(0, 1.5),
)
def test_any_person_gives_a_possible_recording_with_exact_leads(
    seed: int, rhythm: str, conduction: str, age: float, sex: str, potassium: float, rate: float, noise: float
) -> None:
    made = simulate(seed, rhythm=rhythm, conduction=conduction, age=age, sex=sex, potassium=potassium, rate=rate,
                    noise=noise, seconds=6)  # type: ignore[arg-type]  # fmt: skip
    signal = made.recording.signal
    assert signal.shape == (12, round(6 * rate)) and signal.dtype == np.float32
    assert np.isfinite(signal).all() and 0.15 < np.abs(signal).max() < 5
    one, two = made.recording.lead("I"), made.recording.lead("II")
    for name in LIMB:
        a, b = np.float32(LIMB_ALGEBRA[name])
        assert np.array_equal(made.recording.lead(name), a * one + b * two), name
    assert not (made.recording.lead("aVR") + made.recording.lead("aVL") + made.recording.lead("aVF")).any()
    truth = made.truth
    assert len(truth.r_peaks) >= 2 and 250 < truth.rr_interval < 2500
    assert (truth.qrs_onset < truth.r_peaks).all() and (truth.r_peaks < truth.qrs_offset).all()
    assert (truth.qrs_offset < truth.t_offset).all()


@pytest.mark.parametrize("rhythm", ["SR", "SBRAD", "STACH", "SARRH", "1AVB"])
def test_an_independent_detector_finds_the_true_beats(rhythm: str) -> None:
    for seed in SEEDS:
        made = simulate(seed, rhythm=rhythm)
        found = qrs_at(made.recording) / RATE
        true = made.truth.r_peaks
        for some, others in ((true, found), (found, true)):  # none missed, none invented
            inner = some[(some > 0.15) & (some < made.recording.seconds - 0.15)]
            assert np.abs(inner[:, None] - others).min(axis=1).max() < 0.05, seed
        assert np.diff(found).mean() * 1e3 == pytest.approx(made.truth.rr_interval, rel=0.03)


@pytest.mark.parametrize(("rhythm", "low", "high"), [("SBRAD", 36, 60), ("SR", 58, 101), ("STACH", 99, 153)])
def test_sinus_rates_are_what_their_names_say(rhythm: str, low: float, high: float) -> None:
    rates = [6e4 / simulate(seed, rhythm=rhythm, seconds=30).truth.rr_interval for seed in SEEDS]
    assert low < min(rates) and max(rates) < high


def irregular(rhythm: str) -> np.ndarray:
    spread = []
    for seed in SEEDS:
        rr = np.diff(simulate(seed, rhythm=rhythm, seconds=20, noise=0).truth.r_peaks)
        spread.append(rr.std() / rr.mean())
    return np.array(spread)


def test_rhythms_differ_in_regularity() -> None:
    sinus, arrhythmia, fibrillation = irregular("SR"), irregular("SARRH"), irregular("AFIB")
    assert np.median(sinus) < 0.05 < np.median(arrhythmia) < np.median(fibrillation)
    assert fibrillation.min() > 0.1


def test_fibrillation_has_no_p_waves_and_unrelated_intervals() -> None:
    together = []
    for seed in SEEDS:
        made = simulate(seed, rhythm="AFIB", seconds=60, noise=0)
        assert np.isnan(made.truth.p_onset).all() and np.isnan(made.truth.pr)
        rr = np.diff(made.truth.r_peaks)
        together.append(np.corrcoef(rr[:-1], rr[1:])[0, 1])
    assert abs(np.mean(together)) < 0.1


def atrial_spectrum(made: Simulated, lead: str) -> tuple[np.ndarray, np.ndarray]:
    """Spectrum of a lead with everything from QRS to the end of T cut out."""
    x = made.recording.lead(lead).astype(float)
    t = np.arange(len(x)) / RATE
    for start, end in zip(made.truth.qrs_onset - 0.03, made.truth.t_offset + 0.05, strict=True):
        x[(t > start) & (t < end)] = 0
    return np.fft.rfftfreq(len(x), 1 / RATE), np.abs(np.fft.rfft(x * np.hanning(len(x))))


def test_fibrillatory_waves_have_their_rate_and_size() -> None:
    rates = []
    for seed in SEEDS:
        made = simulate(seed, rhythm="AFIB", heart_rate=50, seconds=30, noise=0)
        frequency, size = atrial_spectrum(made, "V1")
        band = (frequency > 3) & (frequency < 12)
        rates.append(frequency[band][size[band].argmax()])
        truth, x = made.truth, made.recording.lead("V1")
        pauses = zip(truth.t_offset[:-1] + 0.15, truth.qrs_onset[1:] - 0.03, strict=True)
        swings = [np.ptp(x[round(a * RATE) : round(b * RATE)]) for a, b in pauses if b - a > 0.25]
        assert 0.02 < np.median(swings) < 0.5
    assert np.mean([4.2 < rate < 8.4 for rate in rates]) >= 0.9


def test_flutter_conducts_whole_numbers_of_waves() -> None:
    for seed in SEEDS:
        made = simulate(seed, rhythm="AFLT", heart_rate=72, seconds=30, noise=0)
        frequency, size = atrial_spectrum(made, "aVF")
        band = (frequency > 3.8) & (frequency < 5.9)
        wave = frequency[band][size[band].argmax()]
        assert 240 / 60 - 0.1 < wave < 340 / 60 + 0.1
        per_beat = np.diff(made.truth.r_peaks) * wave
        assert np.abs(per_beat - np.rint(per_beat)).max() < 0.2
        assert {2, 3, 4} >= set(np.rint(per_beat).astype(int).tolist())


def test_first_degree_block_delays_the_qrs() -> None:
    for seed in SEEDS:
        for rhythm, low, high in (("1AVB", 200, 330), ("SR", 110, 205)):
            made = clean(seed, rhythm=rhythm)
            assert low < made.truth.pr < high
            x, first = made.recording.lead("II").astype(float), made.truth
            i = 3  # a beat well inside
            quiet, onset = round((first.t_offset[i - 1] + 0.06) * RATE), round(first.qrs_onset[i] * RATE)
            stretch = x[quiet : onset - 10] - np.median(x[quiet : onset - 10])
            rise = quiet + int((stretch > 0.5 * stretch.max()).argmax())
            assert (onset - rise) / RATE * 1e3 == pytest.approx(made.truth.pr, abs=45)


@pytest.mark.parametrize(
    ("conduction", "low", "high", "part"),
    [("normal", 65, 116, 0.08), ("RBBB", 120, 170, 0.08), ("LBBB", 120, 190, 0.2)],  # the ST segment of LBBB is steep
)
def test_bundle_branch_blocks_widen_the_qrs(conduction: str, low: float, high: float, part: float) -> None:
    made = [clean(seed, conduction=conduction, sex="FM"[seed % 2]) for seed in SEEDS]
    true = np.array([one.truth.qrs for one in made])
    seen = np.array([qrs_width(one, part) for one in made])
    assert low < true.min() and true.max() < high
    assert np.abs(seen - true).max() < 20
    assert (seen > 112).all() if conduction != "normal" else (seen < 112).all()


def test_the_blocks_have_their_shapes() -> None:
    middle = round(0.35 * RATE)
    for seed in SEEDS:
        right = clean(seed, conduction="RBBB")
        end = round((right.truth.qrs_offset[1] - right.truth.r_peaks[1] + 0.35) * RATE)
        late = slice(end - 30, end - 5)
        assert beat(right, "V1")[late].max() > 0.1 and beat(right, "V6")[late].min() < -0.03  # R' and broad S
        left = clean(seed, conduction="LBBB")
        assert beat(left, "V1")[middle - 60 : middle + 60].min() < -0.4
        assert beat(left, "V6")[middle - 60 : middle + 60].min() > -0.25  # no deep Q or S at the left
        assert beat(left, "V6")[middle + 100 :].min() < -0.05  # T against the QRS
        normal = clean(seed)
        r = [beat(normal, lead)[middle - 40 : middle + 45].max() for lead in ("V1", "V3", "V5")]
        s = [-beat(normal, lead)[middle - 40 : middle + 45].min() for lead in ("V1", "V6")]
        assert r[0] < r[1] and r[0] < r[2] and s[1] < s[0]  # R grows and S shrinks across the chest


def test_ectopic_beats_come_early_with_their_pauses() -> None:
    for seed in SEEDS:
        for rhythm, symbol in (("PVC", "V"), ("PAC", "A")):
            truth = simulate(seed, rhythm=rhythm, noise=0).truth
            assert symbol in truth.symbols
            rr, usual = np.diff(truth.qrs_onset), np.median(np.diff(truth.qrs_onset))
            for i in (i for i, kind in enumerate(truth.symbols) if kind == symbol and 0 < i < len(truth.symbols) - 1):
                assert rr[i - 1] < 0.9 * usual
                together = (rr[i - 1] + rr[i]) / usual
                assert 1.8 < together < 2.2 if symbol == "V" else together < 1.99
                wide = truth.qrs_offset[i] - truth.qrs_onset[i] > 0.115
                assert wide == (symbol == "V") == bool(np.isnan(truth.p_onset[i]))


def test_pacing_shows_a_spike_before_every_wide_beat() -> None:
    for seed in SEEDS:
        made = simulate(seed, rhythm="PACE", age=80, noise=0)
        assert set(made.truth.symbols) == {"/"} and made.truth.qrs > 120
        steep = np.abs(np.diff(made.recording.signal, axis=1)).max(axis=0)
        for onset in made.truth.qrs_onset[1:-1]:
            near = slice(round((onset - 0.05) * RATE), round((onset + 0.2) * RATE))
            at = (near.start + int(steep[near].argmax())) / RATE
            assert -0.015 < at - onset < 0.005
        assert -120 < made.truth.axis < -30


def compare(measure: Callable[[Simulated], float], less: dict[str, object], more: dict[str, object]) -> float:
    """Share of seeds for which the second setting measures more than the first, all else being equal."""
    return float(np.mean([measure(clean(seed, **more)) > measure(clean(seed, **less)) for seed in SEEDS]))


def p_height(made: Simulated) -> float:
    return float(beat(made, "II")[: round(0.27 * RATE)].max() - np.median(beat(made, "II")[:20]))


def after_t(made: Simulated) -> float:
    """Height in V3 where the U wave stands."""
    x, truth = made.recording.lead("V3"), made.truth
    return float(np.mean([x[round((t + 0.07) * RATE)] for t in truth.t_offset[1:-2]]))


def st_level(made: Simulated) -> float:
    end = made.truth.qrs_offset[1] - made.truth.r_peaks[1]
    return float(beat(made, "V5")[round((0.35 + end + 0.05) * RATE)])


@pytest.mark.parametrize(
    ("what", "measure", "low", "high"),
    [
        ("T taller", lambda m: t_wave(m)[0], 4.2, 7.0),
        ("T narrower", lambda m: -t_wave(m)[1], 4.2, 7.0),
        ("P flatter", lambda m: -p_height(m), 4.2, 8.0),
        ("QRS wider", qrs_width, 4.2, 8.5),
        ("PR longer", lambda m: m.truth.pr, 4.2, 8.0),
        ("T flatter", lambda m: -t_wave(m)[0], 4.2, 2.5),
        ("U wave", after_t, 4.2, 2.3),
        ("ST lower", lambda m: -st_level(m), 4.2, 2.5),
    ],
)
def test_potassium(what: str, measure: Callable[[Simulated], float], low: float, high: float) -> None:
    assert compare(measure, {"potassium": low}, {"potassium": high}) >= 0.9, what


def voltage(made: Simulated) -> float:
    middle = round(0.35 * RATE)
    window = slice(middle - 40, middle + 45)
    return float(beat(made, "V5")[window].max() - beat(made, "V2")[window].min())


@pytest.mark.parametrize(
    ("what", "measure", "least"),
    [
        ("QRS lower", lambda m: -voltage(m), 0.9),
        ("QRS shorter", lambda m: -qrs_width(m), 0.9),
        ("T lower", lambda m: -t_wave(m)[0], 0.9),
        ("QT longer", lambda m: m.truth.qt, 1.0),
    ],
)
def test_women(what: str, measure: Callable[[Simulated], float], least: float) -> None:
    assert compare(measure, {"sex": "M", "age": 30}, {"sex": "F", "age": 30}) >= least, what


@pytest.mark.parametrize(
    ("what", "measure"),
    [
        ("axis to the left", lambda m: -axis(m)),
        ("QRS lower", lambda m: -voltage(m)),
        ("T lower", lambda m: -t_wave(m)[0]),
        ("PR longer", lambda m: m.truth.pr),
        ("steadier", lambda m: -np.diff(m.truth.r_peaks).std()),
    ],
)
def test_age(what: str, measure: Callable[[Simulated], float]) -> None:
    assert compare(measure, {"sex": "M", "age": 25}, {"sex": "M", "age": 80}) >= 0.9, what


def test_qt_shortens_as_the_heart_speeds_up() -> None:
    def t_peak(made: Simulated) -> float:
        return float(beat(made, "V4", after=0.45)[round(0.46 * RATE) :].argmax())

    assert compare(t_peak, {"heart_rate": 100}, {"heart_rate": 55}) == 1.0
    assert compare(lambda m: m.truth.qt, {"heart_rate": 100}, {"heart_rate": 55}) == 1.0


def test_the_true_axis_is_the_one_seen() -> None:
    for seed in SEEDS:
        made = clean(seed)
        assert abs((axis(made) - made.truth.axis + 180) % 360 - 180) < 12


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = simulate(5), simulate(5), simulate(6)
    assert first.recording.content_hash() == again.recording.content_hash() != other.recording.content_hash()
    assert np.array_equal(first.truth.r_peaks, again.truth.r_peaks)


def test_a_subject_keeps_heart_and_chest() -> None:
    monday, friday, stranger = (clean(seed, subject=subject) for seed, subject in ((1, 9), (2, 9), (2, 10)))
    assert monday.truth.axis == friday.truth.axis != stranger.truth.axis
    assert np.corrcoef(beat(monday, "V3"), beat(friday, "V3"))[0, 1] > 0.98
    assert not np.array_equal(monday.recording.signal, friday.recording.signal)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rhythm": "VT"}, "rhythm 'VT'"),
        ({"conduction": "LAFB"}, "conduction 'LAFB'"),
        ({"sex": "x"}, "sex 'x'"),
        ({"age": 5}, "age 5"),
        ({"potassium": 12}, "potassium 12"),
        ({"heart_rate": 0}, "heart_rate 0"),
        ({"seconds": float("nan")}, "seconds nan"),
        ({"rate": 10}, "rate 10"),
    ],
)
def test_what_the_model_does_not_cover_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        simulate(1, **wrong)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("cohort"), 30, seed=4)


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_cohort_files_are_wfdb_and_keep_the_algebra(cohort: Path) -> None:
    for row in rows_of(cohort)[:8]:
        record = wfdb.rdrecord(str(cohort.parent / row["record"]), physical=False)
        assert tuple(record.sig_name) == STANDARD and record.fs == RATE and set(record.units) == {"mV"}
        assert [value % 65536 for value in record.calc_checksum()] == [value % 65536 for value in record.checksum]
        assert record.init_value == record.d_signal[0].tolist()
        one, two, three, right = record.d_signal[:, :4].astype(int).T
        assert np.array_equal(three, two - one) and np.array_equal(2 * right, -(one + two))


def test_cohort_files_hold_what_was_simulated(cohort: Path) -> None:
    for row in rows_of(cohort)[:8]:
        recording = read(cohort.parent / f"{row['record']}.hea")
        assert recording.subject.age == float(row["age"]) and recording.subject.sex == row["sex"]
        assert recording.amplitude == "mV" and recording.signal.shape == (12, 10 * RATE)
        assert np.array_equal(recording.lead("III"), recording.lead("II") - recording.lead("I"))


def test_manifest_labels_and_folds(cohort: Path) -> None:
    rows = rows_of(cohort)
    assert 30 < len(rows) < 45 and len({row["record"] for row in rows}) == len(rows)
    persons: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        persons.setdefault(row["subject_id"], set()).add((row["fold"], row["age"], row["sex"], row["arrhythmia"]))
        normal = 3.5 <= float(row["potassium_mmol_l"]) <= 5.0
        assert row["potassium"] == ("normal" if normal else "abnormal") and row["generated"] == "1"
        assert row["arrhythmia"] in RHYTHMS and 300 < float(row["rr_interval"]) < 1700
    assert len(persons) == 30 and all(len(facts) == 1 for facts in persons.values())
    assert {row["fold"] for row in rows} == {str(fold) for fold in range(1, 11)}
    loaded = Cohort.load(cohort)
    assert len(loaded) == len(rows) and loaded.subjects.tolist() == [row["subject_id"] for row in rows]


def test_the_rr_label_is_the_mean_of_the_signal(cohort: Path) -> None:
    errors = []
    for row in rows_of(cohort):
        if row["arrhythmia"] in ("SR", "SBRAD", "STACH", "1AVB"):
            found = qrs_at(read(cohort.parent / f"{row['record']}.hea"))
            errors.append(abs(np.diff(found).mean() / RATE * 1e3 - float(row["rr_interval"])))
    assert len(errors) >= 8 and np.median(errors) < 5


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    first, again = (make_cohort(tmp_path / name, 3, seed=8, seconds=4) for name in ("a", "b"))
    other = make_cohort(tmp_path / "c", 3, seed=9, seconds=4)
    files = sorted(path.relative_to(first.parent) for path in first.parent.rglob("*") if path.is_file())
    assert len(files) >= 7
    for path in files:
        assert (first.parent / path).read_bytes() == (again.parent / path).read_bytes(), path
    assert first.read_bytes() != other.read_bytes()


def test_an_empty_cohort_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        make_cohort(tmp_path, 0)
