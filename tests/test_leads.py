"""Leads by name: spellings, and the algebra of the limb leads."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enecg.errors import InputError
from enecg.leads import LIMB, STANDARD, canonical, check_unique, derive, electrodes


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (("I", "i", " I ", "DI", "D1", "L1", "Lead I", "LEAD_I", "lead-I", "MDC_ECG_LEAD_I", "ECG I", "EKG I"), "I"),
        (("II", "ii", "DII", "MLII", "ECGII", "ECG Lead II", "II (mV)", "II/mV", "Lead II"), "II"),
        (("aVR", "AVR", "avr", "VR", "a VR", "MDC_ECG_LEAD_AVR", "Lead aVR", "aVR [uV]", "aVR (µV)"), "aVR"),
        (("V1", "v1", "C1", "Lead V1", "MDC_ECG_LEAD_V1", "ecg_lead_V1", "V1 (mV)", "lead:V1"), "V1"),
        (("Lead I (Einthoven)",), "I"),
    ],
)
def test_spellings(spellings: tuple[str, ...], name: str) -> None:
    assert {canonical(spelling) for spelling in spellings} == {name}


@pytest.mark.parametrize("name", STANDARD)
def test_canonical_is_idempotent_and_blind_to_case(name: str) -> None:
    assert (
        canonical(name)
        == canonical(name.lower())
        == canonical(name.upper())
        == canonical(f"MDC_ECG_LEAD_{name}")
        == name
    )


@pytest.mark.parametrize(
    "name",
    [
        "-aVR",
        "Lead -aVR",
        "aVR (inverted)",
        "I/aVR",
        "V7",
        "V1R",
        "Resp",
        "ECG",
        "Lead",
        "IV",
        "",
        "X",
        "time (s)",
        "1",
    ],
)
def test_what_is_another_lead_stays_another(name: str) -> None:
    assert canonical(name) == name
    assert canonical(name) not in STANDARD


@given(st.text(max_size=12))
def test_any_name(name: str) -> None:
    assert canonical(name) in (*STANDARD, name.strip())


@given(st.integers(0, 2**32 - 1), st.sampled_from(LIMB), st.sampled_from(list(combinations(LIMB, 2))))
def test_any_two_limb_leads_give_the_others(seed: int, wanted: str, pair: tuple[str, str]) -> None:
    right, left, foot = np.random.default_rng(seed).normal(size=(3, 50))  # electrode potentials
    leads = {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": right - (left + foot) / 2,
        "aVL": left - (right + foot) / 2,
        "aVF": foot - (right + left) / 2,
    }
    derived = derive(wanted, {name: leads[name] for name in pair if name != wanted})
    if wanted in pair:
        assert derived is None
    else:
        np.testing.assert_allclose(derived, leads[wanted], atol=1e-12)


def test_nothing_is_derived_from_too_little() -> None:
    lead = np.ones(3)
    assert derive("III", {}) is None
    assert derive("III", {"I": lead, "V1": lead}) is None
    assert derive("V1", {"I": lead, "II": lead}) is None
    derived = derive("III", {"I": lead.astype(np.float32), "II": lead.astype(np.float32)})
    assert derived is not None
    assert derived.dtype == np.float32


def test_a_lead_twice() -> None:
    check_unique(STANDARD, "here")
    with pytest.raises(InputError, match="here: lead II occurs twice"):
        check_unique(["I", "II", "II"], "here")


@pytest.mark.parametrize(
    ("names", "foreign"),
    [
        ("I II III C1 C2 C3 C4 C5 C6", ""),
        ("D1 D2 D3 C1", ""),
        ("L1 L2", ""),
        ("ECG_C1", ""),
        ("I II C3 P1 T1", ""),  # a pressure and a temperature
        ("C1 C2 C3 C4 C5 C6", "C1 C2 C3 C4 C5 C6"),
        ("C3 C4 F3 ECG", "C3 C4"),
        ("C3 C4 ECG-II", "C3 C4"),
        ("I C4 EEGFpz-Cz", "C4"),
        ("I C3/uV O2-M1", "C3/uV"),
        ("I C4 C3-A2", "C4"),
        ("V1 C3", "C3"),
        ("D1 D2 D3 D4", "D1 D2 D3"),  # contacts of a depth electrode
        ("L1 L2 EKG", "L1 L2"),
    ],
)
def test_electrodes_of_an_eeg_are_no_leads(names: str, foreign: str) -> None:
    labels = names.split()
    assert [labels[row] for row in electrodes(labels)] == foreign.split()
