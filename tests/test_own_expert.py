"""The worked example of an own expert, from a file, from the environment and from a package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from enecg.simulation import make_cohort

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_expert.py"


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=told, check=False)


def enecg(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("-c", "from enecg.cli import main; main()", *arguments, **environment)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own_expert.py"
    shutil.copy(EXAMPLE, path)
    made = run(path)
    assert made.returncode == 0, made.stderr
    return path


def test_as_a_file_on_the_command_line(own: Path, tmp_path: Path) -> None:
    manifest = make_cohort(tmp_path / "cohort", 3, seed=1)
    done = enecg("embed", manifest, "--experts", f"rhythm,{own}", "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert any("own" in path.name for path in (tmp_path / "store").rglob("*"))


def test_in_the_environment_and_as_an_installed_package(own: Path, tmp_path: Path) -> None:
    shown = enecg("experts", "show", "own", ENECG_EXPERTS=str(own))
    assert "My own network" in shown.stdout, shown.stderr
    shutil.copytree(own.parent, tmp_path / "site")
    about = tmp_path / "site" / "own-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[enecg.experts]\nown = own_expert\n")
    verify = "from enecg.experts.published.verify import verify; import sys; sys.exit(not verify('own').passed)"
    done = run("-c", verify, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "must register one expert, and registers 0"),
        ("import no_such_package\n", "No module named"),
        ("def broken(:\n", "cannot be loaded"),
    ],
)
def test_a_file_that_is_no_expert(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    done = enecg("experts", "show", path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
