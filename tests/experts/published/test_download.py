from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Shelf, serve

from enecg.errors import WeightsError
from enecg.experts.published.download import download

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serve() as running:
        running.files["/file"] = CONTENT
        yield running


def get(shelf: Shelf, path: Path, progress: bool = False) -> None:
    download(f"{shelf.url}/file", path, progress=progress, pause=0.0)


def test_whole_file(shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    get(shelf, tmp_path / "file", progress=True)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert capsys.readouterr().out == ""


def test_goes_on_where_it_broke_off(shelf: Shelf, tmp_path: Path) -> None:
    shelf.breaks = [1000, 3000]
    get(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert shelf.ranges == [None, "bytes=1000-", "bytes=4000-"]


def test_a_later_call_goes_on_too(shelf: Shelf, tmp_path: Path) -> None:
    shelf.breaks = [1000, 0, 0, 0, 0]
    with pytest.raises(WeightsError, match="run the same command again"):
        get(shelf, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    get(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert shelf.ranges[-1] == "bytes=1000-"


def test_starts_again_when_the_file_has_changed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.breaks = [1000, 0, 0, 0, 0]
    with pytest.raises(WeightsError):
        get(shelf, tmp_path / "file")
    shelf.files["/file"] = changed = CONTENT[::-1]
    get(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == changed


def test_starts_again_when_the_server_does_not_name_versions(shelf: Shelf, tmp_path: Path) -> None:
    shelf.etags = False
    shelf.breaks = [1000]
    get(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert shelf.ranges == [None, None]


@pytest.mark.parametrize(("have", "rest"), [(CONTENT, "same"), (CONTENT + b"more", "longer")])
def test_what_has_come_is_whole_or_too_long(shelf: Shelf, tmp_path: Path, have: bytes, rest: str) -> None:
    shelf.breaks = [1000, 0, 0, 0, 0]
    with pytest.raises(WeightsError):
        get(shelf, tmp_path / "file")
    (tmp_path / "file.part").write_bytes(have)
    get(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_waits_for_a_busy_server_and_gives_up_on_a_refusal(shelf: Shelf, tmp_path: Path) -> None:
    shelf.codes = [503, 429]
    get(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    shelf.codes = [403]
    with pytest.raises(WeightsError, match="refused with 403"):
        get(shelf, tmp_path / "other")
    assert len(shelf.gets) == 4
    assert not (tmp_path / "other").exists()


def test_nobody_there(tmp_path: Path) -> None:
    with serve() as gone:
        url = gone.url
    with pytest.raises(WeightsError, match=r"file: .*refused"):
        download(f"{url}/file", tmp_path / "file", progress=False, pause=0.0)


def test_an_interrupted_download_leaves_no_file_and_is_resumed(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    shelf.breaks = [1000]
    with monkeypatch.context() as patched:
        patched.setattr("enecg.experts.published.download.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get(shelf, tmp_path / "file", progress=True)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]
    get(shelf, tmp_path / "file")
    assert shelf.ranges == [None, "bytes=1000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
