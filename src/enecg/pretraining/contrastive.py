"""`enecg pretrain`: an expert of one's own from recordings without labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from enecg import __version__
from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.experts.base import Card, Weights
from enecg.experts.network import pick_device
from enecg.experts.registry import CARD_FILE
from enecg.experts.trained.tiny import COST_MS, INPUT, KIND, WEIGHTS_FILE
from enecg.experts.weights import save_state, sha256_of, write_whole
from enecg.pretraining.signals import Signals, gather
from enecg.pretraining.training import ContrastiveSettings, Run, TwoViews

EVERY: Final = 100  # steps between two saved states


def pretrain_tiny(
    source: Cohort | Signals,
    out: Path,
    *,
    name: str | None = None,
    licence: str = "not stated",
    corpora: tuple[str, ...] = (),
    data_licence: str = "",
    steps: int = ContrastiveSettings.steps,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Pretrain an encoder without labels and write it as an expert: a folder that `--experts` takes.

    Interrupted, it goes on where it was when it is called again with the same arguments.

    Args:
        source: recordings to learn from, or their prepared signals.
        out: folder of the expert; `out/work` holds what is needed to resume until the run is complete.
        name: of the expert; by default that of the folder.
        licence: of the weights, for the card.
        corpora: data sets that the recordings come from, for the card and its warnings of overlap.
        data_licence: of the recordings, for the card.
        steps: optimiser steps.
        seed: the same seed gives the same expert, on one machine with the same number of threads.
        device: where to compute; a GPU when there is one by default.
        progress: show bars on standard error.

    Returns:
        What `card.json` then holds.

    Raises:
        InputError: too few recordings, or `out` holds an expert or another run.
    """
    if (out / CARD_FILE).exists():
        raise InputError(f"{out}: holds an expert already; name another --out")
    work = out / "work"
    signals = source if isinstance(source, Signals) else gather(source, INPUT, work, progress)
    run = TwoViews(signals, ContrastiveSettings(steps=steps), seed, pick_device(device))
    train(run, work / "checkpoint.pt", progress)
    card = _write(run, out, Labels(name or out.resolve().name, licence, corpora, data_licence))
    shutil.rmtree(work, ignore_errors=True)
    return card


def train(run: Run, checkpoint: Path, progress: bool) -> None:
    """Take all steps of a run, from the state saved in `checkpoint` when there is one, saving it now and then."""
    run.resume(checkpoint)
    with shown(run.settings.steps, progress) as tell:
        while run.step < run.settings.steps:
            tell(run.step, run.advance())
            if run.step % EVERY == 0:
                run.save(checkpoint)


@dataclass(frozen=True)
class Labels:
    """What the maker of an expert says of it."""

    name: str
    licence: str
    corpora: tuple[str, ...]
    data_licence: str


def _write(run: TwoViews, out: Path, labels: Labels) -> dict[str, Any]:
    """Write the weights, convolutions in half precision, and the card."""
    signals, file = run.signals, out / WEIGHTS_FILE
    origin = ", ".join(labels.corpora) or signals.name
    data_licence = f" ({labels.data_licence})" if labels.data_licence else ""
    encoder = run.student.encoder
    state = {key: each.half() if each.ndim == 3 else each for key, each in encoder.cpu().state_dict().items()}
    save_state(state, file)
    card = Card(
        name=labels.name,
        title=f"Small convolutional encoder, self-supervised on {signals.recordings:,} recordings of {origin}",
        source=f"enecg pretrain (enecg {__version__})",
        licence=labels.licence,
        dim=encoder.dim,
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        input=INPUT,
        corpora=labels.corpora,
        weights=Weights(file=WEIGHTS_FILE, sha256=sha256_of(file), bytes=file.stat().st_size),
        padding="zeros",
        cost_ms=COST_MS,
        notes=f"Pretrained without labels on {origin}{data_licence}: two views of a window are recognised among those "
        "of others, and what is hidden is filled in. Mean, deviation and maximum over time of every stage.",
    )
    return write_card(run, out, KIND, card, labels.data_licence)


def write_card(run: Run, out: Path, kind: str, card: Card, data_licence: str) -> dict[str, Any]:
    """Write `card.json` of an expert whose weights are written, with the facts of its training; return its content."""
    signals = run.signals
    facts = {
        "cohort": signals.name,
        "cohort_digest": signals.digest,
        "data_licence": data_licence,
        "recordings": signals.recordings,
        "skipped": signals.skipped,
        "windows": len(run.rows),
        "seed": run.seed,
        "recipe": asdict(run.settings),
        "torch": torch.__version__,
    }
    content = {"kind": kind, "card": card.as_dict(), "pretraining": facts}
    write_whole(out / CARD_FILE, (json.dumps(content, indent=2) + "\n").encode())
    return content


@contextmanager
def shown(steps: int, show: bool) -> Iterator[Callable[[int, float], None]]:
    """A bar on standard error; what is yielded takes the step and its loss."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("Pretraining"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
               TimeRemainingColumn()]  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task("", total=steps, loss=float("nan"))
        yield lambda step, loss: bar.update(task, completed=step + 1, loss=loss)
