"""The pages of the experts say what their cards say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from enecg.experts import registry

ROOT = Path(__file__).parents[1]
REGISTERED = registry.names()  # before tests add experts of their own


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("expert_pages", ROOT / "scripts" / "expert_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(script: ModuleType) -> None:
    for file, text in script.pages().items():
        path = ROOT / "docs" / "experts" / file
        assert path.is_file() and path.read_text() == text, f"{file}: run  python scripts/expert_pages.py"


def test_every_expert_has_its_page(script: ModuleType) -> None:
    paged = [name for _, names in script.families().values() for name in names]
    assert sorted(paged) == sorted(REGISTERED)
