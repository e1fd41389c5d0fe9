"""The commands about an embedding store: info, verify, prune."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from enecg.cli.options import AsJson
from enecg.errors import InputError
from enecg.files import place

app = typer.Typer(no_args_is_help=True, help="The embedding store: list it, check it, remove what is old.")

Folder = Annotated[Any, typer.Argument(parser=place, metavar="DIR", show_default=False, help="The store; path or URL.")]


@app.command()
def info(folder: Folder, as_json: AsJson = False) -> None:
    """List experts, versions, recordings, shards and bytes."""
    from enecg.cli import output
    from enecg.embedding.store.maintenance import check
    from enecg.embedding.store.store import Store

    found = check(Store(folder)).info()
    rows: list[dict[str, Any]] = [
        {**vars(each.origin), "rows": each.rows, "shards": each.shards, "bytes": each.bytes} for each in found
    ]
    if as_json:
        output.write_json({"store": str(folder), "experts": rows})
    else:
        output.store_table(rows)


@app.command()
def verify(folder: Folder, as_json: AsJson = False) -> None:
    """Read every byte: checksums, rows, finite numbers. Damaged shards are set aside, and the exit code is then 1."""
    from enecg.cli import output
    from enecg.embedding.store.maintenance import verify as verified
    from enecg.embedding.store.store import Store

    found = verified(Store(folder))
    if as_json:
        problems = [{**vars(each), "path": str(each.path)} for each in found.problems]
        output.write_json({**vars(found), "store": str(folder), "problems": problems})
    else:
        for each in found.problems:
            typer.echo(f"{each.path}: {each.what}{'; set aside' * each.set_aside}")
        typer.echo(f"read {found.shards} sound shards, {found.rows} rows, {found.bytes:,} bytes: checksums, columns,")
        typer.echo(f"rows against names, finite numbers; {len(found.problems)} problems")
        if any(each.set_aside for each in found.problems):
            typer.echo("recordings of shards that were set aside are embedded again by the next enecg embed")
    if found.problems:
        raise typer.Exit(1)


@app.command()
def prune(
    folder: Folder,
    experts: Annotated[str | None, typer.Option(help="Experts of your own to keep, by folder or file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove shards of experts and versions that are not known here, damaged files, and rows with a later one."""
    from enecg.cli import output
    from enecg.embedding.store.maintenance import check
    from enecg.embedding.store.maintenance import prune as pruned
    from enecg.embedding.store.store import Store

    store = check(Store(folder))
    done = pruned(store, _known({each.origin.expert for each in store.info()}, experts), dry_run=dry_run)
    if as_json:
        removed = [{**vars(each), "path": str(each.path)} for each in done.removed]
        counts = {"dry_run": dry_run, "store": str(folder), "bytes": done.bytes}
        output.write_json({**counts, **vars(done), "removed": removed})
        return
    would = "would be " * dry_run
    for each in done.removed:
        typer.echo(f"{each.path}: {would}removed: {each.why}")
    for name in done.kept:
        typer.echo(f"{name}: kept; this expert cannot be made here, so its current version is not known")
    typer.echo(
        f"{len(done.removed)} files ({done.bytes:,} bytes) {would}removed; {done.superseded} rows with a later one "
        f"{would}left out; {done.joined} shards {would}written anew as {done.into}"
    )


def _known(stored: set[str], experts: str | None) -> dict[str, frozenset[str] | None]:
    """Return the fingerprints of the stored experts that are known here; None for one that cannot be made here."""
    from enecg.experts import registry

    if experts is not None:
        registry.resolve(experts)
    known: dict[str, frozenset[str] | None] = {}
    for name in stored.intersection(registry.names()):
        try:
            known[name] = registry.create(name).fingerprints() if registry.entry(name).available() else None
        except InputError:
            known[name] = None
    return known
