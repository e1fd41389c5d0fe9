"""Start and end of a service: what it refuses to start with, tokens, and a stop that finishes what has begun."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx2
import pytest
from served import Server, Start, parts

from commands import program, refused
from enecg.serve.uploads import private_folder
from generated import Trained

TOKEN, OTHER = "a-token-of-some-length", "another-token-of-length"


@pytest.fixture(scope="module")
def guarded(start: Start, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A service with two tokens."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(f"# for the tests\n{TOKEN}\n{OTHER}\n")
    file.chmod(0o600)
    server: Server = start(trained.bundle, TOKEN, TOKEN_FILE=str(file), WORKERS="1")
    server.wait()
    return server


def test_a_token_is_asked_for(guarded: Server, shared_data: Path) -> None:
    path = shared_data / "formats" / "ge_muse_909.xml"
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}, {"Authorization": "Bearer"}):
        with httpx2.Client(base_url=guarded.url, headers=headers) as stranger:
            for answer in (
                stranger.post("/v1/predict", files=parts(path)),
                stranger.get("/v1/model"),
                stranger.get("/metrics"),
                stranger.get("/v1/jobs/x"),
                stranger.get("/v1/nothing"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorised")
                assert answer.headers["www-authenticate"] == "Bearer"
            assert stranger.get("/v1/health").status_code == 200
            assert stranger.get("/v1/service").json()["token"] is True
            assert stranger.get("/openapi.json").json()["security"] == [{"token": []}]
    assert guarded.predict(path).status_code == 200
    assert TOKEN not in guarded.log.read_text()


def test_a_job_belongs_to_its_token(guarded: Server, shared_data: Path) -> None:
    begun = guarded.client.post("/v1/jobs", files=parts(shared_data / "formats" / "ge_muse_909.xml"))
    place = begun.headers["Location"]
    with httpx2.Client(base_url=guarded.url, headers={"Authorization": f"Bearer {OTHER}"}) as other:
        assert other.get("/v1/model").status_code == 200
        assert other.get(place).status_code == 404
        assert other.delete(place).status_code == 404
    assert guarded.client.get(place).status_code == 200


def test_a_stop_finishes_what_has_begun_and_leaves_nothing(start: Start, trained: Trained, shared_data: Path) -> None:
    server: Server = start(trained.bundle, WORKERS="1")
    server.wait()
    content = (shared_data / "formats" / "ge_muse_909.xml").read_bytes()
    found: list[httpx2.Response] = []
    files = [(f"{n}.xml", content) for n in range(12)]
    client = threading.Thread(target=lambda: found.append(server.predict(*files)))
    client.start()
    until = time.monotonic() + 20
    while "enecg_in_flight 1.0" not in server.client.get("/metrics").text and time.monotonic() < until:
        time.sleep(0.01)
    children = [*server.children("reader"), *server.children("model")]
    server.process.send_signal(signal.SIGTERM)
    client.join()
    assert found[0].status_code == 200
    assert len(found[0].json()["predictions"]) == 12
    assert server.process.wait(60) == -signal.SIGTERM
    assert list(server.temp.iterdir()) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert server.log.read_text().splitlines()[-1].count('"event": "stopped"') == 1


def test_what_a_killed_service_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "enecg-serve-abc-999999999"
    left.mkdir()
    (left / "ecg.dcm").write_text("x")
    mine = tmp_path / f"enecg-serve-abd-{os.getpid()}"  # of a service that runs
    mine.mkdir()
    with private_folder(str(tmp_path)) as folder:
        assert not left.exists()
        assert mine.exists()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_bundle_that_cannot_be_loaded_ends_the_service(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    tensors = tmp_path / "bundle" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x00")
    outcome = program("serve", tmp_path / "bundle", "--port", "0", "--workers", "1")
    assert outcome.code == 2
    assert "missing or changed since it was saved" in outcome.errors[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--host", "0.0.0.0"), "without a token only this machine"),
        (("--port", "70000"), "port 70000: must be 0 to 65535"),
        (("--workers", "0"), "workers 0: must be above 0"),
        (("--token-file", "none"), "--token-file: none cannot be read"),
    ],
)
def test_what_is_refused_before_it_starts(trained: Trained, arguments: tuple[str, ...], told: str) -> None:
    assert told in refused("serve", trained.bundle, *arguments)


def test_a_port_that_is_taken_and_a_folder_that_is_no_bundle(trained: Trained, server: Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    assert "Address already in use" in refused("serve", trained.bundle, "--port", port)
    assert "no bundle.json" in refused("serve", tmp_path)
