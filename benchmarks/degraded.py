"""Is a gate worth anything where the quality of recordings varies? And what should it look at?

Half of the recordings of a cohort are degraded: leads lost, leads that hold noise alone, real noise over all leads, or
a short strip. Everything is cross-validated by subject. Weights and gates learn from the mix; heads do so too
("mixed"), or from the recordings that were left as they are, as those of an archive that was cleaned ("good"). Two
questions are answered: whether the gate that `fit` would keep is better than the static weights, per task, by the
paired bootstrap over subjects; and how gates on other inputs, and of other kinds, compare on the same scores.

Real recordings and noise (MIT-BIH Noise Stress Test, Moody et al. 1984) are taken from ENECG_DATA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from common import FOLDS, Measured, compared, data_folder, folded, offline, ptbxl, run
from gates import Weighed
from gates import fit as fit_shared
from rich.progress import track

from enecg.cohorts.manifest import Cohort
from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.baselines import is_member
from enecg.ensemble.combiner import Combiner
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.heads import fit_heads
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.gates.clusters import fit_cluster_gate, gate_effect
from enecg.experts import registry
from enecg.experts.base import Card, Expert
from enecg.experts.inputs import Batch, InputSpec
from enecg.leads import STANDARD
from enecg.readers import read
from enecg.recording import Recording
from enecg.tasks import Target

KINDS: Final = ("lost leads", "noise for leads", "noise", "short")
VIEWS: Final = ("quality", "rhythm", "rocket", "tiny", "lead-ii")
SHARED: Final = ("quality", "rhythm")  # views of a gate that all tasks share
LEADS: Final = ("II", "V2", "V5")  # that a learned convolution looks at
CONVOLUTION: Final = "convolution"
LEARNED: Final = (CONVOLUTION, f"{CONVOLUTION}, shared", *(f"{view}, shared" for view in SHARED))
HEADS: Final = ("mixed", "good")  # what recordings heads have learned from
SEED: Final = 20251122
NOISE_RATE: Final = 360.0  # Hz, of the noise tracks
QUICK: Final = 300  # recordings


def measure(quick: bool, folder: Path) -> Measured:
    """Fit heads once in each fold; on their out-of-fold scores the gate of `fit`, and one on each other input."""
    cohort, data = ptbxl(quick), data_folder()
    assert data is not None
    if quick:
        cohort = cohort.take(np.arange(QUICK))
    experts = [*offline(), registry.create("quality"), registry.create("lead-ii"), FewLeads()]
    kinds, embeddings = _embedded(cohort, experts, _noise(data / "noise" / "nstdb.h5"))
    infos = [ExpertInfo.of(expert) for expert in experts]
    recipe = Recipe(closed_form=quick)
    fold, targets = folded(cohort)
    as_they_were = np.array([not kind for kind in kinds])
    seen_by = {"mixed": targets, "good": [_only(target, as_they_were) for target in targets]}
    names = ("static", "as fit does", *VIEWS, *LEARNED)
    said = {
        heads: {target.task.name: {name: np.full(target.y.shape, np.nan) for name in names} for target in targets}
        for heads in HEADS
    }
    kept: dict[str, dict[str, list[str]]] = {heads: {target.task.name: [] for target in targets} for heads in HEADS}
    for k in track(range(FOLDS), description="Folds"):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        part = _Fold(infos, {n: m[inside] for n, m in embeddings.items()}, cohort.subjects[inside], recipe)
        there = {name: matrix[outside] for name, matrix in embeddings.items()}
        for which in HEADS:
            heads = part.heads([target.take(inside) for target in seen_by[which]])
            for task, answers in part.answers([target.take(inside) for target in targets], heads, there).items():
                for name, answer in answers.items():
                    said[which][task][name][outside] = answer
                kept[which][task].append(part.chosen[task])
    figures: dict[str, Any] = {
        "recordings": len(cohort),
        "subjects": len(set(cohort.subjects)),
        "kinds": {kind or "as it was": kinds.count(kind) for kind in ("", *KINDS)},
    }
    ratios = {}
    for which in HEADS:
        figures[f"{which} heads"] = tasks = {
            target.task.name: {
                "gates_kept": kept[which][target.task.name],
                **compared(target, said[which][target.task.name], cohort.subjects, "static", quick),
            }
            for target in targets
        }
        verdicts = [told["as fit does"]["verdict"] for told in tasks.values()]
        for verdict in ("better", "worse"):
            ratios[f"tasks_{verdict}_with_gate_{which}_heads"] = float(verdicts.count(verdict))
    return ratios, figures


def _only(target: Target, rows: np.ndarray) -> Target:
    """The target with labels of some recordings only."""
    return Target(target.task, np.where(rows[:, None], target.y, np.nan), target.problems)


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
        self.chosen: dict[str, str] = {}

    def heads(self, targets: Sequence[Target]) -> Any:
        """Fitted heads and their out-of-fold scores."""
        return fit_heads(self.embeddings, targets, self.subjects, self.infos, self.recipe, 0, lambda _: None)

    def answers(
        self, targets: Sequence[Target], heads: Any, there: dict[str, np.ndarray]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Return per task the answers of the static weights, of the gate of `fit`, and of gates on all inputs."""
        predictors, scores = heads
        weighed, tests, found = [], [], {}
        for target in targets:
            task = target.task.name
            members = [p for p in predictors if task in p.tasks and is_member(p.name)]
            own = [scores[p.name][task] for p in members]
            tests.append([p.scores(there)[task] for p in members])
            weighed.append(Weighed(Combiner.fit([p.name for p in members], own, target, "shares"), own, target))
            found[task] = self._apart(weighed[-1], tests[-1], there)
        for view in (*SHARED, CONVOLUTION):
            shared = fit_shared(_seen(view, self.embeddings), weighed, self.subjects)
            residuals = shared.residuals(_seen(view, there))
            for one, test, residual in zip(weighed, tests, residuals, strict=True):
                found[one.target.task.name][f"{view}, shared"] = one.combiner.predict(
                    test, one.combiner.scaled(residual)
                )
        for one, test in zip(weighed, tests, strict=True):
            gate = fit_shared(_seen(CONVOLUTION, self.embeddings), [one], self.subjects)
            residual = gate.residuals(_seen(CONVOLUTION, there))[0]
            found[one.target.task.name][CONVOLUTION] = one.combiner.predict(test, one.combiner.scaled(residual))
        return found

    def _apart(self, task: Weighed, test: Sequence[np.ndarray], there: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers of a task's static weights and of gates of its own."""
        combiner, own, target = task.combiner, task.scores, task.target
        found = {"static": combiner.select_single_if_as_good(own, target).predict(test)}
        for view in VIEWS:
            gate = fit_cluster_gate(combiner, own, target, self.embeddings[view])
            found[view] = combiner.predict(test, gate.gated(there[view], combiner))
        chosen = self.recipe.gate_input
        helps = gate_effect(combiner, own, target, self.embeddings[chosen], self.subjects).helps
        self.chosen[target.task.name] = chosen if helps else "none"
        found["as fit does"] = found[chosen] if helps else found["static"]
        return found


class FewLeads(Expert):
    """The samples of three leads, for a gate that learns what to look for."""

    gate_input = True
    card = Card(
        name="few-leads",
        title="10 s of leads II, V2 and V5 at 100 Hz",
        source="Analytic",
        licence="Apache-2.0",
        dim=len(LEADS) * 1000,
        input=InputSpec(rate=100.0, seconds=10.0, max_windows=1, scaling="record_zscore"),
    )

    def encode(self, batch: Batch) -> np.ndarray:
        """float32 `[window, 3000]`."""
        return batch.signal[:, [STANDARD.index(lead) for lead in LEADS]].reshape(len(batch.signal), -1)


def _seen(view: str, embeddings: dict[str, np.ndarray]) -> np.ndarray:
    """What a gate of `gates` looks at."""
    if view != CONVOLUTION:
        return embeddings[view]
    flat = embeddings[FewLeads.card.name]
    return flat.reshape(len(flat), len(LEADS), -1)


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
    return np.asarray(found / np.maximum(found.std(1, keepdims=True), 1e-9))


def _noise(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        tracks = [np.asarray(file[name], np.float32) for name in file]
    return np.concatenate([each.T if each.shape[0] > each.shape[1] else each for each in tracks])


if __name__ == "__main__":
    run("degraded", measure)
