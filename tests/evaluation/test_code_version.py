"""A fold's key covers all code that a fit runs, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

import enecg
from enecg.ensemble.fitting.fit import fit
from enecg.evaluation import code_version
from enecg.evaluation.code_version import code_hash, imported

FIT = fit.__module__


def test_what_a_fit_runs_is_covered_and_what_it_does_not_run_is_not() -> None:
    modules = imported(FIT)
    inside = {
        "enecg.ensemble.heads.network",  # found by a registry
        "enecg.experts.networks.supervised",  # the architecture of that head, imported within a function
        "enecg.ensemble.gates.perceptron",
        "enecg.ensemble.weight_solver",
        "enecg.cohorts.split",
        "enecg.tasks",
    }
    assert inside <= modules.keys()
    packages = {name.split(".")[1] for name in modules}
    assert not packages & {"api", "cli", "serve", "evaluation", "paper", "pretraining", "readers", "embedding"}


@pytest.mark.parametrize("edited", ["experts/networks/supervised.py", "ensemble/heads/trees.py", "cohorts/split.py"])
def test_an_edit_of_what_a_fit_runs_is_other_code(edited: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = code_hash(FIT)
    root = Path(enecg.__file__).parent
    real = imported(FIT)
    name = f"enecg.{edited.removesuffix('.py').replace('/', '.')}"
    copy = tmp_path / "edited.py"
    copy.write_bytes((root / edited).read_bytes() + b"\n# edited\n")
    assert real[name] == root / edited
    monkeypatch.setattr(code_version, "imported", lambda _: {**real, name: copy})
    assert code_hash.__wrapped__(FIT) != before


def test_an_edit_of_the_report_is_the_same_code() -> None:
    assert not [name for name in imported(FIT) if "report" in name]


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from enecg.api import fit\n"
        "def late():\n    from enecg.tasks import Task\n    import enecg.signal\n"
    )
    found = set(code_version._imports("enecg.module", source))
    assert found == {"enecg.tasks", "enecg.tasks.Task", "enecg.signal"}


def test_versions_name_what_fits_compute_with() -> None:
    assert code_version.versions().keys() == {"enecg", "python", "numpy", "scipy", "torch", "lightgbm"}
