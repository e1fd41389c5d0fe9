"""Experts by name: register, list, create. A third party adds one through the entry point group `enecg.experts`.

An expert that a user made is a folder with `card.json` and its weights, or a Python file that registers it. It is
named by its folder or file, or lies in a folder (or is the file) that the environment variable `ENECG_EXPERTS` names;
from then on it goes by the name on its card.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from enecg.errors import InputError
from enecg.experts.base import Card, Expert
from enecg.experts.runtimes.export import run_with
from enecg.experts.runtimes.runtime import TORCH, Runtime

ENTRY_POINTS = "enecg.experts"
CARD_FILE = "card.json"


@dataclass(frozen=True)
class Entry:
    """A registered expert: `card()` must be cheap, `create()` may load weights. Gate inputs are not listed."""

    name: str
    card: Callable[[], Card]
    create: Callable[[], Expert]
    available: Callable[[], bool] = lambda: True
    folder: Path | None = None
    gate_input: bool = False


_ENTRIES: dict[str, Entry] = {}
_KINDS: dict[str, Callable[[Path], Expert]] = {}
_FILES: dict[Path, str] = {}  # a user's Python file -> the expert that it registers

# Every module of these packages registers its experts when it is imported; the packages are loaded in this order.
_PACKAGES: Final = ("analytic", "trained", "published")

SETS: dict[str, tuple[str, ...]] = {
    "offline": ("rhythm", "morphology", "beat", "rocket", "tiny"),
    # As EnECG has it: the logits of ECG-FM's 26 diagnoses, the forecasts of TEMPO, DLinear and TimesNet. Where EnECG's
    # own two files cannot be had, pretrain a dlinear and a timesnet and name their folders instead.
    "paper": ("moment-small", "tempo-forecast", "ecg-fm-26", "dlinear-enecg", "timesnet-enecg"),
    # Permissive licences only. Of eight models compared frozen on 28 tasks (arXiv 2509.25095), ECGFounder and ECG-JEPA
    # lead on diagnoses and rhythms (PTB-XL, all statements: 0.927 and 0.934 by attention, 0.931 and 0.928 by a linear
    # probe), while ECG-FM is among the weakest (0.884 and 0.841). MERL (0.909 and 0.883) has learned from reports what
    # neither has, at a thirtieth of ECG-JEPA's cost. What the ECG measures itself, rhythm, morphology and beat know
    # best. ECG-CPC, the best on age and sex, has no licence; ST-MEM and HuBERT-ECG restrict use.
    "recommended": ("rhythm", "morphology", "beat", "ecgfounder", "ecg-jepa", "merl"),
}


def register(entry: Entry) -> None:
    """Add an expert to the registry. A name that is taken is refused."""
    if entry.name in _ENTRIES or entry.name in SETS:
        raise ValueError(f"an expert or set named {entry.name!r} is registered already")
    _ENTRIES[entry.name] = entry


def register_kind(kind: str, load: Callable[[Path], Expert]) -> None:
    """Say how an expert that lies in a folder is loaded; `kind` is what stands under this word in its `card.json`."""
    _KINDS[kind] = load


def read_card(folder: Path) -> tuple[Card, str]:
    """The card of the expert in `folder`, and its kind (`InputError` when there is none that can be read)."""
    path = folder / CARD_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Card.from_dict(data["card"]), str(data["kind"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the card of an expert ({error}); make one with enecg pretrain") from None


def _register_folder(folder: Path) -> str:
    """Register the expert in `folder` under the name on its card, which is returned; twice is as once."""
    folder = folder.resolve()
    card, kind = read_card(folder)
    if kind not in _KINDS:
        raise InputError(f"{folder}: an expert of kind {kind!r}; known: {', '.join(_KINDS)}")
    known = _ENTRIES.get(card.name)
    if known is not None and known.folder == folder:
        return card.name
    if known is not None or card.name in SETS:
        raise InputError(f"{folder}: another expert is named {card.name!r}; give this one another name in {CARD_FILE}")
    load = _KINDS[kind]
    register(Entry(card.name, card=lambda: card, create=lambda: load(folder), folder=folder))
    return card.name


def _register_file(path: Path) -> str:
    """Run a user's Python file, which registers one expert; its name. A file is run once."""
    path = path.resolve()
    if path in _FILES:
        return _FILES[path]
    before = set(_ENTRIES)
    spec = spec_from_file_location(f"enecg_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file")
    try:
        spec.loader.exec_module(module_from_spec(spec))
    except (ImportError, SyntaxError, OSError) as error:
        raise InputError(f"{path}: cannot be loaded: {error}") from error
    made = [name for name in _ENTRIES if name not in before]
    if len(made) != 1:
        raise InputError(f"{path}: must register one expert, and registers {len(made)}; see docs/own-expert.md")
    _FILES[path] = made[0]
    return made[0]


@cache
def _load_families() -> None:
    for package in _PACKAGES:
        home = import_module(f"enecg.experts.{package}")
        for module in sorted(info.name for info in iter_modules(home.__path__) if not info.ispkg):
            import_module(f"{home.__name__}.{module}")
    import_module("enecg.experts.gate_inputs")
    for point in entry_points(group=ENTRY_POINTS):
        point.load()  # its module registers on import
    for shelf in filter(None, os.environ.get("ENECG_EXPERTS", "").split(os.pathsep)):
        if shelf.endswith(".py"):
            _register_file(Path(shelf))
        for path in sorted(Path(shelf).glob(f"*/{CARD_FILE}")):
            _register_folder(path.parent)


def names(gate_inputs: bool = False) -> list[str]:
    """Return the names of all registered experts in the order of registration.

    Args:
        gate_inputs: also name what only gates and baselines read.
    """
    _load_families()
    return [name for name, entry in _ENTRIES.items() if gate_inputs or not entry.gate_input]


def entry(name: str) -> Entry:
    """The registry's entry of one expert, by its name, folder or file; `InputError` names what there is otherwise."""
    _load_families()
    if name not in _ENTRIES and (Path(name) / CARD_FILE).is_file():
        name = _register_folder(Path(name))
    if name not in _ENTRIES and name.endswith(".py") and Path(name).is_file():
        name = _register_file(Path(name))
    if name not in _ENTRIES:
        known = ", ".join([*SETS, *names()])
        raise InputError(f"no expert or set named {name!r}; known: {known}")
    return _ENTRIES[name]


def resolve(wanted: str | Sequence[str]) -> list[str]:
    """Expand `"offline,openecg,my/expert"` or a list of names, sets and folders into names, each once, in order."""
    parts = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    out: dict[str, None] = {}
    for part in (piece.strip() for piece in parts):
        if part:
            for name in SETS.get(part, (part,)):
                out[entry(name).name] = None
    if not out:
        raise InputError("no expert is named; try --experts offline")
    return list(out)


def create(name: str, runtime: Runtime = TORCH) -> Expert:
    """The expert itself, made once per process and runtime (`InputError` when its network cannot be run so)."""
    return _create(name, runtime)


@cache
def _create(name: str, runtime: Runtime) -> Expert:
    made = entry(name).create()
    return made if runtime == TORCH else run_with(made, runtime)
