"""The commands about experts: list, show, fetch, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from enecg.cli.options import AsJson, Quiet
from enecg.documents import ListedExpert
from enecg.errors import InputError

app = typer.Typer(no_args_is_help=True, help="The frozen experts: list them, show their cards, fetch, verify.")

Name = Annotated[str, typer.Argument(help="Name of the expert.", show_default=False)]


def _card(name: str) -> ListedExpert:
    from enecg.experts import registry

    entry = registry.entry(name)
    return cast(ListedExpert, {**entry.card().as_dict(), "available": entry.available()})


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all experts: what they are, their licence, and whether their weights are here."""
    from enecg.cli import output
    from enecg.experts import registry

    cards = [_card(name) for name in registry.names()]
    if as_json:
        output.write_json(cards)
    else:
        output.experts(cards, registry.SETS)


@app.command("show")
def show_one(name: Name, as_json: AsJson = False) -> None:
    """Show the card of one expert."""
    from enecg.cli import output

    card = _card(name)
    if as_json:
        output.write_json(card)
    else:
        output.card(card)


@app.command()
def fetch(
    name: Name,
    to: Annotated[Path | None, typer.Option(help="Folder to take to a machine without network.")] = None,
    accept_licence: Annotated[str | None, typer.Option(help="Name of a restricted licence that you accept.")] = None,
    quiet: Quiet = False,
) -> None:
    """Download the weights of an expert and check their hash; HF_HUB_OFFLINE is respected."""
    from enecg.experts.published.fetch import fetch as bring

    fetched = bring(name, to, accept_licence, progress=not quiet)
    for file in fetched.files:
        typer.echo(str(file))
    typer.echo(f"{fetched.name}: {fetched.folder}")
    if to is not None:
        typer.echo(f"on the other machine: ENECG_EXPERTS={to}")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="Name of the expert.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All experts whose weights are here.")] = False,
    generated: Annotated[bool, typer.Option(help="On generated weights in the published file's layout.")] = False,
) -> None:
    """Check an expert: hash, strict load, golden output, batch independence. Exit code 1 when something is wrong."""
    from enecg.experts.published import verify as checking

    if (name is None) is not everything:
        raise InputError("name the expert to verify, or give --all")
    results = checking.verify_all(generated) if name is None else [checking.verify(name, generated)]
    passed = True
    for result in results:
        passed &= result.passed
        typer.echo(f"{result.name}: {'passed' if result.passed else 'FAILED'}{' (generated)' * result.generated}")
        for check in result.checks:
            typer.echo(f"  {'ok' if check.passed else 'NO'}  {check.name}: {check.result}")
    if not passed:
        raise typer.Exit(1)
