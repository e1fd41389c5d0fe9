"""From a request's body to recordings' files in a private folder, which is emptied when they have been read."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyio import to_thread
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from enecg.errors import InputError
from enecg.readers.record_files import named_in
from enecg.recording import amplitude_of
from enecg.serve.problems import Problem

_SAFE: Final = re.compile(r"\w[\w.-]{0,99}")  # letters of every script
_MARK: Final = "enecg-serve-"
FIELDS: Final = 8


@dataclass(frozen=True)
class Upload:
    """One recording to be read.

    Attributes:
        path: its file; of a WFDB record the header.
        shown: the name that the client has for it.
    """

    path: Path
    shown: str


@dataclass(frozen=True)
class Form:
    """What a client sent.

    Attributes:
        uploads: recordings in the order of their files.
        rate: Hz, for files that do not state it.
        unit: for files that do not state it.
    """

    uploads: list[Upload]
    rate: float | None
    unit: str | None


@contextmanager
def private_folder(parent: str) -> Generator[Path]:
    """A folder that only this user can enter, for the service's life; what killed services left is removed first."""
    home = Path(parent or tempfile.gettempdir())
    for left in home.glob(f"{_MARK}*"):
        _, _, pid = left.name.removeprefix(_MARK).partition("-")
        if left.stat().st_uid == os.getuid() and not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=_MARK, suffix=f"-{os.getpid()}", dir=home))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@asynccontextmanager
async def request_folder(home: Path) -> AsyncGenerator[Path]:
    """A folder for one request's files, removed whatever happens."""
    made = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(dir=home)))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def read_form(request: Request, folder: Path, most: int) -> Form:
    """Write a multipart body's files into `folder`.

    Raises:
        Problem: no multipart, too many files or none, or a field that cannot be understood.
    """
    if "content-type" not in request.headers:
        raise Problem("bad_request", "no Content-Type; send multipart/form-data")
    parser = MultiPartParser(request.headers, request.stream(), max_files=most, max_fields=FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        code = "too_large" if "Too many files" in error.message else "bad_request"
        raise Problem(code, error.message) from None
    try:
        files = [each for name, each in form.multi_items() if isinstance(each, UploadFile) and name == "files"]
        if not files:
            raise Problem("invalid", "no files; send one or several in the multipart field `files`")
        rate, unit = _rate(form.get("rate")), _unit(form.get("unit"))
        shown = {await to_thread.run_sync(_store, each, folder): _shown(each.filename) for each in files}
        return Form(await to_thread.run_sync(_recordings, shown), rate, unit)
    finally:
        await form.close()


def _store(file: UploadFile, folder: Path) -> Path:
    """Write one file under its own name where that is harmless; its header may name a signal file."""
    name = Path(file.filename or "").name
    if not _SAFE.fullmatch(name) or len(name.encode("utf-8", "replace")) > 240:
        name = "upload.hea" if name.endswith(".hea") else "upload"
    number = 0
    while (path := folder / str(number) / name).exists():  # files of several folders may have one name
        number += 1
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as out:
        shutil.copyfileobj(file.file, out)
    return path


def _shown(name: str | None) -> str:
    """The client's name for a file, fit for one line."""
    text = "".join(c for c in re.split(r"[/\\]", name or "")[-1] if c.isprintable())
    return text[:200] or "file"


def _recordings(shown: dict[Path, str]) -> list[Upload]:
    """All files but those that a WFDB header beside them names: its signal files and segments."""
    parts = set()
    for header in (path for path in shown if path.suffix == ".hea"):
        parts |= {header.parent / name for name in named_in(header.read_bytes())} - {header}
    return [Upload(path, name) for path, name in shown.items() if path not in parts]


def _rate(text: object) -> float | None:
    if text in (None, ""):
        return None
    try:
        rate = float(str(text))
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise Problem("invalid", "rate: not a sampling rate in Hz, such as 500")
    return rate


def _unit(text: object) -> str | None:
    if text in (None, ""):
        return None
    try:
        amplitude_of(str(text), "unit")
    except InputError as error:
        raise Problem("invalid", str(error)) from None
    return str(text)
