"""The formats that are read: each reader module of this package is one. This is their only list.

To add a format, write `enecg/readers/<key>.py` with

- `NAME`: for people, such as `"EDF"`;
- `ENDINGS`: of its files, in small letters, such as `(".edf", ".bdf")`; folders are searched for them;
- `PACKAGES`: modules that reading loads, so that the service can load them before the first file comes;
- `RECOGNISED_BY`: `"content"`, where the first bytes of a file show its format; `"name"`, where names of files beside
  it do; `"text"`, where any other text is taken. Formats are asked in the order name, content, text;
- `recognises(path, head) -> bool`: whether a file with these first bytes is of this format; `head` is empty when there
  is no such file;
- `read(path, rate, unit) -> Recording`: `rate` and `unit` are what the caller says of a file that does not state them.

Folders, the service and the documents find it by themselves. `enecg.readers.contract` checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Final, Literal, Protocol, cast, get_args

from enecg.recording import Recording

RecognisedBy = Literal["name", "content", "text"]
HEAD_BYTES: Final = 4096


class Reader(Protocol):
    """What a reader module offers."""

    NAME: str
    ENDINGS: tuple[str, ...]
    PACKAGES: tuple[str, ...]
    RECOGNISED_BY: RecognisedBy

    def recognises(self, path: Path, head: bytes) -> bool:
        """Return whether a file with these first bytes is of this format."""

    def read(self, path: Path, rate: float | None, unit: str | None) -> Recording:
        """Return the recording in a file."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        key: name of its module, and its name in the answers of the service.
        reader: its module.
    """

    key: str
    reader: Reader


def _scanned() -> tuple[Format, ...]:
    """Return the formats of all modules of this package that recognise files, in the order in which they are asked."""
    home = import_module(__package__)
    found = []
    for key in sorted(info.name for info in iter_modules(home.__path__)):
        if key.startswith("_") or f"{__package__}.{key}" == __name__:
            continue
        module: ModuleType = import_module(f"{__package__}.{key}")
        if hasattr(module, "recognises"):
            found.append(Format(key, cast(Reader, module)))
    order = get_args(RecognisedBy)
    return tuple(sorted(found, key=lambda each: order.index(each.reader.RECOGNISED_BY)))


FORMATS: tuple[Format, ...] = _scanned()


def endings() -> tuple[str, ...]:
    """Return the endings of files that are taken for recordings in a folder."""
    return tuple(dict.fromkeys(ending for each in FORMATS for ending in each.reader.ENDINGS))


def names() -> str:
    """Return the names of all formats for a message, such as `WFDB, DICOM, CSV`."""
    return ", ".join(each.reader.NAME for each in FORMATS)


def packages() -> tuple[str, ...]:
    """Return the modules that reading loads, each once; some are of extras and may not be installed."""
    return tuple(dict.fromkeys(package for each in FORMATS for package in each.reader.PACKAGES))


def find(path: Path, head: bytes) -> Format | None:
    """Return the first format that takes a file with these first bytes, or None."""
    return next((each for each in FORMATS if each.reader.recognises(path, head)), None)


def holds_recording(head: bytes) -> bool:
    """Return whether the first `HEAD_BYTES` of a file, whatever its name is, show that it holds a recording."""
    known = (each.reader for each in FORMATS if each.reader.RECOGNISED_BY == "content")
    return any(reader.recognises(Path(), head) for reader in known)
