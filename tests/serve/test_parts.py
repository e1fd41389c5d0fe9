"""Parts of the service by themselves: settings, messages, drawing, occlusion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from enecg.errors import InputError
from enecg.leads import STANDARD
from enecg.recording import Recording, Subject
from enecg.serve.display import r_peak_times, signal_of
from enecg.serve.occlusion import OcclusionPlan, explanation
from enecg.serve.settings import Settings
from enecg.simulation.record import simulate
from enecg.workers.framing import LENGTH, pack, recording_in, recording_out, unpack

TOKEN = "0123456789abcdef"


def test_settings_come_from_the_environment_and_the_command_line_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# first\n{TOKEN}\n\n{TOKEN}2\n")
    file.chmod(0o600)
    told = {"ENECG_SERVE_PORT": "9000", "ENECG_SERVE_WORKERS": "3", "ENECG_SERVE_IDLE_SECONDS": "2.5",
            "ENECG_SERVE_TOKEN_FILE": str(file), "ENECG_SERVE_HOST": "0.0.0.0", "OTHER": "x"}  # fmt: skip
    found = Settings.read(told, workers=4, port=None)
    assert (found.port, found.workers, found.idle_seconds, found.host) == (9000, 4, 2.5, "0.0.0.0")
    assert found.tokens == (TOKEN, TOKEN + "2")
    assert TOKEN not in repr(found)
    assert Settings.read({}).open


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"PORTS": "1"}, "ENECG_SERVE_PORTS: no such setting; there are host, port"),
        ({"PORT": "x"}, "ENECG_SERVE_PORT: 'x' is not a whole number"),
        ({"IDLE_SECONDS": "x"}, "'x' is not a number"),
        ({"IDLE_SECONDS": "nan"}, "idle_seconds nan: must be above 0"),
        ({"MAX_MIB": "-1"}, "max_mib -1: must be above 0"),
        ({"TOKEN": "short"}, "a token needs 16 or more"),
        ({"TOKEN": "with blanks in between"}, "a token needs 16 or more"),
        ({"TOKEN_FILE": "/nothing/here"}, "cannot be read"),
        ({"TEMP": "/nothing/here"}, "not a folder that can be written to"),
        ({"HOST": "0.0.0.0"}, "without a token only this machine"),
    ],
)
def test_settings_that_are_refused(told: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        Settings.read({f"ENECG_SERVE_{key}": value for key, value in told.items()})
    assert reason in str(caught.value)


def test_a_token_file_that_others_can_read_or_that_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with pytest.raises(InputError, match="can be read by others; run  chmod 600"):
        Settings.read({"ENECG_SERVE_TOKEN_FILE": str(file)})
    file.chmod(0o600)
    file.write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no token"):
        Settings.read({"ENECG_SERVE_TOKEN_FILE": str(file)})


def test_a_recording_survives_the_wire_without_its_subjects_id() -> None:
    subject, notes, facts = Subject("p1", 61.0, "F"), {"a": "b"}, {"Dx": "c"}
    recording = replace(
        simulate(3).recording, subject=subject, band=(0.05, 150.0), notes=notes, facts=facts, source="x"
    )
    sent, samples = recording_out(recording)
    header, blobs = unpack(pack([sent], [samples])[LENGTH.size :])
    again = recording_in(header[0], blobs[0])
    assert again.content_hash() == recording.content_hash()
    assert again.subject == Subject(None, 61.0, "F")
    assert (again.source, dict(again.notes), dict(again.facts)) == ("x", {"a": "b"}, {"Dx": "c"})


@pytest.mark.parametrize("cut", [0, 5, 20, -1])
def test_a_message_that_is_not_whole(cut: int) -> None:
    with pytest.raises((ValueError, IndexError)):
        unpack(pack({"a": 1}, [b"abc"])[LENGTH.size :][:cut])


@pytest.mark.parametrize("rhythm", ["SR", "AFIB", "PVC"])
def test_r_peaks_are_where_the_heart_beats(rhythm: str) -> None:
    made = simulate(5, rhythm=rhythm, seconds=25.0)
    found = r_peak_times(made.recording)
    truth = made.truth.r_peaks
    inside = truth[(truth > 0.3) & (truth < 24.7)]
    gaps = np.abs(found[:, None] - inside[None]).min(0)
    assert (gaps < 0.06).mean() > 0.95
    assert len(found) <= len(truth)


def test_a_drawing_keeps_gaps_and_foreign_leads() -> None:
    signal = np.array([[0.001, np.nan, 0.003], [0.0, 0.0, 0.002], [9.0, 9.0, 9.0]])
    drawn = signal_of(Recording(signal, 500, ("I", "II", "resp")))
    assert list(drawn["leads"]) == ["I", "II", "III", "aVR", "aVL", "aVF", "resp"]
    assert drawn["leads"]["I"] == [1, None, 3]
    assert drawn["leads"]["III"] == [-1, None, -1]
    assert (drawn["derived"], drawn["others"], drawn["r_peaks"]) == (["III", "aVR", "aVL", "aVF"], ["resp"], [])


def test_normalised_samples_are_drawn_in_their_own_unit_and_nothing_is_derived() -> None:
    drawn = signal_of(Recording(np.array([[0.12345], [1.0]]), 500, ("I", "II"), "normalised"))
    assert (drawn["unit"], drawn["leads"], drawn["derived"]) == ("SD", {"I": [0.123], "II": [1.0]}, [])


def test_parts_are_taken_away_and_nothing_else() -> None:
    recording = simulate(4).recording
    plan = OcclusionPlan.of(recording, 5)
    assert plan.recording.leads == STANDARD
    assert plan.windows == ((0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 10.0))
    assert len(plan.parts) == 12 + 5 + 60
    whole = plan.recording.signal
    flat = plan.without((3, None)).signal
    assert np.ptp(flat[3]) == 0
    np.testing.assert_array_equal(np.delete(flat, 3, 0), np.delete(whole, 3, 0))
    cut = plan.without((None, 1)).signal
    np.testing.assert_array_equal(np.delete(cut, slice(1000, 2000), 1), np.delete(whole, slice(1000, 2000), 1))
    np.testing.assert_allclose(np.diff(cut[:, 1000:2000], 2), 0, atol=1e-5)
    np.testing.assert_array_equal(cut[:, [1000, 1999]], whole[:, [1000, 1999]])
    both = plan.without((3, 1)).signal
    assert (both != whole).any(1).tolist() == [lead == 3 for lead in range(12)]


def test_an_explanation_is_the_change_of_the_decided_answer() -> None:
    plan = OcclusionPlan.of(simulate(4).recording.select(["I", "II"]), 1)
    plan = replace(plan, recording=plan.recording.select(["I", "II"]))
    tasks = [
        {"name": "age", "kind": "regression", "unit": "years", "classes": [], "outputs": ["age"]},
        {"name": "sex", "kind": "binary", "unit": "", "classes": ["M", "F"], "outputs": ["F"]},
        {"name": "rhythm", "kind": "multiclass", "unit": "", "classes": ["SR", "AFIB"], "outputs": ["SR", "AFIB"]},
        {"name": "none", "kind": "regression", "unit": "", "classes": [], "outputs": ["none"]},
    ]
    values = {
        "age": np.array([[60.0], [61], [58], [60], [60], [np.nan]]),
        "sex": np.array([[0.2], [0.1], [0.2], [0.5], [0.2], [0.2]]),
        "rhythm": np.array([[0.3, 0.7], [0.3, 0.7], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7], [0.3, 0.7]]),
        "none": np.full((6, 1), np.nan),
    }
    told = explanation(plan, tasks, {"age": None, "sex": "M", "rhythm": "AFIB", "none": None}, values)
    assert set(told["tasks"]) == {"age", "sex", "rhythm"}
    age, sex, rhythm = told["tasks"].values()
    assert (age["base"], age["by_lead"], age["by_window"], age["effect"]) == (60, [1, -2], [0], [[0], [None]])
    assert (sex["output"], sex["base"], sex["by_lead"], sex["by_window"]) == ("M", 0.8, [0.1, 0], [-0.3])
    assert (rhythm["output"], rhythm["by_lead"]) == ("AFIB", [0, -0.6])
