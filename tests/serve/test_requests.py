"""What one client sends costs no other client anything, and never mixes two recordings."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Server, parts
from starlette.requests import Request

import enecg
from enecg.serve.engine import Engine
from enecg.serve.limits import limit_memory
from enecg.serve.model_process import BundleModel
from enecg.serve.problems import Problem
from enecg.serve.settings import Settings
from enecg.serve.telemetry import Metrics
from enecg.serve.uploads import JSON_NAME, name_parts, receive


@pytest.fixture
def two_records(shared_data: Path) -> Path:
    """Folders `a` and `b`, each with a record of the same name: `r`."""
    return shared_data.parent / "cases" / "serve-pairs-files-of-two-patients"


def sent(home: Path, *names: str, folders: bool = True) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name if folders else name.rpartition("/")[2], (home / name).read_bytes()


def predicted(server: Server, files: Iterator[tuple[str, bytes]]) -> tuple[int, dict]:
    until = time.monotonic() + 60
    held = list(files)
    while (answer := server.predict(*held)).status_code == 429 and time.monotonic() < until:
        time.sleep(0.1)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_files_are_paired_by_their_folder(server: Server, two_records: Path, separator: str) -> None:
    files = sent(two_records, "a/r.hea", "b/r.hea", "b/r.dat", "a/r.dat")
    status, answer = predicted(server, ((name.replace("/", separator), content) for name, content in files))
    assert status == 200
    assert [each["record"] for each in answer["predictions"]] == ["a/r.hea", "b/r.hea"]
    for name, each in zip("ab", answer["predictions"], strict=True):
        assert each["content"] == enecg.read(two_records / name / "r.hea").content_hash()


def test_a_forgotten_file_is_not_taken_from_another_folder(server: Server, two_records: Path) -> None:
    status, answer = predicted(server, sent(two_records, "a/r.hea", "b/r.dat", "b/r.hea"))
    assert status == 200
    assert [each["record"] for each in answer["predictions"]] == ["b/r.hea"]
    (skipped,) = answer["skipped"]
    assert skipped["record"] == "a/r.hea"
    assert "r.dat" in skipped["reason"]


@pytest.mark.parametrize("names", [("a/r.hea", "a/r.dat", "b/r.hea", "b/r.dat"), ("a/r.dat", "b/r.dat", "a/r.hea")])
def test_two_files_of_one_name_are_refused(server: Server, two_records: Path, names: tuple[str, ...]) -> None:
    status, answer = predicted(server, sent(two_records, *names, folders=False))
    assert (status, answer["code"]) == (422, "invalid")
    assert re.search(r"two files are named r\.(hea|dat); send folder and name of each", answer["detail"])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("x.csv", ("x.csv",)), ("a/b/x.csv", ("a", "b", "x.csv")), ("C:\\ecg\\x.csv", ("C:", "ecg", "x.csv")),
        ("./a//x\x00.csv", ("a", "x.csv")), ("../x", ("..", "x")), ("", ("file",)), (None, ("file",)), ("/", ("file",)),
        ("Müller 1.hea", ("Müller 1.hea",)),
    ],
)  # fmt: skip
def test_the_parts_of_a_name(name: str | None, parts: tuple[str, ...]) -> None:
    assert name_parts(name) == parts


def test_a_record_whose_name_is_not_ascii(server: Server, two_records: Path) -> None:
    header = (two_records / "a" / "r.hea").read_text().replace("r.dat", "Müller.dat")
    files = [("Müller.hea", header.encode()), ("Müller.dat", (two_records / "a" / "r.dat").read_bytes())]
    status, answer = predicted(server, iter(files))
    assert (status, [each["record"] for each in answer.get("predictions", [])]) == (200, ["Müller.hea"])


def test_cancelled_explanations_end_no_process(server: Server) -> None:
    before = sorted(server.children("model") + server.children("reader"))
    signal = [((n % 100) == 50) * 1.0 for n in range(5000)]
    recording = {"rate": 500, "unit": "mV", "leads": {"I": signal, "II": signal}}
    cancelled = 0
    until = time.monotonic() + 60
    while cancelled < 3 and time.monotonic() < until:
        begun = server.client.post("/v1/explain", params={"windows": 60}, json=recording)
        if begun.status_code != 202:
            time.sleep(0.1)
            continue
        while server.client.get(begun.headers["Location"]).json()["state"] == "queued":
            time.sleep(0.01)
        time.sleep(0.2)  # so that a process is in the midst of a step
        assert server.client.delete(begun.headers["Location"]).status_code == 204
        cancelled += 1
    assert cancelled == 3
    assert predicted(server, iter([("x.csv", server.client.get("/v1/examples/sinus/sinus.csv").content)]))[0] == 200
    assert sorted(server.children("model") + server.children("reader")) == before


@pytest.mark.parametrize(
    "lines",
    ["Host: [::1", "Host: a b", "Host: 127.0.0.1:x", "Host: 127.0.0.1:99999", "Host: 127.0.0.1/x", "Host: u@127.0.0.1",
     "Host: 127.0.0.1\r\nOrigin: http://[::1", "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1:x"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/health", "/v1/model", "/"])
def test_a_malformed_host_or_origin(server: Server, lines: str, path: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\r\n".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_json_body_is_stored_and_not_parsed_by_the_process_that_answers_http(tmp_path: Path) -> None:
    body = b'{"this is": no JSON'
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}

    async def message() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    form = asyncio.run(receive(Request(scope, message), tmp_path, 1))
    (upload,) = form.uploads
    assert (upload.is_json, upload.shown, upload.path.read_bytes()) == (True, JSON_NAME, body)


def test_processes_have_limits(server: Server) -> None:
    for pid in server.children("model"):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "unlimited" not in next(line for line in limits.splitlines() if line.startswith("Max address space"))
        assert re.search(r"Max core file size +0 ", limits)


def test_memory_beyond_the_limit_is_an_error_and_not_the_machines_end() -> None:
    code = (
        f"from {limit_memory.__module__} import limit_memory; limit_memory(64)\n"
        "try: bytearray(200 << 20)\n"
        "except MemoryError: print('refused', len(bytearray(8 << 20)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"refused {8 << 20}\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_an_answer_that_needs_too_much_memory(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process says so and goes on; the client gets a problem."""

    def fail(*_: object) -> object:
        raise error

    model = object.__new__(BundleModel)
    monkeypatch.setattr(BundleModel, "_predict", fail)
    assert model.answer({"do": "predict"}, []) == ({"too_large": True}, [])

    async def asked(*_: object, **__: object) -> tuple[object, list[memoryview]]:
        return {"too_large": True}, []

    engine = Engine(Path("bundle"), Settings(), Metrics())
    monkeypatch.setattr(engine._models, "ask", asked)
    with pytest.raises(Problem, match="413") as caught:
        asyncio.run(engine.predict([]))
    assert "needs more memory than is allowed" in caught.value.detail


def test_a_batch_keeps_its_folders(server: Server, two_records: Path) -> None:
    files = sent(two_records, "a/r.hea", "b/r.hea", "b/r.dat", "a/r.dat")
    while (begun := server.client.post("/v1/jobs", files=parts(*files))).status_code == 429:
        time.sleep(0.1)
        files = sent(two_records, "a/r.hea", "b/r.hea", "b/r.dat", "a/r.dat")
    assert begun.json()["total"] == 2
    server.client.delete(begun.headers["Location"])
