"""Files by path and by URL: the same functions give the same answers on disk, in memory and from a web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from small_experts import Summary, beats, write_cohort, write_record

from commands import refused
from enecg import files
from enecg.cohorts.manifest import Cohort
from enecg.embedding.pipeline import embed
from enecg.embedding.store.source import file_stamp
from enecg.embedding.store.store import Store
from enecg.errors import InputError, ReadError
from enecg.files import Place, join, place, read_bytes, remove, rename, size, writing
from enecg.readers import read


@pytest.fixture(params=["path", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "a" if request.param == "path" else f"memory://{uuid4().hex}/a"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL under which a web server gives it."""
    home = tmp_path / "served"
    home.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(home))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield home, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def put(at: Place, data: bytes) -> None:
    with writing(at) as file:
        file.write(data)


def test_what_is_a_url_and_what_a_path() -> None:
    assert place("s3://bucket/a/") == "s3://bucket/a"
    assert [place(text) for text in ("a/b", "/a:/b", "file:///a/b")] == [Path("a/b"), Path("/a:/b"), Path("/a/b")]


def test_writing_listing_renaming_removing(folder: Place) -> None:
    assert files.files(folder, "*") == []
    put(join(folder, "one.bin"), b"12345")
    put(join(join(folder, "deep"), "two.bin"), b"67")
    assert files.files(folder, "*.bin") == [join(folder, "one.bin")]
    assert files.files(folder, "*/*.bin") == [join(join(folder, "deep"), "two.bin")]
    assert (read_bytes(join(folder, "one.bin")), size(join(folder, "one.bin"))) == (b"12345", 5)
    put(join(folder, "one.bin"), b"6")
    rename(join(folder, "one.bin"), "other")
    assert read_bytes(join(folder, "other")) == b"6"
    assert not files.is_file(join(folder, "one.bin"))
    for _ in range(2):
        remove(join(folder, "other"))
    assert files.files(folder, "*") == []


def test_a_file_that_is_not_finished_is_not_there(folder: Place) -> None:
    put(join(folder, "kept"), b"old")
    for name in ("kept", "new"):
        with pytest.raises(ZeroDivisionError), writing(join(folder, name)) as file:
            file.write(b"half")
            raise ZeroDivisionError
    assert [files.name_of(at) for at in files.files(folder, "*")] == ["kept"]
    assert read_bytes(join(folder, "kept")) == b"old"


def test_a_protocol_that_nobody_knows_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere://x: URLs of the scheme nowhere:// are not read"):
        read("nowhere://x")
    assert "nowhere://a/m.csv" in refused("embed", "nowhere://a/m.csv", "--store", tmp_path / "s", "--experts", "beat")


def test_records_from_a_web_server_are_those_on_disk(served: tuple[Path, str]) -> None:
    home, url = served
    write_record(home / "a b" / "r1", beats(1))
    for name in ("r1", "r1.hea", "r1.dat"):
        found = read(f"{url}/a b/{name}")
        assert found.content_hash() == read(home / "a b" / name).content_hash()
        assert found.source == f"{url}/a b/{name}"
    with pytest.raises(ReadError, match="a b/r2: no such file"):
        read(f"{url}/a b/r2")
    (home / "a b" / "r1.dat").unlink()
    with pytest.raises(ReadError, match=rf"^{url}/a b/r1.hea: signal file r1.dat is missing"):
        read(f"{url}/a b/r1")


def test_a_stamp_by_url_follows_the_files() -> None:
    home = f"memory://{uuid4().hex}"
    assert file_stamp(f"{home}/r") is None
    put(f"{home}/r.hea", b"r 1 500 2\nr.dat 16 200 16 0 0 0 0 I\n")
    put(f"{home}/r.dat", b"1234")
    first = file_stamp(f"{home}/r")
    assert first == file_stamp(f"{home}/r") and len(first or "") == 32
    put(f"{home}/r.dat", b"12345")
    assert file_stamp(f"{home}/r") not in (first, None)


def test_a_cohort_and_a_store_by_url_give_what_they_give_on_disk(tmp_path: Path) -> None:
    # workers=0 throughout: what lies in this process's memory no other one can read
    manifest = write_cohort(tmp_path / "cohort", 5)
    home = f"memory://{uuid4().hex}"
    for file in (tmp_path / "cohort").rglob("*.*"):
        put(f"{home}/{file.relative_to(tmp_path / 'cohort').as_posix()}", file.read_bytes())
    near, far = Cohort.load(manifest), Cohort.load(f"{home}/manifest.csv")
    expert = Summary()
    one, two = Store(tmp_path / "store"), Store(f"{home}/store", shard_rows=2)
    embed(near, [expert], one, progress=False, workers=0)
    for computed in (5, 0):
        report = embed(far, [expert], two, progress=False, workers=0)
        assert (report.computed, report.reused, report.skipped) == (computed, 5 - computed, [])
    assert two.load(expert, far)[0].tobytes() == one.load(expert, near)[0].tobytes()
    assert [(shelf.rows, shelf.shards) for shelf in two.info()] == [(5, 3)]
    named = near.table.assign(record=[f"{home}/{record}" for record in near.records])
    mixed = Cohort.from_table(named, tmp_path, "named by URL")
    assert embed(mixed, [expert], two, progress=False, workers=0).reused == 5


def test_a_damaged_shard_by_url_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    home = f"memory://{uuid4().hex}"
    cohort = Cohort.load(_put_cohort(home))
    store, expert = Store(f"{home}/store", shard_rows=1), Summary()
    embed(cohort, [expert], store, progress=False, workers=0)
    shard = files.files(store.path, "*/shard-*.parquet")[0]
    put(shard, read_bytes(shard)[:-7])
    assert len(store.missing(expert, cohort)) == 1
    assert "damaged" in caplog.text and not files.is_file(shard) and files.is_file(f"{shard}.damaged")
    assert embed(cohort, [expert], store, progress=False, workers=0).computed == 1


def _put_cohort(home: str) -> str:
    put(f"{home}/manifest.csv", b"record\nr0\nr1\n")
    for number in range(2):
        digits = np.round(beats(number)[:2] * 1000).astype("<i2")
        put(f"{home}/r{number}.dat", digits.T.tobytes())
        lines = [f"r{number}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in ("I", "II")]
        put(f"{home}/r{number}.hea", "\n".join([f"r{number} 2 250 {digits.shape[1]}", *lines]).encode())
    return f"{home}/manifest.csv"


@pytest.mark.parametrize(
    "url",
    [
        "local:///etc/passwd", "LOCAL://x", "zip://a.csv::https://host:80/b.zip", "zip::/tmp/a.zip", "reference://x",
        "simplecache::s3://bucket/a", "https://host:443/a::zip://b", "ssh://host/a", "sftp://host/a", "github://a:b@c/d",
        "data:///x", "hf://a/b", "dir::file:///tmp", "ftp://host/a\nb", "memory://a::b",
    ],
)  # fmt: skip
def test_only_allowed_schemes_are_opened(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(url)
    assert "\n" not in str(caught.value)
    (tmp_path / "m.csv").write_text(f'record,age\n"{url}",50\ngood,40\n')
    write_record(tmp_path / "good", beats(1))
    cohort = Cohort.load(tmp_path / "m.csv")
    with pytest.raises(InputError):
        cohort.path(0)
    assert cohort.path(1) == tmp_path / "good"


def test_the_user_allows_more_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENECG_URL_SCHEMES", "sftp, hf")
    files.check_scheme("sftp://host/a")
    files.check_scheme("hf://a/b")
    with pytest.raises(InputError, match="ENECG_URL_SCHEMES=ftp"):
        files.check_scheme("ftp://host/a")


def test_a_scheme_that_is_refused_is_one_line_of_the_command(tmp_path: Path) -> None:
    assert "chained" in refused("embed", "zip::/tmp/x.zip", "--store", tmp_path / "store")
    assert "scheme local" in refused("store", "info", "local://x")
