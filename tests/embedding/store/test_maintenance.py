from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_experts import Summary
from test_store import LEADS, Row, content, files, fill, row

from commands import done, refused, run
from enecg.embedding.store import shard as shards
from enecg.embedding.store.index import Index
from enecg.embedding.store.maintenance import prune, verify
from enecg.embedding.store.shard import Origin, Shard
from enecg.embedding.store.store import Store
from enecg.experts import registry


class Newer(Summary):
    version = "2"


SMALL = Summary("small", LEADS)
KNOWN = {"small": SMALL.fingerprints()}


def everything(store: Store) -> dict[str, bytes]:
    return {str(path.relative_to(store.path)): path.read_bytes() for path in sorted(store.path.rglob("*.*"))}


def test_a_sound_store_is_sound(tmp_path: Path) -> None:
    store = Store(tmp_path, shard_rows=2)
    fill(store, SMALL, *(row(f"r{i}", i) for i in range(5)))
    found = verify(store)
    assert (found.shards, found.rows, found.problems) == (3, 5, [])
    assert found.bytes == sum(path.stat().st_size for path in files(store))


def spoil(kind: str, path: Path) -> None:
    raw = path.read_bytes()
    if kind == "cut":
        path.write_bytes(raw[:-9])
    elif kind == "flipped":
        path.write_bytes(raw.replace(np.float32(2.5).tobytes(), np.float32(2.75).tobytes()))
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.rename(path.with_name(f"shard-{'0' * 24}.parquet"))


@pytest.mark.parametrize("kind", ["cut", "flipped", "empty", "renamed"])
def test_a_damaged_shard_is_found_and_set_aside(tmp_path: Path, kind: str) -> None:
    store = Store(tmp_path, shard_rows=1)
    fill(store, SMALL, row("a", 1, [1.5, 2.5, 3.5]), row("b", 2))
    (path,) = (file for file in files(store) if np.float32(2.5).tobytes() in file.read_bytes())
    spoil(kind, path)
    found = verify(store)
    (problem,) = found.problems
    assert problem.set_aside and "\n" not in problem.what
    assert (found.shards, found.rows) == (1, 1)
    assert verify(store).problems == []
    assert store.missing(SMALL, ["a", "b"]).tolist() == [0]
    assert [each.why for each in prune(store, KNOWN).removed] == ["damaged"]
    assert len(everything(store)) == 1


def test_infinite_numbers_are_told_and_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, SMALL, row("a", 1, [np.inf, 0, np.nan]), row("b", 2))
    (problem,) = verify(store).problems
    assert (problem.what, problem.set_aside) == ("1 rows have infinite numbers", False)
    assert len(files(store)) == 1


def test_a_shard_in_another_experts_folder_is_damaged(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Summary("other", LEADS)
    fill(store, SMALL, row("a", 1))
    folder = tmp_path / f"other-{other.fingerprint[:12]}"
    folder.mkdir()
    (folder / files(store)[0].name).write_bytes(files(store)[0].read_bytes())
    (problem,) = verify(store).problems
    assert problem.what == "it lies in another expert's folder"


def test_pruning_removes_what_is_not_needed_and_nothing_else(tmp_path: Path) -> None:
    store, newer, other, kept = Store(tmp_path), Newer("small", LEADS), Summary("other", LEADS), Summary("kept", LEADS)
    for expert in (SMALL, newer, other, kept):
        fill(store, expert, row("a", 1))
    (tmp_path / "models-0123456789ab").mkdir()
    foreign = [tmp_path / "models-0123456789ab" / "shard-00001.parquet", tmp_path / "notes.txt"]
    for path in foreign:
        path.write_bytes(b"not ours")
    stale, fresh = (files(store)[0].with_name(f"shard-{'0' * 24}.parquet.tmp-{pid}-0") for pid in (1, 2))
    for path in (stale, fresh):
        path.write_bytes(b"PAR1")
    os.utime(stale, (0, 0))
    known = {"small": newer.fingerprints(), "kept": None}
    before = everything(store)
    planned = prune(store, known, dry_run=True)
    assert everything(store) == before
    assert prune(store, known) == planned
    whys = sorted(each.why for each in planned.removed)
    assert whys == [
        "left by a writer that was killed", "no expert other is known here",
        f"of another version of small: {SMALL.fingerprint[:12]}",
    ]  # fmt: skip
    assert planned.kept == ["kept"]
    assert planned.bytes == sum(map(len, before.values())) - sum(map(len, everything(store).values()))
    assert [shelf.origin for shelf in store.info()] == [Origin.of(kept), Origin.of(newer)]
    assert fresh.exists() and all(path.read_bytes() == b"not ours" for path in foreign)
    assert not store.folder(Origin.of(other)).exists()


def test_of_several_rows_of_a_recording_the_last_one_stays(tmp_path: Path) -> None:
    store = Store(tmp_path, shard_rows=4)
    fill(store, SMALL, *(row(f"r{i}", i) for i in range(8)))
    fill(store, SMALL, row("r1", 11), row("r9", 9))
    planned = prune(store, KNOWN, dry_run=True)
    assert (planned.superseded, planned.joined, planned.into) == (1, 1, 1)
    assert prune(store, KNOWN) == planned
    matrix, _ = store.load(SMALL, [f"r{i}" for i in range(10)])
    assert matrix[:, 0].tolist() == [0, 11, 2, 3, 4, 5, 6, 7, 9]
    assert store.index(SMALL).find("content", [content(1)]).tolist() == [-1]
    fill(store, SMALL, row("r1", 12))
    assert store.load(SMALL, ["r1"])[0][0, 0] == 12
    assert prune(store, KNOWN).removed != []
    assert prune(store, KNOWN).removed == []


def test_small_shards_are_joined_to_full_ones(tmp_path: Path) -> None:
    store = Store(tmp_path, shard_rows=4)
    for i in range(9):
        fill(store, SMALL, row(f"r{i}", i))
    assert len(files(store)) == 9
    found = prune(store, KNOWN)
    assert (found.superseded, found.joined, found.into, len(files(store))) == (0, 9, 3, 3)
    matrix, rows = store.load(SMALL, [f"r{i}" for i in range(9)])
    assert matrix[:, 0].tolist() == rows.tolist() == list(range(9))
    assert prune(store, KNOWN).removed == []


writes = st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=6), max_size=8)


@settings(max_examples=40, deadline=None)
@given(history=writes, size=st.integers(1, 4))
def test_pruning_never_changes_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[tuple[int, int]]], size: int
) -> None:
    store, ids = Store(tmp_path_factory.mktemp("store"), shard_rows=size), [f"r{i}" for i in range(6)]
    for one in history:
        fill(store, SMALL, *(row(f"r{i}", 10 * i + version) for i, version in dict(one).items()))
    before, rows = store.load(SMALL, ids)
    first = prune(store, KNOWN)
    after, same = store.load(SMALL, ids)
    assert same.tolist() == rows.tolist() and after.tobytes() == before.tobytes()
    assert sum(shelf.rows for shelf in store.info()) == len(rows)
    assert (first.superseded == 0) or first.removed
    assert prune(store, KNOWN).removed == []
    assert verify(store).problems == []


def test_whoever_reads_while_the_store_is_pruned_finds_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, shard_rows=4)
    for i in range(9):
        fill(store, SMALL, row(f"r{i}", i))
    original: Callable[[Shard, Origin], np.ndarray] = shards.read_embeddings
    pruned: list[object] = []

    def meanwhile(shard: Shard, origin: Origin) -> np.ndarray:
        if not pruned:
            pruned.append(None)
            pruned.append(prune(store, KNOWN))
        return original(shard, origin)

    monkeypatch.setattr(shards, "read_embeddings", meanwhile)
    matrix, rows = store.load(SMALL, [f"r{i}" for i in range(9)])
    assert len(pruned) == 2
    assert matrix[:, 0].tolist() == rows.tolist() == list(range(9))


def test_a_kill_while_pruning_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [row(f"r{i}", i) for i in range(9)]
    original = os.fsync
    for step in range(4):  # of three shards that are written
        store, count = Store(tmp_path / str(step), shard_rows=4), [0]
        for one in rows:
            fill(store, SMALL, one)

        def dying(number: int, count: list[int] = count, step: int = step) -> None:
            count[0] += 1
            if count[0] > step:
                raise KeyboardInterrupt
            original(number)

        monkeypatch.setattr(os, "fsync", dying)
        if step < 3:
            with pytest.raises(KeyboardInterrupt):
                prune(store, KNOWN)
        else:
            prune(store, KNOWN)
        monkeypatch.setattr(os, "fsync", original)
        matrix, found = store.load(SMALL, [f"r{i}" for i in range(9)])
        assert matrix[:, 0].tolist() == found.tolist() == list(range(9))
        prune(store, KNOWN)
        assert isinstance(store.index(SMALL), Index) and len(store.index(SMALL)) == 9


# The commands


@pytest.fixture
def stored(tmp_path: Path) -> Store:
    """Rows of a known expert, of another version of it, and of one that nobody knows."""
    store, beat = Store(tmp_path / "store"), registry.create("beat")
    for name, expert in (("a", beat), ("b", SMALL)):
        with store.writer(expert) as writer:
            writer.add(0, row(name, 1)[0], np.zeros(expert.card.dim, np.float32))
    return store


def test_info_verify_and_prune_as_commands(stored: Store) -> None:
    told = json.loads(done("store", "info", stored.path, "--json").out)
    assert [(each["expert"], each["rows"], each["shards"]) for each in told["experts"]] == [
        ("beat", 1, 1), ("small", 1, 1),
    ]  # fmt: skip
    assert told["experts"][1]["fingerprint"] == SMALL.fingerprint
    assert "beat" in done("store", "info", stored.path).out
    assert "0 problems" in done("store", "verify", stored.path).out

    before = everything(stored)
    told = json.loads(done("store", "prune", stored.path, "--dry-run", "--json").out)
    assert everything(stored) == before
    assert [each["why"] for each in told["removed"]] == ["no expert small is known here"]
    assert "1 files" in done("store", "prune", stored.path).out
    assert [shelf.origin.expert for shelf in stored.info()] == ["beat"]


def test_verify_exits_with_1_when_a_shard_is_damaged(stored: Store) -> None:
    path = files(stored)[0]
    path.write_bytes(path.read_bytes()[:-1])
    outcome = run("store", "verify", stored.path, "--json")
    told = json.loads(outcome.out)
    assert outcome.code == 1
    assert [(each["path"], each["set_aside"]) for each in told["problems"]] == [(str(path), True)]
    assert (told["shards"], told["rows"]) == (1, 1)
    assert run("store", "verify", stored.path).code == 0


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test_a_store_that_is_not_there(command: str, tmp_path: Path) -> None:
    assert "no such store" in refused("store", command, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
