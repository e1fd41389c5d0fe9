"""The sampling rate and the length of a CSV file: from its comment lines and its time columns, which must agree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from enecg.errors import ReadError
from enecg.readers._csv_table import TIME_UNITS, Column, Table, seconds_per

_RATE_KEYS: Final = ("rate", "fs", "sampling rate", "sampling frequency", "sample rate", "sample frequency",
                     "samplerate", "samplingrate", "frequency", "sfreq")  # fmt: skip
_INTERVAL_KEYS: Final = ("sampling interval", "sample interval", "sampling period", "dt")
_COUNT_KEYS: Final = ("samples", "n samples", "number of samples", "sample count")
_DURATION_KEYS: Final = ("duration", "length", "recording length", "recording duration")
_TIME_NAMES: Final = ("time", "t", "timestamp", "elapsed time")
_HZ_PER: Final = {"": 1.0, "hz": 1.0, "khz": 1e3, "sps": 1.0, "samples/s": 1.0}
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(\S*)", re.IGNORECASE | re.ASCII)
_JITTER: Final = 0.6  # of a step: printed times are rounded, a missing sample is a whole step
_WHOLE_HZ: Final = 1e-3  # a rate from rounded times this close to whole hertz is that
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True)
class _Statement:
    """One way in which a file states its rate.

    Attributes:
        text: which line or column, for messages.
        rate: Hz.
        slack: relative uncertainty of `rate`, as printed times are rounded.
    """

    text: str
    rate: float
    slack: float


def rate_of_table(table: Table, given: float | None, where: str) -> float | None:
    """Return the rate in Hz that a file states in comment lines or in time columns; None when nothing states it.

    Args:
        table: the file; the facts about its rate are removed.
        given: Hz that the caller says; a time column without a unit must fit it, or the file's own.
        where: file, for the error message.

    Raises:
        ReadError: a statement cannot be read, times are not evenly spaced, or two statements contradict each other.
    """
    said = _from_lines(table, where)
    bare = []
    for row, column in enumerate(table.columns):
        times = _times(table, row, column, where)
        if times is None:
            continue
        if seconds_per(_time_unit(column)) is None:
            bare.append((column, times))
        elif len(times) > 1 or not (said or given):
            said.append(_from_times(column, times, _decimals(table, row), where))
    for other in said[1:]:
        if abs(other.rate / said[0].rate - 1) > max(1e-9, said[0].slack, other.slack):
            raise ReadError(
                f"{where}: {said[0].text} means {said[0].rate:g} Hz, and {other.text} {other.rate:g} Hz; "
                "correct one of them"
            )
    rate = said[0].rate if said else given
    for column, times in bare:
        if rate is not None and len(times) > 1:
            _check_bare(column, times, rate, where)
    return said[0].rate if said else None


def check_length(table: Table, rate: float, where: str) -> None:
    """Raise `ReadError` where a comment line states another number of samples, or of seconds, than the file holds."""
    count = len(table.cells)
    stated = table.take_one(_COUNT_KEYS, where)
    if stated is not None and re.fullmatch(r"\d+", stated) and int(stated) != count:
        raise ReadError(f"{where}: the file states {stated} samples and holds {count}; export it again")
    stated = table.take_one(_DURATION_KEYS, where)
    match = _QUANTITY.fullmatch(stated or "")
    unit = seconds_per(match[2] or "s") if match else None
    if match and unit:
        digits = len(match[1].partition(".")[2])
        slack = 10.0**-digits * unit + 1 / rate
        if abs(float(match[1]) * unit - count / rate) > slack:
            raise ReadError(
                f"{where}: the file states a duration of {stated} and holds {count / rate:g} s at {rate:g} Hz; "
                "correct the rate or export it again"
            )


def _from_lines(table: Table, where: str) -> list[_Statement]:
    said = []
    for key, text in table.take(_RATE_KEYS):
        match = _QUANTITY.fullmatch(text)
        factor = _HZ_PER.get(match[2].lower()) if match else None
        if match is None or factor is None or not float(match[1]) > 0:
            raise ReadError(f"{where}: {key} {text!r} is not a rate in Hz, such as 500")
        said.append(_Statement(f"the line `{key}: {text}`", float(match[1]) * factor, 0))
    for key, text in table.take(_INTERVAL_KEYS):
        match = _QUANTITY.fullmatch(text)
        seconds = seconds_per(match[2]) if match else None
        if match is None or seconds is None or not float(match[1]) > 0:
            raise ReadError(f"{where}: {key} {text!r} is not a time, such as 2 ms")
        said.append(_Statement(f"the line `{key}: {text}`", _whole(1 / (float(match[1]) * seconds)), 0))
    return said


def is_time(column: Column) -> bool:
    """Return whether a column holds times: by its name, or as it is named by a unit of time alone (`seconds`)."""
    name = column.name.lower()
    return name in _TIME_NAMES or (column.unit is None and len(name) > 1 and name in TIME_UNITS)


def _time_unit(column: Column) -> str | None:
    """The unit of a time column, also of one that is named by its unit alone (`seconds`)."""
    name = column.name.lower()
    return name if column.unit is None and name not in _TIME_NAMES else column.unit


def _times(table: Table, row: int, column: Column, where: str) -> np.ndarray | None:
    """The times of a column in its unit; None when it is no time column, or without a unit and no numbers."""
    if not is_time(column):
        return None
    texts = [cells[row] for cells in table.cells]
    if texts and _CLOCK.fullmatch(texts[0]):
        return _clock(texts, column, where)
    if seconds_per(_time_unit(column)) is not None:
        return table.numbers(row, where)
    try:
        return table.numbers(row, where)
    except ReadError:  # dates, or a clock of another form: nothing here says that these are evenly spaced
        return None


def _clock(texts: list[str], column: Column, where: str) -> np.ndarray:
    """Seconds, of times such as 0:00.002 or 1:02:03.500."""
    matches = [_CLOCK.fullmatch(text) for text in texts]
    if None in matches:
        sample = matches.index(None)
        raise ReadError(f"{where}: sample {sample + 1}, column {column.name}: {texts[sample]!r} is not a time")
    return np.array([3600 * int(m[1] or 0) + 60 * int(m[2]) + float(m[3]) for m in matches if m])


def _decimals(table: Table, row: int) -> int:
    """Most decimals of the first times of a column."""
    texts = [re.split("[.,]", cells[row])[1:] for cells in table.cells[:100]]
    return max((len(text[0]) for text in texts if text), default=0)


def _from_times(column: Column, times: np.ndarray, decimals: int, where: str) -> _Statement:
    step = _step(times, where)
    slack = max(_WHOLE_HZ, 10.0**-decimals / float(times[-1] - times[0]))
    return _Statement(f"column {column.name}", _whole(1 / (step * (seconds_per(_time_unit(column)) or 1.0))), slack)


def _step(times: np.ndarray, where: str) -> float:
    """Distance of evenly spaced times."""
    step = float(times[-1] - times[0]) / max(len(times) - 1, 1)
    if not step > 0 or not np.abs(np.diff(times) - step).max() <= _JITTER * step:
        raise ReadError(f"{where}: times are not evenly spaced; resample to one rate")
    return step


def _whole(rate: float) -> float:
    """A rate in Hz, whole where it is very near to that."""
    whole = round(rate)
    return float(whole) if abs(rate - whole) < _WHOLE_HZ * whole else rate


def _check_bare(column: Column, times: np.ndarray, rate: float, where: str) -> None:
    """Raise `ReadError` for times without a unit that fit the rate in no unit, and are no running number either."""
    step = _step(times, where)
    units = (1.0, 1e-3, 1e-6, 1e-9)
    if abs(step - 1) > _WHOLE_HZ and all(abs(step * unit * rate - 1) > 0.01 for unit in units):
        raise ReadError(
            f"{where}: column {column.name} goes up by {step:g}, which fits {rate:g} Hz in no unit; "
            "name it `time (s)` or `time (ms)`, or correct the rate"
        )
