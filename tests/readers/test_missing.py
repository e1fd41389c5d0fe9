"""Codes for missing samples and ends of the scale: gaps with a note, in whatever file they stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from enecg import read
from enecg.quality import check
from enecg.readers.missing import without_codes
from enecg.recording import Recording
from enecg.simulation import simulate


@pytest.fixture(scope="module")
def clean() -> Recording:
    made = simulate(11).recording
    steps = np.rint(made.signal / 0.005)  # 5 uV a step
    return replace(made, signal=steps * 0.005)


def spoilt(recording: Recording, leads: slice, samples: slice, value: float) -> Recording:
    signal = recording.signal.copy()
    signal[leads, samples] = value
    return replace(recording, signal=signal)


def test_an_ordinary_recording_stays_as_it_is(clean: Recording) -> None:
    assert without_codes(clean) is clean


@pytest.mark.parametrize(
    ("leads", "samples", "value"),
    [
        (slice(6, 7), slice(40, 41), -32768 * 0.005),  # the code of one sample of one lead
        (slice(6, 12), slice(40, 50), -32.768),  # not a whole number of steps, but in six leads at once
        (slice(0, 12), slice(0, 1), 9.0),
        (slice(8, 9), slice(100, 300), -2048 * 0.005),
        (slice(6, 12), slice(4000, 5000), -11.3),  # a tail
        (slice(6, 12), slice(0, 100), -11.3),  # and a head
    ],
)
def test_codes_become_gaps(clean: Recording, leads: slice, samples: slice, value: float) -> None:
    found = without_codes(spoilt(clean, leads, samples, value))
    expected = clean.signal.copy()
    expected[leads, samples] = np.nan
    np.testing.assert_array_equal(found.signal, expected)
    count = samples.stop - samples.start
    assert found.notes["missing_samples"].startswith(f"not read: {count} samples of {clean.leads[leads.start]}")


def test_leads_of_several_scales_that_fall_silent_together(clean: Recording) -> None:
    signal = clean.signal.copy()
    for row, value in enumerate((-9.0, -11.5, -14.25), start=6):
        signal[row, 200:210] = value
    found = without_codes(replace(clean, signal=signal))
    assert np.isnan(found.signal[6:9, 200:210]).all() and np.isnan(found.signal).sum() == 30


def test_limb_leads_that_are_made_of_missing_ones_are_missing(clean: Recording) -> None:
    signal = clean.signal.copy()
    signal[:6, 70] = [-32.768, -32.768, 0, 32.768, -16.384, -16.384]
    assert np.isnan(without_codes(replace(clean, signal=signal)).signal[:, 70]).tolist() == [True] * 6 + [False] * 6


def test_a_spike_of_one_lead_is_no_code(clean: Recording) -> None:
    pacing = clean.signal.copy()
    pacing[6, ::500] = [7.0, 7.105, 6.99, 7.01, 7.2, 6.9, 7.03, 7.0, 7.1, 6.8]
    for odd in (replace(clean, signal=pacing), spoilt(clean, slice(6, 7), slice(40, 41), -9.033)):
        assert without_codes(odd) is odd


def test_leads_without_samples_and_of_one_value() -> None:
    signal = np.zeros((3, 100), np.float32)
    signal[0], signal[2, 5] = np.nan, -32.768
    odd = Recording(signal, 500, ("I", "V1", "V2"))
    assert without_codes(odd) is odd  # nothing says how large a step is, and no other lead agrees


@pytest.mark.parametrize(
    ("name", "gaps"), [("one.csv", [1] * 12), ("vleads.csv", [0] * 6 + [10] * 6), ("code.edf", [10] * 12)]
)
def test_files_that_write_a_code(shared_data: Path, name: str, gaps: list[int]) -> None:
    pytest.importorskip("ecgdatakit")
    recording = read(shared_data.parent / "cases" / "missing-sample-code-read-as-voltage" / name)
    assert np.isnan(recording.signal).sum(1).tolist() == gaps
    assert np.nanmin(recording.signal) > -2
    assert "missing_samples" in recording.notes
    assert "gaps" in {finding.code for finding in check(recording).findings}
