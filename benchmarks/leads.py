"""Networks that see one lead at a time: is it worth keeping the leads apart, or would their mean do?

    ENECG_DATA=FOLDER python benchmarks/leads.py [--quick] [--json FILE]

FOLDER holds manifest.csv with PTB-XL. The same embeddings, leads side by side and averaged over them, under a kernel
or ridge head (as `fit` chooses by width), cross-fitted by subject in five folds; differences are paired, with 95 %
bootstrap intervals over subjects. The networks have generated weights of the published layout: what is measured is what
the structure alone keeps of a recording, not what the published weights would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from common import Measured, compared, folded, network, ptbxl, run

from enecg.embedding.dataset import gather
from enecg.embedding.store.store import Store
from enecg.ensemble.fitting.recipes import WIDE
from enecg.ensemble.heads.ridge import Kernel, Ridge

LEADS: Final = {"clef-small": 8, "moment-small": 8, "chronos-bolt-tiny": 12}  # that stand side by side
LAST_FOLD: Final = 5


def measure(quick: bool, folder: Path) -> Measured:
    """`tasks_better_apart`, of all networks: in how many tasks leads apart are better, and in how many worse."""
    cohort = ptbxl(quick, LAST_FOLD)
    if quick:
        cohort = cohort.take(range(200))
    figures: dict[str, Any] = {}
    for name in list(LEADS)[: 1 if quick else None]:
        expert = network(name, folder)
        data = gather(cohort, [expert], Store(folder / "store"))
        subjects, apart = data.cohort.subjects, data.embeddings[name]
        fold, targets = folded(data.cohort)
        said = {}
        for label, x in (("apart", apart), ("averaged", _averaged(apart, LEADS[name]))):
            head = Ridge() if x.shape[1] > WIDE else Kernel()
            said[label] = head.cross_fit(x, targets, subjects, fold, 0)[0]
        figures[name] = {
            "recordings": len(data.cohort),
            "numbers_apart": apart.shape[1],
            "tasks": {
                target.task.name: compared(target, {who: each[i] for who, each in said.items()}, subjects, "averaged")
                for i, target in enumerate(targets)
            },
        }
    verdicts = [task["apart"]["verdict"] for network_ in figures.values() for task in network_["tasks"].values()]
    ratios = {f"tasks_{verdict}_apart": float(verdicts.count(verdict)) for verdict in ("better", "worse")}
    return {"tasks": float(len(verdicts)), **ratios}, figures


def _averaged(apart: np.ndarray, leads: int) -> np.ndarray:
    """The mean over the leads that are there."""
    each = apart.reshape(len(apart), leads, -1)
    there = np.isfinite(each)
    total = np.where(there, each, 0).sum(1) / np.maximum(there.sum(1), 1)
    return np.asarray(np.where(there.any(1), total, np.nan), np.float32)


if __name__ == "__main__":
    run("leads", measure)
