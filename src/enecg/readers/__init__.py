"""Readers: from a file of any known format to a `Recording`. `enecg.readers.registry` lists the formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from enecg import files
from enecg.errors import InputError, ReadError
from enecg.readers import registry, wfdb
from enecg.readers.missing import without_codes
from enecg.readers.record_files import fetched
from enecg.readers.registry import HEAD_BYTES, Format
from enecg.recording import Recording, implausible


def read(
    path: str | Path, *, rate: float | None = None, unit: str | None = None, ignore_checksums: bool = False
) -> Recording:
    """Read one ECG from a file of any known format.

    Args:
        path: the file, by path or URL. A WFDB record may be named by its header, a signal file, or without extension.
        rate: sampling rate in Hz, for a file that does not state it.
        unit: amplitude unit (mV, uV, V, or `unitless` for normalised samples), for a file that does not state it.
        ignore_checksums: read WFDB samples that do not fit the checksums, initial values or length in their header;
            a note names the misfit. Such a file is damaged, or belongs to another header.

    Returns:
        The recording, in mV or normalised, with leads by name.

    Raises:
        ReadError: no such file, an unknown format, or a file that is damaged or does not say what it must;
            one line with the reason.
        MissingExtra: the format needs a package that is not installed.
    """
    at = files.place(path)
    if isinstance(at, str):
        return _read_url(at, rate, unit, ignore_checksums)
    return _read_path(at, rate, unit, ignore_checksums)


def _read_url(url: str, rate: float | None, unit: str | None, ignore_checksums: bool) -> Recording:
    try:
        with fetched(url) as path:
            try:
                return replace(_read_path(path, rate, unit, ignore_checksums), source=url)
            except ReadError as error:
                raise ReadError(str(error).replace(str(path.parent), str(files.parent_of(url)))) from error
    except OSError as error:
        raise ReadError(f"{url}: cannot be read: {error.strerror or error}") from error


def _read_path(path: Path, rate: float | None, unit: str | None, ignore_checksums: bool) -> Recording:
    try:
        found = format_of(path)
        if found is not None:
            if ignore_checksums and found.key == "wfdb":  # no other format has checksums that are looked at
                recording = wfdb.read(path, rate, unit, ignore_checksums)
            else:
                recording = found.reader.read(path, rate, unit)
            if reason := implausible(recording):
                raise ReadError(f"{path}: {reason}")
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
    raise ReadError(f"{path}: not a format that is read here ({registry.names()}); convert it to one of them")


def format_of(path: Path) -> Format | None:
    """Return the format that takes a file; None when none does.

    Raises:
        ReadError: the path is a folder.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        raise ReadError(f"{path}: is a folder; name one recording's file")
    return registry.find(path, _head(path))


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
