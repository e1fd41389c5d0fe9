"""Dates and ages as hospital files write them, placeholders and all."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

_OLDEST: Final = 120.0  # years; above lie codes for "not known"
_PLACEHOLDERS: Final = {date(1900, 1, 1)}  # which systems write for a birth date that nobody knows
_DISAGREE: Final = 1.5  # years between a stated age and the one that the dates give


def day(text: str | None, *formats: str) -> date | None:
    """Return a calendar day from text in one of `formats` (as `datetime.strptime`); None when it is no day."""
    for form in formats:
        try:
            return datetime.strptime((text or "").strip(), form).date()
        except ValueError:
            continue
    return None


def possible_age(years: float) -> float | None:
    """Return an age in years, or None when nobody is that old: 300 and 999 are codes for "not known"."""
    return years if 0 <= years <= _OLDEST else None


def age_of(stated: float | None, born: date | None, then: date | None) -> tuple[float | None, dict[str, str]]:
    """Return the age in years, and a note where the stated age and the dates contradict each other.

    Args:
        stated: years, where the file states an age.
        born: the birth date; one that stands for "not known" is passed over.
        then: the day of the recording.
    """
    by_dates = None
    if born and then and born not in _PLACEHOLDERS:
        by_dates = possible_age(round((then - born).days / 365.25, 1))
    if stated is None:
        return by_dates, {}
    if by_dates is not None and abs(stated - by_dates) > _DISAGREE:
        return stated, {"age": f"the file states an age of {stated:g} years, its dates give {by_dates:g}; "
                               "the stated age is used"}  # fmt: skip
    return stated, {}
