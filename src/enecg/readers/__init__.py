"""Readers: from a file of any known format to a `Recording`. `enecg.readers.registry` lists the formats."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from enecg import files
from enecg.errors import InputError, ReadError
from enecg.readers import registry
from enecg.readers.missing import without_codes
from enecg.readers.opened import OpenedRecording
from enecg.readers.record_files import fetched
from enecg.readers.registry import HEAD_BYTES, Format
from enecg.recording import Recording, implausible, implausible_length

LARGEST_WHOLE: Final = 256 * 2**20  # bytes of a file whose format is only read whole


class _Stated(NamedTuple):
    """What the caller says of a file."""

    rate: float | None
    unit: str | None
    ignore_checksums: bool

    def of(self, found: Format) -> tuple[Any, ...]:
        """The arguments of a format's functions behind the path; only WFDB has checksums that are compared."""
        return tuple(self) if found.key == "wfdb" else tuple(self[:2])


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
        return _read_url(at, _Stated(rate, unit, ignore_checksums))
    return _read_path(at, _Stated(rate, unit, ignore_checksums))


@contextmanager
def opened(
    path: str | Path, *, rate: float | None = None, unit: str | None = None, ignore_checksums: bool = False
) -> Generator[OpenedRecording]:
    """Open one ECG: its samples are read when they are needed.

    Formats that allow it (WFDB, EDF) are read span by span, so that a recording of days needs little memory. Of
    another format a file of more than `LARGEST_WHOLE` bytes is refused.

    Args:
        path, rate, unit, ignore_checksums: as for `read`.

    Raises:
        ReadError: as for `read`; also while samples are read.
    """
    at, stated = files.place(path), _Stated(rate, unit, ignore_checksums)
    if isinstance(at, Path):
        yield _open_path(at, stated)
        return
    with _at_url(at), fetched(at) as local:
        home, far = str(local.parent), str(files.parent_of(at))

        def by_url(call: Callable[..., Recording]) -> Callable[..., Recording]:
            def called(*args: int) -> Recording:
                with _renamed(home, far):
                    return replace(call(*args), source=at)

            return called

        with _renamed(home, far):
            found = _open_path(local, stated)
        yield replace(found, source=at, read_span=by_url(found.read_span), read_all=by_url(found.read_all))


def _read_url(url: str, stated: _Stated) -> Recording:
    with _at_url(url), fetched(url) as path, _renamed(str(path.parent), str(files.parent_of(url))):
        return replace(_read_path(path, stated), source=url)


@contextmanager
def _at_url(url: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ReadError(f"{url}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _renamed(here: str, there: str) -> Generator[None]:
    """Name the URL in messages, not the temporary folder of its files."""
    try:
        yield
    except ReadError as error:
        raise ReadError(str(error).replace(here, there)) from error


def _open_path(path: Path, stated: _Stated) -> OpenedRecording:
    with _read_errors(path):
        found = _format_or_error(path)
        open_recording = getattr(found.reader, "open_recording", None)
        if open_recording is None:
            if path.is_file() and path.stat().st_size > LARGEST_WHOLE:
                raise ReadError(
                    f"{path}: {path.stat().st_size / 2**20:.0f} MB of {found.reader.NAME} cannot be read in parts; "
                    "convert it to WFDB or EDF"
                )
            return OpenedRecording.of(_read_path(path, stated))
        inner: OpenedRecording = open_recording(path, *stated.of(found))
        if reason := implausible_length(inner.rate, inner.n_samples):
            raise ReadError(f"{path}: {reason}")

    def read_span(start: int, stop: int) -> Recording:
        with _read_errors(path):
            return _plausible(inner.read_span(start, stop), path)

    return replace(inner, read_span=read_span, read_all=lambda: _read_path(path, stated))


def _read_path(path: Path, stated: _Stated) -> Recording:
    with _read_errors(path):
        found = _format_or_error(path)
        read_file: Callable[..., Recording] = found.reader.read
        return _plausible(read_file(path, *stated.of(found)), path)


def _plausible(recording: Recording, path: Path) -> Recording:
    if reason := implausible(recording):
        raise ReadError(f"{path}: {reason}")
    return without_codes(recording)


@contextmanager
def _read_errors(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror or error}") from error
    except InputError as error:
        if type(error) is not InputError:
            raise
        raise ReadError(str(error)) from error


def _format_or_error(path: Path) -> Format:
    found = format_of(path)
    if found is not None:
        return found
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
