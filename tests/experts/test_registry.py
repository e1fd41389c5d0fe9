"""The registry: new files are found, wrong ones are named, and the order does not depend on who imports what first."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from enecg.errors import InputError
from enecg.experts import analytic, registry
from enecg.experts.registry import Entry

ROOT = Path(__file__).parents[2]
NEW = '''"""A new expert."""
from dataclasses import replace
from enecg.experts.analytic.rhythm import CARD, Rhythm
from enecg.experts.registry import Entry, register

NEW = replace(CARD, name="brand-new", title="A new one")

class BrandNew(Rhythm):
    card = NEW

'''
REGISTRATION = 'register(Entry("brand-new", lambda: NEW, BrandNew))\n'


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.names()
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    monkeypatch.setattr(registry, "_FILES", {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules count as those of the analytic experts."""
    monkeypatch.setattr(analytic, "__path__", [*analytic.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "enecg.experts.analytic.brand_new", raising=False)
    return tmp_path


def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("expert_pages", ROOT / "scripts" / "expert_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_new_file_adds_an_expert_to_lists_and_pages(folder: Path) -> None:
    (folder / "brand_new.py").write_text(NEW + REGISTRATION)
    registry._load_families.__wrapped__()
    assert "brand-new" in registry.names()
    assert registry.families()["brand_new"] == ["brand-new"]
    assert registry.create("brand-new").card.title == "A new one"
    assert "# Brand new\n" in pages().pages()["brand-new.md"]
    assert "| [brand-new](brand-new.md) | A new one |" in pages().overview()


def test_a_module_that_forgets_to_register_is_named(folder: Path) -> None:
    (folder / "brand_new.py").write_text(NEW)
    with pytest.raises(ValueError, match=r"analytic\.brand_new defines \w+ and registers no expert; call register"):
        registry._load_families.__wrapped__()


def test_the_order_does_not_depend_on_imports() -> None:
    code = "{}from enecg.experts import registry; print(','.join(registry.names(gate_inputs=True)))"
    first = "import enecg.experts.gate_inputs, enecg.experts.published.tempo, enecg.experts.trained.tiny; "
    environment = {name: value for name, value in os.environ.items() if name != "ENECG_EXPERTS"}
    lists = [
        subprocess.run(
            [sys.executable, "-c", code.format(before)], check=True, capture_output=True, text=True, env=environment
        ).stdout
        for before in ("", first)
    ]
    assert lists[0] == lists[1]
    assert lists[0].startswith("beat,morphology,rhythm,rocket,")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\ny = unknown\n", r"own\.py: cannot be loaded: NameError: name 'unknown' is not defined \(line 2\)"),
        ("def", r"own\.py: cannot be loaded: SyntaxError"),
        ("", r"own\.py: must register one expert, and registers 0"),
        (NEW + REGISTRATION + REGISTRATION, "cannot be loaded: ValueError: an expert or set named 'brand-new' is reg"),
        (NEW + REGISTRATION.replace('"brand-new"', '"Brand New"'), "cannot be named 'Brand New': use lower-case"),
        (NEW + REGISTRATION.replace('"brand-new"', '"offline"'), "named 'offline' is registered already"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_and_can_be_corrected(code: str, message: str, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(code)
    before = registry.names()
    with pytest.raises(InputError, match=message):
        registry.entry(str(own))
    assert registry.names() == before
    own.write_text(NEW + REGISTRATION)
    assert registry.create(str(own)).card.name == "brand-new"


def test_an_expert_must_be_an_expert_of_that_name() -> None:
    card = registry.entry("rhythm").card()
    registry.register(Entry("another", lambda: card, registry.entry("rhythm").create))
    registry.register(Entry("nothing", lambda: card, lambda: 3))  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match="expert another: its card names 'rhythm'"):
        registry.create("another")
    with pytest.raises(InputError, match=r"expert nothing: create\(\) gives int, not an Expert"):
        registry.create("nothing")


def test_a_broken_package_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise ImportError("no module named thing")

    point = SimpleNamespace(load=load, value="thing.expert", dist=SimpleNamespace(name="thing"))
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.warns(UserWarning, match=r"package thing are left out: thing\.expert cannot be loaded: ImportError"):
        registry._load_families.__wrapped__()


def test_a_renamed_expert_is_found_by_its_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.RENAMED, "tact", "rhythm")
    with pytest.warns(DeprecationWarning, match="expert tact is now named rhythm"):
        assert registry.entry("tact").name == "rhythm"
