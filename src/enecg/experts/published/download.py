"""Download one file over HTTP: resumed after a break, and complete or absent under its name.

`torch.hub.download_url_to_file` neither resumes nor retries, and the largest file of a plain link has over a gigabyte;
the client of the Hugging Face hub resumes, but downloads from the hub only.
"""

from __future__ import annotations

import http.client
import re
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from enecg.errors import WeightsError

_CHUNK: Final = 1 << 20
_TIMEOUT: Final = 60.0  # seconds without a byte
_PATIENCE: Final = 5  # failures in a row without a byte between them
_BROKEN: Final = (URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def download(url: str, path: Path, label: str = "", progress: bool = True, pause: float = 1.0) -> None:
    """Download `url` to `path`.

    The received part is kept in `PATH.part`. A later call continues there if the server still has the same file, and
    starts again if not. The server names the version of a file by `ETag` or `Last-Modified`; it is kept in
    `PATH.part.tag`.

    Args:
        url: of the file.
        path: where to; its folder exists.
        label: what is being fetched, for the bar.
        progress: whether a bar is shown on standard error.
        pause: seconds before the first repetition after a failure; doubled each time.

    Raises:
        WeightsError: refused, or broken off again and again.
    """
    part = path.with_name(f"{path.name}.part")
    failures = 0
    with _Bar(label or path.name) if progress else nullcontext() as bar:
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                if _go_on(url, part, bar):
                    break
                reason = "the connection broke off"
            except HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    raise WeightsError(f"{url}: refused with {error.code} {error.reason}") from None
                reason = f"{error.code} {error.reason}"
            except _BROKEN as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            failures = 1 if part.exists() and part.stat().st_size > before else failures + 1
            if failures >= _PATIENCE:
                raise WeightsError(f"{url}: {reason}; the received part is kept: run the same command again")
            time.sleep(pause * 2 ** (failures - 1))
    part.replace(path)
    _tag_of(part).unlink(missing_ok=True)


class _Bar(AbstractContextManager["_Bar"]):
    """A bar of bytes on standard error."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()]
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(label, total=None)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def show(self, done: int, total: int | None) -> None:
        """Bytes that have come, of how many."""
        self._progress.update(self._task, completed=done, total=total)


def _go_on(url: str, part: Path, bar: _Bar | None) -> bool:
    """One request for what is missing of `part`; whether the file is whole now."""
    tag_file = _tag_of(part)
    start = part.stat().st_size if part.exists() and tag_file.exists() else 0
    headers = {"User-Agent": "enecg", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": tag_file.read_text(encoding="utf-8")}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and start:  # nothing is missing, or what we have is longer than the file: begin again
            total = _number(r"bytes \*/(\d+)", error.headers.get("Content-Range"))
            if total == start:
                return True
            part.unlink()
            return False
        raise
    with answer:
        begun = answer.status == 206 and _number(r"bytes (\d+)-", answer.headers.get("Content-Range")) == start
        done = start if begun else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length is not None else None
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        with part.open("ab" if begun else "wb") as file:
            if tag and not tag.startswith("W/"):  # only now is nothing of another version left in the file
                tag_file.write_text(tag, encoding="utf-8")
            else:
                tag_file.unlink(missing_ok=True)
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if bar is not None:
                    bar.show(done, total)
    return total is None or done == total


def _tag_of(part: Path) -> Path:
    """Where the server's name for this version of the file is kept."""
    return part.with_name(f"{part.name}.tag")


def _number(pattern: str, text: str | None) -> int | None:
    """The number that `pattern` finds in a header."""
    found = re.match(pattern, text or "")
    return int(found[1]) if found else None
