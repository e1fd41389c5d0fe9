"""The checks of `enecg doctor`: is this machine ready? They use no network and change nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

GIB: Final = 2**30
DISK_BYTES: Final = 2 * GIB  # the largest published weights take half of it
MEMORY_BYTES: Final = 2 * GIB  # torch, one expert and a batch
WORKER_BYTES: Final = GIB  # of `enecg serve`: a process that reads (0.2 GiB) and one with the set `offline` (0.6)
SLOW_SECONDS: Final = 5.0  # importing torch takes about 1.6 s with its bytecode compiled
COMPILED: Final = ("torch", "scipy", "pandas", "lightgbm")  # packages whose bytecode decides on the start-up time

_TORCH: Final = """
import json, time
start = time.perf_counter()
import torch
seconds = time.perf_counter() - start
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"seconds": seconds, "threads": torch.get_num_threads(), "gpus": gpus}))
"""


@dataclass(frozen=True)
class MachineCheck:
    """One check and its result.

    Attributes:
        name: what was checked.
        ok: True; False when something will fail; None for a fact, or for something optional that is missing.
        detail: what was found.
        remedy: what to do; empty when nothing needs to be done.
    """

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def checks() -> list[MachineCheck]:
    """Run all checks. They take about as long as `import torch`."""
    return [python(), *packages(), *extras(), *torch(), *experts(), bytecode(), hub(), *cache(), memory(), *service()]


def python() -> MachineCheck:
    """Check the version of Python."""
    needed = metadata.metadata("enecg")["Requires-Python"]
    found = platform.python_version()
    ok = SpecifierSet(needed).contains(found, prereleases=True)
    return MachineCheck("python", ok, f"{found} (needs {needed})", "" if ok else f"install Python {needed}")


def packages() -> list[MachineCheck]:
    """Check the required packages, one check each."""
    return [_package(needed) for needed, extra in requirements() if extra is None]


def extras() -> list[MachineCheck]:
    """Check the optional groups of packages, one check each."""
    groups: dict[str, list[MachineCheck]] = {}
    for needed, extra in requirements():
        if extra not in (None, "all", "dev") and needed.name != "enecg":  # these two add other extras, and tools
            groups.setdefault(str(extra), []).append(_package(needed))
    found = []
    for extra, members in groups.items():
        ok = all(member.ok for member in members)
        detail = ", ".join(f"{member.name} {member.detail}" for member in members)
        found.append(MachineCheck(f"extra {extra}", ok or None, detail, "" if ok else f"pip install 'enecg[{extra}]'"))
    return found


def torch() -> list[MachineCheck]:
    """Check threads, GPUs and import time of torch, in a new process."""
    done = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return [MachineCheck("import torch", False, last, "install torch again: pip install --force-reinstall torch")]
    facts = json.loads(done.stdout.splitlines()[-1])
    slow = facts["seconds"] > SLOW_SECONDS
    remedy = "compile the bytecode (see bytecode), or put the environment on a faster disk" if slow else ""
    gpus = ", ".join(facts["gpus"]) or "none; experts run on the processor"
    return [
        MachineCheck("import torch", None if slow else True, f"{facts['seconds']:.1f} s", remedy),
        MachineCheck("torch threads", None, f"{facts['threads']} of {os.cpu_count()} processors"),
        MachineCheck("gpu", None, gpus),
    ]


def experts() -> list[MachineCheck]:
    """Check which experts can be used now. Those that must be fetched first are one check together."""
    from enecg.errors import EnecgError
    from enecg.experts.registry import SETS, entry, names

    try:
        known = names()
    except EnecgError as error:
        return [
            MachineCheck("experts", False, str(error), "correct or remove that expert; ENECG_EXPERTS names its folder")
        ]
    found, absent = [], []
    for name in known:
        if entry(name).available():
            found.append(MachineCheck(f"expert {name}", True, "ready"))
        elif name in SETS["offline"]:
            remedy = "it comes with enecg: pip install --force-reinstall --no-deps enecg"
            found.append(MachineCheck(f"expert {name}", False, "its files are missing", remedy))
        else:
            absent.append(name)
    if absent:
        remedy = "enecg experts show NAME says what it needs"
        found.append(MachineCheck("other experts", None, f"{len(absent)} not ready: {', '.join(absent)}", remedy))
    return found


def bytecode() -> MachineCheck:
    """Check that packages have compiled bytecode: without it every start takes twice as long."""
    plain = []
    for name in COMPILED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            compiled = Path(importlib.util.cache_from_source(spec.origin))
            if not compiled.is_file():
                plain.append(name)
    if not plain:
        return MachineCheck("bytecode", True, "compiled")
    why = "; PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else ""
    remedy = f"{sys.executable} -m compileall -q {metadata.distribution('torch').locate_file('')}"
    return MachineCheck("bytecode", None, f"not compiled: {', '.join(plain)}{why}", remedy)


def hub() -> MachineCheck:
    """Check whether weights may be fetched from the Hugging Face hub."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return MachineCheck(
            "HF_HUB_OFFLINE", None, "set: no weights are fetched", "unset it before enecg experts fetch"
        )
    return MachineCheck("HF_HUB_OFFLINE", None, "not set: enecg experts fetch may use the network, nothing else does")


def cache() -> list[MachineCheck]:
    """Check the cache folder, where converted weights are kept: permission and free space."""
    from enecg.experts.weights import cache_folder

    folder = cache_folder()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    remedy = "set ENECG_CACHE to a folder that you may write to, on a disk with free space"
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = MachineCheck("cache folder", True, str(folder))
    except OSError as error:
        writable = MachineCheck("cache folder", False, f"{folder}: {error.strerror}", remedy)
    free = shutil.disk_usage(there).free
    enough = free >= DISK_BYTES
    return [writable, MachineCheck("disk", enough or None, f"{free / GIB:.1f} GiB free", "" if enough else remedy)]


def memory() -> MachineCheck:
    """Check the free memory."""
    free = available_memory()
    enough = free >= MEMORY_BYTES
    remedy = "" if enough else "close other programs, or take fewer experts at a time"
    return MachineCheck("memory", enough or None, f"{free / GIB:.1f} GiB available", remedy)


def service() -> list[MachineCheck]:
    """Check the settings of `enecg serve` in the environment, if there are any."""
    from enecg.errors import InputError
    from enecg.serve.settings import PREFIX, Settings

    keys = sorted(key for key in os.environ if key.startswith(PREFIX))
    if not keys:
        return []
    try:
        found = Settings.read()
    except InputError as error:
        what, _, reason = str(error).partition(": ")
        return [MachineCheck(what, False, reason, "docs/serve.md lists all settings")]
    who = "open to this machine's users" if found.open else f"{len(found.tokens)} tokens"
    detail = f"{found.host}:{found.port}, {found.workers} workers, {who}"
    checks = [MachineCheck("enecg serve", True, f"{detail}; set: {', '.join(keys)}")]
    if f"{PREFIX}TOKEN" in keys:
        remedy = f"use a file, which other users cannot see: {PREFIX}TOKEN_FILE"
        checks.append(MachineCheck(f"{PREFIX}TOKEN", None, "the token is in the environment", remedy))
    needed = found.workers * WORKER_BYTES
    free = available_memory()
    if free < needed:
        remedy = f"set {PREFIX}WORKERS to fewer, or leave more memory free"
        checks.append(MachineCheck("memory for workers", None, f"about {needed / GIB:.1f} GiB are needed", remedy))
    return checks


def available_memory() -> int:
    """Return the bytes of memory that are free without swapping."""
    return int(psutil.virtual_memory().available)


def requirements() -> Iterator[tuple[Requirement, str | None]]:
    """Yield the packages that the installed enecg needs, each with the extra that it belongs to."""
    for text in metadata.requires("enecg") or []:
        requirement = Requirement(text)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", str(requirement.marker or ""))
        yield requirement, extra[1] if extra else None


def _package(needed: Requirement) -> MachineCheck:
    wanted = f"{needed.name}{needed.specifier}"
    try:
        found = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return MachineCheck(needed.name, False, f"not installed (needs {needed.specifier})", f"pip install '{wanted}'")
    ok = needed.specifier.contains(found, prereleases=True)
    return MachineCheck(needed.name, ok, f"{found} (needs {needed.specifier})", "" if ok else f"pip install '{wanted}'")
