"""A bundle's folder: what may be replaced, what a kill leaves, and that every change is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import enecg
from commands import refused
from enecg.bundle import Bundle
from enecg.ensemble.serialization import folder as folders
from enecg.errors import InputError
from generated import Trained


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> Bundle:
    return enecg.load(trained.bundle)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def put_foreign(folder: Path, bundle: Bundle) -> Path:
    (folder / "bundle.json").write_text('{"name": "a web app"}')
    (folder / "data").mkdir()
    (folder / "data" / "manifest.csv").write_text("record\n")
    return folder


def put_report(folder: Path, bundle: Bundle) -> Path:
    bundle.save(folder / "b")
    (folder / "b" / "my_report.html").write_text("x")
    return folder / "b"


def put_link(folder: Path, bundle: Bundle) -> Path:
    bundle.save(folder / "real")
    (folder / "link").symlink_to("real")
    return folder / "link"


def put_file(folder: Path, bundle: Bundle) -> Path:
    (folder / "f").write_text("x")
    return folder / "f"


def under_file(folder: Path, bundle: Bundle) -> Path:
    return put_file(folder, bundle) / "b"


def put_link_inside(folder: Path, bundle: Bundle) -> Path:
    bundle.save(folder / "b")
    (folder / "b" / "extra").symlink_to(folder)
    return folder / "b"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (put_foreign, "is not a bundle"),
        (put_report, "holds my_report.html"),
        (put_link, "is a link"),
        (put_file, "is a file"),
        (under_file, "is a file"),
        (put_link_inside, "holds extra"),
    ],
)
def test_what_is_no_bundle_is_not_removed(
    tmp_path: Path, bundle: Bundle, trained: Trained, make: Callable[[Path, Bundle], Path], reason: str
) -> None:
    out = make(tmp_path, bundle)
    before = names(tmp_path)
    with pytest.raises(InputError, match=reason):
        bundle.save(out)
    # The command refuses before it reads the manifest, which is not there.
    assert reason in refused("fit", tmp_path / "no.csv", "--tasks", "age", "--out", out)
    assert names(tmp_path) == before


@pytest.mark.parametrize("out", [".", "..", "sub/..", "../b"])
def test_the_current_folder_is_not_replaced(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    bundle.save(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(InputError, match="current folder"):
        bundle.save(out)
    assert enecg.load(tmp_path / "b").digest == bundle.digest


def test_nothing_an_empty_folder_and_a_bundle_are_replaced(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "new" / "deep", tmp_path / "empty", tmp_path / "empty", tmp_path / "x" / ".." / "empty"):
        (tmp_path / "x").mkdir(exist_ok=True)
        bundle.save(out)
        assert enecg.load(out).digest == bundle.digest
    assert names(tmp_path / "empty") == names(tmp_path / "new" / "deep")
    assert not list(tmp_path.glob(".*"))


KILLED = """
import json, os, pathlib, shutil, sys
import enecg
from enecg.ensemble.serialization import folder as folders

source, home, exchange = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "True"
bundle = enecg.load(source)
bundle.ensemble.training["marked"] = True
left = [0]

def dying(function):
    def run(*arguments, **options):
        if left[0] == 0:
            os._exit(9)
        left[0] -= 1
        return function(*arguments, **options)
    return run

def save(folder):
    for place, name in ((pathlib.Path, "replace"), (shutil, "rmtree"), (os, "unlink"), (os, "rmdir")):
        setattr(place, name, dying(getattr(place, name)))
    folders._exchange = dying(folders._exchange) if exchange else lambda one, other: False
    bundle.save(folder)

step, killed = 0, True
while killed:
    left[0] = step
    folder = shutil.copytree(source, home / str(step))
    child = os.fork()
    if child == 0:
        save(folder)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    found = enecg.load(folder)
    new = "marked" in found.ensemble.training
    found.save(folder)  # what was left over is in nobody's way
    print(json.dumps([killed, new]))
    step += 1
"""


@pytest.mark.parametrize("exchange", [True, False])
def test_a_kill_at_any_step_leaves_a_whole_bundle(tmp_path: Path, trained: Trained, exchange: bool) -> None:
    """A process dies before the n-th change of a folder's or file's name, or removal; the bundle there still loads."""
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(trained.bundle), str(tmp_path), str(exchange)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(steps) > 4
    assert steps[0] == [True, False]  # killed before the first step: the old bundle
    assert steps[-1] == [False, True]  # not killed: the new one
    assert [True, True] in steps  # killed while the old one was being removed


Change = Callable[[Path, dict[str, Any]], object]


def changed_value(*keys: str, value: object) -> Change:
    def change(_: Path, document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def removed(key: str) -> Change:
    return lambda _, document: document.pop(key)


def flipped_tensor(folder: Path, document: dict[str, Any]) -> None:
    path = folder / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF
    path.write_bytes(content)


def flipped_and_listed(folder: Path, document: dict[str, Any]) -> None:
    flipped_tensor(folder, document)
    document["files"]["tensors.safetensors"] = folders._sha256(folder / "tensors.safetensors")


CHANGES: dict[str, Change] = {
    **{f"format {value!r}": changed_value("format", value=value) for value in (6, 7, 9, "8", 8.0, None)},
    **{
        f"no {key}": removed(key)
        for key in ("format", "files", "same", "heads", "models", "experts", "training", "sha256")
    },
    "no files listed": changed_value("files", value={}),
    "a file outside": changed_value("files", "../outside", value="0" * 64),
    "a threshold": changed_value("models", "sex", "thresholds", value=[-1.0]),
    "an interval": changed_value("models", "age", "residuals", value=[9, -9]),
    "a calibrator": changed_value("models", "age", "calibrator", value={"kind": "x"}),
    "a fingerprint": lambda _, document: document["experts"][0].update(fingerprint="0" * 64),
    "another key": changed_value("more", value=1),
    "a tensor": flipped_tensor,
    "a tensor and its hash": flipped_and_listed,
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_refused_in_one_line(tmp_path: Path, trained: Trained, name: str) -> None:
    folder = shutil.copytree(trained.bundle, tmp_path / "b")
    document = json.loads((folder / "bundle.json").read_text())
    CHANGES[name](folder, document)
    (folder / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        enecg.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"format": 8}', b'{"format": true}']
)
def test_a_document_that_is_none_is_refused_in_one_line(tmp_path: Path, trained: Trained, content: bytes) -> None:
    folder = shutil.copytree(trained.bundle, tmp_path / "b")
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        enecg.load(folder)
    assert "\n" not in str(caught.value)


def test_other_formatting_of_the_same_document_is_no_change(tmp_path: Path, trained: Trained) -> None:
    folder = shutil.copytree(trained.bundle, tmp_path / "b")
    document = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(document))
    assert enecg.load(folder).digest == enecg.load(trained.bundle).digest == document["sha256"]


def test_names_are_exchanged_in_one_step_on_linux(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert folders._exchange(tmp_path / "a", tmp_path / "b") is (sys.platform == "linux" and os.name == "posix")
    if sys.platform == "linux":
        assert (tmp_path / "a" / "b").exists() and (tmp_path / "b" / "a").exists()
