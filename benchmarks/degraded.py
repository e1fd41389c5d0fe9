"""Is a gate worth anything where the quality of recordings varies? And what should it look at?

Half of the recordings of a cohort are degraded: leads lost, leads that hold noise alone, real noise over all leads, or
a short strip. Everything is cross-validated by subject on the mix. Two questions are answered: whether the gate that
`fit` would keep is better than the static weights, per task, by the paired bootstrap over subjects; and how gates on
other views compare on the same out-of-fold scores.

Real recordings and noise (MIT-BIH Noise Stress Test, Moody et al. 1984) are taken from ENECG_DATA.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from common import Measured, run
from rich.progress import track

from enecg.cohort.manifest import Cohort
from enecg.embed.gather import Gathered
from enecg.embed.pipeline import embed_recordings
from enecg.ensemble.recipe import ExpertInfo, Recipe
from enecg.evaluate.run import crossval
from enecg.experts import registry
from enecg.readers import read
from enecg.recording import Recording
from enecg.tasks import parse_tasks

TASKS: Final = "rr_interval=rr_mean_ms[rr_ok == 1],age,sex,arrhythmia=rhythm,superclass:multilabel"
WHERE: Final = 'record.str.startswith("ptbxl_filtered_100hz/")'
KINDS: Final = ("lost leads", "noise for leads", "noise", "short")
VIEWS: Final = ("quality", "rhythm", "outputs", "lead-ii", "random", "rocket")
NOISE_RATE: Final = 360.0  # Hz, of the noise tracks
QUICK: Final = 300  # recordings


def measure(quick: bool, folder: Path) -> Measured:
    """Cross-validate on the mix with each set of views that a gate is tried on."""
    data = Path(os.environ.get("ENECG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    cohort = Cohort.load(data / "manifest.csv", WHERE)
    if quick:
        cohort = cohort.take(np.arange(QUICK))
    experts = [registry.create(name) for name in (*registry.SETS["offline"], "quality", "random", "lead-ii")]
    noise = _noise(data / "noise" / "nstdb.h5")
    kinds, parts = [], []
    for row in track(range(len(cohort)), description="Embedding"):
        rng = np.random.default_rng([20251122, row])
        kind = KINDS[rng.integers(len(KINDS))] if rng.random() < 0.5 else ""
        recording = read(cohort.path(row))
        kinds.append(kind)
        parts.append(embed_recordings([degrade(recording, kind, noise, rng)], experts))
    embeddings = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    mixed = Gathered(cohort, embeddings, [], [])
    infos = [ExpertInfo.of(expert) for expert in experts]
    figures: dict[str, Any] = {
        "recordings": len(cohort),
        "subjects": len(set(cohort.subjects)),
        "kinds": {kind or "as it was": kinds.count(kind) for kind in ("", *KINDS)},
    }
    base = Recipe()
    views: dict[str, Sequence[str]] = {"as fit does": base.gates} | {view: (view,) for view in VIEWS}
    for name, gates in list(views.items())[: 1 if quick else None]:
        found = crossval(mixed, parse_tasks(TASKS), infos, recipe=replace(base, gates=tuple(gates)), folds=5)
        figures[name] = {task: _told(block) for task, block in found.document["tasks"].items()}
    better = [t for t, told in figures["as fit does"].items() if told.get("verdict") == "better"]
    worse = [t for t, told in figures["as fit does"].items() if told.get("verdict") == "worse"]
    return {"tasks_better_with_gate": float(len(better)), "tasks_worse_with_gate": float(len(worse))}, figures


def degrade(recording: Recording, kind: str, noise: np.ndarray, rng: np.random.Generator) -> Recording:
    """The recording with leads lost, noise in place of leads, noise on all leads, or a strip of it.

    Args:
        recording: as read.
        kind: of `KINDS`, or empty to leave it as it is.
        noise: float32 `[track, sample]` at `NOISE_RATE`.
        rng: draws leads, places and strength.
    """
    signal = recording.signal.copy()
    leads, samples = signal.shape
    if kind == "short":
        keep = round(rng.uniform(5.0, 6.0) * recording.rate)
        start = rng.integers(0, max(samples - keep, 0) + 1)
        return replace(recording, signal=signal[:, start : start + keep])
    chosen = rng.permutation(leads)[: rng.integers(4, 7)]
    if kind == "lost leads":
        signal[chosen] = 0
    elif kind == "noise for leads":
        signal[chosen] = _drawn(noise, len(chosen), samples, recording.rate, rng) * signal[chosen].std(1, keepdims=True)
    elif kind == "noise":
        strength = rng.uniform(0.5, 2.0) * signal.std(1, keepdims=True)  # +6 to -6 dB
        signal = signal + strength * _drawn(noise, leads, samples, recording.rate, rng)
    return replace(recording, signal=signal.astype(np.float32))


def _drawn(noise: np.ndarray, leads: int, samples: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit deviation `[lead, sample]`, each lead from another place of the tracks."""
    found = np.empty((leads, samples))
    for lead in range(leads):
        track_, size = rng.integers(len(noise)), int(np.ceil(samples / rate * NOISE_RATE)) + 2
        start = rng.integers(0, noise.shape[1] - size)
        piece = noise[track_, start : start + size]
        found[lead] = np.interp(np.arange(samples) / rate, np.arange(size) / NOISE_RATE, piece)
    found -= found.mean(1, keepdims=True)
    return found / np.maximum(found.std(1, keepdims=True), 1e-9)


def _noise(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        tracks = [np.asarray(file[name], np.float32) for name in file]
    return np.concatenate([each.T if each.shape[0] > each.shape[1] else each for each in tracks])


def _told(block: dict[str, Any]) -> dict[str, Any]:
    """The ensemble, and its gate against the static weights; without a gate in use they are the same."""
    told = {"metric": block["metric"], "ensemble": block["ensemble"][block["metric"]], "n": block["n"]}
    compared = block["compare"].get("static")
    if compared is not None:
        told |= {"gate_minus_static": compared["difference"], "verdict": compared["verdict"]}
    return told


if __name__ == "__main__":
    run("degraded", measure)
