"""A CSV file in parts: facts from its comment lines, columns with their units, and cells."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.readers.common import same_unit

TIME_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minutes"), 60.0),
    **dict.fromkeys(("h", "hours"), 3600.0),
    **dict.fromkeys(("hh:mm:ss.mmm", "mm:ss.mmm"), 1.0),  # written as a clock
}
BLANK: Final = ("", "na", "nan", "n/a")  # a missing sample
_SEPARATORS: Final = ",;\t"
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_PLAIN: Final = re.compile(r"[-+\d.eE\n]*", re.ASCII)  # nothing but numbers with a point, as most columns are
_VOLTS: Final = r"[muµμ]?V"  # units that a heading may have behind a slash; behind a blank or _ a bare V is no unit
_UNIT_CELL: Final = re.compile(rf"{_VOLTS}|(?:milli|micro)?volts?|sd|unitless|hh:mm:ss\.m+|mm:ss\.m+", re.IGNORECASE)


def unquoted(cell: str) -> str:
    """Return a cell without blanks around it and without its pair of quotes; half a pair is damage, and stays."""
    text = cell.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def seconds_per(unit: str | None) -> float | None:
    """Return the seconds of a unit of time; None when it is not known."""
    return TIME_UNITS.get((unit or "").lower())


@dataclass(frozen=True)
class Column:
    """A column's heading, such as `II (mV)`, `V1 [uV]`, `I/uV`, `time_ms`, `Time (s)`."""

    name: str
    unit: str | None

    @classmethod
    def parse(cls, heading: str) -> Column:
        """Split a heading into name and unit."""
        text = heading.strip(" \"'")
        match = (
            re.fullmatch(r"(.*?)\s*[(\[]\s*([^)\]]*?)\s*[)\]]", text)
            or re.fullmatch(rf"(.*?)\s*/\s*({_VOLTS})", text, flags=re.IGNORECASE)
            or re.fullmatch(r"(.*?)[_\s]+([muµμ]V)", text, flags=re.IGNORECASE)
            or re.fullmatch(r"(time|t|timestamp|elapsed time)[_ /](\w+)", text, flags=re.IGNORECASE)
        )
        return cls(match[1], match[2]) if match else cls(text, None)


@dataclass(frozen=True)
class Table:
    """A file in parts.

    Attributes:
        facts: what the comment lines say: key in lower case -> one value for each line.
        columns: headings, with units from the row of units where there is one.
        cells: text without quotes and blanks around it, `columns` in each row.
    """

    facts: dict[str, list[str]] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    cells: tuple[list[str], ...] = ()

    def take(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Remove the facts under these keys and return them, key and value; a unit in the key goes to the value."""
        said = []
        for key in list(self.facts):
            bare, _, unit = key.partition("(")
            if re.sub(r"[\s_-]+", " ", bare).strip() in keys:
                said += [(bare.strip(), f"{value} {unit.rstrip(') ')}".strip()) for value in self.facts.pop(key)]
        return said

    def take_one(self, keys: Sequence[str], where: str, same: Callable[[str, str], bool] = operator.eq) -> str | None:
        """Remove the facts under these keys and return their one value; None where none is stated.

        Raises:
            ReadError: two lines state different values.
        """
        said = self.take(keys)
        for key, value in said[1:]:
            if not same(value, said[0][1]):
                raise ReadError(
                    f"{where}: the lines `{said[0][0]}: {said[0][1]}` and `{key}: {value}` contradict each other; "
                    "correct one of them"
                )
        return said[0][1] if said else None

    def numbers(self, column: int, where: str) -> np.ndarray:
        """Return one column as float64, a blank cell as NaN.

        Raises:
            ReadError: a cell is no number.
        """
        texts = [row[column] for row in self.cells]
        if _PLAIN.fullmatch("\n".join(texts)):
            try:
                return np.array([float(text) for text in texts])
            except ValueError:  # which one is found below
                pass
        values = np.empty(len(self.cells))
        for sample, row in enumerate(self.cells):
            text = row[column]
            if text.lower() in BLANK:
                values[sample] = np.nan
            elif _NUMBER.fullmatch(text):
                values[sample] = float(text.replace(",", "."))
            else:
                name = self.columns[column].name
                raise ReadError(f"{where}: sample {sample + 1}, column {name}: {text!r} is not a number")
        return values


def table_of(path: Path) -> Table:
    """Return a file split into comments, headings, a row of units and cells."""
    where = str(path)
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = text.rstrip("\r\n ").splitlines()
    comments = [at for at, line in enumerate(lines) if line.startswith("#")]
    rows = [at for at, line in enumerate(lines) if not line.startswith("#")]
    while rows and not lines[rows[0]].strip():  # further down a blank line is a blank cell
        del rows[0]
    if len(rows) > 1 and (inside := [at for at in comments if rows[1] < at < rows[-1]]):
        raise ReadError(f"{where}: line {inside[0] + 1} is a comment between samples; move it above the column names")
    heading = lines[rows[0]] if rows else ""
    separator = max(_SEPARATORS, key=heading.count)
    columns = tuple(Column.parse(cell) for cell in heading.split(separator))
    cells = tuple(lines[at].split(separator) for at in rows[1:])
    if re.search(r"[\"' ]", text):
        cells = tuple([unquoted(cell) for cell in row] for row in cells)
    if cells and _is_units(cells[0]):
        columns, cells = _with_units(columns, cells[0], where), cells[1:]
    for sample, row in enumerate(cells, start=1):
        if len(row) != len(columns):
            raise ReadError(f"{where}: sample {sample} has {len(row)} columns, the first row names {len(columns)}")
    facts: dict[str, list[str]] = {}
    for at in comments:
        line = lines[at].strip("# \t")
        pair = re.fullmatch(r"([\w .-]+?(?:\s*\([^)]*\))?)\s*[:=]\s*(.*)", line)
        facts.setdefault(pair[1].lower() if pair else "comment", []).append(pair[2] if pair else line)
    return Table(facts, columns, cells)


def _is_units(row: Sequence[str]) -> bool:
    """Whether a row holds units and no samples, as PhysioNet's tools write below the headings."""
    cells = [unquoted(cell) for cell in row]
    return any(map(_UNIT_CELL.fullmatch, cells)) and all(
        not cell or cell.lower() in TIME_UNITS or _UNIT_CELL.fullmatch(cell) for cell in cells
    )


def _with_units(columns: Sequence[Column], row: Sequence[str], where: str) -> tuple[Column, ...]:
    if len(row) != len(columns):
        raise ReadError(f"{where}: the row of units has {len(row)} columns, the first row names {len(columns)}")
    units = [unquoted(cell) or None for cell in row]
    for column, unit in zip(columns, units, strict=True):
        if column.unit and unit and not same_unit(column.unit, unit):
            raise ReadError(
                f"{where}: column {column.name} states {column.unit}, and the row below it {unit}; correct one of them"
            )
    return tuple(replace(column, unit=column.unit or unit) for column, unit in zip(columns, units, strict=True))
