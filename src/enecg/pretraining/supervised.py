"""`enecg pretrain beat-cnn|resnet`: a small network trained on a cohort's labels, to be used frozen on others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from enecg import __version__
from enecg.cohorts.manifest import Cohort
from enecg.embedding.dataset import Gathered, gather
from enecg.embedding.store.store import Store
from enecg.ensemble.fitting.labels import prepare
from enecg.ensemble.heads.network import NETWORK_HEADS, FittedNetwork, train
from enecg.errors import InputError
from enecg.evaluation.leakage import identity_facts
from enecg.experts.base import Card, Weights
from enecg.experts.registry import CARD_FILE
from enecg.experts.trained.supervised import KINDS, VIEWS
from enecg.experts.trained.tiny import WEIGHTS_FILE
from enecg.experts.weights import save_state, sha256_of, write_whole
from enecg.pretraining.contrastive import Labels, shown
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
    name: str | None = None,
    licence: str = "not stated",
    corpora: tuple[str, ...] = (),
    data_licence: str = "",
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
        name: of the expert; by default that of the folder.
        licence: of the weights, for the card.
        corpora: data sets that the recordings come from: where they are evaluated, the expert is not used as it is.
        data_licence: of the recordings, for the card.
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
    if (out / CARD_FILE).exists():
        raise InputError(f"{out}: holds an expert already; name another --out")
    for task in tasks:
        cohort.target(task)  # a label that is missing is told before anything is read
    work = out / "work"
    view = VIEWS[KINDS[kind]]()
    data = gather(cohort, [view], Store(work / "store"), progress=progress)
    targets = prepare(data.cohort, tasks)
    head = NETWORK_HEADS[KINDS[kind]]
    if steps is not None:
        head = replace(head, steps=steps, epochs=steps)
    with shown(head.count(len(data.cohort)), progress) as tell:
        fitted = train(head, data.embeddings[view.card.name], targets, seed, tell)
    save_state({key: torch.from_numpy(value) for key, value in fitted.state().tensors.items()}, out / WEIGHTS_FILE)
    labels = Labels(name or out.resolve().name, licence, corpora, data_licence)
    content = {"kind": kind, "card": _card(kind, fitted, data.cohort, tasks, labels, out).as_dict()}
    content["pretraining"] = {
        **_facts(data, targets),
        "data_licence": data_licence,
        "skipped": len(data.skipped),
        "seed": seed,
        "recipe": asdict(head),
        "torch": torch.__version__,
    }
    write_whole(out / CARD_FILE, (json.dumps(content, indent=2) + "\n").encode())
    shutil.rmtree(work, ignore_errors=True)
    return content


def _facts(data: Gathered, targets: Sequence[Target]) -> dict[str, Any]:
    cohort = data.cohort
    return {
        "cohort": cohort.name,
        "cohort_digest": cohort.digest(),
        "recordings": len(cohort),
        "outputs": [f"{target.task.name}: {name}" for target in targets for name in target.task.output_names],
        **identity_facts(cohort, data.contents),
    }


def _card(kind: str, fitted: FittedNetwork, cohort: Cohort, tasks: Sequence[Task], labels: Labels, out: Path) -> Card:
    file, view = out / WEIGHTS_FILE, VIEWS[KINDS[kind]]
    origin = ", ".join(labels.corpora) or cohort.name
    data_licence = f" ({labels.data_licence})" if labels.data_licence else ""
    return Card(
        name=labels.name,
        title=f"{TITLES[kind]}, trained on labels of {len(cohort):,} recordings of {origin}",
        source=f"enecg pretrain (enecg {__version__})",
        licence=labels.licence,
        dim=fitted.net.hidden + sum(fitted.outputs),
        parameters=sum(parameter.numel() for parameter in fitted.net.parameters()),
        input=view.card.input,
        corpora=labels.corpora,
        label_corpora=labels.corpora,
        weights=Weights(file=WEIGHTS_FILE, sha256=sha256_of(file), bytes=file.stat().st_size),
        padding=view.card.padding,
        cost_ms=COST_MS[kind],
        notes=f"Has learned {', '.join(task.name for task in tasks)} from the labels of {origin}{data_licence}. Where "
        "a cohort holds these recordings, networks of its kind are trained anew in each fold instead. Last hidden "
        "layer and outputs.",
    )
