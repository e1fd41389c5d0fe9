"""Readers: one file for each family of formats, chosen by what the file holds and not by its name alone.

To add a family, write `enecg/readers/<family>.py` with two functions and name it in `FAMILIES`:

- `recognises(path, head) -> bool`: is this file (its first bytes are `head`, empty when there is no such file) ours?
- `read(path, rate, unit) -> Recording`: read it; `rate` and `unit` are what the caller says of a file that is silent.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from enecg import files as places
from enecg.errors import InputError, ReadError
from enecg.readers.missing import without_codes
from enecg.readers.record_files import fetched
from enecg.recording import Recording

FAMILIES: Final = ("wfdb", "dicom", "muse", "philips", "edf", "csv")  # asked in this order; csv takes any other text
SELF_CONTAINED: Final = ("dicom", "muse", "philips", "edf")  # known by one file's content, whatever it is called
HEAD_BYTES: Final = 4096


def read(path: str | Path, *, rate: float | None = None, unit: str | None = None) -> Recording:
    """Read one ECG from a file of any known format.

    Args:
        path: the file, by path or URL. A WFDB record may be named by its header, a signal file, or without extension.
        rate: sampling rate in Hz, for a file that does not state it.
        unit: amplitude unit (mV, uV, V, or `unitless` for normalised samples), for a file that does not state it.

    Returns:
        The recording, in mV or normalised, with leads by name.

    Raises:
        ReadError: no such file, an unknown format, or a file that is damaged or does not say what it must;
            one line with the reason.
        MissingExtra: the format needs a package that is not installed.
    """
    at = places.place(path)
    if isinstance(at, str):
        return _read_url(at, rate, unit)
    return _read_path(at, rate, unit)


def _read_url(url: str, rate: float | None, unit: str | None) -> Recording:
    try:
        with fetched(url) as path:
            try:
                return replace(_read_path(path, rate, unit), source=url)
            except ReadError as error:
                raise ReadError(str(error).replace(str(path.parent), str(places.parent_of(url)))) from error
    except OSError as error:
        raise ReadError(f"{url}: cannot be read: {error.strerror or error}") from error


def _read_path(path: Path, rate: float | None, unit: str | None) -> Recording:
    try:
        family = family_of(path)
        if family is not None:
            recording: Recording = import_module(f"enecg.readers.{family}").read(path, rate, unit)
            return without_codes(recording)
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror or error}") from error
    except InputError as error:
        if type(error) is not InputError:
            raise
        raise ReadError(str(error)) from error
    if not path.exists():
        beside = "" if path.suffix == ".hea" else f", and no {path.name}.hea beside it"
        raise ReadError(f"{path}: no such file{beside}")
    known = ", ".join(family.upper() for family in FAMILIES)
    raise ReadError(f"{path}: not a format that is read here ({known}); convert it to one of them")


def family_of(path: Path) -> str | None:
    """The family of formats, one of `FAMILIES`, that takes a file; None when none does.

    Raises:
        ReadError: the path is a folder.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        raise ReadError(f"{path}: is a folder; name one recording's file")
    head = _head(path)
    for family in FAMILIES:
        if import_module(f"enecg.readers.{family}").recognises(path, head):
            return family
    return None


def holds_recording(head: bytes) -> bool:
    """Return whether the first `HEAD_BYTES` of a file show that it holds a recording of a self-contained format."""
    return any(import_module(f"enecg.readers.{family}").recognises(Path(), head) for family in SELF_CONTAINED)


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
