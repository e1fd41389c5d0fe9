"""Looking after an embedding store: is every shard sound, and what in it does nobody need any more?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from enecg import files
from enecg.embedding.store import shard as shards
from enecg.embedding.store.index import Index
from enecg.embedding.store.shard import Damaged, Origin, Shard, Vanished
from enecg.embedding.store.source import Source
from enecg.embedding.store.store import Store
from enecg.errors import InputError
from enecg.files import Place

_OURS: Final = re.compile(r".+-[0-9a-f]{12}/shard-[0-9a-f]{24}\.parquet(\.damaged|\.tmp-.*)?")
SMALL: Final = 0.5  # of a full shard: two smaller ones of an expert are joined


def check(store: Store) -> Store:
    """The store itself; `InputError` when there is no such folder."""
    if isinstance(store.path, Path) and not store.path.is_dir():
        raise InputError(f"{store.path}: no such store; name the folder that enecg embed --store was given")
    return store


def _files(store: Store, ending: str = "") -> list[Place]:
    """The store's own files; whatever else lies in its folder is none of our business."""
    found = files.files(store.path, f"*/shard-*{ending}")
    return [path for path in found if _OURS.fullmatch(f"{files.name_of(files.parent_of(path))}/{files.name_of(path)}")]


@dataclass(frozen=True)
class ShardProblem:
    """A shard that cannot be trusted.

    Attributes:
        path: of the file.
        what: in one line.
        set_aside: it was renamed, and its recordings count as missing.
    """

    path: Place
    what: str
    set_aside: bool


@dataclass
class Verified:
    """What `verify` looked at and found."""

    shards: int = 0
    rows: int = 0
    bytes: int = 0
    problems: list[ShardProblem] = field(default_factory=list)


def verify(store: Store) -> Verified:
    """Read every byte of every shard: checksums, columns, rows against the file's name, and whether numbers are finite.

    A damaged shard is set aside, so that its recordings are embedded again. NaN is sound: it marks what is not known;
    an infinite number is an expert's fault and is only told.
    """
    found = Verified()
    check(store)
    for path in _files(store, ".parquet"):
        try:
            origin, _ = shards.read_origin(path)
            shard = shards.read_keys(path, origin)
            if store.folder(origin) != files.parent_of(path):
                raise Damaged("it lies in another expert's folder")
            matrix = shards.read_embeddings(shard, origin)
            found.bytes += files.size(path)
        except (Vanished, FileNotFoundError):
            continue  # its rows are in another shard now
        except Damaged as why:
            shards.set_aside(path, why)
            found.problems.append(ShardProblem(path, str(why), set_aside=not files.is_file(path)))
            continue
        found.shards += 1
        found.rows += len(matrix)
        if wrong := int(np.isinf(matrix).any(1).sum()):
            found.problems.append(ShardProblem(path, f"{wrong} rows have infinite numbers", set_aside=False))
    return found


@dataclass(frozen=True)
class Removal:
    """A file that is removed, and why."""

    path: Place
    bytes: int
    why: str


@dataclass
class Pruned:
    """What `prune` did, or would do.

    Attributes:
        removed: files that nobody needs.
        superseded: rows for whose record id the store has a later one.
        joined: shards that were written anew without such rows, or joined, in `into` shards.
        into: how many came of them.
        kept: experts of whom it cannot be told here which version is needed.
    """

    removed: list[Removal] = field(default_factory=list)
    superseded: int = 0
    joined: int = 0
    into: int = 0
    kept: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of the files removed; what was written anew is not counted."""
        return sum(each.bytes for each in self.removed)


def prune(store: Store, known: Mapping[str, Collection[str] | None], *, dry_run: bool = False) -> Pruned:
    """Remove what nobody needs: other experts' and versions' shards, damaged files, and rows with a later one.

    Of several rows of one record id the one stored last stays. Small shards are joined. A run that is killed meanwhile
    leaves rows twice, which does no harm; a run that reads or writes meanwhile is safe.

    Args:
        store: to be pruned.
        known: name of an expert -> its fingerprints, one for each precision, or None where they cannot be had here;
            what is stored of such an expert is kept. An expert that is not in it is needed no more.
        dry_run: only say what would be done.
    """
    done = Pruned()
    needed: dict[Origin, list[Shard]] = {}
    kept: dict[str, None] = {}
    for path in _files(store):
        name = files.name_of(path)
        if name.endswith(".damaged"):
            _remove(path, "damaged", done, dry_run)
        elif ".tmp-" in name:
            if path in shards.leftovers(files.parent_of(path)):
                _remove(path, "left by a writer that was killed", done, dry_run)
        elif name.endswith(".parquet"):
            try:
                origin, _ = shards.read_origin(path)
                why = _needless(origin, known)
                if why:
                    _remove(path, why, done, dry_run)
                    continue
                if known[origin.expert] is None:
                    kept[origin.expert] = None
                needed.setdefault(origin, []).append(shards.read_keys(path, origin))
            except Vanished:
                continue
            except Damaged as damage:
                _remove(path, f"damaged: {damage}", done, dry_run)
    for origin, found in needed.items():
        _compact(store, Index(origin, found), done, dry_run)
    if not dry_run and isinstance(store.path, Path):
        for folder in {Path(each.path).parent for each in done.removed}:
            with suppress(OSError):  # not empty
                folder.rmdir()
    done.kept = list(kept)
    return done


def _needless(origin: Origin, known: Mapping[str, Collection[str] | None]) -> str:
    """Why an expert's embeddings are needed no more; empty when they are."""
    if origin.expert not in known:
        return f"no expert {origin.expert} is known here"
    current = known[origin.expert]
    if current is not None and origin.fingerprint not in current:
        return f"of another version of {origin.expert}: {origin.fingerprint[:12]}"
    return ""


def _remove(path: Place, why: str, done: Pruned, dry_run: bool) -> None:
    with suppress(FileNotFoundError):
        done.removed.append(Removal(path, files.size(path), why))
        if not dry_run:
            files.remove(path)


def _compact(store: Store, index: Index, done: Pruned, dry_run: bool) -> None:
    """Write shards anew without rows that have a later one, and join small shards of one generation.

    The new shards come first and the generations in their order: at any moment each record id has its last row.
    """
    last = np.zeros(len(index), bool)
    last[index.find("record", sorted({record for shard in index.shards for record in shard.record}))] = True
    ends = np.cumsum([len(shard.record) for shard in index.shards])
    parts = list(zip(index.shards, np.split(last, ends[:-1]), strict=True))
    for generation in sorted({shard.generation for shard in index.shards}):
        mine = [(shard, live) for shard, live in parts if shard.generation == generation]
        few = {shard.path for shard, live in mine if live.sum() < SMALL * store.shard_rows}
        old = [(shard, live) for shard, live in mine if not live.all() or (len(few) > 1 and shard.path in few)]
        if not old:
            continue
        done.superseded += sum(int((~live).sum()) for _, live in old)
        done.joined += len(old)
        rows = sum(int(live.sum()) for _, live in old)
        done.into += -(-rows // store.shard_rows)
        new = set() if dry_run else _rewrite(store, index.origin, old, generation)
        for shard, _ in old:
            if shard.path not in new:
                _remove(shard.path, "its rows that are needed are in another shard", done, dry_run)


def _rewrite(store: Store, origin: Origin, old: Sequence[tuple[Shard, np.ndarray]], generation: int) -> set[Place]:
    """Write the live rows of some shards to full ones, and return these."""
    written: set[Place] = set()
    sources: list[Source] = []
    rows: list[np.ndarray] = []

    def write() -> None:
        written.add(shards.write(store.folder(origin), origin, sources, np.stack(rows), generation))
        sources.clear()
        rows.clear()

    for shard, live in old:
        for source, row in _rows(shard, live, origin):
            sources.append(source)
            rows.append(row)
            if len(rows) == store.shard_rows:
                write()
    if rows:
        write()
    return written


def _rows(shard: Shard, live: np.ndarray, origin: Origin) -> Iterator[tuple[Source, np.ndarray]]:
    try:
        matrix = shards.read_embeddings(shard, origin)
    except Damaged as why:
        shards.set_aside(shard.path, why)
        return
    quality = shards.read_quality(shard, origin)
    for row in np.flatnonzero(live):
        codes, notes = quality[row] or (None, None)
        source = Source(shard.record[row], shard.content[row].decode(), shard.stamp[row].decode(), codes, notes)
        yield source, matrix[row]
