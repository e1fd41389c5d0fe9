"""Predictions of a whole archive, written to Parquet as they are made: in constant memory, on one machine or many.

The recordings are answered in portions. To a file, portions are written in order, each as a row group. To a folder,
each is a file of its own, named by what is in it: an interrupted run goes on where it was. Every recording has a row;
where it could not be read or interpreted, the row says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from enecg import NOTICE, files
from enecg.cohorts.listing import Item
from enecg.embedding.cluster import answers, cluster
from enecg.embedding.progress import bar
from enecg.embedding.store import source
from enecg.ensemble.outputs import Answering
from enecg.ensemble.predictions import answered, row, rows, schema, table
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.files import Place

PORTION: Final = 256  # recordings: what a kill loses, and what a processor of a cluster is given at a time
SHOWN: Final = 10  # reasons that are kept; all are in the rows
_BUNDLE: Final = b"enecg.bundle"


@dataclass(frozen=True)
class ArchivePortion:
    """Neighbouring recordings of an archive; `number` counts the portions."""

    number: int
    items: Sequence[Item]


@dataclass
class AnsweredPortion:
    """The result of a portion.

    Attributes:
        number: of the portion.
        n: recordings.
        usable: those that were answered.
        failed: record and reason of some of the others.
        rows: one for each recording.
    """

    number: int
    n: int
    usable: int
    failed: list[tuple[str, str]]
    rows: Any


@dataclass
class ArchiveSummary:
    """The result of an archive.

    Attributes:
        n: recordings.
        usable: those that were answered.
        reused: those whose rows were there from an earlier run.
        failed: record and reason of the first of the others; all are in the rows.
    """

    n: int = 0
    usable: int = 0
    reused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def n_failed(self) -> int:
        """Number of recordings without an answer."""
        return self.n - self.usable

    def take(self, answered: AnsweredPortion) -> None:
        """Count a portion."""
        self.n += answered.n
        self.usable += answered.usable
        self.failed += answered.failed[: SHOWN - len(self.failed)]

    def counted(self, found: Iterable[AnsweredPortion]) -> Iterator[None]:
        """Count portions, and yield once for each of their recordings."""
        for each in found:
            self.take(each)
            yield from [None] * each.n


@dataclass(frozen=True)
class _Failures:
    """The number of recordings without an answer so far, as the length that a progress bar shows."""

    summary: ArchiveSummary

    def __len__(self) -> int:
        return self.summary.n_failed


@dataclass(frozen=True)
class ArchiveWork:
    """What answers an archive, and how.

    Attributes:
        ensemble: fitted.
        bundle: its hash.
        experts: those that it names.
        columns: of the rows.
        rate: Hz, for files that do not state it.
        unit: of the amplitude, for files that do not state it.
        ignore_checksums: read WFDB samples that do not fit the checksums of their header, with a note.
        every: seconds of a period, each of which has a row; None for one row a recording.
    """

    ensemble: Answering
    bundle: str | None
    experts: Sequence[Expert]
    columns: pa.Schema
    rate: float | None
    unit: str | None
    ignore_checksums: bool
    every: float | None = None


class ArchiveWorker:
    """A worker that answers portions, in this process or on a node of a cluster."""

    def __init__(self, work: ArchiveWork) -> None:
        self._work = work

    def __call__(self, portion: ArchivePortion) -> AnsweredPortion:
        """Read the portion's recordings and answer them."""
        work = self._work
        options: dict[str, Any] = {"rate": work.rate, "unit": work.unit, "ignore_checksums": work.ignore_checksums}
        found: list[dict[str, Any]] = []
        failed: list[tuple[str, str]] = []
        for entry in answered(work.ensemble, work.experts, portion.items, every=work.every, **options):
            found += rows(entry, work.bundle)
            if not entry.get("usable"):
                failed.append((entry["record"], row(entry, work.bundle)["quality"]))
        n = len(portion.items)
        return AnsweredPortion(portion.number, n, n - len(failed), failed[:SHOWN], table(found, work.columns))


def predict_archive(
    ensemble: Answering,
    bundle: str | None,
    experts: Sequence[Expert],
    items: Sequence[Item],
    out: Place,
    *,
    rate: float | None = None,
    unit: str | None = None,
    ignore_checksums: bool = False,
    every: float | None = None,
    engine: str = "local",
    address: str | None = None,
    progress: bool = False,
) -> ArchiveSummary:
    """Answer all tasks for an archive's recordings, and write the rows to Parquet.

    Args:
        ensemble: fitted.
        bundle: its hash.
        experts: those that it names.
        items: the recordings.
        out: a file `….parquet`, which appears when it is complete; or a folder, to which each portion is written as
            soon as it is done, and where those that are there already are not answered again.
        rate: Hz, for files that do not state it.
        unit: of the amplitude, for files that do not state it.
        ignore_checksums: read WFDB samples that do not fit the checksums of their header, with a note.
        every: seconds of a period, each of which has a row.
        engine: `local`, or `ray`; the bytes are the same.
        address: of a Ray cluster; by default one on this machine.
        progress: show a bar on standard error.

    Raises:
        InputError: the place cannot be written, or holds predictions of another bundle.
    """
    facts = {_BUNDLE: (bundle or "").encode(), b"enecg.notice": NOTICE.encode()}
    columns = schema(ensemble, every).with_metadata(facts)
    work = ArchiveWork(ensemble, bundle, experts, columns, rate, unit, ignore_checksums, every)
    portions = [ArchivePortion(i, items[i * PORTION : (i + 1) * PORTION]) for i in range(-(-len(items) // PORTION))]
    summary = ArchiveSummary()
    with ExitStack() as stack:
        if engine == "ray":
            stack.enter_context(cluster(address))
        folder = None
        if (isinstance(out, Path) and out.is_dir()) or not files.name_of(out).endswith(".parquet"):
            folder = _Folder(out, work, portions)
            portions = [each for each in portions if not folder.holds(each, summary)]
        found = answers(ArchiveWorker, (work,), portions) if engine == "ray" else map(ArchiveWorker(work), portions)
        written = stack.enter_context(closing(folder.write(found) if folder else _write(out, columns, found)))
        total = sum(len(portion.items) for portion in portions)
        shown = bar(summary.counted(written), total, _Failures(summary), progress and total > 0, "Predicting")
        for _ in stack.enter_context(closing(shown)):
            pass
        if folder:
            folder.clean()
    return summary


def _write(out: Place, columns: pa.Schema, found: Iterable[AnsweredPortion]) -> Generator[AnsweredPortion]:
    """Write portions to one file in their order, and pass them on as they come."""
    early: dict[int, AnsweredPortion] = {}
    number = 0
    try:
        with files.writing(out) as file, pq.ParquetWriter(file, columns) as writer:
            for each in found:
                early[each.number] = each
                while number in early:
                    writer.write_table(early.pop(number).rows)
                    number += 1
                yield each
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error


class _Folder:
    """A folder with a file for each portion, named by what it is made of."""

    def __init__(self, out: Place, work: ArchiveWork, portions: Sequence[ArchivePortion]) -> None:
        self._out, self._columns, self._lasting = out, work.columns, work.bundle is not None
        self._names = {portion.number: _name(work, portion) for portion in portions}
        self._old: dict[str, int] = {}  # name -> recordings that were answered
        for path in files.files(out, "part-*.parquet"):
            try:
                with files.reading(path) as file:
                    usable = pq.read_table(file, columns=["usable"])
            except (OSError, pa.ArrowException):
                continue  # not ours, or damaged; one that is damaged is written anew
            facts = usable.schema.metadata or {}
            if facts.get(_BUNDLE) != work.columns.metadata[_BUNDLE]:
                raise InputError(f"{out}: holds predictions of another bundle; choose another folder")
            self._old[files.name_of(path)] = int(usable["usable"].to_numpy().sum())

    def holds(self, portion: ArchivePortion, summary: ArchiveSummary) -> bool:
        """Return whether the portion was written in an earlier run, and count it if so."""
        name, n = self._names[portion.number], len(portion.items)
        if not self._lasting or name not in self._old:
            return False
        summary.take(AnsweredPortion(portion.number, n, self._old[name], [], None))
        summary.reused += n
        return True

    def write(self, found: Iterable[AnsweredPortion]) -> Generator[AnsweredPortion]:
        """Write portions as they come, and pass them on."""
        for each in found:
            path = files.join(self._out, self._names[each.number])
            try:
                with files.writing(path) as file:
                    pq.write_table(each.rows, file)
            except OSError as error:
                raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
            yield each

    def clean(self) -> None:
        """Remove the rows that the same bundle wrote when the archive held other recordings."""
        for name in self._old.keys() - self._names.values():
            files.remove(files.join(self._out, name))


def _name(work: ArchiveWork, portion: ArchivePortion) -> str:
    """Return the name of a portion's file; it changes with the recordings, the bundle and the options."""
    stamps = list(source.file_stamps(item.at for item in portion.items))
    items = [[item.record, item.reason, stamp] for item, stamp in zip(portion.items, stamps, strict=True)]
    text = json.dumps([work.bundle, work.rate, work.unit, work.ignore_checksums, work.every, items])
    return f"part-{portion.number:06d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"
