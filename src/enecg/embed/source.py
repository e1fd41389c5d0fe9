"""Where an embedding comes from: the recording's id, its content, and the stamp of its files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

READING: Final = 1  # raised whenever a file is read to other samples, or judged otherwise: all are read again


@dataclass(frozen=True)
class Source:
    """One recording, as the store knows it.

    Attributes:
        record: id as in the manifest.
        content: `Recording.content_hash()`.
        stamp: of its files.
    """

    record: str
    content: str
    stamp: str

    def __post_init__(self) -> None:
        if (len(self.content), len(self.stamp)) != (64, 32):
            raise ValueError(f"{self.record}: content and stamp are 64 and 32 hex digits: {self.content}, {self.stamp}")


def stamp(path: str | Path) -> str | None:
    """32 hex digits over place, size and modification time of the files that make up a recording; nothing is read.

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
    return hashlib.sha256("|".join([str(READING), str(place), *facts]).encode("utf-8", "surrogateescape")).hexdigest()[
        :32
    ]


def _fact(file: Path) -> str:
    found = file.stat()
    return f"{file.name}:{found.st_size}:{found.st_mtime_ns}"


def _files(place: Path) -> list[Path]:
    """The file itself; a WFDB record's header and the files that it names, whichever of them stands for the record."""
    named = place.is_file()
    header = place.with_suffix(".hea") if named else place.with_name(f"{place.name}.hea")
    if named and not header.is_file():
        return [place]
    lines = [line.split() for line in header.read_text(encoding="latin-1").splitlines() if not line.startswith("#")]
    signals = [place.parent / words[0] for words in filter(None, lines)][1:]
    return list(dict.fromkeys([*([place] if named else []), header, *signals]))
