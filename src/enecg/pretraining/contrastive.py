"""`enecg pretrain`: an expert from your own recordings, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from enecg.cohorts.manifest import Cohort
from enecg.experts.base import Card
from enecg.experts.network import pick_device
from enecg.experts.trained.tiny import COST_MS, INPUT, KIND
from enecg.pretraining.card import MADE_BY, CardFacts, work_folder, write_expert
from enecg.pretraining.signals import Signals, gather
from enecg.pretraining.training import ContrastiveSettings, Run, TwoViews

EVERY: Final = 100  # steps between two saved states


def pretrain_tiny(
    source: Cohort | Signals,
    out: Path,
    *,
    facts: CardFacts | None = None,
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
        facts: what the card states beyond what the training knows.
        steps: optimiser steps.
        seed: the same seed gives the same expert, on one machine with the same number of threads.
        device: where to compute; a GPU when there is one by default.
        progress: show bars on standard error.

    Returns:
        What `card.json` then holds.

    Raises:
        InputError: too few recordings, or `out` holds an expert or another run.
    """
    facts, work = facts or CardFacts(), work_folder(out)
    signals = source if isinstance(source, Signals) else gather(source, INPUT, work, progress)
    run = TwoViews(signals, ContrastiveSettings(steps=steps), seed, pick_device(device))
    train(run, work / "checkpoint.pt", progress)
    encoder = run.student.encoder
    # Convolutions in half precision: half the size, and no measurable loss.
    state = {key: each.half() if each.ndim == 3 else each for key, each in encoder.cpu().state_dict().items()}
    origin = facts.origin(signals.name)
    card = Card(
        name="",
        title=f"Small convolutional encoder, self-supervised on {signals.recordings:,} recordings of "
        f"{', '.join(facts.corpora) or signals.name}",
        source=MADE_BY,
        licence="",
        dim=encoder.dim,
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        input=INPUT,
        padding="zeros",
        cost_ms=COST_MS,
        notes=f"Pretrained without labels on {origin}: two views of a window are recognised among those of others, and "
        "what is hidden is filled in. Mean, deviation and maximum over time of every stage.",
    )
    return write_expert(out, KIND, card, facts, state, training_facts(run))


def train(run: Run, checkpoint: Path, progress: bool) -> None:
    """Take all steps of a run, from the state saved in `checkpoint` when there is one, saving it now and then."""
    run.resume(checkpoint)
    with shown(run.settings.steps, progress) as tell:
        while run.step < run.settings.steps:
            tell(run.step, run.advance())
            if run.step % EVERY == 0:
                run.save(checkpoint)


def training_facts(run: Run) -> dict[str, Any]:
    """Return what is kept beside the card of a run without labels."""
    signals = run.signals
    return {
        "cohort": signals.name,
        "cohort_digest": signals.digest,
        "recordings": signals.recordings,
        "skipped": signals.skipped,
        "windows": len(run.rows),
        "seed": run.seed,
        "recipe": asdict(run.settings),
    }


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
