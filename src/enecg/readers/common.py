"""What all readers share: which signals are leads, one amplitude for them all, and facts about the subject."""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Final, Literal, TypeVar

import numpy as np

from enecg.errors import InputError, ReadError
from enecg.leads import STANDARD, canonical, electrodes, is_ecg_label
from enecg.recording import Amplitude, amplitude_of

T = TypeVar("T", str, float)

_OLDEST: Final = 120.0  # years; above lie codes for "not known" (300, 999)
_YEARS_PER: Final = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}

_WARNINGS: Final = Lock()


@contextmanager
def caught_warnings() -> Generator[list[warnings.WarningMessage]]:
    """What a package warns of while it reads a file, kept from the screen.

    Python's record of warnings is that of the whole process: files are read one at a time in here, so that none is
    blamed for another's damage.
    """
    with _WARNINGS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def choose_leads(names: Sequence[str], where: str) -> tuple[list[int], dict[str, str]]:
    """Return the rows of a file's signals that are leads, and a note (code -> sentence) on those left out.

    Where any of the twelve standard leads is there, only these are taken: the others are breathing, pressure,
    time columns. Without them, the channels that are labelled ECG or EKG are taken, and without these all signals.
    Electrodes of an EEG (C3, C4 beside F3 or an ECG channel) are no chest leads.

    Args:
        names: labels of all signals of the file.
        where: file, for the error message.

    Raises:
        ReadError: the only names that look like leads are electrodes of an EEG.
    """
    foreign = electrodes(names)
    chosen = [row for row, name in enumerate(names) if canonical(name) in STANDARD and row not in foreign]
    chosen = chosen or [row for row, name in enumerate(names) if is_ecg_label(name)]
    if not chosen and foreign:
        raise ReadError(
            f"{where}: {', '.join(names[row] for row in foreign)} may be electrodes of an EEG, and no channel is "
            "labelled ECG; name chest leads V1 to V6"
        )
    if not chosen:
        return list(range(len(names))), {}
    skipped = [name for row, name in enumerate(names) if row not in chosen and name]
    return chosen, {"skipped_signals": f"left out: {', '.join(skipped)} (no ECG leads)"} if skipped else {}


def common_amplitude(units: Sequence[str | None], names: Sequence[str], where: str) -> tuple[np.ndarray, Amplitude]:
    """The factor of each signal to mV, float64 `[lead]`, and what the samples then are.

    Raises:
        InputError: a unit is missing or unknown, or millivolts and normalised samples are mixed.
    """
    read = [amplitude_of(unit, f"{where}, lead {name}") for unit, name in zip(units, names, strict=True)]
    amplitudes = [amplitude for _, amplitude in read]
    if len(set(amplitudes)) > 1:
        normalised = [name for name, amplitude in zip(names, amplitudes, strict=True) if amplitude == "normalised"]
        raise ReadError(
            f"{where}: leads {', '.join(normalised)} are normalised and the others in volts; bring all to one scale"
        )
    return np.array([factor for factor, _ in read]), amplitudes[0]


def stated_or_given(stated: T | None, given: T | None, what: str, where: str, remedy: str = "") -> T:
    """What the file states, else what the caller says.

    Args:
        stated: by the file.
        given: by the caller, as `read(path, what=given)`.
        what: "rate" or "unit".
        where: file (and lead) for the error message.
        remedy: what the user may write into such a file.

    Raises:
        ReadError: neither says it, or they contradict each other.
    """
    if stated is None and given is None:
        raise ReadError(f"{where}: no {what} is stated; {remedy}say it with --{what} (in Python {what}=)")
    if stated is not None and given is not None and not _agree(stated, given):
        raise ReadError(f"{where}: the file states {what} {stated}, {what}={given} contradicts it; drop the argument")
    said = given if stated is None else stated
    assert said is not None
    return said


def same_unit(one: str, other: str) -> bool:
    """Return whether two spellings mean one unit of amplitude (`uV` and `µV`)."""
    try:
        return amplitude_of(one, "") == amplitude_of(other, "")
    except InputError:
        return one.strip().lower() == other.strip().lower()


def _agree(stated: str | float, given: str | float) -> bool:
    if isinstance(stated, str) and isinstance(given, str):
        return same_unit(stated, given)
    return stated == given


def first_line(error: Exception) -> str:
    """What a package says of a damaged file, without the tracebacks that some put into their messages."""
    lines = str(error).split("\n")
    return lines[0].strip() or type(error).__name__


def age_in_years(text: str | None) -> float | None:
    """Read `"67"`, `"067Y"`, `"18M"` (months), `"003W"`, `"010D"`; None when it is no possible age."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([YMWD]?)(?:ears?|rs?)?\s*", text or "", flags=re.IGNORECASE)
    if match is None:
        return None
    age = float(match[1]) * _YEARS_PER[match[2].lower()]
    return age if age <= _OLDEST else None


def sex_of(text: str | None) -> Literal["F", "M"] | None:
    """Read `"Male"`, `"f"` and the like; None for anything else (0 and 1 do not say which is which)."""
    key = (text or "").strip().lower()
    if key in ("m", "male"):
        return "M"
    return "F" if key in ("f", "female") else None


def band_of(text: str) -> tuple[float, float] | None:
    """Read a band-pass that a text says was applied, in Hz (`"band-passed 0.5-40 Hz"` -> `(0.5, 40.0)`)."""
    number = r"(\d+(?:\.\d+)?)"
    match = re.search(rf"band-?\s?pass(?:ed)?:?\s+{number}\s*(?:Hz)?\s*(?:-|–|to)\s*{number}\s*Hz", text, re.IGNORECASE)
    return (float(match[1]), float(match[2])) if match else None
