"""A server on the loopback that breaks off, refuses and changes its files as told: for tests of fetching."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Shelf:
    """What the server has and does.

    Attributes:
        files: content by path.
        breaks: bytes after which each of the coming answers breaks off; the first belongs to the next answer.
        codes: status codes of the coming answers instead of the files.
        ranges: the Range headers that were asked for, None for none.
        gets: paths of all GET requests.
        etags: whether the server says which version of a file it has.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.codes: list[int] = []
        self.ranges: list[str | None] = []
        self.gets: list[str] = []
        self.etags = True
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shelf: Shelf

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self.shelf.gets.append(self.path)
        self.shelf.ranges.append(self.headers.get("Range"))
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        content = self.shelf.files.get(path)
        if body and self.shelf.codes:
            return self._refuse(self.shelf.codes.pop(0))
        if content is None:
            return self._refuse(404)
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if found and self.headers.get("If-Range", tag) == tag:
            start = int(found[1])
        if start >= len(content):
            return self._refuse(416, {"Content-Range": f"bytes */{len(content)}"})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        if self.shelf.etags:
            self.send_header("ETag", tag)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if body:
            stop = start + self.shelf.breaks.pop(0) if self.shelf.breaks else len(content)
            self.wfile.write(content[start:stop])
            self.close_connection = stop < len(content)

    def _refuse(self, code: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serve() -> Iterator[Shelf]:
    """A running server and its shelf."""
    shelf = Shelf()
    handler = type("Handler", (_Handler,), {"shelf": shelf})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    shelf.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
