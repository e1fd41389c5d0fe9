"""Files on disk, and files by URL wherever fsspec reaches (`s3://`, `gs://`, `abfs://`, `https://` and others).

A place is a `Path`, or a `str` that is a URL. fsspec and its drivers are imported when a URL is first used; keys and
end points come from fsspec's own configuration and the drivers' environment variables.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Final

from enecg.errors import InputError

Place = Path | str

# Protocols that open nothing but files of a server or a bucket; `memory` is this process's own. Others of fsspec read
# local files (`local`, `reference`), unpack archives (`zip`) or run commands (`ssh`).
SCHEMES: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "https", "http", "memory", "file"})
SCHEMES_VARIABLE: Final = "ENECG_URL_SCHEMES"  # more of them, separated by commas
_URL: Final = re.compile(r"([a-zA-Z][\w+.-]*)://")
_CHAINED: Final = re.compile(r"[a-zA-Z][\w+.-]*(://.*)?::")
_CHANGED: Final = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime",
                   "modified", "created")  # fmt: skip


def place(text: str | Path) -> Place:
    """Return a path, or a URL as it is; `file://` is a path. Whether a URL may be opened is asked when it is."""
    if isinstance(text, Path) or not (_URL.match(text) or _CHAINED.match(text)):
        return Path(text)
    return Path(text.removeprefix("file://")) if text.startswith("file://") else text.rstrip("/")


def _short(text: str) -> str:
    """A text from a table, as part of one line."""
    return " ".join(text.split())[:200]


def check_scheme(url: str) -> None:
    """Raise `InputError` for a URL of a scheme that is not allowed, or a chained one (`zip::...`)."""
    if _CHAINED.match(url):
        raise InputError(f"{_short(url)}: chained URLs are not read; unpack the archive, and name the file itself")
    found = _URL.match(url)
    scheme = found[1].lower() if found else ""
    allowed = {*SCHEMES, *os.environ.get(SCHEMES_VARIABLE, "").replace(" ", "").lower().split(",")}
    if scheme not in allowed:
        raise InputError(
            f"{_short(url)}: URLs of the scheme {scheme}:// are not read; use one of {', '.join(sorted(SCHEMES))}, "
            f"or allow it with {SCHEMES_VARIABLE}={scheme}"
        )


def join(folder: Place, name: str) -> Place:
    """A file or folder within another."""
    return folder / name if isinstance(folder, Path) else f"{folder}/{name}"


def name_of(at: Place) -> str:
    """The last part of a place."""
    return at.name if isinstance(at, Path) else at.rsplit("/", 1)[-1]


def parent_of(at: Place) -> Place:
    """The folder that a place is in."""
    return at.parent if isinstance(at, Path) else at.rsplit("/", 1)[0]


def files(folder: Place, pattern: str) -> list[Place]:
    """Files of a folder, or of its folders (`*/shard-*`), whose names match, sorted; none where there is no folder."""
    if isinstance(folder, Path):
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    fs, path = filesystem(folder)
    fs.invalidate_cache()  # another process may have written meanwhile
    with suppress(FileNotFoundError), _told(folder):
        depth = pattern.count("/") + 1
        found = fs.find(path, maxdepth=depth)
        names = [each[len(path) :].lstrip("/") for each in found]
        match = [name for name in names if name.count("/") + 1 == depth and fnmatchcase(name, pattern)]
        return [f"{folder}/{name}" for name in sorted(match)]
    return []


def is_file(at: Place) -> bool:
    """Whether there is such a file."""
    if isinstance(at, Path):
        return at.is_file()
    fs, path = filesystem(at)
    with _told(at):
        return bool(fs.isfile(path))


def is_folder(at: Place) -> bool:
    """Whether there is such a folder."""
    if isinstance(at, Path):
        return at.is_dir()
    fs, path = filesystem(at)
    with _told(at):
        return bool(fs.isdir(path))


def walk(folder: Place) -> Iterator[Place]:
    """Every file of a folder and its folders, sorted; hidden ones are left out."""
    if isinstance(folder, Path):
        for home, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(home, name) for name in sorted(names) if not name.startswith("."))
    else:
        fs, path = filesystem(folder)
        with _told(folder):
            found = fs.find(path)
        inside = (each[len(path) :].lstrip("/") for each in sorted(found))
        yield from (f"{folder}/{name}" for name in inside if "/." not in f"/{name}")


def matching(pattern: Place) -> list[Place]:
    """The files that a pattern with `*`, `**`, `?` or `[…]` names, sorted."""
    if isinstance(pattern, Path):
        root = Path(pattern.anchor)
        return sorted(path for path in root.glob(str(pattern.relative_to(root))) if path.is_file())
    fs, path = filesystem(pattern)
    with _told(pattern):
        found = fs.glob(path)
        return [pattern.removesuffix(path) + each for each in sorted(found) if fs.isfile(each)]


def size(at: Place) -> int:
    """Bytes of a file."""
    if isinstance(at, Path):
        return at.stat().st_size
    fs, path = filesystem(at)
    with _told(at):
        return int(fs.size(path))


def fact(at: Place) -> str:
    """Name, size and time (by URL: the server's tag) of a file: they differ when it was changed.

    Raises:
        OSError: there is no such file.
    """
    if isinstance(at, Path):
        found = at.stat()
        return f"{at.name}:{found.st_size}:{found.st_mtime_ns}"
    fs, path = filesystem(at)
    with _told(at):
        info = fs.info(path)
    if info.get("type") == "directory":
        raise FileNotFoundError(at)
    tag = next((info[key] for key in _CHANGED if info.get(key)), "")
    return f"{name_of(at)}:{info.get('size')}:{tag}"


@contextmanager
def reading(at: Place) -> Generator[IO[bytes]]:
    """A file, open to be read."""
    if isinstance(at, Path):
        with at.open("rb") as file:
            yield file
    else:
        fs, path = filesystem(at)
        with _told(at):
            opened = fs.open(path, "rb", cache_type="none")  # what is not asked for is not transferred
        with opened:
            yield io.BufferedReader(_Remote(at, opened), 1 << 16)


class _Remote(io.RawIOBase):
    """An open file of fsspec, whose driver's errors are told as `_told` does."""

    def __init__(self, at: str, file: Any) -> None:
        self._at, self._file = at, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence) or self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        with _told(self._at):
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def read_bytes(at: Place) -> bytes:
    """The content of a file."""
    with reading(at) as file:
        return file.read()


@contextmanager
def writing(at: Place) -> Generator[IO[bytes]]:
    """A file to be written: it appears under its name when the context ends, whole and on disk, or not at all.

    Folders are made. Until then a path has the temporary name `NAME.tmp-…` beside it; for a URL the bytes are gathered
    in a local file and put in one piece.
    """
    if isinstance(at, Path):
        temporary = at.with_name(f"{at.name}.tmp-{os.getpid()}-{time.monotonic_ns()}")
        try:
            at.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(at)
        finally:
            temporary.unlink(missing_ok=True)
        return
    fs, path = filesystem(at)
    with tempfile.NamedTemporaryFile(prefix="enecg-") as local:
        yield local
        local.flush()
        with _told(at):
            fs.makedirs(parent_of(path), exist_ok=True)
            fs.put_file(local.name, path)


def rename(at: Place, name: str) -> None:
    """Give a file another name in the same folder, in the place of what has that name."""
    if isinstance(at, Path):
        at.replace(at.with_name(name))
    else:
        fs, path = filesystem(at)
        with _told(at):
            fs.mv(path, f"{parent_of(path)}/{name}")


def remove(at: Place) -> None:
    """Remove a file; one that is gone is no error."""
    if isinstance(at, Path):
        at.unlink(missing_ok=True)
    else:
        fs, path = filesystem(at)
        with suppress(FileNotFoundError), _told(at):
            fs.rm_file(path)


def bring(url: str, to: Path) -> bool:
    """Copy the file of a URL to a local path; False when there is no such file."""
    fs, path = filesystem(url)
    try:
        with _told(url), fs.open(path, "rb") as source, to.open("wb") as file:
            shutil.copyfileobj(source, file)
    except FileNotFoundError:
        to.unlink(missing_ok=True)
        return False
    return True


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it.

    Raises:
        InputError: the scheme is not allowed, or its driver is not installed.
    """
    check_scheme(url)
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"{url}: {error}; pip install s3fs, gcsfs or adlfs for S3, Google or Azure") from None
    return fs, path.rstrip("/")


@contextmanager
def _told(at: str) -> Generator[None]:
    """What a driver raises (each has errors of its own) as an `InputError`, but for a file that is not there."""
    try:
        yield
    except (FileNotFoundError, InputError):
        raise
    except Exception as error:
        raise InputError(f"{at}: {' '.join(str(error).split()) or type(error).__name__}") from error
