"""Long recordings: the answer covers the whole of it and says so; periods have answers of their own."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_experts import write_record

import enecg
from commands import done, refused
from enecg import api
from enecg.ensemble.over_time import period
from enecg.errors import InputError
from enecg.leads import STANDARD
from enecg.readers import opened, read
from enecg.recording import Recording
from enecg.simulation import make_cohort, simulate


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and ten minutes of an ECG: half at 97, half at 41 a minute."""
    folder = tmp_path_factory.mktemp("long")
    bundle = enecg.fit(make_cohort(folder / "cohort", 40), "rr_interval", "rhythm", progress=False)
    bundle.save(folder / "bundle")
    halves = [simulate(1, heart_rate=rate, seconds=300, rate=250).recording for rate in (97, 41)]
    signal = np.concatenate([[half.lead(name) for name in STANDARD] for half in halves], axis=1)
    write_record(folder / "ten", signal)
    return folder


@pytest.fixture(scope="module")
def bundle(home: Path) -> api.Bundle:
    return enecg.load(home / "bundle")


def test_the_answer_covers_the_whole_recording(home: Path, bundle: api.Bundle) -> None:
    (found,) = enecg.predict(bundle, home / "ten")["predictions"]
    assert found["seconds"] == {"seen": 600.0, "of": 600.0}
    assert found["tasks"]["rr_interval"]["value"] == pytest.approx((60_000 / 97 + 60_000 / 41) / 2, rel=0.02)
    assert "10 min of 10 min were interpreted; the answers are means over them" in found["notes"]
    (held,) = enecg.predict(bundle, read(home / "ten"))["predictions"]
    assert held["tasks"] == found["tasks"]


def test_periods_have_answers_of_their_own(home: Path, bundle: api.Bundle) -> None:
    (found,) = enecg.predict(bundle, home / "ten", every=60)["predictions"]
    assert [each["start"] for each in found["over_time"]] == [60.0 * minute for minute in range(10)]
    values = [each["tasks"]["rr_interval"]["value"] for each in found["over_time"]]
    assert values[:5] == pytest.approx([60_000 / 97] * 5, rel=0.02)
    assert values[5:] == pytest.approx([60_000 / 41] * 5, rel=0.02)


def test_a_period_without_a_signal_has_no_answer(home: Path, bundle: api.Bundle) -> None:
    whole = read(home / "ten")
    signal = whole.signal.copy()
    signal[:, 30_000:60_000] = np.nan  # the third and fourth minute
    (found,) = enecg.predict(bundle, Recording(signal, 250.0, STANDARD, source="gap"), every=120)["predictions"]
    assert found["seconds"] == {"seen": 480.0, "of": 600.0}
    assert [each["usable"] for each in found["over_time"]] == [True, False, True, True, True]
    empty = {"start": 120.0, "seconds": {"seen": 0.0, "of": 120.0}, "usable": False, "tasks": {}}
    assert found["over_time"][1] == empty
    assert found["usable"] and not any(each["fatal"] for each in found["quality"])
    signal[:] = np.nan
    (found,) = enecg.predict(bundle, Recording(signal, 250.0, STANDARD, source="gap"))["predictions"]
    assert not found["usable"] and found["seconds"]["seen"] == 0 and any(each["fatal"] for each in found["quality"])


def test_a_short_recording_is_answered_as_before_and_also_in_periods(home: Path, bundle: api.Bundle) -> None:
    some = read(home / "ten").span(0, 15_000)
    (plain,), (timed,) = (enecg.predict(bundle, some, every=every)["predictions"] for every in (None, 20.0))
    assert plain["tasks"] == timed["tasks"] and plain["seconds"] == {"seen": 60.0, "of": 60.0}
    assert "over_time" not in plain and [each["start"] for each in timed["over_time"]] == [0.0, 20.0, 40.0]


def test_every_form_shows_the_periods(home: Path, tmp_path: Path) -> None:
    shown = ["predict", str(home / "bundle"), str(home / "ten"), "--every", "2min"]
    assert "0:02:00" in done(*shown).out
    document = json.loads(done(*shown, "--format", "json").out)
    expected = [each["tasks"]["rr_interval"]["value"] for each in document["predictions"][0]["over_time"]]
    done(*shown, "--format", "csv", "--out", tmp_path / "a.csv")
    done(*shown, "--format", "parquet", "--out", tmp_path / "a.parquet", "--quiet")
    for table in (pd.read_csv(tmp_path / "a.csv"), pd.read_parquet(tmp_path / "a.parquet")):
        assert table["start"].tolist() == [0, 120, 240, 360, 480]
        assert table["rr_interval"].tolist() == pytest.approx(expected)
        assert table["seconds_seen"].tolist() == table["seconds"].tolist() == [120] * 5
    assert "write a period of 10 s or more" in refused(*shown[:-1], "2s")


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("30min", 1800), ("90 s", 90), ("1.5h", 5400), ("1d", 86400)]
)
def test_periods_are_read(text: str, seconds: float) -> None:
    assert period(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "9s", "1e3s", "1w"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--every"):
        period(text)


def test_blocks_of_a_file_are_those_of_its_recording(home: Path) -> None:
    whole = read(home / "ten")
    with opened(home / "ten.hea") as found:
        for start, stop in pairwise([0, 7, 30_001, 149_000, 150_000]):
            assert np.array_equal(found.read_span(start, stop).signal, whole.signal[:, start:stop])
