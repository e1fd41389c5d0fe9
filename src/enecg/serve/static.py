"""The files of the page. They are held in memory, so that no other file can be reached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from enecg.serve.problems import Problem

TYPES: Final = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
                ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
                ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2", ".json": "application/json",
                ".txt": "text/plain; charset=utf-8"}  # fmt: skip


@dataclass(frozen=True)
class PageFile:
    """A file of the page: its bytes, media type and entity tag."""

    content: bytes
    type: str
    tag: str

    @classmethod
    def of(cls, path: Path) -> PageFile:
        """Read a file."""
        content = path.read_bytes()
        return cls(content, TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


class PageFiles:
    """The files of a folder, as HTTP answers."""

    def __init__(self, folder: Path | None = None) -> None:
        home = folder or Path(str(files("enecg.serve") / "page"))
        self._files = {
            path.relative_to(home).as_posix(): PageFile.of(path)
            for path in sorted(home.rglob("*"))
            if path.suffix in TYPES and path.is_file()
        }

    def answer(self, name: str, request: Request) -> Response:
        """Return one file; 304 when the client has it already.

        Raises:
            Problem: there is no such file.
        """
        found = self._files.get(name)
        if found is None:
            raise Problem("not_found")
        headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.type, headers=headers)
