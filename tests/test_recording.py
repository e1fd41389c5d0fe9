"""The recording: what it accepts, units, leads by name, and its hash."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enecg import InputError, Recording
from enecg.leads import LIMB, STANDARD
from enecg.quality import check
from enecg.recording import Subject, amplitude_of, implausible


def recording(leads: tuple[str, ...] = ("I", "II"), samples: int = 4, **facts: object) -> Recording:
    signal = np.arange(len(leads) * samples, dtype=np.float32).reshape(len(leads), samples) ** 1.5
    return Recording(signal, 500, leads, **facts)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("mV", (1.0, "mV")), ("mv", (1.0, "mV")), (" MV ", (1.0, "mV")), ("millivolt", (1.0, "mV")),
        ("uV", (1e-3, "mV")), ("µV", (1e-3, "mV")), ("μV", (1e-3, "mV")), ("V", (1e3, "mV")),
        ("sd", (1.0, "normalised")), ("sd (z-score)", (1.0, "normalised")), ("unitless", (1.0, "normalised")),
        ("1", (1.0, "normalised")), ("z-score", (1.0, "normalised")),
    ],
)  # fmt: skip
def test_units(unit: str, expected: tuple[float, str]) -> None:
    assert amplitude_of(unit, "here") == expected


@pytest.mark.parametrize(
    ("unit", "told"),
    [(None, "no amplitude unit"), ("", "no amplitude unit"), (" ", "no amplitude unit"), ("mmHg", "is not known"),
     ("adu", "is not known"), ("nV", "is not known")],
)  # fmt: skip
def test_units_are_never_guessed(unit: str | None, told: str) -> None:
    with pytest.raises(InputError, match=f"here: .*{told}.*state mV, uV or V"):
        amplitude_of(unit, "here")


@pytest.mark.parametrize(
    ("signal", "rate", "leads", "told"),
    [
        (np.zeros((2, 5)), 500, ("I",), r"shape \(2, 5\) does not fit 1 leads"),
        (np.zeros(5), 500, ("I",), "does not fit"),
        (np.zeros((1, 2, 5)), 500, ("I",), "does not fit"),
        (np.zeros((2, 0)), 500, ("I", "II"), "is empty"),
        (np.zeros((0, 5)), 500, (), "is empty"),
        (np.zeros((1, 5)), 0, ("I",), "0 Hz is impossible"),
        (np.zeros((1, 5)), -1, ("I",), "impossible"),
        (np.zeros((1, 5)), np.nan, ("I",), "impossible"),
        (np.zeros((1, 5)), np.inf, ("I",), "impossible"),
        (np.zeros((2, 5)), 500, ("C3", "F3"), "C3 may be electrodes of an EEG; name chest leads V1 to V6"),
        (np.zeros((2, 5)), 500, ("aVR", "avr"), "lead aVR occurs twice"),
    ],
)
def test_what_is_no_recording(signal: np.ndarray, rate: float, leads: tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError, match=f"^somewhere: .*{told}"):
        Recording(signal, rate, leads, source="somewhere")


def test_an_unknown_amplitude() -> None:
    with pytest.raises(InputError, match="'mV' or 'normalised', not 'volts'"):
        recording(amplitude="volts")


def test_leads_by_any_name() -> None:
    one = Recording(np.array([[1, 2], [3, 5]]), 250, ("mlii", "c1"))
    assert one.leads == ("II", "V1")
    assert one.signal.dtype == np.float32
    assert one.lead("Lead II").tolist() == one.lead("II").tolist() == [1, 2]
    with pytest.raises(InputError, match="no lead V2; it has II, V1"):
        one.lead("V2")


@given(st.permutations(STANDARD), st.integers(0, 2**32 - 1))
def test_selection_is_by_name_and_not_by_place(order: list[str], seed: int) -> None:
    signal = np.random.default_rng(seed).normal(size=(12, 20)).astype(np.float32)
    shuffled = Recording(signal[[STANDARD.index(name) for name in order]], 500, tuple(order))
    np.testing.assert_array_equal(shuffled.select(STANDARD).signal, signal)
    assert shuffled.select(STANDARD).content_hash() == Recording(signal, 500, STANDARD).content_hash()


def test_limb_leads_are_derived_in_mv_and_never_from_normalised() -> None:
    one = recording()
    np.testing.assert_allclose(one.lead("III"), one.lead("II") - one.lead("I"), rtol=1e-6)
    assert one.select(LIMB).leads == LIMB
    normalised = replace(one, amplitude="normalised")
    assert normalised.get("III") is None
    with pytest.raises(InputError):
        normalised.select(LIMB)


def test_seconds() -> None:
    assert recording(samples=1000).seconds == 2.0


def test_hash_is_of_the_samples_and_how_they_are_meant() -> None:
    one = recording()
    same = [
        Recording(one.signal.copy(), 500.0, ["i", "ii"]),
        Recording(one.signal.astype(np.float64), np.int64(500), one.leads),
        replace(one, subject=Subject("p", 50, "F"), source="x", notes={"a": "b"}, facts={"Dx": "c"}),
        Recording(np.asfortranarray(one.signal), 500, one.leads),
    ]
    assert {other.content_hash() for other in same} == {one.content_hash()}
    assert replace(one, band=(0.5, 40)).content_hash() == replace(one, band=(0.5, 40.0)).content_hash()
    other = [
        replace(one, signal=one.signal + 1),
        replace(one, rate=250),
        replace(one, leads=("I", "III")),
        replace(one, amplitude="normalised"),
        replace(one, band=(0.5, 40)),
    ]
    assert len({one.content_hash(), *(changed.content_hash() for changed in other)}) == 6


def test_repr_says_nothing_of_the_person() -> None:
    one = recording(subject=Subject("patient-7", 87.5, "F"), source="folder/a.hea")
    assert repr(one) == "Recording(folder/a.hea: 2 leads, 0.008 s at 500 Hz, mV)"


def test_a_selection_by_another_spelling() -> None:
    assert Recording(np.zeros((1, 5)), 500, ("V1",)).select(["C1"]).leads == ("V1",)


@pytest.mark.parametrize(
    ("signal", "rate", "told"),
    [
        (np.zeros((2, 5)), 19.9, "a rate of 19.9 Hz is no ECG's; it must lie between 20 and 100,000 Hz"),
        (np.zeros((2, 5)), 250_000, "a rate of 250000 Hz is no ECG's"),
        (np.zeros((2, 5)), 1e300, r"a rate of 1e\+300 Hz is no ECG's"),
        (np.zeros((2, 20 * 86400 * 16)), 20, "16 days at 20 Hz are no ECG; at most 15 days are read"),
        (np.array([[0, 0], [0.0, np.inf]]), 500, "lead II holds a sample of inf, which no unit explains"),
        (np.array([[np.nan, -np.inf], [0, 0]]), 500, "lead I holds a sample of inf"),
        (np.array([[0, 1e300], [0, 0]]), 500, "lead I holds a sample of inf"),
        (np.array([[0, 1e-13], [0, 0]]), 500, "no sample is larger than 1e-13, which no unit explains"),
        (np.array([[0.0, np.nan], [1.0, -1e16]]), 500, r"lead II holds a sample of 1e\+16"),
    ],
)
def test_what_can_be_no_ecg(signal: np.ndarray, rate: float, told: str) -> None:
    odd = Recording(signal, rate, ("I", "II"))
    assert re.match(told, implausible(odd) or "")
    (finding,) = check(odd).findings
    assert (finding.code, finding.fatal, finding.text) == ("implausible", True, implausible(odd))


@pytest.mark.parametrize("rate", [20, 100_000])
def test_what_can_be_one(rate: float) -> None:
    assert implausible(Recording(np.array([[np.nan, -1e9]]), rate, ("I",))) is None
