"""CSV: one column a lead, one row a sample; rate and unit in comment lines, a time column or the column names.

```
# rate: 500
# unit: mV
I,II,V1
0.012,0.034,-0.051
```

What a file states twice must agree: two comment lines, a comment line and a heading, a rate and a time column.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.leads import STANDARD, canonical, is_ecg_label
from enecg.readers._csv_table import BLANK, Column, Table, table_of
from enecg.readers._csv_time import check_length, is_time, rate_of_table
from enecg.readers.common import (
    age_in_years,
    band_of,
    choose_leads,
    common_amplitude,
    same_unit,
    sex_of,
    stated_or_given,
)
from enecg.recording import Recording, Subject

NAME: Final = "CSV"
ENDINGS: Final = (".csv",)
PACKAGES: Final = ()
RECOGNISED_BY: Final = "text"

_MANY: Final = 1000  # numbers written alike, among which another way of writing is odd
_UNIT_KEYS: Final = ("unit", "units", "amplitude unit", "amplitude units", "voltage unit")


def recognises(path: Path, head: bytes) -> bool:
    """Any text that is not XML or JSON."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return bool(text) and not text.startswith((b"<", b"{")) and not re.search(rb"[\x00-\x08\x0e-\x1f]", text)


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read CSV separated by comma, semicolon or tab (the latter two also with decimal commas); blanks become NaN.

    A lead's unit comes from its heading or the row of units below, a comment line, or `unit`; the rate from a comment
    line, a time column, or `rate`. Columns that are no leads are left out (`notes` names them).

    Raises:
        ReadError: rate or unit is not stated, or two statements contradict each other.
    """
    where = str(path)
    table = table_of(path)
    columns = table.columns
    if not any(canonical(column.name) in STANDARD or is_ecg_label(column.name) for column in columns):
        raise ReadError(f"{where}: no column is named after a lead; the first row must name them, such as I,II,V1")
    signals = [row for row, column in enumerate(columns) if not is_time(column)]
    chosen, notes = choose_leads([columns[row].name for row in signals], where)
    rows = [signals[at] for at in chosen]
    names = [columns[row].name for row in rows]

    whole = table.take_one(_UNIT_KEYS, where, same_unit)
    units = [_unit(columns[row], whole, unit, f"{where}, lead {columns[row].name}") for row in rows]
    factors, amplitude = common_amplitude(units, names, where)
    if not table.cells:
        raise ReadError(f"{where}: there are no samples below the column names")
    _check_marks(table, rows, where)
    notes |= _unnamed(table) | _odd_numbers(table, rows)
    stated = rate_of_table(table, rate, where)
    remedy = "write a line `# rate: 500` on top, name a column `time (s)` or `time (ms)`, or "
    rate = stated_or_given(stated, rate, "rate", where, remedy)
    check_length(table, rate, where)
    age, sex = table.take_one(("age",), where), table.take_one(("sex", "gender"), where)
    subject = Subject(age=age_in_years(age), sex=sex_of(sex))
    said = (("age", age, subject.age), ("sex", sex, subject.sex))
    unread = [name for name, text, value in said if text and value is None]
    notes |= {name: f"not read: the {name}, as it is written in no known way" for name in unread}
    facts = {key: "; ".join(values) for key, values in table.facts.items()}
    return Recording(
        signal=np.stack([table.numbers(row, where) for row in rows]) * factors[:, None],
        rate=rate,
        leads=tuple(names),
        amplitude=amplitude,
        subject=subject,
        source=where,
        band=band_of("\n".join(f"{key}: {value}" for key, value in facts.items())),
        notes=notes,
        facts=facts,
    )


def _unit(column: Column, whole: str | None, given: str | None, where: str) -> str:
    """The unit of a lead, from its heading, the line for the whole file, or the caller."""
    if column.unit and whole and not same_unit(column.unit, whole):
        raise ReadError(
            f"{where}: the heading states {column.unit} and a comment line `unit: {whole}`; correct one of them"
        )
    remedy = "write a line `# unit: mV` on top or "
    return stated_or_given(column.unit or whole, given, "unit", where, remedy)


def _check_marks(table: Table, rows: Sequence[int], where: str) -> None:
    """Raise `ReadError` where commas or points may group thousands, or where both occur.

    A mark groups thousands, or may, where every number that has one is like 1,234 or 12,345,678, and others are whole.
    """
    texts = [row[column] for row in table.cells for column in rows]
    marks = [mark for mark in ",." if any(mark in text for text in texts)]
    if len(marks) > 1:
        raise ReadError(
            f"{where}: numbers have commas and points; write all with one decimal mark and no thousands marks"
        )
    for mark in marks:
        grouped = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+")
        marked = [text for text in texts if mark in text]
        whole = any(text.lower() not in BLANK and mark not in text for text in texts)
        if all(map(grouped.fullmatch, marked)) and (whole or any(text.count(mark) > 1 for text in marked)):
            raise ReadError(
                f"{where}: {marked[0]!r} may be a thousand or a decimal number, as others are whole; "
                "write numbers without thousands marks"
            )


def _unnamed(table: Table) -> dict[str, str]:
    """A note on columns that hold something and have no name."""
    blank = [row for row, column in enumerate(table.columns) if not column.name]
    filled = [str(row + 1) for row in blank if any(cells[row] for cells in table.cells)]
    return {"unnamed_columns": f"left out: column {', '.join(filled)}, which has no name"} if filled else {}


def _odd_numbers(table: Table, rows: Sequence[int]) -> dict[str, str]:
    """A note on a few numbers that are written unlike all others, as a damaged cell is.

    One program writes all numbers with as many decimals. Where many differ, the file was written in another way.
    """
    texts = "\n".join("\n".join([cells[row] for row in rows]) for cells in table.cells)
    count = len(table.cells) * len(rows)
    few = max(3, count // 5000)
    lengths = Counter(map(len, re.findall(r"[.,](\d*)", texts)))
    if max(count - lengths.total(), *lengths.values(), 0) < count - few:  # numbers are written in many ways
        return {}
    usual_form = rf"^-?\d+\.\d{{{lengths.most_common(1)[0][0]}}}$" if lengths.total() > count / 2 else r"^-?\d+$"
    if len(re.findall(usual_form, texts, re.MULTILINE)) == count:  # so it is in most files
        return {}
    shapes: dict[tuple[bool, int, bool, bool], list[tuple[int, int]]] = {}
    for sample, cells in enumerate(table.cells):
        for row in rows:
            text = cells[row].lower()
            if text in BLANK:
                continue
            whole, mark, decimals = text.replace(",", ".").partition(".")
            shape = (text[0] == "+", len(decimals) if mark else -1, "e" in text, not whole.strip("+-"))
            shapes.setdefault(shape, []).append((sample, row))
    usual = max(shapes.values(), key=len, default=[])
    odd = sorted(place for places in shapes.values() if places is not usual for place in places)
    if not odd or len(usual) < _MANY or len(odd) > few:
        return {}
    sample, row = odd[0]
    first = f"sample {sample + 1}, column {table.columns[row].name}: {table.cells[sample][row]}"
    return {"odd_numbers": f"doubtful: {len(odd)} of the numbers are written unlike all others (first: {first})"}
