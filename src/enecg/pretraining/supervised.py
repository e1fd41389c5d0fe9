"""`enecg pretrain beat-cnn|resnet`: a small network trained on a cohort's labels, to be used frozen on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import Gathered, gather
from enecg.embedding.store.store import Store
from enecg.ensemble.fitting.labels import prepare
from enecg.ensemble.heads.network import NETWORK_HEADS, FittedNetwork, train
from enecg.errors import InputError
from enecg.evaluation.leakage import identity_facts
from enecg.experts.base import Card
from enecg.experts.trained.supervised import KINDS, VIEWS
from enecg.pretraining.card import MADE_BY, CardFacts, work_folder, write_expert
from enecg.pretraining.contrastive import shown
from enecg.tasks import Target, Task

TITLES: Final = {
    "beat-cnn": "Small convolutional network on typical beats",
    "resnet": "Small residual network on the signal",
}
COST_MS: Final = {"beat-cnn": 1.9, "resnet": 1.2}  # of a 10-s recording on one core, without what it shares


def pretrain_supervised(
    kind: str,
    cohort: Cohort,
    tasks: Sequence[Task],
    out: Path,
    *,
    facts: CardFacts | None = None,
    steps: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a network on labels and write it as an expert: a folder that `--experts` takes.

    Interrupted while it reads, it goes on where it was when it is called again; the training itself begins anew.

    Args:
        kind: of `enecg.experts.trained.supervised.KINDS`.
        cohort: recordings and labels.
        tasks: what it learns, all at once; a missing label is masked.
        out: folder of the expert; `out/work` holds what was read until the run is complete.
        facts: what the card states beyond what the training knows.
        steps: optimiser steps; by default as the kind's head has them.
        seed: the same seed gives the same expert, on one machine.
        progress: show bars on standard error.

    Returns:
        What `card.json` then holds.

    Raises:
        InputError: no such kind, no labels, no usable recording, or `out` holds an expert.
    """
    if kind not in KINDS:
        raise InputError(f"no supervised network {kind!r}; known: {', '.join(KINDS)}")
    facts, work = facts or CardFacts(), work_folder(out)
    for task in tasks:
        cohort.target(task)  # a missing label is reported before any file is read
    view = VIEWS[KINDS[kind]]()
    data = gather(cohort, [view], Store(work / "store"), progress=progress)
    targets = prepare(data.cohort, tasks)
    head = NETWORK_HEADS[KINDS[kind]]
    if steps is not None:
        head = replace(head, steps=steps, epochs=steps)
    with shown(head.count(len(data.cohort)), progress) as tell:
        fitted = train(head, data.embeddings[view.card.name], targets, seed, tell)
    state = {key: torch.from_numpy(value) for key, value in fitted.state().tensors.items()}
    training = {
        **_facts(data, targets),
        "skipped": len(data.skipped),
        "seed": seed,
        "recipe": asdict(head),
    }
    return write_expert(out, kind, _card(kind, fitted, data.cohort, tasks, facts), facts, state, training)


def _facts(data: Gathered, targets: Sequence[Target]) -> dict[str, Any]:
    cohort = data.cohort
    return {
        "cohort": cohort.name,
        "cohort_digest": cohort.digest(),
        "recordings": len(cohort),
        "outputs": [f"{target.task.name}: {name}" for target in targets for name in target.task.output_names],
        **identity_facts(cohort, data.contents),
    }


def _card(kind: str, fitted: FittedNetwork, cohort: Cohort, tasks: Sequence[Task], facts: CardFacts) -> Card:
    """The card as far as the training knows it."""
    view, origin = VIEWS[KINDS[kind]], facts.origin(cohort.name)
    return Card(
        name="",
        title=f"{TITLES[kind]}, trained on labels of {len(cohort):,} recordings of "
        f"{', '.join(facts.corpora) or cohort.name}",
        source=MADE_BY,
        licence="",
        dim=fitted.net.hidden + sum(fitted.outputs),
        parameters=sum(parameter.numel() for parameter in fitted.net.parameters()),
        input=view.card.input,
        label_corpora=facts.corpora,
        padding=view.card.padding,
        cost_ms=COST_MS[kind],
        notes=f"Has learned {', '.join(task.name for task in tasks)} from the labels of {origin}. Where a cohort holds "
        "these recordings, new networks of its kind are trained in each fold without it. Last hidden layer and "
        "outputs.",
    )
