"""The stamp of a recording's files: tells from sizes and times, without reading samples, whether they changed."""

from __future__ import annotations

import hashlib
from pathlib import Path


def stamp(path: str | Path) -> str | None:
    """32 hex digits over place, size and modification time of the files that make up a recording.

    Equal stamps mean unchanged files. Another stamp only means that they must be read again: what an embedding
    belongs to is the recording's content. The place is part of it because names, sizes and times may agree
    between two folders whose archives were unpacked with one time for all files.

    Args:
        path: as a manifest gives it: a file, or a WFDB record without its extension.

    Returns:
        The stamp, or None when a file is not there.
    """
    place = Path(path).resolve()
    try:
        facts = [_fact(file) for file in _files(place)]
    except OSError:
        return None
    return hashlib.sha256("|".join([str(place), *facts]).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _fact(file: Path) -> str:
    found = file.stat()
    return f"{file.name}:{found.st_size}:{found.st_mtime_ns}"


def _files(place: Path) -> list[Path]:
    """The file itself, or a WFDB header with the files that it names."""
    header = place if place.suffix == ".hea" else place.with_name(f"{place.name}.hea")
    if header != place and place.is_file():
        return [place]
    lines = [line.split() for line in header.read_text(encoding="latin-1").splitlines() if not line.startswith("#")]
    lines = [words for words in lines if words]
    ending = ".hea" if lines and "/" in lines[0][0] else ""  # a record in segments names records, not files
    names = dict.fromkeys(words[0] for words in lines[1:] if words[0] != "~")
    return [header, *(place.with_name(name + ending) for name in names)]
