"""The command `pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from enecg.cli.options import Quiet, Seed, Where
from enecg.errors import InputError

KINDS: Final = ("tiny", "timesnet", "dlinear")  # of encoders that learn without labels
SUPERVISED: Final = ("beat-cnn", "resnet")  # that learn from labels


def pretrain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[tiny|timesnet|dlinear|beat-cnn|resnet] MANIFEST", help="Kind of encoder, and recordings."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the expert.", show_default=False)],
    tasks: Annotated[str | None, typer.Option(help="Labels for beat-cnn and resnet, as in fit.")] = None,
    where: Where = None,
    name: Annotated[str | None, typer.Option(help="Name of the expert; default: that of the folder.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.")] = "not stated",
    corpus: Annotated[list[str] | None, typer.Option(help="Data set of the recordings, for the card.")] = None,
    data_licence: Annotated[str, typer.Option(help="Licence of the recordings, for the card.")] = "",
    steps: Annotated[int | None, typer.Option(help="Training steps.", min=1)] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train an encoder of your own, without labels, or on labels (beat-cnn, resnet); use it as --experts FOLDER."""
    from enecg.cohorts.manifest import Cohort
    from enecg.pretraining.card import CardFacts
    from enecg.tasks import parse_tasks

    kind, *rest = what if len(what) > 1 else ("tiny", *what)
    if kind not in (*KINDS, *SUPERVISED) or len(rest) != 1:
        raise InputError(f"pretrain: write  enecg pretrain [{'|'.join((*KINDS, *SUPERVISED))}] MANIFEST  --out FOLDER")
    if (kind in SUPERVISED) is not (tasks is not None):
        wants = "learns from labels; name them with --tasks" if kind in SUPERVISED else "takes no --tasks"
        raise InputError(f"pretrain: {kind} {wants}")
    cohort = Cohort.load(rest[0], where)
    facts = CardFacts(name, licence, tuple(corpus or ()), data_licence)
    options: dict[str, Any] = {"facts": facts, "seed": seed, "progress": not quiet}
    if steps is not None:
        options["steps"] = steps
    if kind == "tiny":
        from enecg.pretraining.contrastive import pretrain_tiny

        pretrain_tiny(cohort, out, **options)
    elif tasks is not None:
        from enecg.pretraining.supervised import pretrain_supervised

        pretrain_supervised(kind, cohort, parse_tasks(tasks), out, **options)
    else:
        from enecg.pretraining.forecasting import pretrain_forecaster

        pretrain_forecaster(kind, cohort, out, **options)
    typer.echo(f"expert: {out}; use it as --experts {out}")
