"""Scaling: what embedding and fitting cost against the number of recordings, experts, workers and tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from common import TASKS, Measured, median, offline, run, side_by_side, simulated, told

from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import gather
from enecg.embedding.pipeline import embed
from enecg.embedding.store.store import Store
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.recipes import find_recipe
from enecg.experts.base import Expert
from enecg.tasks import parse_tasks
from enecg.workers.threads import cpus


def measure(quick: bool, folder: Path) -> Measured:
    """Ratios: `per_recording` at most over at fewest, `workers`, `four_experts` over the sum of each, `five_tasks`."""
    cohort, experts = simulated(folder / "cohort", 100 if quick else 400, seed=5), offline()
    repeats = 1 if quick else 3
    stores = (folder / f"store-{i}" for i in count())

    def embedding(part: Cohort, who: Sequence[Expert], workers: int | None = None) -> Callable[[], Any]:
        return lambda: embed(part, who, Store(next(stores)), progress=False, workers=workers)

    many = cohort if not quick else cohort.take(range(24))
    sizes = [len(many) // 4, len(many) // 2, len(many)]
    by_size = {f"{n} recordings": embedding(many.take(range(n)), experts, cpus()) for n in sizes}
    by_expert = {expert.card.name: embedding(many, [expert]) for expert in experts}
    by_workers = {f"{n} workers": embedding(many, experts, n) for n in range(cpus() + 1)}
    embedding(many.take(range(6)), experts)()
    size, expert, workers = (side_by_side(calls, repeats) for calls in (
        by_size, {**by_expert, "all": embedding(many, experts)}, by_workers))  # fmt: skip
    tasks = _fitting(cohort, experts, folder / "kept", repeats)

    per_recording = {n: median(taken) / n for n, taken in zip(sizes, size.values(), strict=True)}
    alone = sum(median(taken) for name, taken in expert.items() if name != "all")
    ratios = {
        "per_recording": per_recording[sizes[-1]] / per_recording[sizes[0]],
        "workers": median(workers["0 workers"]) / median(workers[f"{cpus()} workers"]),
        "four_experts": median(expert["all"]) / alone,
        "five_tasks": median(tasks["5 tasks"]) / median(tasks["1 tasks"]),
    }
    figures = {
        "embed_by_recordings": told(size),
        "embed_by_experts": told(expert),
        "embed_by_workers": told(workers),
        "fit_by_tasks": told(tasks),
    }
    return ratios, figures


def _fitting(cohort: Cohort, experts: Sequence[Expert], store: Path, repeats: int) -> dict[str, list[float]]:
    """Fitting (recipe `light`) for one to five tasks from stored embeddings."""
    data = gather(cohort, experts, Store(store), progress=False)
    infos = [ExpertInfo.of(expert) for expert in experts]
    targets = [data.cohort.target(task) for task in parse_tasks(TASKS)]
    people = np.asarray(data.cohort.subjects)

    def fitting(some: int) -> Any:
        return fit(data.embeddings, targets[:some], people, infos, recipe=find_recipe("light"))

    return side_by_side({f"{n} tasks": partial(fitting, n) for n in (1, 3, 5)}, repeats)


if __name__ == "__main__":
    run("scaling", measure)
