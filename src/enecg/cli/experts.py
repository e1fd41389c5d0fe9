"""The commands that are about experts: list, show, fetch, verify, and pretrain one of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from enecg.errors import InputError

app = typer.Typer(no_args_is_help=True, help="The frozen experts: list them, show their cards, fetch, verify.")

Name = Annotated[str, typer.Argument(help="Of the expert.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KINDS: Final = ("tiny", "timesnet", "dlinear")  # that learn without labels
SUPERVISED: Final = ("beat-cnn", "resnet")


def _card(name: str) -> dict[str, Any]:
    from enecg.experts import registry

    entry = registry.entry(name)
    return {**entry.card().as_dict(), "available": entry.available()}


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """All experts: what they are, their licence, and whether they are here."""
    from enecg.cli import output as show
    from enecg.experts import registry

    cards = [_card(name) for name in registry.names()]
    if as_json:
        show.write_json(cards)
    else:
        show.experts(cards, registry.SETS)


@app.command("show")
def show_one(name: Name, as_json: AsJson = False) -> None:
    """The card of one expert."""
    from enecg.cli import output as show

    card = _card(name)
    if as_json:
        show.write_json(card)
    else:
        show.card(card)


@app.command()
def fetch(
    name: Name,
    to: Annotated[Path | None, typer.Option(help="Folder to carry to a machine without network.")] = None,
    accept_licence: Annotated[str | None, typer.Option(help="Name of a licence that restricts use.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Bring an expert's weights here, checked by hash; HF_HUB_OFFLINE is respected."""
    from enecg.experts.published.fetch import fetch as bring

    fetched = bring(name, to, accept_licence, progress=not quiet)
    for file in fetched.files:
        typer.echo(str(file))
    typer.echo(f"{fetched.name}: {fetched.folder}")
    if to is not None:
        typer.echo(f"on the other machine: ENECG_EXPERTS={to}")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Of the expert.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every expert whose weights are here.")] = False,
    generated: Annotated[bool, typer.Option(help="On generated weights in the published file's layout.")] = False,
) -> None:
    """Check an expert: hash, strict load, golden output, batch independence. Exit code 1 when something is wrong."""
    from enecg.experts.published import verify as checking

    if (name is None) is not everything:
        raise InputError("say which expert to verify: a name, or --all")
    results = checking.verify_all(generated) if name is None else [checking.verify(name, generated)]
    passed = True
    for result in results:
        passed &= result.passed
        typer.echo(f"{result.name}: {'passed' if result.passed else 'FAILED'}{' (generated)' * result.generated}")
        for check in result.checks:
            typer.echo(f"  {'ok' if check.passed else 'NO'}  {check.what}: {check.said}")
    if not passed:
        raise typer.Exit(1)


def pretrain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[tiny|timesnet|dlinear|beat-cnn|resnet] MANIFEST", help="Kind of encoder, and recordings."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the expert.", show_default=False)],
    tasks: Annotated[str | None, typer.Option(help="Labels for beat-cnn and resnet, as in fit.")] = None,
    where: Annotated[str | None, typer.Option(help="Row filter over the manifest.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the expert; by default that of the folder.")] = None,
    licence: Annotated[str, typer.Option(help="Of the weights, for the card.")] = "not stated",
    corpus: Annotated[list[str] | None, typer.Option(help="Data set of the recordings, for the card.")] = None,
    data_licence: Annotated[str, typer.Option(help="Of the recordings, for the card.")] = "",
    steps: Annotated[int | None, typer.Option(help="Training steps.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train an encoder of one's own, without labels or (beat-cnn, resnet) on labels; use it as --experts FOLDER."""
    from enecg.cohorts.manifest import Cohort
    from enecg.tasks import parse_tasks

    kind, *rest = what if len(what) > 1 else ("tiny", *what)
    if kind not in (*KINDS, *SUPERVISED) or len(rest) != 1:
        raise InputError(f"pretrain: write  enecg pretrain [{'|'.join((*KINDS, *SUPERVISED))}] MANIFEST  --out FOLDER")
    if (kind in SUPERVISED) is not (tasks is not None):
        wants = "learns from labels: name them by --tasks" if kind in SUPERVISED else "takes no --tasks"
        raise InputError(f"pretrain: {kind} {wants}")
    cohort = Cohort.load(rest[0], where)
    facts: dict[str, Any] = {
        "name": name,
        "licence": licence,
        "corpora": tuple(corpus or ()),
        "data_licence": data_licence,
        "seed": seed,
        "progress": not quiet,
    }
    if steps is not None:
        facts["steps"] = steps
    if kind == "tiny":
        from enecg.pretraining.contrastive import pretrain_tiny

        pretrain_tiny(cohort, out, **facts)
    elif tasks is not None:
        from enecg.pretraining.supervised import pretrain_supervised

        pretrain_supervised(kind, cohort, parse_tasks(tasks), out, **facts)
    else:
        from enecg.pretraining.forecasting import pretrain_forecaster

        pretrain_forecaster(kind, cohort, out, **facts)
    typer.echo(f"expert: {out}; use it as --experts {out}")
