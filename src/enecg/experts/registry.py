"""Experts by name: register, list, create. Another package adds experts by the entry point group `enecg.experts`.

A user's own expert is a folder with `card.json` and weights, or a Python file that registers it. It is named by its
folder or file, or the environment variable `ENECG_EXPERTS` names its file or the folder around it. Then the name on its
card works too.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

from enecg.errors import InputError
from enecg.experts.base import Card, Expert
from enecg.experts.runtimes.export import run_with
from enecg.experts.runtimes.runtime import TORCH, Runtime

ENTRY_POINTS = "enecg.experts"
CARD_FILE = "card.json"


@dataclass(frozen=True)
class Entry:
    """A registered expert: `card()` must be cheap, `create()` may load weights. Gate inputs are not listed.

    Attributes:
        name: of the expert, as on its card.
        card: returns the card.
        create: returns the expert.
        available: whether its files are on this machine.
        folder: of a user's expert.
        gate_input: see `Expert.gate_input`.
        module: name of the module that registers it; filled in by `register`.
    """

    name: str
    card: Callable[[], Card]
    create: Callable[[], Expert]
    available: Callable[[], bool] = lambda: True
    folder: Path | None = None
    gate_input: bool = False
    module: str = ""


_ENTRIES: dict[str, Entry] = {}
_KINDS: dict[str, Callable[[Path], Expert]] = {}
_FILES: dict[Path, str] = {}  # a user's Python file -> the expert that it registers

# Every module of these packages registers its experts when it is imported. Experts are listed in this order.
_PACKAGES: Final = ("analytic", "trained", "published")
_GATE_INPUTS: Final = "enecg.experts.gate_inputs"
_HELPERS: Final = (__name__, "enecg.experts.published.catalogue")  # modules that register for others
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*")

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


# Old name -> new name, for one version after an expert was renamed.
RENAMED: Final[dict[str, str]] = {}


def register(entry: Entry) -> None:
    """Add an expert to the registry.

    Raises:
        ValueError: the name is taken, or cannot be written on a command line.
    """
    if not _NAME.fullmatch(entry.name):
        raise ValueError(f"an expert cannot be named {entry.name!r}: use lower-case letters, digits, '-', '_' and '.'")
    if entry.name in _ENTRIES or entry.name in SETS:
        raise ValueError(f"an expert or set named {entry.name!r} is registered already")
    _ENTRIES[entry.name] = replace(entry, module=entry.module or _calling_module())


def _calling_module() -> str:
    """Name of the module whose code registers an expert."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") in _HELPERS:
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def register_kind(kind: str, load: Callable[[Path], Expert]) -> None:
    """Register how an expert in a folder is loaded, by the `kind` in its `card.json`."""
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
    spec = spec_from_file_location(f"enecg_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file")
    before = dict(_ENTRIES)
    try:
        spec.loader.exec_module(module_from_spec(spec))
    except Exception as error:  # a user's code may raise anything
        _restore(before)
        raise InputError(f"{path}: cannot be loaded: {type(error).__name__}: {error}{_line_of(error, path)}") from error
    made = [name for name in _ENTRIES if name not in before]
    if len(made) != 1:
        _restore(before)
        raise InputError(f"{path}: must register one expert, and registers {len(made)}; see docs/own-expert.md")
    _FILES[path] = made[0]
    return made[0]


def _restore(before: dict[str, Entry]) -> None:
    """Forget what was registered since `before`, so that a corrected file can be loaded."""
    _ENTRIES.clear()
    _ENTRIES.update(before)


def _line_of(error: Exception, path: Path) -> str:
    """The line of a file that raised an error, as text; empty when no line of it is known."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" (line {lines[-1]})" if lines else ""


@cache
def _load_families() -> None:
    for package in _PACKAGES:
        home = import_module(f"enecg.experts.{package}")
        for module in sorted(info.name for info in iter_modules(home.__path__) if not info.ispkg):
            check_registration(import_module(f"{home.__name__}.{module}"))
    import_module(_GATE_INPUTS)
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()  # its module registers on import
        except Exception as error:  # of a package that is not ours: the other experts are still there
            package = point.dist.name if point.dist else point.value
            warnings.warn(
                f"experts of the package {package} are left out: {point.value} cannot be loaded: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )
    for place in filter(None, os.environ.get("ENECG_EXPERTS", "").split(os.pathsep)):
        if place.endswith(".py"):
            _register_file(Path(place))
        for path in sorted(Path(place).glob(f"*/{CARD_FILE}")):
            _register_folder(path.parent)


def check_registration(module: ModuleType) -> None:
    """Check that a module that defines a card registers an expert.

    Raises:
        ValueError: it does not.
    """
    cards = [name for name, value in vars(module).items() if isinstance(value, Card)]
    if cards and not any(entry.module == module.__name__ for entry in _ENTRIES.values()):
        raise ValueError(
            f"{module.__name__} defines {cards[0]} and registers no expert; call register(Entry(...)) or "
            "publish(Published(...)) at its end"
        )


def _order(entry: Entry) -> tuple[int, str]:
    """Where an expert is listed: by package and module, whichever module was imported first; users' own last."""
    ranks = [f"enecg.experts.{package}." for package in _PACKAGES] + [_GATE_INPUTS]
    rank = next((i for i, start in enumerate(ranks) if entry.module.startswith(start)), len(ranks))
    return (rank, entry.module if rank < len(ranks) else "")


def names(gate_inputs: bool = False) -> list[str]:
    """Return the names of all registered experts in the order of registration.

    Args:
        gate_inputs: also name what only gates and baselines read.
    """
    return [each.name for each in _listed() if gate_inputs or not each.gate_input]


def families() -> dict[str, list[str]]:
    """Return the experts of this package by family: module name -> names, without gate inputs, in order."""
    found: dict[str, list[str]] = {}
    for each in _listed():
        package, _, module = each.module.rpartition(".")
        if not each.gate_input and package.rpartition(".")[2] in _PACKAGES and package.startswith("enecg.experts."):
            found.setdefault(module, []).append(each.name)
    return found


def _listed() -> list[Entry]:
    _load_families()
    return sorted(_ENTRIES.values(), key=_order)


def entry(name: str) -> Entry:
    """The registry's entry of one expert, by its name, folder or file; `InputError` names what there is otherwise."""
    _load_families()
    if name in RENAMED:
        warnings.warn(f"expert {name} is now named {RENAMED[name]}; use the new name", DeprecationWarning, stacklevel=2)
        name = RENAMED[name]
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
    return _create(entry(name).name, runtime)


@cache
def _create(name: str, runtime: Runtime) -> Expert:
    made: object = entry(name).create()
    if not isinstance(made, Expert):
        raise InputError(f"expert {name}: create() gives {type(made).__name__}, not an Expert; see docs/own-expert.md")
    if made.card.name != name:
        raise InputError(f"expert {name}: its card names {made.card.name!r}; register it under that name")
    return made if runtime == TORCH else run_with(made, runtime)
