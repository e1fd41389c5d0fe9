"""Load on `enecg serve`: 64 clients for a minute, against the same work called directly in the same minute.

    python benchmarks/serve_load.py BUNDLE FILE... [--clients 64] [--seconds 60] [--workers 2] [--json OUT]

Direct: as many processes as workers, each of which reads the same files and answers them with the same bundle, one
after the other. Served: clients that post one file at a time, obey Retry-After, and keep no pause otherwise. All on
this machine and over 127.0.0.1. What must hold: no answer but 200 and 429, no failed connection, memory level after
the first ten seconds, and a median of the 200s within twice the direct one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

QUIET_SECONDS = 10.0  # before memory is taken for level


@dataclass
class Tally:
    """What clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # s, MiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    told = parser.parse_args()

    before = direct(told.bundle, told.files, told.workers, told.seconds / 4)
    served = asyncio.run(_served(told))
    after = direct(told.bundle, told.files, told.workers, told.seconds / 4)
    alone = [*before, *after]
    report = _report(told, alone, served)
    print(json.dumps(report, indent=1))
    if told.json:
        told.json.write_text(json.dumps(report, indent=1))
    sys.exit(0 if report["held"] else 1)


def direct(bundle: Path, files: list[Path], workers: int, seconds: float) -> list[float]:
    """Seconds for each recording, read and answered in this many processes at a time."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        parts = pool.starmap(_direct, [(str(bundle), [str(f) for f in files], seconds)] * workers)
    return [took for part in parts for took in part]


def _direct(bundle: str, files: list[str], seconds: float) -> list[float]:
    os.environ["OMP_NUM_THREADS"] = "1"
    import enecg

    loaded = enecg.load(bundle)
    for name in files:
        enecg.predict(loaded, name)
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        begun = time.perf_counter()
        enecg.predict(loaded, files[len(took) % len(files)])
        took.append(time.perf_counter() - begun)
    return took


async def _served(told: argparse.Namespace) -> Tally:
    words = [sys.executable, "-c", "from enecg.cli import main; main()", "serve", str(told.bundle), "--port", "0",
             "--workers", str(told.workers)]  # fmt: skip
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = next(line for line in process.stderr if line.startswith("serving on ")).split()[-1]
    drain = asyncio.get_running_loop().run_in_executor(None, process.stderr.read)
    try:
        await _ready(url)
        tally = Tally()
        until = time.perf_counter() + told.seconds
        bodies = [_body(path) for path in told.files]
        clients = [_client(url, bodies, number, until, tally) for number in range(told.clients)]
        await asyncio.gather(_memory(process.pid, until, tally), *clients)
        return tally
    finally:
        process.terminate()
        await drain
        process.wait()


async def _ready(url: str) -> None:
    async with httpx2.AsyncClient() as client:
        while (await client.get(f"{url}/v1/ready")).status_code != 200:
            await asyncio.sleep(0.2)


def _body(path: Path) -> tuple[dict[str, str], bytes]:
    """Headers and body of its upload, made once: clients share the machine with the service."""
    made = httpx2.Request("POST", "http://localhost", files={"files": (path.name, path.read_bytes())})
    return {"content-type": made.headers["content-type"]}, made.read()


async def _client(
    url: str, bodies: list[tuple[dict[str, str], bytes]], number: int, until: float, tally: Tally
) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        while time.perf_counter() < until:
            headers, content = bodies[number % len(bodies)]
            number += 1
            begun = time.perf_counter()
            try:
                answer = await client.post("/v1/predict", headers=headers, content=content)
            except httpx2.TransportError as error:
                tally.statuses[type(error).__name__] += 1
                continue
            tally.statuses[str(answer.status_code)] += 1
            if answer.status_code == 200:
                tally.seconds.append(time.perf_counter() - begun)
            elif answer.status_code == 429:
                await asyncio.sleep(float(answer.headers["Retry-After"]))


async def _memory(pid: int, until: float, tally: Tally) -> None:
    begun = time.perf_counter()
    while time.perf_counter() < until:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total = sum(_resident(int(each)) for each in [pid, *children])
        tally.memory.append((time.perf_counter() - begun, total / 2**20))
        await asyncio.sleep(1)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def _report(told: argparse.Namespace, alone: list[float], served: Tally) -> dict[str, Any]:
    def quantiles(seconds: list[float]) -> dict[str, float]:
        cuts = statistics.quantiles(seconds, n=20)
        return {"n": len(seconds), "median_ms": round(cuts[9] * 1e3, 1), "p95_ms": round(cuts[18] * 1e3, 1)}

    level = [mib for at, mib in served.memory if at > QUIET_SECONDS]
    first, last = (statistics.median(part) for part in (level[: len(level) // 4], level[-(len(level) // 4) :]))
    ratio = statistics.median(served.seconds) / statistics.median(alone)
    odd = {status: n for status, n in served.statuses.items() if status not in ("200", "429")}
    return {
        "name": "serve_load",
        "held": not odd and ratio < 2 and last < 1.1 * first,
        "ratios": {"median_served_to_direct": round(ratio, 2), "memory_last_to_first": round(last / first, 3)},
        "figures": {
            "clients": told.clients, "seconds": told.seconds, "workers": told.workers,
            "direct": quantiles(alone), "served": quantiles(served.seconds), "statuses": dict(served.statuses),
            "answered_per_second": round(len(served.seconds) / told.seconds, 1), "memory_mib": round(last),
        },
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
