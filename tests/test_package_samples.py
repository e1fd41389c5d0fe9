"""A real ECG that an installed package ships: it is read and answered where no other real recording is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import enecg
from enecg.experts import registry
from enecg.experts.inputs import prepare
from enecg.leads import STANDARD
from enecg.quality import check
from generated import Trained

pydicom = pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def sample() -> Path:
    """Return pydicom's sample of a 12-lead ECG, 10 s at 1000 Hz."""
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file("waveform_ecg.dcm", download=False)))


def test_it_is_read_as_pydicom_reads_it(sample: Path) -> None:
    recording = enecg.read(sample)
    assert recording.leads == STANDARD and recording.rate == 1000 and recording.signal.shape == (12, 10_000)
    microvolts = pydicom.dcmread(sample).waveform_array(0)
    np.testing.assert_allclose(recording.signal, microvolts.T / 1000, atol=1e-5)
    assert not check(recording).findings


def test_limb_leads_fit_each_other(sample: Path) -> None:
    recording = enecg.read(sample)
    one, two, three = (recording.lead(name) for name in ("I", "II", "III"))
    assert np.abs(two - one - three).max() < 0.01  # mV: Einthoven's law within rounding


def test_its_rhythm_is_measured(sample: Path) -> None:
    expert = registry.create("rhythm")
    batch = prepare(enecg.read(sample), expert.card.input)
    rr = expert.encode(batch)[0, expert.measurements["rr_interval"]]
    assert 600 < rr < 1200  # ms


def test_it_is_answered(sample: Path, trained: Trained) -> None:
    prediction = enecg.predict(trained.bundle, sample)["predictions"][0]
    assert prediction["usable"] and 600 < prediction["tasks"]["rr_interval"]["value"] < 1200
