from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from enecg.cli import doctor
from enecg.cli.doctor import MachineCheck


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield


@pytest.mark.usefixtures("no_network")
def test_the_machine_that_runs_the_tests_is_ready() -> None:
    found = doctor.checks()
    assert [check for check in found if check.ok is False] == []
    names = [check.name for check in found]
    assert len(set(names)) == len(names)
    assert {"python", "torch", "import torch", "gpu", "bytecode", "HF_HUB_OFFLINE", "cache folder", "disk", "memory",
            "extra dicom", "expert rhythm"} <= set(names)  # fmt: skip
    for check in found:
        assert check.detail and "\n" not in check.detail + check.remedy


def test_asking_imports_nothing_heavy() -> None:
    code = "import sys, enecg.cli.doctor; sys.exit(any(name in sys.modules for name in ('numpy', 'torch')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_requirement_of_the_package_is_understood() -> None:
    asked = list(doctor.requirements())
    assert ("openecg", "openecg") in {(needed.name, extra) for needed, extra in asked}
    assert "torch" in {needed.name for needed, extra in asked if extra is None}


@pytest.mark.parametrize(("version", "ok"), [("2.13.0+cpu", True), ("2.5.1", False), ("3.0.0rc1", True)])
def test_versions_are_compared_as_versions(version: str, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: version)
    (torch,) = (check for check in doctor.packages() if check.name == "torch")
    assert torch.ok is ok


def test_an_old_or_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return "1.26.4" if name == "numpy" else "9999"

    monkeypatch.setattr(metadata, "version", version)
    bad = {check.name: check for check in doctor.packages() if not check.ok}
    assert set(bad) == {"numpy", "scipy"}
    assert "1.26.4" in bad["numpy"].detail and "pip install 'numpy>=" in bad["numpy"].remedy
    assert "not installed" in bad["scipy"].detail
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")
    assert doctor.python().ok is False


def test_an_extra_that_is_not_there_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    found = {check.name: check for check in doctor.extras()}
    assert found["extra dicom"].ok is None
    assert found["extra dicom"].remedy == "pip install 'enecg[dicom]'"
    assert not {"extra dev", "extra all"} & set(found)


def test_missing_experts_are_a_fault_only_where_they_come_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from enecg.experts import registry

    real = registry.entry
    monkeypatch.setattr(registry, "entry", lambda name: replace(real(name), available=lambda: name == "beat"))
    found = {check.name: check for check in doctor.experts()}
    assert found["expert beat"].ok is True
    assert found["expert rhythm"].ok is False and found["expert rhythm"].remedy
    assert found["other experts"].ok is None and "openecg" in found["other experts"].detail
    assert set(found) == {"other experts", *(f"expert {name}" for name in registry.SETS["offline"])}


def test_an_expert_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "card.json").write_text("{")
    code = "from enecg.cli.doctor import experts; (check,) = experts(); print(check.ok, check.detail)"
    environment = {**os.environ, "ENECG_EXPERTS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False") and "card.json" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_torch_that_cannot_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TORCH", "import no_such_torch")
    (check,) = doctor.torch()
    assert check.ok is False and "no_such_torch" in check.detail and check.remedy


def test_a_slow_torch_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TORCH", 'print(\'{"seconds": 60, "threads": 3, "gpus": ["A100"]}\')')
    seconds, threads, gpu = doctor.torch()
    assert seconds.ok is None and "bytecode" in seconds.remedy
    assert threads.detail.startswith("3 of") and gpu.detail == "A100"


def test_missing_bytecode_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "pandas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "pandas" / "__pycache__").mkdir()
    Path(importlib.util.cache_from_source(str(tmp_path / "pandas" / "__init__.py"))).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("torch", "pandas"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    check = doctor.bytecode()
    assert check.ok is None and "torch" in check.detail and "pandas" not in check.detail
    assert "compileall" in check.remedy


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), (None, False)])
def test_the_hub_switch_is_read(value: str | None, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert doctor.hub().detail.startswith("set") is offline


def test_the_cache_folder_is_tried_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENECG_CACHE", str(tmp_path / "a" / "b"))
    folder, disk = doctor.cache()
    assert folder == MachineCheck("cache folder", True, str(tmp_path / "a" / "b"))
    assert disk.detail.endswith("GiB free")
    assert list(tmp_path.iterdir()) == []

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    folder, disk = doctor.cache()
    assert folder.ok is False and "Permission denied" in folder.detail and "ENECG_CACHE" in folder.remedy
    assert disk.ok is None and "ENECG_CACHE" in disk.remedy


@pytest.mark.parametrize(("free", "ok"), [(2**40, True), (2**20, None)])
def test_memory_is_judged(free: int, ok: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "available_memory", lambda: free)
    check = doctor.memory()
    assert check.ok is ok
    assert bool(check.remedy) is (free == 2**20)


def test_settings_of_the_service_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert doctor.service() == []
    file = tmp_path / "tokens"
    file.write_text("0123456789abcdef\n")
    file.chmod(0o600)
    monkeypatch.setenv("ENECG_SERVE_HOST", "0.0.0.0")
    (check,) = doctor.service()
    assert (check.name, check.ok) == ("host 0.0.0.0", False)
    assert "without a token" in check.detail
    monkeypatch.setenv("ENECG_SERVE_TOKEN_FILE", str(file))
    monkeypatch.setenv("ENECG_SERVE_WORKERS", "1")
    check = doctor.service()[0]
    assert (check.name, check.ok) == ("enecg serve", True)
    assert "0.0.0.0:8000, 1 workers, 1 tokens" in check.detail
    assert "0123456789abcdef" not in check.detail
    monkeypatch.setenv("ENECG_SERVE_PORTS", "1")
    assert doctor.service()[0].name == "ENECG_SERVE_PORTS"
