"""The manifest: a table with one row a recording, whose columns are its labels.

Columns with a meaning of their own (any other may be a label):

- `record`: the recording's file, or a WFDB record without extension, relative to the manifest's folder. Required.
- `subject_id`: the person; where it is blank, the recording is its own subject. `3`, `3.0` and `00003` are one id.
- `same_recording_as`: for a recording that is held twice, the other's `record` or any name that both rows give. Such
  rows belong to one subject: a copy among the training recordings would give a test recording's labels away.

A manifest is CSV, Parquet, or one JSON object a line. EnECG's own cohort file is read too
(`enecg.cohorts.layouts.enecg_jsonl`).
How CSV is read: a column is numeric when every filled cell is a plain number, else text. Numbers with leading zeros
(`007`) or more than 15 digits are ids, and text. `record`, `subject_id` and `same_recording_as` are always text. In a
numeric column blank cells and words such as `NA` are missing (NaN); in a text column blank cells are.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from enecg.cohorts.identity import plain_id, plain_record
from enecg.cohorts.layouts import layout_of, names
from enecg.cohorts.query import matching
from enecg.cohorts.split import shared_subjects as leakage
from enecg.cohorts.split import subject_folds
from enecg.errors import InputError
from enecg.files import Place, check_scheme, join, name_of, parent_of, place, read_bytes
from enecg.readers.record_files import usual_files
from enecg.tasks import MISSING, Target, Task, cell_text, read_labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cohort", "leakage"]

_NAMES: Final = ("record", "subject_id", "same_recording_as")
_HEAD: Final = 4096  # bytes by which a layout is recognised
_PLAIN_NUMBER: Final = r"[+-]?(?:(?:0|[1-9]\d{0,14})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"


@dataclass(frozen=True, eq=False)
class Cohort:
    """Recordings with labels; made by `load` or `from_table`.

    Attributes:
        table: one row a recording; RangeIndex; `record` and `subject_id` are text, the latter without gaps.
        root: the folder that `record` is relative to, on disk or by URL.
        name: for messages and reports.
    """

    table: pd.DataFrame
    root: Place
    name: str

    @classmethod
    def load(cls, path: str | Path, where: str | None = None) -> Cohort:
        """Read a manifest (CSV, Parquet or JSON lines), or the folder of a data set whose layout is known.

        Args:
            path: the manifest, by path or URL, or such a folder (`enecg.cohorts.layouts`).
            where: a row filter in pandas query syntax, such as `strat_fold <= 8`.

        Raises:
            InputError: no such file, no table in it, or what `from_table` refuses; one line.
        """
        at = place(path)
        try:
            if isinstance(at, Path) and at.is_dir():
                return cls.from_table(_table_of_folder(at), at, at.name, where)
            return cls.from_table(_read_table(at), parent_of(at), name_of(at), where)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error

    @classmethod
    def from_table(cls, table: pd.DataFrame, root: Place, name: str, where: str | None = None) -> Cohort:
        """Make a cohort of a table: check its records, complete its subjects, then filter its rows.

        Raises:
            InputError: no column `record`, a record named twice, a filter that cannot be read, or nothing left.
        """
        table = table.rename(columns=str)
        if "record" not in table.columns:
            raise InputError(f"{name}: there is no column 'record'; it has {_listed(table.columns)}")
        if not table.columns.is_unique:
            raise InputError(f"{name}: two columns are named {table.columns[table.columns.duplicated()][0]!r}")
        names = {column: table[column].map(cell_text) for column in _NAMES if column in table.columns}
        table = table.assign(**names).reset_index(drop=True)
        _check_unique(table["record"], name)
        table = table.assign(subject_id=_subjects(table))
        if where is not None:
            table = table[matching(table, where, name)].reset_index(drop=True)
        if table.empty:
            raise InputError(f"{name}: no recording {f'meets --where {where!r}' if where else 'is in it'}")
        return cls(table, root, name)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def records(self) -> list[str]:
        """Names of the recordings, as in the manifest."""
        return list(self.table["record"])

    @property
    def subjects(self) -> np.ndarray:
        """The unit to split by, str `[recording]`."""
        return np.array(self.table["subject_id"], dtype=str)

    def path(self, i: int) -> Place:
        """Where recording `i` lies: beside the manifest, or where its name is a URL, there.

        Raises:
            InputError: its name is blank, is a URL of a scheme that is not allowed, or leaves the manifest's folder
                (`..`, absolute, or by a symbolic link).
        """
        record = str(self.table["record"].iloc[i])
        if not record or "\0" in record:
            raise InputError(f"{self.name}: recording {i + 1} has no name in column 'record'")
        named = place(record)
        if isinstance(named, str):
            check_scheme(named)
            return named
        inside = Path(os.path.normpath(record))
        if inside.is_absolute() or inside.parts[:1] == ("..",) or not self._holds(join(self.root, inside.as_posix())):
            raise InputError(f"{self.name}: {record} leaves the manifest's folder; put the recording inside it")
        return join(self.root, inside.as_posix())

    def _holds(self, at: Place) -> bool:
        """Whether a recording's files lie inside the folder, and not only links to them. A server has no links."""
        if not isinstance(at, Path) or not isinstance(self.root, Path):
            return True
        root = _real(self.root.absolute())
        links = [file for file in map(Path, usual_files(at)) if file.is_symlink()]
        return all(_real(file.absolute()).is_relative_to(root) for file in [at.parent, *links])

    def target(self, task: Task) -> Target:
        """A task's labels, with a line for each cell that could not be read.

        Raises:
            InputError: no such column (with the nearest names), or no label in it.
        """
        if task.column not in self.table.columns:
            near = difflib.get_close_matches(task.column, map(str, self.table.columns), n=3, cutoff=0.5)
            hint = f"nearest: {_listed(near)}" if near else f"it has {_listed(self.table.columns)}"
            raise InputError(
                f"{self.name}: there is no column {task.column!r} for task {task.name}; {hint}; "
                f"name another as {task.name}=COLUMN"
            )
        cells = self.table[task.column]
        if task.where:
            cells = cells.where(matching(self.table, task.where, self.name))
        target = read_labels(task, list(cells), self.name, self.records)
        return replace(target, notes=(*target.notes, *self._contrary(target)))

    def _contrary(self, target: Target) -> list[str]:
        """One note for each recording that is held twice with labels that contradict each other."""
        if "same_recording_as" not in self.table.columns:
            return []
        names = [link or record for link, record in zip(self.table["same_recording_as"], self.records, strict=True)]
        first: dict[str, int] = {}
        notes = []
        for row in np.flatnonzero(target.known):
            other = first.setdefault(names[row], int(row))
            if not np.array_equal(target.y[row], target.y[other]):
                pair = f"{self.records[other]} and {self.records[row]}"
                notes.append(f"{self.name}: column {target.task.column}: {pair} are one recording with contrary labels")
        return notes

    def take(self, rows: np.ndarray | Sequence[int]) -> Cohort:
        """Some of the recordings, by number or by a mask, in that order."""
        rows = np.asarray(rows)
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        return Cohort(self.table.iloc[numbers].reset_index(drop=True), self.root, self.name)

    def bare(self) -> Cohort:
        """The recordings without their labels, with places that do not depend on this process's folder."""
        root = self.root.absolute() if isinstance(self.root, Path) else self.root
        return Cohort(self.table[["record", "subject_id"]], root, self.name)

    def folds(self, n: int, seed: int = 0) -> np.ndarray:
        """Assign whole subjects to `n` folds that hold about as many recordings each, whatever the rows' order.

        Returns:
            int `[recording]` in 0..n-1.

        Raises:
            InputError: fewer subjects than folds.
        """
        return subject_folds(self.subjects, n, seed)

    def digest(self, rows: np.ndarray | Sequence[int] | None = None) -> str:
        """sha256 over names and cells of all columns of all recordings (or of `rows`): what a model was trained on.

        It does not depend on the order of rows or columns, nor on CSV or Parquet. It does not cover the samples:
        the embedding store holds a hash of every recording's content.
        """
        table = self.table if rows is None else self.take(rows).table
        columns = sorted(table.columns)
        cells = sorted(zip(*(map(cell_text, table[column]) for column in columns), strict=True))
        return hashlib.sha256(json.dumps([columns, cells]).encode()).hexdigest()


@lru_cache(maxsize=4096)
def _real(path: Path) -> Path:
    """An absolute path without symbolic links; kept, as recordings share few folders and resolving is slow."""
    return Path(os.path.realpath(path))


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(map(str, columns)) or "no columns"


def _table_of_folder(folder: Path) -> pd.DataFrame:
    layout = layout_of(folder)
    if layout is None:
        raise InputError(f"{folder}: a folder that is none of the known data sets ({names()}); name a manifest")
    return layout.table(folder, b"")


def _read_table(path: Place) -> pd.DataFrame:
    import pandas as pd

    raw = read_bytes(path)
    try:
        if raw.startswith(b"PAR1"):
            table: pd.DataFrame = pd.read_parquet(io.BytesIO(raw)).apply(_joined)
            return table
        layout = layout_of(path, raw[:_HEAD])
        return layout.table(path, raw) if layout else _read_csv(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: is neither Parquet nor UTF-8 text; save the manifest as one of them") from None
    except ValueError as error:  # so are the parsing errors of pandas and pyarrow
        raise InputError(f"{path}: not a readable table: {' '.join(str(error).split())}") from error


def _joined(column: pd.Series) -> pd.Series:
    """Lists in cells (several labels) as CSV writes them: separated by semicolons."""
    if column.dtype != object:
        return column
    return column.map(lambda cell: ";".join(map(str, cell)) if isinstance(cell, np.ndarray | list | tuple) else cell)


def _read_csv(text: str) -> pd.DataFrame:
    import pandas as pd

    heading = text.split("\n", 1)[0]
    separator = max(",;\t", key=heading.count)
    table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True)
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("rows have more cells than the first row has names")
    table.columns = [str(column).strip() for column in table.columns]
    typed: pd.DataFrame = table.apply(lambda column: column if column.name in _NAMES else _typed(column))
    return typed


def _typed(column: pd.Series) -> pd.Series:
    """Numbers where every filled cell is a plain number, else text with NaN for blanks."""
    import pandas as pd

    cells = column.str.strip()
    missing = cells.str.lower().isin(MISSING)
    if not missing.all() and cells[~missing].str.fullmatch(_PLAIN_NUMBER).all():
        return pd.to_numeric(cells.mask(missing))
    return cells.mask(cells == "")


def _check_unique(records: pd.Series, name: str) -> None:
    """Refuse a record that is named twice, in whatever spelling of its path, or by several of its files."""
    places = records.map(plain_record)
    again = np.flatnonzero(places.duplicated() & (records != ""))
    if len(again):
        first = int(np.flatnonzero(places == places[again[0]])[0])
        raise InputError(f"{name}: record {records[again[0]]} is in rows {first + 2} and {again[0] + 2}; keep one")


def _subjects(table: pd.DataFrame) -> list[str]:
    """The subject of each row; recordings held twice join the subjects that hold them."""
    own = table["record"].tolist()
    if "subject_id" in table.columns:
        own = [plain_id(subject) or record for subject, record in zip(table["subject_id"], own, strict=True)]
    if "same_recording_as" not in table.columns:
        return own
    group = {subject: subject for subject in own}

    def head(subject: str) -> str:
        while group[subject] != subject:
            subject = group[subject]
        return subject

    named = set(map(plain_id, table["subject_id"])) if "subject_id" in table.columns else set()
    holder: dict[str, str] = {}
    links, records = (table[column].map(plain_record) for column in ("same_recording_as", "record"))
    wanted = set(links) - {""}
    for subject, record, link in zip(own, records, links, strict=True):
        for name in (link, record):
            if name in wanted:
                pair = sorted(
                    (head(subject), head(holder.setdefault(name, subject))), key=lambda s: (s not in named, s)
                )
                group[pair[1]] = pair[0]
    return [head(subject) for subject in own]
