"""The benchmarks run, and say what they must; what they measure is no matter of tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
RATIOS = {
    "protocol": {"one_task", "five_tasks"},
    "pipeline": {"of_encode", "over_loop"},
    "latency": {"warm_overhead", "cold_over_import"},
    "memory": {"growth"},
    "scaling": {"per_recording", "workers", "four_experts", "five_tasks"},
    "fit": {"time"},
}


@pytest.mark.parametrize("name", RATIOS)
def test_a_quick_run_gives_its_ratios(name: str, tmp_path: Path) -> None:
    file = tmp_path / "results" / "found.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--quick", "--json", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    assert json.loads(done.stdout) == document
    assert set(document) == {"name", "ratios", "figures", "machine"}
    assert document["name"] == name
    assert set(document["ratios"]) == RATIOS[name]
    lowest = -1.0 if name == "latency" else 0.0  # an overhead may be negative
    assert all(value > lowest for value in document["ratios"].values())
    assert document["figures"]["quick"] is True
    assert document["machine"]["processors"] >= 1


def test_the_reference_way_runs_each_expert_eleven_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three folds of five epochs on two thirds, and one look at the last third."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import protocol
    from common import simulated

    table = simulated(tmp_path / "cohort", 12, seed=1).table
    table.to_csv(tmp_path / "cohort" / "chosen.csv", index=False)
    found = protocol._reference(str(tmp_path / "cohort" / "chosen.csv"), ("tiny",), str(tmp_path), "age", 5)
    assert found["passes"] == 11 * 12
