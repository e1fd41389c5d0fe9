"""Small experts that are exactly known, and recordings to embed: what the tests of store and pipeline share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch, InputSpec
from enecg.leads import STANDARD


class Summary(Expert):
    """Mean, deviation and last sample of each lead: batch independent, with NaN for an absent lead.

    Attributes:
        seen: number of windows in each call of `encode`.
    """

    def __init__(self, name: str = "summary", spec: InputSpec | None = None) -> None:
        spec = spec or InputSpec()
        self.card = Card(name, f"Test expert {name}", "tests", "Apache-2.0", 3 * len(spec.leads), spec)
        self.seen: list[int] = []

    def encode(self, batch: Batch) -> np.ndarray:
        self.seen.append(len(batch))
        last = np.take_along_axis(batch.signal, batch.length[:, None, None] - 1, axis=2)[..., 0]
        numbers = np.stack([batch.signal.mean(2), batch.signal.std(2), last])
        return np.where(batch.present, numbers, np.nan).transpose(1, 0, 2).reshape(len(batch), -1).astype(np.float32)


def beats(seed: int, seconds: float = 10.0, rate: float = 250.0) -> np.ndarray:
    """Twelve leads of a regular rhythm in mV, float64 `[lead, sample]`, with exact limb leads."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    phase = at * rng.uniform(0.9, 1.6) % 1.0
    waves = np.stack(
        [np.exp(-(((phase - centre) / width) ** 2)) for centre, width in ((0.3, 0.03), (0.4, 0.012), (0.65, 0.06))]
    )
    leads = rng.uniform(0.3, 1.0, (8, 3)) * [0.15, 1.2, 0.3] @ waves + rng.normal(0, 0.01, (8, len(at)))
    one, two = leads[:2]
    return np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *leads[2:]])


def write_record(path: Path, signal: np.ndarray, rate: float = 250.0) -> None:
    """Write a WFDB record in format 16, 1000 units per mV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digits = np.round(signal * 1000).astype("<i2")
    lines = [f"{path.name} {len(signal)} {rate:g} {signal.shape[1]}"]
    for row, name in zip(digits, STANDARD, strict=True):
        checksum = (int(row.sum(dtype=np.int64)) + 32768) % 65536 - 32768
        lines.append(f"{path.name}.dat 16 1000/mV 16 0 {row[0]} {checksum} 0 {name}")
    path.with_name(f"{path.name}.hea").write_text("\n".join(lines) + "\n")
    digits.T.tofile(path.with_name(f"{path.name}.dat"))


def write_cohort(folder: Path, count: int, seconds: float = 10.0) -> Path:
    """Write `count` records and their manifest, and return the manifest's path."""
    names = [f"p {i % 3}/r{i:03d}" for i in range(count)]
    for i, name in enumerate(names):
        write_record(folder / name, beats(i, seconds * (1 + i % 3)))
    manifest = folder / "manifest.csv"
    manifest.write_text("record,age\n" + "".join(f"{name},{50 + i % 40}\n" for i, name in enumerate(names)))
    return manifest
