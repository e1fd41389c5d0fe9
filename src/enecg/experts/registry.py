"""Experts by name: register, list, create. A third party adds one through the entry point group `enecg.experts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from enecg.errors import InputError
from enecg.experts.base import Card, Expert

ENTRY_POINTS = "enecg.experts"


@dataclass(frozen=True)
class Entry:
    """A registered expert: `card()` must be cheap, `create()` may load weights."""

    name: str
    card: Callable[[], Card]
    create: Callable[[], Expert]
    available: Callable[[], bool] = lambda: True


_ENTRIES: dict[str, Entry] = {}

# Modules that register experts when imported; one line for each family.
_FAMILIES: tuple[str, ...] = ("rhythm", "beat", "rocket", "tiny", "openecg")

SETS: dict[str, tuple[str, ...]] = {
    "offline": ("rhythm", "beat", "rocket", "tiny"),
}


def register(entry: Entry) -> None:
    """Add an expert to the registry. A name that is taken is refused."""
    if entry.name in _ENTRIES or entry.name in SETS:
        raise ValueError(f"an expert or set named {entry.name!r} is registered already")
    _ENTRIES[entry.name] = entry


@cache
def _load_families() -> None:
    for family in _FAMILIES:
        import_module(f"enecg.experts.{family}")
    for point in entry_points(group=ENTRY_POINTS):
        point.load()  # its module registers on import


def names() -> list[str]:
    """Names of all registered experts, in the order of registration."""
    _load_families()
    return list(_ENTRIES)


def entry(name: str) -> Entry:
    """The registry's entry of one expert; `InputError` names what there is when it is unknown."""
    _load_families()
    if name not in _ENTRIES:
        known = ", ".join([*SETS, *_ENTRIES])
        raise InputError(f"no expert or set named {name!r}; known: {known}")
    return _ENTRIES[name]


def resolve(wanted: str | Sequence[str]) -> list[str]:
    """Expand `"offline,openecg"` or a list of names and sets into expert names, each once, in order."""
    parts = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    out: dict[str, None] = {}
    for part in (piece.strip() for piece in parts):
        if part:
            for name in SETS.get(part, (part,)):
                out[entry(name).name] = None
    if not out:
        raise InputError("no expert is named; try --experts offline")
    return list(out)


@cache
def create(name: str) -> Expert:
    """The expert itself, made once per process."""
    return entry(name).create()
