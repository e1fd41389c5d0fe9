"""Hostile clients and files, and processes that die: the service answers afterwards, and nothing is left on disk."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from mutation import mutated, real_files, said_of
from served import Server, parts

import enecg


@pytest.fixture(autouse=True)
def answers_afterwards(server: Server, shared_data: Path) -> object:
    """After each test: the same answer as ever, and no file."""
    yield
    path = shared_data / "formats" / "ge_muse_909.xml"
    until = time.monotonic() + 30
    while (answer := server.predict(path)).status_code in (429, 503) and time.monotonic() < until:
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["content"] == enecg.read(path).content_hash()
    assert server.left() == []


def refusal(answer: httpx2.Response) -> str:
    """The reason for which the only file of a request could not be read."""
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable"), answer.text
    (skipped,) = answer.json()["skipped"]
    reason: str = skipped["reason"]
    assert "\n" not in reason
    assert "temp" not in reason
    return reason


@pytest.mark.parametrize("kind", ["model", "reader"])
def test_a_process_killed_in_the_midst_of_requests(server: Server, shared_data: Path, kind: str) -> None:
    content = (shared_data / "formats" / "ge_muse_909.xml").read_bytes()
    answers: list[int] = []

    def ask() -> None:
        files = [(f"{n}.xml", content) for n in range(8)]
        answers.extend(server.predict(*files).status_code for _ in range(4))

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    time.sleep(0.3)
    before = server.children(kind)
    os.kill(before[0], signal.SIGKILL)
    for client in clients:
        client.join()
    assert set(answers) <= {200, 429}
    assert answers.count(200) >= 4
    until = time.monotonic() + 60
    while len(server.children(kind)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(server.children(kind)) == 2
    assert before[0] not in server.children(kind)
    assert 'enecg_worker_restarts_total{kind="answer"}' in server.client.get("/metrics").text or kind == "reader"


def closed_after(server: Server, send: Callable[[socket.socket], None], limit: float) -> tuple[float, bytes]:
    """Seconds until the service ends a raw connection, and what it said."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.3) as link:
        begun, said = time.monotonic(), b""
        while time.monotonic() - begun < limit:
            try:
                send(link)
                part = link.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not part:
                break
            said += part
        return time.monotonic() - begun, said


def test_a_header_of_one_byte_at_a_time(server: Server) -> None:
    took, said = closed_after(server, lambda link: link.sendall(b"G") and None, 10)
    assert took < 4
    assert said == b"" or b" 400 " in said


def test_a_silent_connection(server: Server) -> None:
    took, said = closed_after(server, lambda link: None, 10)
    assert (took < 4, said) == (True, b"")


@pytest.mark.parametrize("byte", [b"x", b""])
def test_a_body_of_one_byte_at_a_time_or_none(server: Server, byte: bytes) -> None:
    head = (
        b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"
    )
    sent = []

    def send(link: socket.socket) -> None:
        link.sendall(byte if sent else head)
        sent.append(1)

    took, said = closed_after(server, send, 10)
    assert took < 6
    assert b" 408 " in said
    assert b'"code": "slow"' in said


def test_a_huge_upload_is_refused_before_it_comes(server: Server) -> None:
    head = (b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 2147483648\r\n\r\n")  # fmt: skip
    sent = []

    def send(link: socket.socket) -> None:
        link.sendall(b"" if sent else head)
        sent.append(1)

    _, said = closed_after(server, send, 1)
    assert said.startswith(b"HTTP/1.1 413 ")


def test_a_huge_upload_that_does_not_say_so_costs_no_memory(server: Server) -> None:
    def endless() -> object:
        yield b"--b\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n"
        for _ in range(300):
            yield bytes(2**20)

    before = resident(server)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        answer = server.client.post("/v1/predict", content=endless(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    except httpx2.TransportError:  # the connection was closed while more was sent
        pass
    assert resident(server) - before < 40 * 2**20


def resident(server: Server) -> int:
    """Bytes of memory that the service itself holds."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def zip_bomb() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecg.csv", bytes(50 * 2**20))
    return held.getvalue()


def deflated_dicom_bomb() -> bytes:
    """A DICOM file of the deflated transfer syntax that unfolds to gigabytes."""
    import io
    import zlib

    import pydicom
    from pydicom.data import get_testdata_file

    dataset, head, body = pydicom.dcmread(get_testdata_file("waveform_ecg.dcm")), io.BytesIO(), io.BytesIO()
    meta, dataset.file_meta = dataset.file_meta, pydicom.dataset.FileMetaDataset()
    dataset.preamble, meta.TransferSyntaxUID = None, pydicom.uid.DeflatedExplicitVRLittleEndian
    pydicom.filewriter.write_file_meta_info(head, meta)
    pydicom.dcmwrite(body, dataset, implicit_vr=False, little_endian=True)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    real = squeeze.compress(body.getvalue()) + squeeze.flush(zlib.Z_FULL_FLUSH)
    zeros = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)  # stands for itself: can be repeated
    return bytes(128) + b"DICM" + head.getvalue() + real + zeros * 2000 + squeeze.flush()


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
BOMB = f'<?xml version="1.0"?><!DOCTYPE RestingECG [<!ENTITY e0 "ha">{ENTITIES}]><RestingECG>&e9;</RestingECG>'.encode()
QUADRATIC = f'<!DOCTYPE r [<!ENTITY e "{"a" * 3000}">]><restingecgdata>{"&e;" * 500_000}</restingecgdata>'.encode()
OUTSIDE = b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]><restingecgdata>&e;</restingecgdata>'
DEEP = b"<RestingECG>" + b"<a>" * 200_000


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("bomb.xml", BOMB, "declares entities"),
        ("quadratic.xml", QUADRATIC, "declares entities"),
        ("outside.xml", OUTSIDE, "declares entities"),
        ("deep.xml", DEEP, "nested over"),
        ("a.zip", zip_bomb(), "not a format that is read here"),
        ("a.hea", b"a 2 500 4000000000\na.dat 16 1000/mV 16 0 0 0 0 I\na.dat 16 1000/mV 16 0 0 0 0 II\n", "is missing"),
        (
            "a.hea",
            b"a 2 500 99\n../../etc/passwd 16 1/mV 16 0 0 0 0 I\n/etc/passwd 16 1/mV 16 0 0 0 0 II\n",
            "not a file name",
        ),
        ("a.hea", b"a 1 500 99\nhttp://127.0.0.1/x.dat 16 1/mV 16 0 0 0 0 I\n", "not a file name"),
        ("a.hea", b"a/3 2 500 99\n../b 33\n../c 33\n../d 33\n", "not a file name"),
        ("a.hea", b"a 100000 500 99\n" + b"a.hea 16 1/mV 16 0 0 0 0 x\n" * 100_000, ""),
        ("a.csv", b"I,II\n" + b"1,2\n" * 900_000, ""),
        ("nul\x00/../../x.csv", b"\x00" * 10, "not a format"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value)[:16],
)
def test_hostile_files(server: Server, name: str, content: bytes, told: str) -> None:
    assert told in refusal(server.predict((name, content)))


def test_a_deflated_dicom_bomb(server: Server) -> None:
    pytest.importorskip("pydicom")
    content = deflated_dicom_bomb()
    assert len(content) < 4 * 2**20
    assert "inflates to more than 256 MB" in refusal(server.predict(("a.dcm", content)))


def test_a_record_of_more_samples_than_its_file_has(server: Server) -> None:
    header = b"a 2 500 4000000000\na.dat 16 1000/mV 16 0 0 0 0 I\na.dat 16 1000/mV 16 0 0 0 0 II\n"
    assert "truncated" in refusal(server.predict(("a.hea", header), ("a.dat", bytes(4000))))


def test_a_header_reaches_no_file_of_another_request(server: Server, shared_data: Path) -> None:
    header = (shared_data / "formats" / "A0001.hea").read_bytes()
    assert "A0001.mat is missing" in refusal(server.predict(("A0001.hea", header)))


def test_a_client_that_goes_away(server: Server, shared_data: Path) -> None:
    content = (shared_data / "formats" / "ge_muse_909.xml").read_bytes()
    host, port = server.url.removeprefix("http://").split(":")
    for part in (100, 100_000):
        with socket.create_connection((host, int(port))) as link:
            head = (f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n--b\r\nContent-Disposition: form-data; name=files; "
                    f"filename=a.xml\r\n\r\n")  # fmt: skip
            link.sendall(head.encode() + content[:part])
    assert '"kind": "' not in "".join(line for line in server.log.read_text().splitlines() if "error" in line)


def test_mutated_files_of_every_format(server: Server, shared_data: Path) -> None:
    """`scripts/mutated_uploads.py` does this 10,000 times; here are some."""
    rng = random.Random(5)
    families = real_files(shared_data / "formats")
    answers: dict[int, int] = {}
    for number in range(120):
        files = mutated(families[number % len(families)], rng)
        answer = server.predict(*files, **said_of(files))
        answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
        assert answer.status_code in (200, 422), (number, answer.text)
        json.loads(answer.content)
    assert set(answers) == {200, 422}  # some are still read, some are not
    log = server.log.read_text()
    assert '"event": "error"' not in log, [line for line in log.splitlines() if '"error"' in line][:3]


def test_more_than_the_workers_can_do_is_turned_away(server: Server, shared_data: Path) -> None:
    content = (shared_data / "formats" / "ge_muse_909.xml").read_bytes()
    files = parts(*[(f"{n}.xml", content) for n in range(10)])
    found: list[httpx2.Response] = []

    def ask() -> None:
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            found.append(client.post("/v1/predict", files=files))

    clients = [threading.Thread(target=ask) for _ in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert {answer.status_code for answer in found} == {200, 429}
    turned = next(answer for answer in found if answer.status_code == 429)
    assert (turned.headers["retry-after"], turned.json()["code"]) == ("1", "busy")


def test_more_jobs_than_may_wait_are_turned_away(server: Server, shared_data: Path) -> None:
    path = shared_data / "formats" / "ge_muse_909.xml"
    begun = [server.client.post("/v1/explain", files=parts(path), params={"windows": 60}) for _ in range(9)]
    assert [answer.status_code for answer in begun] == [202] * 8 + [429]
    for answer in begun[:8]:
        assert server.client.delete(answer.headers["Location"]).status_code == 204
