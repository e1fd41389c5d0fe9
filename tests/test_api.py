"""The public names: few, described, and quick to import."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import enecg
from enecg.cli.app import app
from enecg.ensemble.budget.cascade import Cascade
from enecg.errors import InputError
from generated import EXPERTS, HELD_OUT, Trained

VERBS = ("crossval", "embed", "evaluate", "fit", "load", "predict", "read")


def test_there_are_at_most_twelve_and_each_says_what_it_is() -> None:
    assert len(enecg.__all__) <= 12
    assert {*VERBS, "Recording", "Cohort", "EnecgError", "InputError", "NOTICE"} == set(enecg.__all__)
    assert set(enecg.__all__) <= set(dir(enecg))
    for name in enecg.__all__:
        if name != "NOTICE":
            described = inspect.getdoc(getattr(enecg, name))
            assert described and "\n" not in described.split("\n\n")[0], name
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        enecg.train  # noqa: B018


def test_each_verb_over_recordings_has_a_command_of_its_name() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(VERBS) - {"load", "read"} <= commands
    for name in VERBS:
        documented = inspect.getdoc(getattr(enecg, name)) or ""
        for parameter in inspect.signature(getattr(enecg, name)).parameters:
            assert "Args:" not in documented or f"    {parameter}:" in documented, (name, parameter)


def test_the_command_line_holds_no_logic_of_its_own() -> None:
    """It parses, calls and prints: no array, no table, no loop over recordings."""
    source = Path(inspect.getsourcefile(inspect.unwrap(app.registered_commands[0].callback)) or "")  # type: ignore[arg-type]
    tree = ast.parse(source.read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"numpy", "pandas", "torch", "json"}
    assert len(source.read_text("utf-8").splitlines()) <= 360


def test_what_was_skipped_is_told_to_who_asks(trained: Trained) -> None:
    whole = enecg.Cohort.load(trained.manifest, HELD_OUT)
    table = whole.table.copy()
    table.loc[0, "record"] = "records/nowhere"
    told: list[str] = []
    cohort = enecg.Cohort.from_table(table, whole.root, "test")
    report = enecg.embed(cohort, EXPERTS, trained.store, say=told.append)
    assert (report.n, report.computed, report.reused) == (len(whole), 0, len(whole) - 1)
    assert len(told) == 1
    assert told[0].startswith("skipped records/nowhere: ")


def test_a_bundle_in_memory_answers_as_it_does_when_loaded(trained: Trained, tmp_path: Path) -> None:
    bundle = enecg.fit(trained.manifest, ["age", "sex"], ["rhythm"], trained.store, recipe="light")
    record = enecg.Cohort.load(trained.manifest).path(0)
    before = enecg.predict(bundle, record)
    assert before["bundle"] is None
    assert bundle.save(tmp_path / "bundle") == bundle.digest
    after = enecg.predict(tmp_path / "bundle", [enecg.read(record)])
    assert after["bundle"] == bundle.digest
    assert after["predictions"][0]["tasks"] == before["predictions"][0]["tasks"]
    assert enecg.predict(bundle, [])["predictions"] == []


def test_a_budget_is_spent_on_all_recordings_by_few_experts_and_on_some_by_all(trained: Trained) -> None:
    whole = enecg.load(trained.bundle)
    version = whole.within(budget=0.75)
    assert isinstance(version.ensemble, Cascade)
    dear = set(version.ensemble.later)
    assert str(version.digest).startswith(f"{whole.digest}+")
    assert all(f"+{version.ensemble.share:.4g}*{name}" in str(version.digest) for name in dear)
    cohort = enecg.Cohort.load(trained.manifest, HELD_OUT)
    files = [cohort.path(row) for row in range(len(cohort))]
    found, full = (enecg.predict(bundle, files)["predictions"] for bundle in (version, whole))
    looked = [any(answer["weights"][name] for answer in one["tasks"].values() for name in dear) for one in found]
    assert 0 < sum(looked) < len(files)
    for ours, theirs, again in zip(found, full, looked, strict=True):
        if again:
            assert ours["tasks"]["age"]["value"] == pytest.approx(theirs["tasks"]["age"]["value"], rel=1e-4)
    alone = enecg.predict(version, files[looked.index(False)])["predictions"][0]
    assert not any(answer["weights"][name] for answer in alone["tasks"].values() for name in dear)


def test_labels_may_come_from_other_columns_and_the_bundle_stays_as_it_is(trained: Trained) -> None:
    bundle = enecg.load(trained.bundle)
    cohort = enecg.Cohort.load(trained.manifest, HELD_OUT)
    half = cohort.table["age"] / 2
    moved = enecg.Cohort.from_table(cohort.table.assign(halved=half), cohort.root, "moved")
    options = {"store": trained.store, "replicates": 20}
    plain = enecg.evaluate(bundle, moved, **options)
    other = enecg.evaluate(bundle, moved, tasks="age=halved", **options)
    assert np.allclose(other.targets["age"].y, plain.targets["age"].y / 2)
    assert enecg.evaluate(bundle, moved, **options).document == plain.document
    with pytest.raises(InputError, match="no column 'nothing'"):
        enecg.evaluate(bundle, moved, tasks=["age=nothing"], **options)
