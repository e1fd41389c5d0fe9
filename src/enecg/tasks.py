"""What there is to predict: the five tasks of the paper, and any column as a task of one's own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from enecg.errors import InputError

Kind = Literal["regression", "binary", "multiclass", "multilabel"]
MISSING = frozenset({"", "nan", "none", "na", "n/a", "null", "unknown", "<na>", "-"})


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    Attributes:
        name: in commands, bundles and reports.
        kind: regression, binary, multiclass or multilabel.
        column: the manifest's column that holds its label.
        unit: of a regression.
        classes: names; for binary (negative, positive). Empty until read from the labels.
        loss: what heads are trained with: "l1" or "log".
        metric: the one that decides between designs.
        limits: labels outside [low, high] are sentinels of a broken field, and refused.
        aliases: spellings of labels -> class.
        where: row condition (as `--where`) under which a label counts; others are missing. Empty for all.
    """

    name: str
    kind: Kind
    column: str
    unit: str = ""
    classes: tuple[str, ...] = ()
    loss: Literal["l1", "log"] = "log"
    metric: str = "auroc"
    limits: tuple[float, float] = (-math.inf, math.inf)
    aliases: tuple[tuple[str, str], ...] = ()
    where: str = ""

    @property
    def outputs(self) -> int:
        """Numbers that a head gives for it: 1 for regression and binary, else one per class."""
        return 1 if self.kind in ("regression", "binary") else len(self.classes)

    @property
    def output_names(self) -> tuple[str, ...]:
        """One name per output."""
        if self.kind == "regression":
            return (self.name,)
        return (self.classes[1],) if self.kind == "binary" else self.classes

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `Task.from_dict` reads them back."""
        data = asdict(self)
        data["limits"] = [limit if math.isfinite(limit) else None for limit in self.limits]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Task:
        """A task from `as_dict`."""
        low, high = data["limits"]
        limits = (-math.inf if low is None else low, math.inf if high is None else high)
        aliases = tuple((a, b) for a, b in data["aliases"])
        return cls(**{**data, "limits": limits, "classes": tuple(data["classes"]), "aliases": aliases})


@dataclass(frozen=True, eq=False)
class Target:
    """A task's labels for a cohort.

    Attributes:
        task: with its classes known.
        y: float64 `[recording, output]`: the value, 0/1, or one 0/1 per class; NaN rows are unlabelled.
        problems: one line for each cell that could not be read and counts as missing.
    """

    task: Task
    y: np.ndarray
    problems: tuple[str, ...] = ()

    @property
    def known(self) -> np.ndarray:
        """bool `[recording]`: has a label."""
        finite: np.ndarray = np.isfinite(self.y[:, 0])
        return finite

    def take(self, rows: np.ndarray) -> Target:
        """The same task for some recordings."""
        return Target(self.task, self.y[rows])


def _regression(name: str, unit: str, low: float, high: float) -> Task:
    return Task(name, "regression", name, unit, loss="l1", metric="mae", limits=(low, high))


_ABNORMAL = ("abnormal", "low", "high", "1", "true", "yes")
BUILT_IN: dict[str, Task] = {
    task.name: task
    for task in (
        _regression("rr_interval", "ms", 150.0, 6000.0),  # MIMIC-IV-ECG's sentinels 29999 and 65535 lie outside
        _regression("age", "years", 0.0, 120.0),  # PTB-XL writes 300 for "above 89"
        Task("sex", "binary", "sex", classes=("M", "F"), aliases=(("male", "M"), ("female", "F"), ("m", "M"),
             ("f", "F"))),
        Task("potassium", "binary", "potassium", classes=("normal", "abnormal"),
             aliases=(*((a, "abnormal") for a in _ABNORMAL), *((n, "normal") for n in ("0", "false", "no")))),
        Task("arrhythmia", "multiclass", "arrhythmia"),
    )
}  # fmt: skip


_SPEC = re.compile(r"(?P<name>[\w.-]+)(:(?P<kind>\w+))?(=(?P<column>[^:=\[]+))?(\[(?P<where>.+)\])?")


def parse_tasks(spec: str | Iterable[str]) -> list[Task]:
    """Read `--tasks`: `age`, `rr_interval=rr_mean_ms[rr_ok == 1]`, `superclass:multilabel`, `stay:regression=days`.

    In brackets stands a row condition, as for `--where`: labels of other rows count as missing.

    Raises:
        InputError: an unknown name without a kind, an unknown kind, or a name given twice.
    """
    parts = re.split(r",(?![^\[]*\])", spec) if isinstance(spec, str) else list(spec)
    tasks: dict[str, Task] = {}
    for part in (piece.strip() for piece in parts):
        if not part:
            continue
        match = _SPEC.fullmatch(part)
        if match is None:
            raise InputError(f"--tasks: cannot read {part!r}; write NAME, NAME=COLUMN or NAME:KIND=COLUMN")
        name = match["name"]
        if name in tasks:
            raise InputError(f"--tasks: {name} is named twice")
        tasks[name] = replace(_task(name, match["kind"], match["column"]), where=match["where"] or "")
    if not tasks:
        raise InputError("--tasks: no task is named; try --tasks age,sex")
    return list(tasks.values())


def _task(name: str, kind: str | None, column: str | None) -> Task:
    if kind is not None and kind not in get_args(Kind):
        raise InputError(f"--tasks: {kind!r} is no kind of task; kinds are {', '.join(get_args(Kind))}")
    known = BUILT_IN.get(name)
    if known is not None and kind in (None, known.kind):
        return replace(known, column=column or known.column)
    if kind is None:
        raise InputError(
            f"--tasks: {name!r} is not one of {', '.join(BUILT_IN)}; "
            f"for a task of your own say its kind, such as {name}:binary"
        )
    loss, metric = ("l1", "mae") if kind == "regression" else ("log", "auroc")
    return Task(name, kind, column or name, loss=loss, metric=metric)  # type: ignore[arg-type]


def cell_text(value: object) -> str:
    """A table's cell as text: blank when missing, `1` for 1.0 (a 0/1 column with gaps arrives as floats)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return "" if text.lower() in MISSING else text


def read_labels(
    task: Task, values: Sequence[object], where: str = "manifest", names: Sequence[str] | None = None
) -> Target:
    """Turn a column's cells into a `Target`. Blank cells are missing labels (NaN), never a class.

    A cell that cannot be read (text where a number is needed, a class that the task does not have, a sentinel
    outside the limits) becomes a missing label and is reported in `Target.problems`: one bad cell does not
    stop a run over many recordings.

    Args:
        task: classes are taken from the labels when it has none; a fitted task keeps its own.
        values: one cell per recording; multilabel cells separate classes by `;`.
        where: file name for messages.
        names: of the recordings, for messages; row numbers of the file (the heading is row 1) when None.

    Raises:
        InputError: nothing is labelled, or the labels do not make two classes.
    """
    texts = [cell_text(value) for value in values]
    if task.kind == "regression":
        y, problems = _numbers(task, texts)
    else:
        aliases = {alias.lower(): name for alias, name in task.aliases}
        cells = [[aliases.get(part.lower(), part) for part in _split(task, text)] for text in texts]
        task = replace(task, classes=task.classes or _classes(task, cells, where))
        y, problems = _one_hot(task, cells)
    told = tuple(
        f"{where}: {f'row {row + 2}' if names is None else names[row]}, column {task.column}: {reason}"
        for row, reason in problems
    )
    if not np.isfinite(y).any():
        first = f"; first: {told[0]}" if told else ""
        raise InputError(f"{where}: column {task.column} has no label for task {task.name}{first}")
    return Target(task, y, told)


def _one_hot(task: Task, cells: Sequence[Sequence[str]]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    index = {name: i for i, name in enumerate(task.classes)}
    y = np.full((len(cells), len(index)), np.nan)
    problems = []
    for row, cell in enumerate(cells):
        known = [index[name] for name in cell if name in index]
        if len(known) < len(cell):
            strange = next(name for name in cell if name not in index)
            hint = "; 0/1 does not say which is which" if strange in ("0", "1") else ""
            problems.append((row, f"{strange!r} is none of {', '.join(task.classes)}{hint}"))
        # In a multilabel cell a finding that was not trained for says nothing against the others.
        if known or (cell and task.kind == "multilabel"):
            y[row] = 0
            y[row, known] = 1
    return (y[:, 1:2] if task.kind == "binary" else y), problems


def _split(task: Task, text: str) -> list[str]:
    if task.kind != "multilabel":
        return [text] if text else []
    return [part.strip() for part in text.split(";") if part.strip()]


def _classes(task: Task, cells: Sequence[Sequence[str]], where: str) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for cell in cells:
        for name in cell:
            counts[name] = counts.get(name, 0) + 1
    if task.kind == "binary":
        found = sorted(counts)
        if len(found) != 2:
            raise InputError(f"{where}: column {task.column}: binary needs two classes, found {found or 'none'}")
        return tuple(found)
    if len(counts) < 2:
        raise InputError(f"{where}: column {task.column}: needs at least two classes, found {sorted(counts) or 'none'}")
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def _numbers(task: Task, texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    y = np.full((len(texts), 1), np.nan)
    low, high = task.limits
    problems = []
    for row, text in enumerate(texts):
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            problems.append((row, f"{text!r} is not a number"))
            continue
        if not math.isfinite(value):
            problems.append((row, f"{text!r} is not a finite number"))
        elif low <= value <= high:
            y[row] = value
        else:
            problems.append((row, f"{text!r} is outside {low:g} to {high:g} {task.unit}".rstrip()))
    return y, problems
