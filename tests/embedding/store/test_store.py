from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_experts import Summary, write_cohort

from enecg import __version__
from enecg.embedding.store import shard as shards
from enecg.embedding.store.maintenance import verify
from enecg.embedding.store.shard import Damaged, Origin, Shard
from enecg.embedding.store.source import Source
from enecg.embedding.store.store import Store
from enecg.errors import InputError
from enecg.experts.inputs import InputSpec

LEADS = InputSpec(leads=("I",))  # 3 numbers


@pytest.fixture
def small() -> Summary:
    return Summary("small", LEADS)


def content(number: int) -> str:
    return f"{number:064x}"


Row = tuple[Source, np.ndarray]


def row(record: str, number: int, values: object = None, stamp: int | None = None) -> Row:
    source = Source(record, content(number), f"{number if stamp is None else stamp:032x}")
    return source, np.array([number, np.nan, -number] if values is None else values, np.float32)


def fill(store: Store, expert: Summary, *rows: Row) -> None:
    with store.writer(expert) as writer:
        for number, one in enumerate(rows):
            writer.add(number, *one)


def files(store: Store) -> list[Path]:
    return sorted(store.path.glob("*/shard-*.parquet"))


def test_an_empty_store_is_not_made_and_misses_all(tmp_path: Path, small: Summary) -> None:
    store = Store(tmp_path / "store")
    matrix, rows = store.load(small, ["a", "b"])
    assert matrix.shape == (0, 3) and matrix.dtype == np.float32 and rows.tolist() == []
    assert store.missing(small, ["a", "b"]).tolist() == [0, 1]
    assert store.info() == []
    fill(store, small)
    assert not store.path.exists()


def test_load_gives_the_rows_in_the_order_asked_for(tmp_path: Path, small: Summary) -> None:
    store = Store(tmp_path, shard_rows=2)
    fill(store, small, *(row(f"r{i}", i) for i in range(5)))
    assert len(files(store)) == 3
    matrix, rows = store.load(small, ["r4", "none", "r0", "r4", "r3"])
    assert rows.tolist() == [0, 2, 3, 4]
    np.testing.assert_array_equal(matrix[:, 0], [4, 0, 4, 3])
    assert np.isnan(matrix[:, 1]).all()
    assert store.missing(small, ["r4", "none", "r0"]).tolist() == [1]


def test_loading_reads_each_shard_once_and_only_those_it_needs(
    tmp_path: Path, small: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read, original = Store(tmp_path, shard_rows=2), [], shards.read_embeddings

    def counted(shard: Shard, origin: Origin) -> np.ndarray:
        read.append(shard.path)
        return original(shard, origin)

    monkeypatch.setattr(shards, "read_embeddings", counted)
    fill(store, small, *(row(f"r{i}", i) for i in range(10)))
    matrix, _ = store.load(small, ["r9", "r0", "r3", "r8", "r1", "r2"])
    assert matrix[:, 0].tolist() == [9, 0, 3, 8, 1, 2]
    assert len(read) == len(set(read)) == 3


def test_any_reader_of_parquet_understands_a_shard(tmp_path: Path, small: Summary) -> None:
    store = Store(tmp_path)
    fill(store, small, row("a/1", 1), row("b 2", 2))
    (path,) = files(store)
    assert path.parent.name == f"small-{small.fingerprint[:12]}"
    frame = pd.read_parquet(path)
    assert frame["record"].tolist() == ["a/1", "b 2"]
    assert list(frame.columns) == ["record", "content", "stamp", "quality", "notes", "embedding"]
    np.testing.assert_array_equal(frame["embedding"][1], np.array([2, np.nan, -2], np.float32))
    schema = pq.read_schema(path)
    assert schema.field("embedding").type == pa.list_(pa.float32(), 3)
    facts = json.loads(schema.metadata[b"enecg"])
    assert facts == {
        "enecg": __version__,
        "expert": "small",
        "fingerprint": small.fingerprint,
        "dim": 3,
        "title": "Test expert small",
        "generation": 0,
    }
    column = pq.ParquetFile(path).metadata.row_group(0).column(3)
    assert column.compression == "UNCOMPRESSED" and not column.is_stats_set
    assert not column.has_dictionary_page


def test_experts_and_versions_are_kept_apart(tmp_path: Path, small: Summary) -> None:
    class Newer(Summary):
        version = "2"

    store = Store(tmp_path)
    newer, other = Newer("small", LEADS), Summary("other", LEADS)
    fill(store, small, row("a", 1))
    fill(store, other, row("a", 2), row("b", 3))
    assert store.missing(newer, ["a"]).tolist() == [0]
    assert store.load(other, ["a"])[0][0, 0] == 2
    summaries = store.info()
    assert [(shelf.origin, shelf.rows, shelf.shards) for shelf in summaries] == [
        (Origin.of(other), 2, 1),
        (Origin.of(small), 1, 1),
    ]
    assert summaries[1].origin.title == "Test expert small"
    assert sum(shelf.bytes for shelf in summaries) == sum(path.stat().st_size for path in files(store))


def test_the_content_stored_last_counts_and_order_of_reading_does_not(tmp_path: Path, small: Summary) -> None:
    for first, second in ((1, 2), (2, 1)):  # whichever name sorts first
        store = Store(tmp_path / str(first))
        fill(store, small, row("a", first), row("b", 7))
        fill(store, small, row("a", second), row("c", 8))
        fill(store, small, row("c", 8, stamp=80))
        matrix, _ = store.load(small, ["a", "b", "c"])
        assert matrix[:, 0].tolist() == [second, 7, 8]
        fill(store, small, row("a", first, stamp=99))
        assert store.load(small, ["a"])[0][0, 0] == first
        index = store.index(small)
        assert index.embeddings(index.find("content", [content(second)]))[0][0, 0] == second


def test_what_is_written_twice_is_there_once(tmp_path: Path, small: Summary) -> None:
    store = Store(tmp_path)
    rows = [row("a", 1), row("b", 2)]
    fill(store, small, *rows)
    before = [path.read_bytes() for path in files(store)]
    fill(store, small, *rows)
    assert [path.read_bytes() for path in files(store)] == before


def test_a_row_of_another_size_is_refused(tmp_path: Path, small: Summary) -> None:
    with pytest.raises(ValueError, match="small: float32 embeddings"):
        fill(Store(tmp_path), small, row("a", 1, [1.0, 2.0]))
    assert not list(tmp_path.glob("**/*.parquet*"))


@pytest.mark.parametrize(("content", "stamp"), [("", "1" * 32), ("1" * 64, ""), ("1" * 65, "1" * 32)])
def test_a_row_without_its_keys_cannot_be_made(content: str, stamp: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        Source("a", content, stamp)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a store is a folder"):
        Store(tmp_path / "file")


ids = st.lists(
    st.text(min_size=1) | st.sampled_from(["a/b c", "ü/ß", "心/電.図", " ", "..", "x\ty\n", "\0", "nan"]), unique=True
)


@settings(max_examples=60, deadline=None)
@given(ids=ids, size=st.integers(1, 4), data=st.data())
def test_ids_and_numbers_come_back_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], size: int, data: st.DataObject
) -> None:
    store, expert = Store(tmp_path_factory.mktemp("store"), shard_rows=size), Summary("small", LEADS)
    bits = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=3 * len(ids), max_size=3 * len(ids)))
    matrix = np.array(bits, np.uint32).view(np.float32).reshape(-1, 3)  # every NaN and infinity too
    fill(store, expert, *(row(name, i, matrix[i]) for i, name in enumerate(ids)))
    order = data.draw(st.permutations(range(len(ids))))
    got, rows = store.load(expert, [ids[i] for i in order])
    assert rows.tolist() == list(range(len(ids)))
    assert got.tobytes() == matrix[list(order)].tobytes()


def test_no_flipped_bit_gives_a_wrong_number(tmp_path: Path, small: Summary) -> None:
    store = Store(tmp_path)
    fill(store, small, *(row(f"a/{i}", i) for i in range(3)))
    (path,) = files(store)
    origin = Origin.of(small)
    whole, keys = path.read_bytes(), shards.read_keys(path, origin)
    matrix = shards.read_embeddings(keys, origin)
    harmless = 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        try:
            again = shards.read_keys(path, origin)
            numbers = shards.read_embeddings(again, origin)
        except Damaged as why:
            assert "\n" not in str(why)
            continue
        harmless += 1
        assert again.generation == keys.generation
        assert all((getattr(again, key) == getattr(keys, key)).all() for key in shards.KEYS)
        assert numbers.tobytes() == matrix.tobytes()
    assert harmless < len(whole)


@pytest.mark.parametrize("size", [0, 3, 4, 100, -1])
def test_a_truncated_shard_is_reported_once_and_counts_as_missing(
    tmp_path: Path, small: Summary, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, shard_rows=1)
    fill(store, small, row("a", 1), row("b", 2))
    path = files(store)[0]
    path.write_bytes(path.read_bytes()[:size])
    with caplog.at_level(logging.WARNING):
        assert len(store.missing(small, ["a", "b"])) == 1
        matrix, rows = store.load(small, ["a", "b"])
    assert len(matrix) == len(rows) == 1
    (line,) = (entry.getMessage() for entry in caplog.records)
    assert str(path) in line and "\n" not in line
    fill(store, small, row("a", 1), row("b", 2))
    assert store.load(small, ["a", "b"])[0][:, 0].tolist() == [1, 2]


def test_damage_inside_the_numbers_is_found_when_they_are_loaded(
    tmp_path: Path, small: Summary, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, shard_rows=1)
    fill(store, small, row("a", 1, [1.5, 2.5, 3.5]), row("b", 2))
    (path,) = (file for file in files(store) if np.float32(2.5).tobytes() in file.read_bytes())
    path.write_bytes(path.read_bytes().replace(np.float32(2.5).tobytes(), np.float32(2.75).tobytes()))
    assert store.missing(small, ["a", "b"]).tolist() == []
    matrix, rows = store.load(small, ["a", "b"])
    assert rows.tolist() == [1] and matrix[0, 0] == 2
    assert "damaged" in caplog.text
    assert store.missing(small, ["a", "b"]).tolist() == [0]


def test_a_foreign_file_in_the_folder_is_not_read(tmp_path: Path, small: Summary) -> None:
    store, other = Store(tmp_path), Summary("other", LEADS)
    fill(store, small, row("a", 1))
    (path,) = files(store)
    store.folder(Origin.of(other)).mkdir()
    (store.folder(Origin.of(other)) / path.name).write_bytes(path.read_bytes())
    assert store.missing(other, ["a"]).tolist() == [0]
    path.rename(path.with_name("shard-renamed.parquet"))
    assert store.missing(small, ["a"]).tolist() == [0]


def test_a_shard_that_may_not_be_read_is_the_users_to_mend(
    tmp_path: Path, small: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    fill(store, small, row("a", 1))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        store.load(small, ["a"])


def test_leftovers_of_a_kill_are_ignored_and_cleaned_when_no_writer_can_own_them(
    tmp_path: Path, small: Summary
) -> None:
    store = Store(tmp_path)
    fill(store, small, row("a", 1))
    fresh, stale = (store.folder(Origin.of(small)) / f"shard-0.parquet.tmp-{pid}-0" for pid in (1, 2))
    for path in (fresh, stale):
        path.write_bytes(b"PAR1")
    os.utime(stale, (0, 0))
    assert store.missing(small, ["a"]).tolist() == []
    fill(store, small, row("b", 2))
    assert fresh.exists() and not stale.exists()


WRITER = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/store']
from test_store import LEADS, Store, Summary, fill, row
rows = [row(f"r{i}", i) for i in range(int(sys.argv[3]), 40)]
for _ in range(5):
    fill(Store(sys.argv[2], shard_rows=3), Summary("small", LEADS), *rows)
"""


def test_two_processes_may_write_one_store(tmp_path: Path, small: Summary) -> None:
    tests = str(Path(__file__).parents[1])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, tests, str(tmp_path), start]) for start in ("0", "0", "1")
    ]
    store, wanted = Store(tmp_path), [f"r{i}" for i in range(40)]
    while any(writer.poll() is None for writer in writers):
        matrix, rows = store.load(small, wanted)
        assert matrix[:, 0].tolist() == rows.tolist()
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    matrix, rows = store.load(small, wanted)
    assert rows.tolist() == matrix[:, 0].tolist() == list(range(40))
    assert not list(tmp_path.glob("*/*.tmp-*")) and not list(tmp_path.glob("*/*.damaged"))


def large(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=LARGE.card.dim).astype(np.float32)


LARGE = Summary("large", LEADS)
LARGE.card = replace(LARGE.card, dim=100_000)  # a shard of 3 MB: a kill falls into the writing of one

KILLED = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/store']
from test_store import LARGE, Store, large, row
with Store(sys.argv[2], shard_rows=8).writer(LARGE) as writer:
    print("begun", flush=True)
    for i in range(64):
        writer.add(i, *row(f"r{i}", i, large(i)))
"""


def test_a_kill_at_any_moment_leaves_whole_shards_only(tmp_path: Path) -> None:
    rng, wanted, seen = random.Random(0), [f"r{i}" for i in range(64)], set()
    for folder in map(str, range(4)):
        command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1]), str(tmp_path / folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
        store = Store(tmp_path / folder, shard_rows=8)
        assert not store.path.exists() or verify(store).problems == []
        matrix, rows = store.load(LARGE, wanted)
        assert rows.tolist() == list(range(len(rows))) and len(rows) % 8 == 0
        assert all((matrix[i] == large(i)).all() for i in range(len(rows)))
        seen.add(len(rows))
    assert len(seen) > 1  # it was killed at different moments


def test_two_processes_may_embed_into_one_store(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path / "cohort", 40)
    command = [sys.executable, "-c", EMBED, str(Path(__file__).parents[1]), str(manifest)]
    both = [subprocess.Popen([*command, str(tmp_path / "both"), names]) for names in ("one,two", "two,one")]
    assert [process.wait() for process in both] == [0, 0]
    assert subprocess.run([*command, str(tmp_path / "alone"), "one,two"], check=False).returncode == 0
    found = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "both", tmp_path / "alone")
    ]
    assert found[0] == found[1] and len(found[0]) == 20


EMBED = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/store']
from test_store import Store, Summary
from enecg.embedding.pipeline import embed
from enecg.cohorts.manifest import Cohort
experts = [Summary(name) for name in sys.argv[4].split(",")]
embed(Cohort.load(sys.argv[2]), experts, Store(sys.argv[3], shard_rows=4), progress=False, workers=0)
"""
