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
from enecg.cohort.split import subject_folds
from enecg.embed.pipeline import embed_recordings
from enecg.ensemble.combine import Combiner
from enecg.ensemble.fit import FEWEST_OF_CLASS, fit_heads, learnable
from enecg.ensemble.gate import best_gate, fit_gate, view_of
from enecg.ensemble.recipe import ExpertInfo, Recipe
from enecg.ensemble.rivals import is_member
from enecg.evaluate.bootstrap import bootstrap
from enecg.evaluate.score import estimate_values
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.metrics import evaluate, higher_is_better
from enecg.readers import read
from enecg.recording import Recording
from enecg.tasks import Target, parse_tasks

TASKS: Final = "rr_interval=rr_mean_ms[rr_ok == 1],age,sex,arrhythmia=rhythm,superclass:multilabel"
WHERE: Final = 'record.str.startswith("ptbxl_filtered_100hz/")'
KINDS: Final = ("lost leads", "noise for leads", "noise", "short")
VIEWS: Final = ("quality", "rhythm", "outputs", "rocket", "tiny", "lead-ii")
FOLDS: Final = 5
SEED: Final = 20251122
NOISE_RATE: Final = 360.0  # Hz, of the noise tracks
QUICK: Final = 300  # recordings


def measure(quick: bool, folder: Path) -> Measured:
    """Heads once in each fold; on their out-of-fold scores the gate that `fit` would choose, and one on each view."""
    data = Path(os.environ.get("ENECG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    cohort = Cohort.load(data / "manifest.csv", WHERE)
    if quick:
        cohort = cohort.take(np.arange(QUICK))
    experts = [registry.create(name) for name in (*registry.SETS["offline"], "quality", "lead-ii")]
    kinds, embeddings = _embedded(cohort, experts, _noise(data / "noise" / "nstdb.h5"))
    infos = [ExpertInfo.of(expert) for expert in experts]
    recipe = Recipe(closed_form=quick)
    fold = subject_folds(cohort.subjects, FOLDS, 0)
    parts = [fold != k for k in range(FOLDS)]
    targets = [learnable(cohort.target(task), FEWEST_OF_CLASS, parts) for task in parse_tasks(TASKS)]
    said: dict[str, dict[str, np.ndarray]] = {
        target.task.name: {name: np.full(target.y.shape, np.nan) for name in ("static", "as fit does", *VIEWS)}
        for target in targets
    }
    kept: dict[str, list[str]] = {target.task.name: [] for target in targets}
    for k in track(range(FOLDS), description="Folds"):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        part = _Fold(infos, {n: m[inside] for n, m in embeddings.items()}, cohort.subjects[inside], recipe)
        heads = part.heads([target.take(inside) for target in targets])
        there = {name: matrix[outside] for name, matrix in embeddings.items()}
        for target in targets:
            task, own = target.task.name, said[target.task.name]
            for name, answer in part.answers(target.take(inside), heads, there).items():
                own[name][outside] = answer
            kept[task].append(part.chosen)
    figures: dict[str, Any] = {
        "recordings": len(cohort),
        "subjects": len(set(cohort.subjects)),
        "kinds": {kind or "as it was": kinds.count(kind) for kind in ("", *KINDS)},
        "tasks": {
            target.task.name: {
                "gates_kept": kept[target.task.name],
                **_compared(target, said[target.task.name], cohort.subjects),
            }
            for target in targets
        },
    }
    verdicts = [told["as fit does"]["verdict"] for told in figures["tasks"].values()]
    counts = {verdict: float(verdicts.count(verdict)) for verdict in ("better", "worse")}
    return {f"tasks_{name}_with_gate": count for name, count in counts.items()}, figures


def _embedded(cohort: Cohort, experts: Sequence[Expert], noise: np.ndarray) -> tuple[list[str], dict[str, np.ndarray]]:
    """What was done to each recording, and the embeddings of what it then was."""
    kinds, parts = [], []
    for row in track(range(len(cohort)), description="Embedding"):
        rng = np.random.default_rng([SEED, row])
        kinds.append(KINDS[rng.integers(len(KINDS))] if rng.random() < 0.5 else "")
        recording = degrade(read(cohort.path(row)), kinds[-1], noise, rng)
        parts.append(embed_recordings([recording], experts))
    return kinds, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Fold:
    """The training part of one fold, and the gates that are tried on it."""

    def __init__(
        self, infos: Sequence[ExpertInfo], embeddings: dict[str, np.ndarray], subjects: np.ndarray, recipe: Recipe
    ) -> None:
        self.infos, self.embeddings, self.subjects, self.recipe = infos, embeddings, subjects, recipe
        self.chosen = ""

    def heads(self, targets: Sequence[Target]) -> Any:
        """Fitted heads and their out-of-fold scores."""
        return fit_heads(self.embeddings, targets, self.subjects, self.infos, self.recipe, 0, lambda _: None)

    def answers(self, target: Target, heads: Any, there: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers of the static weights, of the gate that `fit` would keep, and of a gate on each view."""
        predictors, scores = heads
        task = target.task.name
        members = [p for p in predictors if task in p.tasks and is_member(p.name)]
        own = [scores[p.name][task] for p in members]
        test = [p.scores(there)[task] for p in members]
        combiner = Combiner.fit([p.name for p in members], own, target, "shares")
        passed = combiner.passed_through(own, target)
        found = {"static": passed.predict(test)}
        for view in VIEWS:
            seen = view_of(view, self.embeddings, combiner.calibrated(own))
            gate, _ = fit_gate(combiner, own, target, seen, self.subjects)
            found[view] = combiner.predict(test, gate.residual(view_of(view, there, combiner.calibrated(test))))
        tried = best_gate(combiner, own, target, self.embeddings, self.recipe.gates, self.subjects)
        helps = tried is not None and tried[2].helps
        self.chosen = tried[0] if tried is not None and helps else "none"
        found["as fit does"] = found[self.chosen] if helps else found["static"]
        return found


def _compared(target: Target, said: dict[str, np.ndarray], subjects: np.ndarray) -> dict[str, Any]:
    """The task's metric of everyone, and each gate minus the static weights, paired."""
    rows = target.known & np.all([np.isfinite(each).all(1) for each in said.values()], axis=0)
    metric, kind, y = target.task.metric, target.task.kind, target.y[rows]

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: evaluate(kind, y, each[rows], weights, names=(metric,))[metric] for name, each in said.items()}

    found = bootstrap(statistics, subjects[rows], 1000, 0)
    told: dict[str, Any] = {"metric": metric, "n": int(rows.sum()), "static": estimate_values(found["static"])}
    for name in said:
        if name != "static":
            change = found[name] - found["static"]
            told[name] = {
                "value": found[name].value,
                "minus_static": estimate_values(change),
                "verdict": change.verdict(higher_is_better(metric)),
            }
    return told


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


if __name__ == "__main__":
    run("degraded", measure)
