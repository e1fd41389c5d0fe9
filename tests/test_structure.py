"""Rules of the source tree that no other tool checks."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import enecg

SOURCE = Path(enecg.__file__).parent
LONGEST = 420  # lines of a file


def test_no_class_name_occurs_twice() -> None:
    """One class name has one meaning in the whole package."""
    places = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(SOURCE)))
    assert not {name: homes for name, homes in places.items() if len(homes) > 1}


def test_no_file_is_long() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST}


@pytest.mark.parametrize("name", sorted(set(enecg.__all__) - {"NOTICE"}))
def test_every_public_name_is_documented(name: str) -> None:
    """The first line is a sentence that ends with a full stop."""
    first = (getattr(enecg, name).__doc__ or "").strip().splitlines()[0]
    assert len(first.split()) >= 3 and first.endswith((".", ":"))
