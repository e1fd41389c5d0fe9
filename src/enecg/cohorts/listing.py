"""The recordings of an archive: of files, folders, patterns and manifests, by path or URL."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from enecg import files
from enecg.cohorts.layouts import layout_of
from enecg.errors import InputError
from enecg.files import Place
from enecg.readers import record_files
from enecg.readers.registry import HEAD_BYTES, endings, holds_recording

# Files without an ending or with a number for one (as archives name them by DICOM's identifiers) are known by content.
_NO_ENDING: Final = re.compile(r"(\.\d*|\.(dicom|ima))?", re.IGNORECASE)
_INDEX: Final = "DICOMDIR"  # the table of contents of a DICOM folder
_TABLES: Final = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".json")
_HEADING: Final = re.compile(rb"(^|[,;\t])\s*\"?record\"?\s*([,;\t]|$)")  # of a manifest, not of a recording


@dataclass(frozen=True)
class Item:
    """One recording: the name that it goes by, and where it lies, or why it lies nowhere."""

    record: str
    at: Place | None
    reason: str = ""


@dataclass
class Listing:
    """What there is.

    Attributes:
        items: the recordings, in the order asked for; those of a folder by name.
        left: endings (or names without one) of files in folders that were not taken for recordings, and how many
            there are of each.
    """

    items: list[Item] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


def listed(wanted: Iterable[str | Place]) -> Listing:
    """The recordings of an archive.

    Args:
        wanted: a file; a folder, with its folders, of which the files with an ending of a format are taken, and those
            without an ending whose content is a recording; a pattern such as `a/**/*.dcm`; a manifest; the folder of a
            known data set. What is none of these is taken for a file; what is wrong with it is said when it is read.

    Raises:
        InputError: a manifest that cannot be read; a pattern or folder without a recording.
    """
    found = Listing()
    for each in map(files.place, wanted):
        if _is_manifest(each):
            found.items += _of_manifest(each)
        elif files.is_folder(each):
            before = len(found.items)
            found.items += (Item(str(at), at) for at in _without_segments(_recordings(files.walk(each), found.left)))
            _check(each, len(found.items) - before)
        elif re.search(r"[*?[]", str(each)) and not files.is_file(each):
            matched = files.matching(each)
            found.items += (Item(str(at), at) for at in matched)
            _check(each, len(matched))
        else:
            found.items.append(Item(str(each), each))
    return found


def _check(at: Place, count: int) -> None:
    if not count:
        known = ", ".join(endings())
        raise InputError(f"{at}: no recording is there; a folder's are files with {known}, or DICOM without an ending")


def _recordings(found: Iterable[Place], left: Counter[str]) -> Iterator[Place]:
    for at in found:
        ending = _ending(at)
        if _is_recording(at, ending):
            yield at
        elif ending not in record_files.ENDINGS:
            left[ending] += 1


def _without_segments(recordings: Iterable[Place]) -> list[Place]:
    """The recordings without the segments of others, which are read as parts of those. By URL none is opened to see."""
    found = list(recordings)
    headers = [at for at in found if isinstance(at, Path) and at.suffix == ".hea"]
    parts = {str(part) for header in headers for part in record_files.segments(header)}
    return [at for at in found if str(at) not in parts]


def _is_recording(at: Place, ending: str) -> bool:
    """By its ending, or by its content where it has none."""
    if ending in endings():
        return not (ending == ".csv" and _is_manifest(at))
    if not _NO_ENDING.fullmatch(ending) or files.name_of(at) == _INDEX:
        return False
    with files.reading(at) as file:
        return holds_recording(file.read(HEAD_BYTES))


def _ending(at: Place) -> str:
    name = files.name_of(at)
    return name[name.rfind(".") :].lower() if "." in name else ""


def _is_manifest(at: Place) -> bool:
    """A table of recordings, or the folder of a known data set. A table of samples has no column `record`."""
    if isinstance(at, Path) and at.is_dir():
        return layout_of(at) is not None
    ending = _ending(at)
    if ending not in _TABLES or not files.is_file(at):
        return False
    if ending in (".parquet", ".jsonl", ".json"):
        return True
    with files.reading(at) as file:
        return _HEADING.search(file.readline(1 << 16).removeprefix(b"\xef\xbb\xbf").strip()) is not None


def _of_manifest(at: Place) -> Iterator[Item]:
    from enecg.cohorts.manifest import Cohort

    cohort = Cohort.load(at)
    for row, record in enumerate(cohort.records):
        try:
            yield Item(record, cohort.path(row))
        except InputError as error:
            yield Item(record, None, str(error))
