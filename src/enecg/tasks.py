"""What there is to predict: the five tasks of the paper, and any column as a task of one's own."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from enecg.errors import InputError

Kind = Literal["regression", "binary", "multiclass", "multilabel"]
MISSING = frozenset({"", "nan", "none", "na", "n/a", "null", "unknown", "<na>", "-"})
FAR = 1e6  # spreads of the middle half from the median: such a label is a slip, and would drown all others
FEWEST_TO_JUDGE = 10  # labels among which one can be out of proportion
NONE = "none"  # no label in a name or a number; in a class it may be the finding that there is none


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
        missing: words, in lower case, that mean a missing label beside the usual ones (`MISSING` without `none`).
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
    missing: tuple[str, ...] = ()

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
        classes, missing = tuple(data["classes"]), tuple(data.get("missing", ()))
        return cls(**{**data, "limits": limits, "classes": classes, "aliases": aliases, "missing": missing})


@dataclass(frozen=True, eq=False)
class Target:
    """A task's labels for a cohort.

    Attributes:
        task: with its classes known.
        y: float64 `[recording, output]`: the value, 0/1, or one 0/1 per class; NaN rows are unlabelled.
        problems: one line for each cell that could not be read and counts as missing.
        notes: what else should be known of the labels: words that count as missing, labels that teach nothing.
    """

    task: Task
    y: np.ndarray
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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


_SPEC = re.compile(
    r"(?P<name>[\w.-]+)(:(?P<kind>\w+))?(=(?P<column>[^:=~\[]+))?(?P<missing>(~[^~=\[]+)*)(\[(?P<where>.+)\])?"
)


def parse_tasks(spec: str | Iterable[str]) -> list[Task]:
    """Read `--tasks`: `age`, `rr_interval=rr_mean_ms[rr_ok == 1]`, `superclass:multilabel`, `stay:regression=days`.

    In brackets stands a row condition, as for `--where`: labels of other rows count as missing. Words behind `~` are
    missing labels: `hypertrophy:multiclass~none~refused`. Without it `none` is a class, and in a multilabel cell it
    says that no finding is there.

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
        missing = tuple(word.strip().lower() for word in match["missing"].split("~") if word.strip())
        task = _task(name, match["kind"], match["column"])
        tasks[name] = replace(task, where=match["where"] or "", missing=missing)
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
    """Return a table's cell as text: blank when missing, `1` for 1.0 (a 0/1 column with gaps arrives as floats)."""
    text = _text(value)
    return "" if text.lower() in MISSING else text


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def read_labels(
    task: Task, values: Sequence[object], where: str = "manifest", names: Sequence[str] | None = None
) -> Target:
    """Turn a column's cells into a `Target`. Blank cells are missing labels (NaN), never a class.

    `none` is a class, or in a multilabel cell no finding, unless the task says that it is missing. What else counts as
    missing (`unknown`, `NA`, `-`) is counted in `Target.notes`.

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
    stated = [_text(value) for value in values]
    words = MISSING | set(task.missing) if task.kind == "regression" else (MISSING - {NONE}) | set(task.missing)
    texts = ["" if text.lower() in words else text for text in stated]
    ignored = Counter(text for text in stated if text and text.lower() in words)
    if task.kind == "regression":
        y, problems = _numbers(task, texts)
    else:
        aliases = {alias.lower(): name for alias, name in task.aliases}
        cells = [[aliases.get(part.lower(), part) for part in _split(task, text)] for text in texts]
        task = replace(task, classes=task.classes or _classes(task, cells, where, ignored))
        y, problems = _one_hot(task, cells)
    told = tuple(
        f"{where}: {f'row {row + 2}' if names is None else names[row]}, column {task.column}: {reason}"
        for row, reason in problems
    )
    if not np.isfinite(y).any():
        first = f"; first: {told[0]}" if told else _listed(ignored)
        raise InputError(f"{where}: column {task.column} has no label for task {task.name}{first}")
    notes = [f"{ignored.total()} cells count as missing{_listed(ignored)}"] if ignored else []
    notes += _poor(task, y[np.isfinite(y[:, 0])])
    return Target(task, y, told, tuple(f"{where}: column {task.column}: {note}" for note in notes))


def _poor(task: Task, known: np.ndarray) -> list[str]:
    """Say where labels teach little: all alike, or few of one class."""
    if len(known) > 1 and (known == known[0]).all():
        same = f"{known[0, 0]:g}" if task.kind == "regression" else "alike"
        return [f"all {len(known)} labels are {same}; nothing can be learned from them"]
    if task.kind == "binary":
        counts = {task.classes[1]: int(known.sum()), task.classes[0]: int(len(known) - known.sum())}
        rare = min(counts, key=lambda name: counts[name])
        if counts[rare] < FEWEST_TO_JUDGE < len(known):
            return [f"only {counts[rare]} of {len(known)} labels are {rare}, too few to learn from or to judge by"]
    return []


def _listed(words: Counter[str]) -> str:
    """Words that count as missing, the most frequent first."""
    return f" ({', '.join(f'{word!r} {n} times' for word, n in words.most_common(5))})" if words else ""


def _one_hot(task: Task, cells: Sequence[Sequence[str]]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    index = {name: i for i, name in enumerate(task.classes)}
    y = np.full((len(cells), len(index)), np.nan)
    problems = []
    for row, cell in enumerate(cells):
        if task.kind == "multilabel" and NONE in map(str.lower, cell) and NONE not in index:
            cell = [name for name in cell if name.lower() != NONE]
            if cell:
                problems.append((row, f"{NONE!r} stands beside {', '.join(cell)}"))
            else:
                y[row] = 0
            continue
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


def _classes(task: Task, cells: Sequence[Sequence[str]], where: str, ignored: Counter[str]) -> tuple[str, ...]:
    counts = Counter(name for cell in cells for name in cell)
    if task.kind == "multilabel":
        counts = Counter({name: n for name, n in counts.items() if name.lower() != NONE})
    missing = f"; {ignored.total()} cells count as missing{_listed(ignored)}" if ignored else ""
    if task.kind == "binary":
        found = sorted(counts, key=lambda name: (name.lower() != NONE, name))  # the absence is the negative class
        if len(found) != 2:
            raise InputError(
                f"{where}: column {task.column}: binary needs two classes, found {found or 'none'}{missing}"
            )
        return tuple(found)
    if len(counts) < 2:
        found = sorted(counts)
        raise InputError(f"{where}: column {task.column}: needs at least two classes, found {found or 'none'}{missing}")
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
    known = y[np.isfinite(y)]
    if len(known) >= FEWEST_TO_JUDGE:
        lower, middle, upper = np.percentile(known, (25, 50, 75))
        scale = FAR * (upper - lower if upper > lower else max(abs(middle), 1.0))
        for row in np.flatnonzero(np.abs(y[:, 0] - middle) > scale):
            problems.append((int(row), f"{texts[row]!r} lies out of all proportion to the median {middle:g}"))
            y[row] = np.nan
    return y, sorted(problems)
