"""Which code and which packages a fit runs: what was fitted by other code is not reused."""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import enecg

_ROOT: Final = Path(enecg.__file__).parent
_PACKAGE: Final = enecg.__name__
# What a fit starts from is in a fold's key by value: neither reading nor embedding runs in a fit.
_BEFORE_A_FIT: Final = ("enecg.embedding", "enecg.readers")
_SCAN: Final = "iter_modules"  # a registry that calls it imports the modules beside it


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on: enecg, Python and the packages that fits compute with."""
    packages = {name: version(name) for name in ("numpy", "scipy", "torch", "lightgbm")}
    return {"enecg": enecg.__version__, "python": platform.python_version(), **packages}


@cache
def code_hash(entry: str) -> str:
    """Return the sha256 over the sources of a module and of all modules of enecg that it imports, also indirectly.

    Imports are read from the sources, so that those within functions count too; those for type checkers do not.

    Args:
        entry: name of a module of enecg.
    """
    found = hashlib.sha256()
    for name, path in sorted(imported(entry).items()):
        found.update(name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def imported(entry: str) -> dict[str, Path]:
    """Return name and file of a module and of all modules of enecg that it imports, also indirectly."""
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        path = None if name in found else _file(name)
        if path is not None:
            found[name] = path
            waiting += _imports(name, path)
    return found


def _file(name: str) -> Path | None:
    """The source of a module; None for what is no module, and for the root, which only passes names on."""
    if name.startswith(_BEFORE_A_FIT) or not _ours(name):
        return None
    base = _ROOT.joinpath(*name.split(".")[1:])
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imports(name: str, path: Path) -> Iterator[str]:
    package = path.name == "__init__.py"
    for node in _at_run_time(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and _ours(f"{node.module}."):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) == _SCAN:
            home = name if package else name.rpartition(".")[0]
            yield from (f"{home}.{file.stem}" for file in path.parent.glob("*.py") if file.stem != "__init__")


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _at_run_time(node)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _ours(name: str) -> bool:
    return name.startswith(f"{_PACKAGE}.")
