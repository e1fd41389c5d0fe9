"""The files of a recording that is stored in several: a WFDB header, its signal files, and the parts of a long record.

Local headers are opened to see which files they name. By URL only a recording that is read has its header opened:
elsewhere the usual names are taken, which saves a request for each recording of an archive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from enecg.files import Place, bring, join, name_of, parent_of
from enecg.readers._wfdb_header import named_files, text_of

ENDINGS: Final = (".hea", ".dat", ".mat")  # of the files of a WFDB record with the usual names
_HEADER: Final = ".hea"
_FIRST_BYTES: Final = 1024


def usual_files(at: Place) -> list[Place]:
    """Return the files that a recording may consist of, by its name alone: the file, or those of a WFDB record."""
    name = name_of(at)
    stem, dot, ending = name.rpartition(".")
    if dot and f".{ending}" in ENDINGS:
        return [at, *(join(parent_of(at), stem + each) for each in ENDINGS if each != f".{ending}")]
    return [at, *(join(parent_of(at), name + each) for each in ENDINGS)]


def stored_files(at: Path) -> list[Path]:
    """Return the files that a local recording consists of.

    Args:
        at: the file; for a WFDB record also a signal file, or the record without ending.

    Raises:
        OSError: a header that should be there is missing.
    """
    there = at.is_file()
    header = at.with_suffix(_HEADER) if there else at.with_name(f"{at.name}{_HEADER}")
    if there and not header.is_file():
        return [at]
    return list(dict.fromkeys([*([at] if there else []), header, *_named(header)]))


def segments(header: Path) -> list[Path]:
    """Return the headers of a WFDB record's segments; none for a record without segments, or for another file."""
    try:
        with header.open("rb") as file:
            first = file.read(_FIRST_BYTES)
    except OSError:  # the reader reports it
        return []
    lines = (line.split() for line in first.splitlines() if not line.lstrip().startswith(b"#"))
    record = next((words for words in lines if words), [b""])
    return [header.parent / name for name in named_in(header.read_bytes())] if b"/" in record[0] else []


def named_in(header: bytes) -> list[str]:
    """Return the names of the files that the content of a WFDB header names: signal files, or headers of segments."""
    return named_files(text_of(header))


def _named(header: Path) -> list[Path]:
    """The files that a header names, and those that its segments name."""
    files = []
    for name in named_in(header.read_bytes()):
        file = header.parent / name
        files.append(file)
        if file.suffix == _HEADER and file.is_file():
            files += [file.parent / each for each in named_in(file.read_bytes())]
    return files


@contextmanager
def fetched(url: str) -> Generator[Path]:
    """Bring a recording's files into a folder that is removed at the end; yields the place of the recording there.

    A file that is not there is not brought: the reader reports it.
    """
    with tempfile.TemporaryDirectory(prefix="enecg-") as folder:
        home, wanted = Path(folder), [name_of(each) for each in usual_files(url)]
        if bring(url, home / wanted[0]) and not wanted[0].endswith(ENDINGS):
            yield home / wanted[0]
            return
        _fetch_record(str(parent_of(url)), home, next(name for name in wanted if name.endswith(_HEADER)))
        yield home / wanted[0]


def _fetch_record(source: str, home: Path, header: str) -> None:
    """Bring a header and what it names; the headers of segments bring theirs."""
    file = home / header
    if not file.exists() and not bring(f"{source}/{header}", file):
        return
    for name in named_in(file.read_bytes()):
        if "/" in name or (home / name).exists():
            continue
        if name.endswith(_HEADER):
            _fetch_record(source, home, name)
        else:
            bring(f"{source}/{name}", home / name)
