"""From a request's body to files in a private folder. They are removed when the request has been answered."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
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

_MARK: Final = "enecg-serve-"
_LONGEST_NAME: Final = 200  # bytes of a file's name, characters of the name that is shown
_HEADER_BYTES: Final = 65536  # of a WFDB header are searched for the names of its files
FIELDS: Final = 8
JSON_NAME: Final = "recording"  # of a recording that is sent as JSON


@dataclass(frozen=True)
class Upload:
    """One recording to be read.

    Attributes:
        path: its file; of a WFDB record the header.
        shown: the name that the client has for it.
        is_json: the file is a request's JSON body, not a recording's file.
    """

    path: Path
    shown: str
    is_json: bool = False


@dataclass(frozen=True)
class Form:
    """What a client sent.

    Attributes:
        uploads: recordings in the order of their files.
        rate: Hz, for files that do not state it.
        unit: for files that do not state it.
    """

    uploads: list[Upload]
    rate: float | None = None
    unit: str | None = None


@contextmanager
def private_folder(parent: str) -> Generator[Path]:
    """Make a folder that only this user can enter; yields it. It is removed at the end.

    Folders of services that were killed are removed, too.
    """
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
    """Make a folder for the files of one request; yields it. It is removed at the end, whatever happens."""
    made = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(dir=home)))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def receive(request: Request, folder: Path, most: int) -> Form:
    """Write a request's recordings into `folder`: the files of a form, or a JSON body as it is.

    A JSON body is not parsed here: that takes a second for a large one, in which no other request would be answered.

    Raises:
        Problem: neither a form nor JSON, too many files or none, two files of one name, or an impossible field.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await read_form(request, folder, most)
    if kind != "application/json":
        raise Problem("unsupported")
    path = folder / JSON_NAME
    with path.open("xb") as out:
        async for part in request.stream():
            await to_thread.run_sync(out.write, part)
    return Form([Upload(path, JSON_NAME, is_json=True)])


async def read_form(request: Request, folder: Path, most: int) -> Form:
    """Write the files of a form into `folder`.

    Raises:
        Problem: no form, too many files or none, two files of one name, or a field that cannot be understood.
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
        names = [name_parts(each.filename) for each in files]
        _check_unique(names)
        homes = {home: folder / str(number) for number, home in enumerate(dict.fromkeys(name[:-1] for name in names))}
        stored = {}
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            path = homes[name[:-1]] / _stored_name(name[-1], number)
            await to_thread.run_sync(_store, file, path)
            stored[path] = "/".join(name)[-_LONGEST_NAME:]
        return Form(await to_thread.run_sync(_recordings, stored), rate, unit)
    finally:
        await form.close()


def name_parts(name: str | None) -> tuple[str, ...]:
    """Return folders and name of a file as the client sent them, in printable characters.

    Files belong together (a WFDB header and its signal files) when the client names the same folder for them.
    """
    parts = ("".join(c for c in part if c.isprintable()).strip() for part in re.split(r"[/\\]", name or ""))
    return tuple(part for part in parts if part not in ("", ".")) or ("file",)


def _check_unique(names: Sequence[tuple[str, ...]]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        shown = "/".join(twice)[-_LONGEST_NAME:]
        raise Problem("invalid", f"two files are named {shown}; send folder and name of each, such as a/{twice[-1]}")


def _stored_name(name: str, number: int) -> str:
    """The client's own name where that is harmless: a WFDB header names its signal files."""
    if not name.startswith(".") and len(name.encode("utf-8", "replace")) <= _LONGEST_NAME:
        return name
    return f"upload-{number}{'.hea' * name.endswith('.hea')}"


def _store(file: UploadFile, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as out:
        shutil.copyfileobj(file.file, out)


def _recordings(shown: dict[Path, str]) -> list[Upload]:
    """All files but those that a WFDB header beside them names."""
    parts: set[Path] = set()
    for header in (path for path in shown if path.suffix == ".hea"):
        with header.open("rb") as file:
            head = file.read(_HEADER_BYTES)
        parts |= {header.parent / name for name in named_in(head)} - {header}
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
