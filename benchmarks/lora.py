"""Feed-forward heads with and without LoRA against linear ones, on real recordings: quality, size, time.

    ENECG_DATA=FOLDER python benchmarks/lora.py [--quick] [--json FILE]

FOLDER holds manifest.csv with PTB-XL folds 1 to 9. Cross-fitted by subject in five folds; the scores of all folds are
scored together, with 95 % bootstrap intervals over subjects, and the difference from the trunk alone is paired.
Embeddings come from the store in the user's cache. Heads are timed by turns within each fold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from common import FOLDS, Measured, compared, folded, ptbxl, run

from enecg.embedding.dataset import gather
from enecg.embedding.store.store import Store
from enecg.ensemble.heads.base import FittedHead, Head
from enecg.ensemble.heads.feed_forward import FeedForward
from enecg.ensemble.heads.ridge import Kernel, Ridge
from enecg.experts import registry
from enecg.experts.weights import cache_folder
from enecg.tasks import Target

EXPERTS: Final = ("rhythm", "tiny")
RANKS: Final = (2, 4, 8, 16, 32)
BASE: Final = "trunk"


@dataclass
class Variant:
    """One kind of head, and what came out of it.

    Attributes:
        heads: each with the positions of its tasks.
        scores: per task, out of fold.
        seconds: of fitting, per fold.
        trained: numbers, in the last fold.
        size: bytes of all that a bundle keeps, in the last fold.
    """

    heads: Sequence[tuple[Head, Sequence[int]]]
    scores: list[np.ndarray]
    seconds: list[float] = field(default_factory=list)
    trained: int = 0
    size: int = 0

    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, fold: np.ndarray, k: int) -> None:
        """Fit without fold `k` and score it."""
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        fitted, began = [], time.perf_counter()
        for head, tasks in self.heads:
            own = [targets[i].take(inside) for i in tasks]
            fitted.append(head.fit(x[inside], own, subjects[inside], k))
        self.seconds.append(time.perf_counter() - began)
        for head_k, (_, tasks) in zip(fitted, self.heads, strict=True):
            for i, found in zip(tasks, head_k.predict(x[outside]), strict=True):
                self.scores[i][outside] = found
        self.trained = sum(head_k.trained for head_k in fitted)
        self.size = sum(map(_bytes, fitted))


def _bytes(head: FittedHead) -> int:
    state = head.state()
    low_rank = [side for adapter in state.adapters.values() for pair in adapter.layers.values() for side in pair]
    return sum(array.nbytes for array in (*state.tensors.values(), *low_rank))


def measure(quick: bool, folder: Path) -> Measured:
    """Every variant on every expert."""
    cohort = ptbxl(quick)
    names = EXPERTS[:1] if quick else EXPERTS
    data = gather(cohort, [registry.create(name) for name in names], Store(cache_folder() / "store"))
    fold, targets = folded(data.cohort)
    figures: dict[str, Any] = {"recordings": len(data.cohort), "subjects": len(set(data.cohort.subjects))}
    figures["tasks"] = {t.task.name: {"n": int(t.known.sum()), "outputs": t.y.shape[1]} for t in targets}
    ratios = {}
    for name in names:
        variants = _variants(targets, RANKS[1:3] if quick else RANKS)
        for k in range(FOLDS):
            for variant in list(variants.values())[:: 1 if k % 2 == 0 else -1]:
                variant.fit(data.embeddings[name], targets, data.cohort.subjects, fold, k)
        figures[name] = _figures(variants, targets, data.cohort.subjects, quick)
        for label, variant in variants.items():
            ratios[f"{name}: seconds of {label} over {BASE}"] = sum(variant.seconds) / sum(variants[BASE].seconds)
    return ratios, figures


def _variants(targets: Sequence[Target], ranks: Sequence[int]) -> dict[str, Variant]:
    everything = list(range(len(targets)))
    plans: dict[str, list[tuple[Head, Sequence[int]]]] = {
        "ridge": [(Ridge(), everything)],
        "kernel": [(Kernel(), everything)],
        BASE: [(FeedForward(lora_rank=0), everything)],
        **{f"LoRA {rank}": [(FeedForward(lora_rank=rank), everything)] for rank in ranks},
        "full": [(FeedForward(lora_rank=0), [i]) for i in everything],
    }
    return {
        label: Variant(plan, [np.full(target.y.shape, np.nan) for target in targets]) for label, plan in plans.items()
    }


def _figures(
    variants: Mapping[str, Variant], targets: Sequence[Target], subjects: np.ndarray, quick: bool
) -> dict[str, Any]:
    costs = {
        label: {
            "trained": variant.trained,
            "bytes": variant.size,
            "seconds_per_fold": round(float(np.median(variant.seconds)), 2),
        }
        for label, variant in variants.items()
    }
    tasks = {
        target.task.name: compared(target, {label: v.scores[i] for label, v in variants.items()}, subjects, BASE, quick)
        for i, target in enumerate(targets)
    }
    return {"costs": costs, "tasks": tasks}


if __name__ == "__main__":
    run("lora", measure)
