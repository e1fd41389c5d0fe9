"""The protocol: frozen experts run again in every epoch and fold, per task, against embedding once and fitting then.

The reference is the published code of EnECG (arXiv 2511.22935) as it is described: per task a run of its own, which
reads all recordings, then three folds by subject of five epochs, batches of 16 from recordings held in memory, AdamW.
In each batch every expert is run again; the heads (256-256) and the gate on lead II (256) are small beside that, and
are trained in full here. Ours is `crossval --folds 3 --recipe paper`: the same experts, recordings, folds, epochs and
heads, from the store, with baselines and intervals besides.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wfdb
from common import TASKS, Measured, apart, here, network, run, simulated
from torch import nn

from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import gather
from enecg.embedding.store.store import Store
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.recipes import find_recipe
from enecg.ensemble.heads.feed_forward_training import Trunk
from enecg.evaluation.protocol import crossval
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch, prepare
from enecg.recording import Recording
from enecg.tasks import parse_tasks

FOLDS, EPOCHS, BATCH, HIDDEN = 3, 5, 16, 256
VIEW = "lead-ii"
RECORDINGS = 400
TASK = "age"  # of the run of the reference's way; the others' differ in the last layer's width only


def measure(quick: bool, folder: Path) -> Measured:
    """`one_task` and `five_tasks`: wall time of the reference's way over ours, each in a process of its own."""
    names = ("tiny",) if quick else ("merl", "hubert-ecg-small")
    cohort = simulated(folder / "cohort", 60 if quick else RECORDINGS, seed=4)
    manifest = folder / "chosen.csv"
    table = cohort.table.assign(record=[f"cohort/{name}" for name in cohort.records])
    # Two rhythms and whether there is a third: enough of each for three folds.
    table["arrhythmia"] = np.where(table["arrhythmia"].isin(["SR", "AFIB"]), table["arrhythmia"], "other")
    table.to_csv(manifest, index=False)

    common = (str(manifest), names, str(folder))
    place = here if quick else apart
    theirs = place(_reference, *common, TASK, 1 if quick else EPOCHS)
    ours = {count: place(_ours, *common, ",".join(TASKS.split(",")[-count:]), f"store-{count}") for count in (1, 5)}
    each = theirs["seconds"]
    figures = {
        "experts": names,
        "recordings": len(cohort),
        "reference": theirs,
        "ours": {"one_task": ours[1], "five_tasks": ours[5]},
        "note": "the reference's way for five tasks is five times that for one: all five do the same passes",
    }
    return {"one_task": each / ours[1]["seconds"], "five_tasks": 5 * each / ours[5]["seconds"]}, figures


def _experts(names: tuple[str, ...], folder: str) -> list[Expert]:
    """Networks with generated weights; those that need no download as they are."""
    return [registry.create(n) if registry.entry(n).available() else network(n, Path(folder)) for n in names]


class _Mixture(nn.Module):
    """A head per expert and the gate, whose softmax weighs them."""

    def __init__(self, dims: list[int], outputs: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Trunk(dim, HIDDEN, [outputs], 0.0) for dim in dims)
        self.gate = nn.Sequential(nn.Linear(5000, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(dims)))

    def forward(self, found: list[torch.Tensor], view: torch.Tensor) -> torch.Tensor:
        answers = torch.stack([head(x)[0] for head, x in zip(self.heads, found, strict=True)], 1)
        weighted: torch.Tensor = (torch.softmax(self.gate(view), 1)[..., None] * answers).sum(1)
        return weighted


def _reference(manifest: str, names: tuple[str, ...], folder: str, task_name: str, epochs: int) -> dict[str, Any]:
    """One task, as the reference does it; seconds without imports."""
    import scipy.signal  # noqa: F401

    experts = [*_experts(names, folder), registry.create(VIEW)]
    cohort = Cohort.load(manifest)
    target = cohort.target(parse_tasks(task_name)[0])
    start, passes = time.perf_counter(), 0
    held = [_by_wfdb(cohort.path(row), experts) for row in range(len(cohort))]
    truth = torch.from_numpy(np.nan_to_num((target.y - np.nanmean(target.y, 0)) / np.nanstd(target.y, 0))).float()
    folds = cohort.folds(FOLDS)

    def encoded(rows: np.ndarray) -> tuple[list[torch.Tensor], torch.Tensor]:
        nonlocal passes
        passes += len(rows)
        found = []
        for i, expert in enumerate(experts):
            windows = [held[row][i] for row in rows]
            ends = np.cumsum([len(each) for each in windows])[:-1]
            matrix = np.stack([expert.pool(part) for part in np.split(expert.encode(Batch.join(windows)), ends)])
            found.append(torch.from_numpy(np.nan_to_num(matrix)))
        return found[:-1], found[-1]

    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        model = _Mixture([expert.card.dim for expert in experts[:-1]], truth.shape[1])
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
        for epoch in range(epochs):
            order = np.random.default_rng(epoch).permutation(inside)
            for rows in np.split(order, range(BATCH, len(order), BATCH)):
                optimiser.zero_grad()
                nn.functional.mse_loss(model(*encoded(rows)), truth[rows]).backward()
                optimiser.step()
        with torch.no_grad():
            for rows in np.split(outside, range(BATCH, len(outside), BATCH)):
                model(*encoded(rows))
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 3), "passes": passes, "torch_threads": torch.get_num_threads()}


def _by_wfdb(path: Path, experts: list[Expert]) -> list[Batch]:
    record = wfdb.rdrecord(str(path))
    recording = Recording(np.asarray(record.p_signal, np.float32).T, record.fs, tuple(record.sig_name))
    return [prepare(recording, expert.card.input) for expert in experts]


def _ours(manifest: str, names: tuple[str, ...], folder: str, tasks: str, store: str) -> dict[str, Any]:
    """All tasks at once from a store that is empty at the start; seconds without imports."""
    import peft  # noqa: F401  # seconds that are not the protocol's
    import scipy.signal  # noqa: F401

    experts = [*_experts(names, folder), registry.create(VIEW)]
    cohort, start = Cohort.load(manifest), time.perf_counter()
    data = gather(cohort, experts, Store(Path(folder) / store), progress=False)
    embedded = time.perf_counter() - start
    infos = [ExpertInfo.of(expert) for expert in experts]
    targets = [data.cohort.target(task) for task in parse_tasks(tasks)]
    found = crossval(data, targets, infos, folds=FOLDS, recipe=find_recipe("paper"))
    assert found.document["n_recordings"] == len(cohort)
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 3), "embed_seconds": round(embedded, 3), "passes": len(data.cohort)}


if __name__ == "__main__":
    run("protocol", measure)
