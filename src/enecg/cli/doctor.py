"""Is this machine ready? What `enecg doctor` prints; nothing here uses the network or changes anything."""

from __future__ import annotations

import importlib.util
import json
import operator
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
_ORDERS: Final = {">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt,
                  "<": operator.lt}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        ok: True; False when something will fail; None for a fact, or for what is optional and not there.
        detail: what was found.
        remedy: what to do about it; empty when there is nothing to do.
    """

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def checks() -> list[Check]:
    """All checks; about as long as `import torch` takes."""
    return [python(), *packages(), *extras(), *torch(), *experts(), bytecode(), hub(), *cache(), memory(), *service()]


def python() -> Check:
    """The interpreter's version."""
    needed = metadata.metadata("enecg")["Requires-Python"]
    found = platform.python_version()
    ok = satisfies(found, needed)
    return Check("python", ok, f"{found} (needs {needed})", "" if ok else f"install Python {needed}")


def packages() -> list[Check]:
    """The packages that enecg cannot do without, one check each."""
    return [_package(name, needed) for name, needed, extra in requirements() if extra is None]


def extras() -> list[Check]:
    """The optional groups of packages, one check each."""
    groups: dict[str, list[Check]] = {}
    for name, needed, extra in requirements():
        if extra is not None and extra not in ("all", "dev"):  # these two only gather others
            groups.setdefault(extra, []).append(_package(name, needed))
    found = []
    for extra, members in groups.items():
        ok = all(member.ok for member in members)
        detail = ", ".join(f"{member.name} {member.detail}" for member in members)
        found.append(Check(f"extra {extra}", ok or None, detail, "" if ok else f"pip install 'enecg[{extra}]'"))
    return found


def torch() -> list[Check]:
    """Threads, graphics processors and import time of torch, from a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", _TORCH], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return [Check("import torch", False, last, "install torch again: pip install --force-reinstall torch")]
    facts = json.loads(done.stdout.splitlines()[-1])
    slow = facts["seconds"] > SLOW_SECONDS
    remedy = "compile the bytecode (see bytecode), or put the environment on a faster disk" if slow else ""
    gpus = ", ".join(facts["gpus"]) or "none; experts run on the processor"
    return [
        Check("import torch", None if slow else True, f"{facts['seconds']:.1f} s", remedy),
        Check("torch threads", None, f"{facts['threads']} of {os.cpu_count()} processors"),
        Check("gpu", None, gpus),
    ]


def experts() -> list[Check]:
    """Which experts can be used as things stand; those that have to be fetched first are one check together."""
    from enecg.errors import EnecgError
    from enecg.experts.registry import SETS, entry, names

    try:
        known = names()
    except EnecgError as error:
        return [Check("experts", False, str(error), "mend or remove that expert; ENECG_EXPERTS names its folder")]
    found, absent = [], []
    for name in known:
        if entry(name).available():
            found.append(Check(f"expert {name}", True, "ready"))
        elif name in SETS["offline"]:
            remedy = "it comes with enecg: pip install --force-reinstall --no-deps enecg"
            found.append(Check(f"expert {name}", False, "its files are missing", remedy))
        else:
            absent.append(name)
    if absent:
        remedy = "enecg experts show NAME says what it needs"
        found.append(Check("other experts", None, f"{len(absent)} not ready: {', '.join(absent)}", remedy))
    return found


def bytecode() -> Check:
    """Whether packages start from compiled bytecode; without it every start takes twice as long."""
    plain = []
    for name in COMPILED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            compiled = Path(importlib.util.cache_from_source(spec.origin))
            if not compiled.is_file():
                plain.append(name)
    if not plain:
        return Check("bytecode", True, "compiled")
    why = "; PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else ""
    remedy = f"{sys.executable} -m compileall -q {metadata.distribution('torch').locate_file('')}"
    return Check("bytecode", None, f"not compiled: {', '.join(plain)}{why}", remedy)


def hub() -> Check:
    """Whether weights may be fetched from the Hugging Face hub."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Check("HF_HUB_OFFLINE", None, "set: no weights are fetched", "unset it before enecg experts fetch")
    return Check("HF_HUB_OFFLINE", None, "not set: enecg experts fetch may use the network, nothing else does")


def cache() -> list[Check]:
    """Whether converted weights can be kept: permission and room in the cache folder."""
    from enecg.experts.weights import cache_folder

    folder = cache_folder()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    remedy = "set ENECG_CACHE to a folder on a disk where there is room and that you may write to"
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = Check("cache folder", True, str(folder))
    except OSError as error:
        writable = Check("cache folder", False, f"{folder}: {error.strerror}", remedy)
    free = shutil.disk_usage(there).free
    enough = free >= DISK_BYTES
    return [writable, Check("disk", enough or None, f"{free / GIB:.1f} GiB free", "" if enough else remedy)]


def memory() -> Check:
    """Memory that is free for use."""
    free = available_memory()
    if free is None:
        return Check("memory", None, "not known on this system")
    enough = free >= MEMORY_BYTES
    remedy = "" if enough else "close other programs, or take fewer experts at a time"
    return Check("memory", enough or None, f"{free / GIB:.1f} GiB available", remedy)


def service() -> list[Check]:
    """What the environment tells `enecg serve`, where it tells anything."""
    from enecg.errors import InputError
    from enecg.serve.settings import PREFIX, Settings

    told = sorted(key for key in os.environ if key.startswith(PREFIX))
    if not told:
        return []
    try:
        found = Settings.read()
    except InputError as error:
        what, _, reason = str(error).partition(": ")
        return [Check(what, False, reason, "docs/serve.md lists all settings")]
    who = "open to this machine's users" if found.open else f"{len(found.tokens)} tokens"
    detail = f"{found.host}:{found.port}, {found.workers} workers, {who}"
    checks = [Check("enecg serve", True, f"{detail}; set: {', '.join(told)}")]
    if f"{PREFIX}TOKEN" in told:
        remedy = f"a file is not seen in the list of processes: {PREFIX}TOKEN_FILE"
        checks.append(Check(f"{PREFIX}TOKEN", None, "the token is in the environment", remedy))
    needed = found.workers * WORKER_BYTES
    free = available_memory()
    if free is not None and free < needed:
        remedy = f"set {PREFIX}WORKERS to fewer, or leave more memory free"
        checks.append(Check("memory for workers", None, f"about {needed / GIB:.1f} GiB are needed", remedy))
    return checks


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    table = Path("/proc/meminfo")
    if not table.is_file():
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", table.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def requirements() -> Iterator[tuple[str, str, str | None]]:
    """What the installed enecg asks for: package, version range, and the extra that it belongs to."""
    for text in metadata.requires("enecg") or []:
        requirement, _, marker = text.partition(";")
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        assert name is not None, text
        needed = re.sub(r"^[\w.-]+(\[.*\])?", "", requirement).strip()
        yield name[0], needed, extra[1] if extra else None


def satisfies(version: str, needed: str) -> bool:
    """Whether a version lies in a range such as `>=0.11,<0.12`; only the numbers of the release are compared."""
    for part in filter(None, needed.split(",")):
        match = re.fullmatch(r"\s*([<>=!]+)\s*([\d.]+)\s*", part)
        if match is None:
            raise ValueError(f"version range {needed!r} is of a kind that is not compared here")
        if not _ORDERS[match[1]](_release(version), _release(match[2])):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """`"2.13.0+cpu"` -> `(2, 13)`: trailing zeros say nothing."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _package(name: str, needed: str) -> Check:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, False, f"not installed (needs {needed})", f"pip install '{name}{needed}'")
    ok = satisfies(found, needed)
    return Check(name, ok, f"{found} (needs {needed})", "" if ok else f"pip install '{name}{needed}'")
