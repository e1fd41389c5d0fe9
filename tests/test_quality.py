"""Quality: no false alarm on real recordings, and every fault that we can make is found on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.signal import butter, resample_poly, sosfiltfilt

from enecg import Recording, read
from enecg.leads import LIMB, STANDARD
from enecg.quality import SHORTEST, check
from enecg.simulation import simulate

Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def raw(shared_data: Path) -> list[Recording]:
    """Recordings in mV as they were taken, 500 and 1000 Hz."""
    folders = ("cinc_chapman_ningbo", "cinc_cpsc2018", "cinc_cpsc_extra", "cinc_ptb", "cinc_ptbxl", "ptbxl_raw_500hz")
    return [read(header) for folder in folders for header in sorted((shared_data / folder).glob("*.hea"))[::2]]


@pytest.fixture(scope="module")
def clean(raw: list[Recording]) -> list[Recording]:
    """Some in which nothing is found, so that what is found later was put in."""
    return [recording for recording in raw if not check(recording).findings][:30]


@pytest.fixture(scope="module")
def filtered(shared_data: Path) -> list[Recording]:
    headers = sorted((shared_data / "ptbxl_filtered_100hz").rglob("*.hea"))
    return [read(header) for header in headers[::16]]


def codes(recording: Recording) -> set[str]:
    return {finding.code for finding in check(recording).findings}


def changed(recording: Recording, change: Change) -> Recording:
    return replace(recording, signal=change(recording.signal.astype(np.float64)))


def share(recordings: list[Recording], change: Change, code: str) -> float:
    return float(np.mean([code in codes(changed(recording, change)) for recording in recordings]))


def test_real_recordings_are_usable_and_rarely_flagged(raw: list[Recording], filtered: list[Recording]) -> None:
    assert len(raw) > 100
    assert len(filtered) > 100
    assert all(check(recording).usable for recording in [*raw, *filtered])
    assert np.mean([bool(check(recording).findings) for recording in raw]) < 0.08
    assert np.mean([bool(check(recording).findings) for recording in filtered]) < 0.02


def test_chest_leads_that_came_off(shared_data: Path) -> None:
    quality = check(read(shared_data / "cinc_chapman_ningbo" / "JS11438"))
    flat = next(finding for finding in quality.findings if finding.code == "flat")
    assert flat.leads == ("V1", "V2", "V3", "V4", "V5", "V6")
    assert quality.usable


def test_leads_scaled_one_by_one_are_no_millivolts(shared_data: Path) -> None:
    """LUDB says mV, yet every lead was brought to a range of 1: the limb leads contradict each other."""
    records = [read(shared_data / "ludb" / "data" / str(number)) for number in range(1, 41)]
    np.testing.assert_allclose([np.ptp(record.signal, axis=1) for record in records], 1.0, atol=2e-3)
    assert np.mean(["einthoven" in codes(record) for record in records]) > 0.8


def swap(a: str, b: str) -> Change:
    order = list(range(12))
    i, j = STANDARD.index(a), STANDARD.index(b)
    order[i], order[j] = j, i
    return lambda signal: signal[order]


def scaled(lead: str, factor: float) -> Change:
    factors = np.ones((12, 1))
    factors[STANDARD.index(lead)] = factor
    return lambda signal: signal * factors


def clipped(part: float) -> Change:
    def change(signal: np.ndarray) -> np.ndarray:
        middle = np.median(signal, axis=1, keepdims=True)
        rail = np.abs(signal - middle).max(axis=1, keepdims=True) * part
        return np.clip(signal, middle - rail, middle + rail)

    return change


@pytest.mark.parametrize(
    ("change", "code", "at_least"),
    [
        *((scaled(lead, -1), "einthoven", 0.95) for lead in LIMB),
        (scaled("II", 2), "einthoven", 0.95),
        (swap("I", "II"), "einthoven", 0.95),
        (swap("aVF", "V2"), "einthoven", 0.95),
        (clipped(0.5), "clipped", 0.95),
        (clipped(0.7), "clipped", 0.9),
        (lambda signal: signal * 1000, "amplitude_high", 1),
        (lambda signal: signal / 1000, "amplitude_low", 1),
        (lambda signal: signal * 0, "too_few_leads", 1),
    ],
)
def test_faults_are_found(clean: list[Recording], change: Change, code: str, at_least: float) -> None:
    assert share(clean, change, code) >= at_least


def test_swapped_electrodes_keep_the_relation(clean: list[Recording]) -> None:
    def arms(signal: np.ndarray) -> np.ndarray:
        i, ii, iii, avr, avl, avf, *chest = signal
        return np.stack([-i, iii, ii, avl, avr, avf, *chest])

    assert share(clean, arms, "einthoven") == 0


@pytest.mark.parametrize(("track", "code"), [("ma", "noise"), ("bw", "baseline_wander")])
def test_noise_of_the_stress_test_database(
    shared_data: Path, clean: list[Recording], filtered: list[Recording], track: str, code: str
) -> None:
    """Muscle noise and wander as strong as the ECG (0 dB after Moody's definition, from QRS height) in every lead."""
    with h5py.File(shared_data / "noise" / "nstdb.h5") as file:
        noise = file[track][: 360 * 300, 0]
    rng = np.random.default_rng(0)
    found = []
    for recording in [*clean, *filtered[:30]]:
        at_rate = resample_poly(noise, *Fraction(int(recording.rate), 360).as_integer_ratio())
        count = recording.signal.shape[1]

        def add(signal: np.ndarray, at_rate: np.ndarray = at_rate, count: int = count) -> np.ndarray:
            starts = rng.integers(0, len(at_rate) - count, 12)
            noises = np.stack([at_rate[start : start + count] for start in starts])
            noises -= noises.mean(axis=1, keepdims=True)
            power = np.diff(np.percentile(signal, (0.5, 99.5), axis=1), axis=0).T ** 2 / 8
            return signal + noises * np.sqrt(power / (noises**2).mean(axis=1, keepdims=True))

        found.append(code in codes(changed(recording, add)))
    assert np.mean(found) > 0.95


def test_one_flat_lead_is_a_finding_and_all_flat_are_fatal(clean: list[Recording]) -> None:
    for recording in clean[:5]:
        one = check(changed(recording, scaled("V3", 0)))
        assert [finding.leads for finding in one.findings if finding.code == "flat"] == [("V3",)]
        assert one.usable
        none = check(changed(recording, lambda signal: signal * 0))
        assert not none.usable
        assert "only 0 of the 12 leads" in " ".join(finding.text for finding in none.findings if finding.fatal)


def test_a_lead_that_stands_still_for_a_while(clean: list[Recording]) -> None:
    def off(signal: np.ndarray) -> np.ndarray:
        signal[1, 1000:2200] = signal[1, 1000]
        return signal

    quality = check(changed(clean[0], off))
    assert next(finding for finding in quality.findings if finding.code == "flat").leads == ("II",)
    assert quality.usable


@pytest.mark.parametrize(("part", "usable"), [(0.1, True), (0.4, True), (0.6, False), (1.0, False)])
def test_gaps(clean: list[Recording], part: float, usable: bool) -> None:
    def lose(signal: np.ndarray) -> np.ndarray:
        signal[:, : round(part * signal.shape[1])] = np.nan
        return signal

    quality = check(changed(clean[0], lose))
    gaps = next(finding for finding in quality.findings if finding.code == "gaps")
    assert gaps.leads == STANDARD
    assert f"up to {part:.0%}" in gaps.text
    assert quality.usable is usable


@pytest.mark.parametrize(("seconds", "usable"), [(1.0, False), (SHORTEST - 0.01, False), (SHORTEST, True), (8.0, True)])
def test_length(clean: list[Recording], seconds: float, usable: bool) -> None:
    quality = check(changed(clean[0], lambda signal: signal[:, : round(seconds * 500)]))
    assert quality.usable is usable
    assert ("too_short" in {finding.code for finding in quality.findings}) is not usable


def test_leads_that_are_absent(clean: list[Recording]) -> None:
    limb = check(clean[0].select(["I", "II"]))  # two limb leads give all six
    assert limb.usable
    assert limb.findings[0].leads == STANDARD[6:]
    single = check(clean[0].select(["II"]))
    assert not single.usable
    assert {finding.code for finding in single.findings if finding.fatal} == {"too_few_leads"}
    normalised = check(replace(clean[0].select(["I", "II"]), amplitude="normalised"))  # nothing can be derived
    assert not normalised.usable


def test_amplitude_is_not_judged_where_there_is_none(filtered: list[Recording]) -> None:
    for factor in (1e-3, 1e3):
        assert share(filtered[:10], lambda signal, factor=factor: signal * factor, "amplitude_high") == 0
        assert share(filtered[:10], lambda signal, factor=factor: signal * factor, "amplitude_low") == 0
    assert share(filtered, swap("I", "II"), "einthoven") == 0


def test_one_sample() -> None:
    recording = Recording(np.zeros((2, 1)), 500, ("I", "II"))
    assert {finding.code for finding in check(recording).findings if finding.fatal} == {"too_short", "too_few_leads"}
    assert not check(replace(recording, signal=np.full((2, 1), np.nan))).usable


@pytest.mark.parametrize("rate", [20.0, 49.0])
def test_too_few_samples_a_second_are_fatal(rate: float) -> None:
    recording = Recording(np.random.default_rng(0).normal(size=(12, round(20 * rate))), rate, STANDARD)
    (finding,) = check(recording).findings
    assert (finding.code, finding.fatal) == ("low_rate", True)


def waves(kind: str, rng: np.random.Generator, rate: int, seconds: int) -> np.ndarray:
    """Twelve leads of what is no ECG."""
    count, t = rate * seconds, np.arange(rate * seconds) / rate
    noise = rng.normal(size=(12, count))
    made = {
        "white noise": noise,
        "uniform noise": rng.uniform(-1, 1, (12, count)),
        "steps of noise": np.round(noise),
        "noise of the band of an ECG": sosfiltfilt(butter(2, (0.5, 40), "band", fs=rate, output="sos"), noise, axis=1),
        "random walk": np.cumsum(noise, axis=1),
        "constant and noise": 5 + 0.1 * noise,
        "ramp": np.linspace(-1, 1, count),
        "ramp and noise": np.linspace(-100, 100, count) + 0.1 * noise,
        "slow sine": np.sin(2 * np.pi * 1.2 * t),
        "sine": np.sin(2 * np.pi * 5 * t),
        "sine and noise": np.sin(2 * np.pi * 1.2 * t) + 0.1 * noise,
        "square wave": np.sign(np.sin(2 * np.pi * 1.2 * t)),
        "square wave and noise": np.sign(np.sin(2 * np.pi * 1.2 * t)) + 0.05 * noise,
        "saw-tooth": t % 1,
        "triangle": np.abs(t % 1 - 0.5),
        "pulses": (t % 1 < 0.1).astype(float) + 0.01 * noise,
    }[kind]
    return np.broadcast_to(made, (12, count)) * rng.uniform(0.5, 2, (12, 1))


@pytest.mark.parametrize("rate", [100, 250, 500])
@pytest.mark.parametrize(
    "kind",
    ["white noise", "uniform noise", "steps of noise", "noise of the band of an ECG", "random walk",
     "constant and noise", "ramp", "ramp and noise", "slow sine", "sine", "sine and noise", "square wave",
     "square wave and noise", "saw-tooth", "triangle", "pulses"],
)  # fmt: skip
def test_what_is_no_ecg_is_not_interpreted(kind: str, rate: int) -> None:
    rng = np.random.default_rng(rate)
    for seconds in (5, 10, 30):
        recording = Recording(waves(kind, rng, rate, seconds), rate, STANDARD, amplitude="normalised")
        assert [finding.code for finding in check(recording).findings if finding.fatal] == ["no_ecg"]


def test_no_real_recording_is_taken_for_noise(shared_data: Path) -> None:
    """The other data sets are above; one recording of these holds nothing but noise."""
    headers = [*sorted((shared_data / "code15").glob("*.hea")), *sorted((shared_data / "ludb").rglob("*.hea"))[::4]]
    found = [header.name for header in headers if "no_ecg" in codes(read(header))]
    assert found == ["1111271.hea"]


def test_ventricular_tachycardia_and_generated_rhythms_are_ecgs(shared_data: Path) -> None:
    headers = [shared_data / "cinc_chapman_ningbo" / f"JS{number}.hea" for number in range(45542, 45551)]
    held = [read(header) for header in headers if header.is_file()]
    assert len(held) >= 6
    made = [simulate(seed, rhythm=rhythm).recording for seed in (1, 2) for rhythm in ("SR", "AFIB", "PVC")]
    assert not any("no_ecg" in codes(recording) for recording in [*held, *made])


def test_copies_of_one_lead(clean: list[Recording]) -> None:
    copied = changed(clean[0], lambda signal: np.repeat(signal[1:2], 12, axis=0))
    fatal = {finding.code for finding in check(copied).findings if finding.fatal}
    assert fatal == {"identical"}
    two = replace(clean[0], signal=clean[0].signal[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]])
    (finding,) = [finding for finding in check(two).findings if finding.code == "identical"]
    assert (finding.leads, finding.fatal) == (("V5", "V6"), False)


def test_one_sample_that_no_heart_gives(clean: list[Recording]) -> None:
    def spiked(leads: slice) -> Change:
        def change(signal: np.ndarray) -> np.ndarray:
            signal[leads, 700] = 33 + np.arange(12)[leads]
            return signal

        return change

    (one,) = check(changed(clean[0], spiked(slice(6, 7)))).findings
    assert (one.code, one.leads, one.fatal) == ("amplitude_high", ("V1",), False)
    every = check(changed(clean[0], spiked(slice(0, 12))))
    assert "amplitude_high" in {finding.code for finding in every.findings if finding.fatal}


@pytest.mark.parametrize("samples", [1, 2, 3, 10, 499, 500])
def test_a_recording_of_few_samples_is_too_short(samples: int) -> None:
    signal = np.random.default_rng(0).normal(size=(2, samples))
    found = check(Recording(signal, 500, ("I", "II")))
    assert "too_short" in [finding.code for finding in found.findings if finding.fatal]
