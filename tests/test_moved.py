"""Module paths of version 0.1."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from enecg._moved import MOVED

OLD = ["embed.store", "embed.pipeline", "evaluate.paper", "cohort.simulated", "experts.rocket", "ensemble.heads.ffn"]


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("old", OLD)
def test_an_old_path_is_the_new_module_and_says_so(old: str) -> None:
    found = run(f"import enecg.{old}, sys; import enecg.{MOVED[old]} as new; print(sys.modules['enecg.{old}'] is new)")
    assert found.stdout.strip() == "True", found.stderr
    assert f"enecg.{old} is now enecg.{MOVED[old]}" in found.stderr


def test_the_functions_keep_their_names_beside_old_packages() -> None:
    found = run(
        "import enecg.embed.store, enecg.evaluate.paper, enecg; print(callable(enecg.embed), callable(enecg.evaluate))"
    )
    assert found.stdout.split() == ["True", "True"]


def test_every_new_path_exists() -> None:
    for new in MOVED.values():
        import_module(f"enecg.{new}")


def test_new_paths_warn_of_nothing() -> None:
    found = run(
        "import warnings; warnings.simplefilter('error'); import enecg.embedding.store, enecg.evaluation.report.html"
    )
    assert found.returncode == 0, found.stderr
