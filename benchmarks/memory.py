"""Memory: the peak of `embed` at 1,000 and at 20,000 recordings, each in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from common import Measured, apart, run

from enecg.cohorts.manifest import Cohort
from enecg.embedding.pipeline import embed
from enecg.embedding.store.store import Store
from enecg.experts import registry
from enecg.simulation import make_cohort

EXPERT = "tiny"  # cheap, and a network: what is held for a recording does not depend on what an encoder costs
RATE = 100.0  # Hz: 20,000 files of 24 kB
MODELS = 200  # generated recordings, each written again and again with other first samples: no two are the same


def measure(quick: bool, folder: Path) -> Measured:
    """`growth`: the higher peak over the lower."""
    few, many = (64, 128) if quick else (1_000, 20_000)
    manifests = {number: _recordings(folder / str(number), number) for number in (few, many)}
    idle = apart(_embedded, str(manifests[few]), str(folder / "idle"), 0)
    found = {number: apart(_embedded, str(path), str(folder / f"store-{number}"), number)
             for number, path in manifests.items()}  # fmt: skip
    growth = found[many]["peak_mb"] / found[few]["peak_mb"]
    figures = {"expert": EXPERT, "idle_peak_mb": idle["peak_mb"], **{str(number): found[number] for number in found}}
    return {"growth": growth}, figures


def _recordings(folder: Path, number: int) -> Path:
    """A manifest of `number` recordings whose contents all differ."""
    models = Cohort.load(make_cohort(folder / "models", min(MODELS, number), rate=RATE))
    places = [models.path(row) for row in range(min(MODELS, number))]
    raw = [place.with_suffix(".dat").read_bytes() for place in places]
    headers = [place.with_suffix(".hea").read_text() for place in places]
    rows = ["record"]
    (folder / "records").mkdir()
    for i in range(number):
        model, name = i % len(places), f"{i:05d}"
        stamp = np.array([i // 200, i % 200], "<i2").tobytes()  # microvolts, in the first sample of two leads
        (folder / "records" / f"{name}.dat").write_bytes(stamp + raw[model][4:])
        header = headers[model].replace(places[model].name, name)
        (folder / "records" / f"{name}.hea").write_text(_with_first(header, raw[model][:4], stamp))
        rows.append(f"records/{name}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


def _with_first(header: str, old: bytes, new: bytes) -> str:
    """The header with initial values and checksums that fit other first samples of the first leads."""
    lines = header.split("\n")
    for i, (before, after) in enumerate(zip(np.frombuffer(old, "<i2"), np.frombuffer(new, "<i2"), strict=True), 1):
        words = lines[i].split(" ")
        words[5], words[6] = str(after), str(np.int64(int(words[6]) + int(after) - int(before)).astype(np.int16))
        lines[i] = " ".join(words)
    return "\n".join(lines)


def _embedded(manifest: str, store: str, number: int) -> dict[str, Any]:
    """Embed a manifest's recordings; none with `number` 0: only what is loaded for it."""
    expert = registry.create(EXPERT)
    cohort, start = Cohort.load(manifest), time.perf_counter()
    if number:
        report = embed(cohort, [expert], Store(store), progress=False)
        assert report.computed == number
    return {"seconds": round(time.perf_counter() - start, 2)}


if __name__ == "__main__":
    run("memory", measure)
