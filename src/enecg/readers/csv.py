"""CSV: one column a lead, one row a sample; rate and unit in comment lines, a time column or the column names.

```
# rate: 500
# unit: mV
I,II,V1
0.012,0.034,-0.051
```
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.leads import STANDARD, canonical
from enecg.readers.common import age_in_years, band_of, choose_leads, common_amplitude, sex_of, stated_or_given
from enecg.recording import Recording, Subject

_SEPARATORS: Final = ",;\t"
_RATE_KEYS: Final = ("rate", "fs", "sampling rate", "sampling_rate", "sampling frequency", "sampling_frequency")
_UNIT_KEYS: Final = ("unit", "units")
_SECONDS: Final = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
_JITTER: Final = 0.6  # of a step: printed times are rounded, a missing sample is a whole step
_WHOLE_HZ: Final = 1e-3  # a rate from rounded times this close to whole hertz is that


@dataclass(frozen=True)
class _Column:
    """A column's heading, such as `II (mV)`, `V1 [uV]`, `time_ms`, `Time (s)`."""

    name: str
    unit: str | None

    @classmethod
    def parse(cls, heading: str) -> _Column:
        text = heading.strip(" \"'")
        match = re.fullmatch(r"(.*?)\s*[(\[]\s*([^)\]]*?)\s*[)\]]", text) or re.fullmatch(
            r"(time|t)[_ ](\w+)", text, flags=re.IGNORECASE
        )
        return cls(match[1], match[2]) if match else cls(text, None)

    @property
    def seconds(self) -> float | None:
        """Seconds per unit, of a time column that states its unit."""
        return _SECONDS.get((self.unit or "").lower()) if self.name.lower() in ("time", "t") else None


def recognises(path: Path, head: bytes) -> bool:
    """Any text that is not XML or JSON."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return bool(text) and not text.startswith((b"<", b"{")) and not re.search(rb"[\x00-\x08\x0e-\x1f]", text)


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read CSV separated by comma, semicolon or tab (the latter two also with decimal commas); blanks become NaN.

    A lead's unit comes from its column's name, else from a comment line, else from `unit`; the rate from a comment
    line, else from a time column, else from `rate`. Columns that are no leads are left out (`notes` names them).
    """
    where = str(path)
    facts, headings, lines, separator = _parts(path)
    columns = [_Column.parse(heading) for heading in headings]
    if not any(canonical(column.name) in STANDARD for column in columns):
        raise ReadError(f"{where}: no column is named after a lead; the first row must name them, such as I,II,V1")
    rows, notes = choose_leads([column.name for column in columns], where)
    names = [columns[row].name for row in rows]

    whole = next((facts.pop(key) for key in _UNIT_KEYS if key in facts), None)
    remedy = "write a line `# unit: mV` on top or "
    units = [stated_or_given(columns[row].unit or whole, unit, "unit", f"{where}, lead {columns[row].name}", remedy)
             for row in rows]  # fmt: skip
    factors, amplitude = common_amplitude(units, names, where)
    cells = _cells(lines, separator, len(headings), where)
    remedy = "write a line `# rate: 500` on top, name a column `time (s)` or `time (ms)`, or "
    said = _rate(facts, columns, cells, where)
    return Recording(
        signal=np.stack([_numbers(cells, row, headings[row], where) for row in rows]) * factors[:, None],
        rate=stated_or_given(said, rate, "rate", where, remedy),
        leads=tuple(names),
        amplitude=amplitude,
        subject=Subject(age=age_in_years(facts.pop("age", None)), sex=sex_of(facts.pop("sex", None))),
        source=where,
        band=band_of("\n".join(f"{key}: {value}" for key, value in facts.items())),
        notes=notes,
        facts=facts,
    )


def _parts(path: Path) -> tuple[dict[str, str], list[str], list[str], str]:
    """The comments' facts, the headings, the rows below them, and the separator."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = text.rstrip("\r\n ").splitlines()
    comments = [line.strip("# \t") for line in lines if line.startswith("#")]
    rows = [line for line in lines if not line.startswith("#")]
    while rows and not rows[0].strip():  # further down a blank line is a blank cell
        del rows[0]
    heading = rows[0] if rows else ""
    separator = max(_SEPARATORS, key=heading.count)
    pairs = [re.match(r"(?:([\w ]+?)\s*[:=]\s*)?(.*)", line) for line in comments]
    facts = {(pair[1] or "comment").lower(): pair[2] for pair in pairs if pair}
    return facts, heading.split(separator), rows[1:], separator


def _cells(rows: Sequence[str], separator: str, count: int, where: str) -> list[list[str]]:
    """The rows' cells as text, `count` in each."""
    if not rows:
        raise ReadError(f"{where}: there are no samples below the column names")
    if separator != ",":
        rows = [row.replace(",", ".") for row in rows]
    cells = [row.split(separator) for row in rows]
    for sample, row in enumerate(cells, start=1):
        if len(row) != count:
            raise ReadError(f"{where}: sample {sample} has {len(row)} columns, the first row names {count}")
    return cells


def _numbers(cells: Sequence[Sequence[str]], column: int, heading: str, where: str) -> np.ndarray:
    values = np.empty(len(cells))
    for sample, row in enumerate(cells):
        text = row[column].strip(" \"'")
        try:
            values[sample] = float("nan" if text.lower() in ("", "na") else text)
        except ValueError:
            raise ReadError(f"{where}: sample {sample + 1}, column {heading}: {text!r} is not a number") from None
    return values


def _rate(
    facts: dict[str, str], columns: Sequence[_Column], cells: Sequence[Sequence[str]], where: str
) -> float | None:
    """Hz, from a comment or else from the time column; None when neither says it."""
    for key in _RATE_KEYS:
        if key in facts:
            text = facts.pop(key)
            match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:Hz)?", text, flags=re.IGNORECASE)
            if match is None:
                raise ReadError(f"{where}: {key} {text!r} is not a rate in Hz, such as 500")
            return float(match[1])
    for row, column in enumerate(columns):
        if column.seconds is not None:
            times = _numbers(cells, row, column.name, where) * column.seconds
            return _rate_of(times, where)
    return None


def _rate_of(times: np.ndarray, where: str) -> float:
    """Hz, of evenly spaced times in seconds."""
    step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    if not step > 0 or np.abs(np.diff(times) - step).max() > _JITTER * step:
        raise ReadError(f"{where}: times are not evenly spaced; resample to one rate")
    whole = round(1 / step)
    return float(whole) if abs(1 / step - whole) < _WHOLE_HZ * whole else 1 / step
