"""Where an embedding comes from: the recording's id, its content, and the stamp of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from enecg import files
from enecg.files import Place
from enecg.readers.record_files import ENDINGS, stored_files, usual_files

ASKED: Final = 64  # URLs that a server is asked about at a time
PORTION: Final = 1024  # recordings whose places are held at a time
READING: Final = 3  # raised whenever a file is read to other samples, or judged otherwise: all are read again


@dataclass(frozen=True)
class Source:
    """One recording, as the store knows it.

    Attributes:
        record: id as in the manifest.
        content: `Recording.content_hash()`.
        stamp: of its files.
        quality: codes of what the quality check found; None where it is not known.
        notes: what was left out of its file, in sentences; None where it is not known.
    """

    record: str
    content: str
    stamp: str
    quality: tuple[str, ...] | None = None
    notes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (len(self.content), len(self.stamp)) != (64, 32):
            raise ValueError(f"{self.record}: content and stamp are 64 and 32 hex digits: {self.content}, {self.stamp}")


def file_stamp(at: str | Place) -> str | None:
    """32 hex digits over place, size and modification time of the files that make up a recording; nothing is read.

    Equal stamps mean unchanged files. Another stamp only means that they must be read again: what an embedding
    belongs to is the recording's content. The place is part of it because names, sizes and times may agree
    between two folders whose archives were unpacked with one time for all files. By URL, it is the server's tag
    or time of the file, or of the record's header and its signal files of the usual names.

    Args:
        at: as a manifest gives it: a file, or a WFDB record without its extension; a path or a URL.

    Returns:
        The stamp, or None when a file is not there.
    """
    at = files.place(at)
    where = at.resolve() if isinstance(at, Path) else at
    try:
        facts = [files.fact(file) for file in stored_files(where)] if isinstance(where, Path) else _facts(where)
    except OSError:
        return None
    text = "|".join([str(READING), str(where), *facts])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def file_stamps(wanted: Iterable[Place | None]) -> Generator[str]:
    """The stamp of each recording; empty for one whose files are not there. Servers are asked for many at a time."""

    def one(at: Place | None) -> str:
        return "" if at is None else file_stamp(at) or ""

    waiting = iter(wanted)
    with ThreadPoolExecutor(ASKED) as pool:
        while some := list(islice(waiting, PORTION)):
            yield from (pool.map if any(isinstance(at, str) for at in some) else map)(one, some)


def _facts(url: str) -> list[str]:
    """As `stored_files`, but the header is not opened: one request less for each recording of an archive."""
    facts = []
    for file in usual_files(url):
        with suppress(FileNotFoundError):
            facts.append(files.fact(file))
        if facts and not files.name_of(url).endswith(ENDINGS) and file == url:
            break
    if not facts:
        raise FileNotFoundError(url)
    return facts
