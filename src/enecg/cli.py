"""The command line: parse, call, print. Everything it does can be had from Python under the same names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enecg import NOTICE, __version__
from enecg.errors import EnecgError, InputError

if TYPE_CHECKING:
    from enecg.embed.gather import Gathered
    from enecg.embed.store import Store
    from enecg.evaluate.run import Evaluation
    from enecg.experts.base import Expert

app = typer.Typer(
    name="enecg", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help=f"Ensembles of frozen ECG experts with small trained heads. {NOTICE}",
)  # fmt: skip
experts_app = typer.Typer(no_args_is_help=True, help="The frozen experts: list them, show their cards.")
app.add_typer(experts_app, name="experts")

Manifest = Annotated[Path, typer.Argument(help="CSV or Parquet table, one row a recording.", show_default=False)]
Bundle = Annotated[Path, typer.Argument(help="Folder that `enecg fit --out` wrote.", show_default=False)]
Tasks = Annotated[str, typer.Option(help="age, sex, rr_interval, potassium, arrhythmia; NAME=COLUMN; NAME:KIND.")]
Experts = Annotated[str, typer.Option(help="Names or sets, separated by commas.")]
Where = Annotated[str | None, typer.Option(help="Row filter over the manifest, such as 'strat_fold <= 8'.")]
StoreDir = Annotated[Path | None, typer.Option("--store", help="Embedding store; by default in the user's cache.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the results as JSON.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write a report for people.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Replicates = Annotated[int, typer.Option(help="Bootstrap resamples of the subjects.", min=1)]


def _say(line: str) -> None:
    """A line for people, on standard error: standard output is for answers."""
    typer.echo(line, err=True)


def _progress(quiet: bool) -> Any:
    return (lambda _: None) if quiet else (lambda line: _say(f"  {line}"))


def _store(path: Path | None) -> Store:
    from enecg.embed.store import Store
    from enecg.experts.weights import cache_folder

    return Store(path or cache_folder() / "store")


def _create(names: str | list[str]) -> list[Expert]:
    from enecg.experts import registry

    return [registry.create(name) for name in registry.resolve(names)]


def _gather(manifest: Path, where: str | None, experts: list[Expert], store: Path | None, quiet: bool) -> Gathered:
    from enecg.cohort.manifest import Cohort
    from enecg.embed.gather import gather

    found = gather(Cohort.load(manifest, where), experts, _store(store), progress=not quiet)
    _tell_skipped([(each.record, each.reason) for each in found.skipped])
    return found


def _tell_skipped(skipped: list[tuple[str, str]], shown: int = 10) -> None:
    for record, reason in skipped[:shown]:
        _say(f"skipped {record}: {reason}")
    if len(skipped) > shown:
        _say(f"skipped {len(skipped) - shown} more; --json lists them all")


def _tell_problems(problems: list[str], shown: int = 5) -> None:
    for problem in problems[:shown]:
        _say(f"label taken as missing: {problem}")
    if len(problems) > shown:
        _say(f"{len(problems) - shown} more labels taken as missing")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"enecg {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for recordings, bundle and report.")] = Path("demo"),
    subjects: Annotated[int, typer.Option(help="Generated subjects.", min=60)] = 500,
    seed: Seed = 0,
) -> None:
    """Everything once, offline: generate ECGs, fit, evaluate on held-out subjects, predict a real ECG, report."""
    from enecg.demo import run

    report = run(out, subjects=subjects, seed=seed, say=typer.echo)
    typer.echo(f"report: {report}")


@experts_app.command("list")
def experts_list(as_json: AsJson = False) -> None:
    """All experts: what they are, their licence, and whether they are here."""
    from enecg import show
    from enecg.experts import registry

    rows = [{**e.card().as_dict(), "available": e.available()} for e in map(registry.entry, registry.names())]
    if as_json:
        typer.echo(json.dumps(rows, indent=1, default=str))
    else:
        show.experts(rows, registry.SETS)


@experts_app.command("show")
def experts_show(
    name: Annotated[str, typer.Argument(help="Of the expert.", show_default=False)], as_json: AsJson = False
) -> None:
    """The card of one expert."""
    from enecg import show
    from enecg.experts import registry

    entry = registry.entry(name)
    card = {**entry.card().as_dict(), "available": entry.available()}
    if as_json:
        typer.echo(json.dumps(card, indent=1, default=str))
    else:
        show.card(card)


@app.command()
def embed(
    manifest: Manifest,
    store: Annotated[Path, typer.Option(help="Embedding store.", show_default=False)],
    experts: Experts = "offline",
    where: Where = None,
    quiet: Quiet = False,
) -> None:
    """Run frozen experts over recordings and keep what they say; what is there already is not computed again."""
    from enecg.cohort.manifest import Cohort
    from enecg.embed import pipeline

    cohort = Cohort.load(manifest, where)
    report = pipeline.embed(cohort, _create(experts), _store(store), progress=not quiet)
    _tell_skipped([(each.record, each.reason) for each in report.skipped])
    told = f"{report.computed} computed, {report.reused} in the store before, {len(report.skipped)} skipped"
    typer.echo(f"{report.n} recordings: {told}")
    if len(report.skipped) == report.n:
        raise InputError(f"{cohort.name}: none of {report.n} recordings could be embedded")


@app.command()
def fit(
    manifest: Manifest,
    tasks: Tasks,
    out: Annotated[Path, typer.Option(help="Folder for the bundle.", show_default=False)],
    experts: Experts = "offline",
    where: Where = None,
    recipe: Annotated[str, typer.Option(help="How heads and weights are made.")] = "default",
    store: StoreDir = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train heads, weights and gate on a cohort, and save them as a bundle."""
    from enecg import show
    from enecg.ensemble import bundle
    from enecg.ensemble.recipe import ExpertInfo, find_recipe
    from enecg.evaluate.run import overlaps, train
    from enecg.tasks import parse_tasks

    wanted, found = parse_tasks(tasks), _create(experts)
    chosen = find_recipe(recipe)
    data = _gather(manifest, where, found, store, quiet)
    _tell_problems([problem for task in wanted for problem in data.cohort.target(task).problems])
    infos = [ExpertInfo.of(expert) for expert in found]
    for line in overlaps(data.cohort, infos):
        _say(f"note: {line}")
    ensemble = train(data, wanted, infos, recipe=chosen, seed=seed, progress=_progress(quiet))
    ensemble.training["skipped"] = len(data.skipped)
    digest = bundle.save(ensemble, out)
    show.weights(ensemble)
    typer.echo(f"bundle: {out} ({digest[:12]}); {len(data.cohort)} recordings, {len(data.skipped)} skipped. {NOTICE}")


def _write(evaluation: Evaluation, title: str, note: str, to: tuple[Path | None, Path | None, Path | None]) -> None:
    from enecg import show
    from enecg.evaluate.report import write_html, write_markdown

    json_file, html_file, markdown_file = to
    document = evaluation.document
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
    if html_file:
        write_html(document, html_file, title=title, kind_note=note, figures=evaluation.figures())
    if markdown_file:
        markdown_file.write_text(write_markdown(document), "utf-8")
    show.results(document)


@app.command()
def evaluate(
    bundle: Bundle,
    manifest: Manifest,
    where: Where = None,
    tasks: Annotated[str | None, typer.Option(help="Other columns for the bundle's tasks, as in fit.")] = None,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    markdown_file: MarkdownFile = None,
    store: StoreDir = None,
    replicates: Replicates = 1000,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Evaluate a bundle on a cohort, with intervals, every expert alone, and baselines."""
    from enecg.ensemble import bundle as bundles
    from enecg.ensemble.recipe import ExpertInfo
    from enecg.evaluate import run

    ensemble, _ = bundles.load(bundle)
    if tasks:
        ensemble.rename(tasks)
    found = _create([info.name for info in ensemble.experts])
    ensemble.check([ExpertInfo.of(expert) for expert in found])
    data = _gather(manifest, where, found, store, quiet)
    evaluation = run.evaluate(ensemble, data, replicates=replicates, seed=seed, progress=_progress(quiet))
    _tell_problems([problem for target in evaluation.targets.values() for problem in target.problems])
    shared = evaluation.document["leakage"]["shared_subjects"]
    if shared:
        _say(f"warning: {shared} subjects were in the training part too; these results are too good")
    _write(
        evaluation, f"Evaluation on {manifest.name}", "One bundle on one cohort.", (json_file, html_file, markdown_file)
    )


@app.command()
def crossval(
    manifest: Manifest,
    tasks: Tasks,
    experts: Experts = "offline",
    folds: Annotated[int, typer.Option(help="Folds, by subject.", min=2)] = 5,
    where: Where = None,
    recipe: Annotated[str, typer.Option(help="How heads and weights are made.")] = "default",
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    markdown_file: MarkdownFile = None,
    store: StoreDir = None,
    replicates: Replicates = 1000,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Cross-validate by subject: everything is fitted anew in each fold."""
    from enecg.ensemble.recipe import ExpertInfo, find_recipe
    from enecg.evaluate import run
    from enecg.tasks import parse_tasks

    wanted, found = parse_tasks(tasks), _create(experts)
    chosen = find_recipe(recipe)
    data = _gather(manifest, where, found, store, quiet)
    evaluation = run.crossval(
        data, wanted, [ExpertInfo.of(expert) for expert in found],
        folds=folds, recipe=chosen, replicates=replicates, seed=seed, progress=_progress(quiet),
    )  # fmt: skip
    _tell_problems([problem for target in evaluation.targets.values() for problem in target.problems])
    note = f"{folds}-fold cross-validation by subject."
    _write(evaluation, f"Cross-validation on {manifest.name}", note, (json_file, html_file, markdown_file))


@app.command()
def predict(
    bundle: Bundle,
    files: Annotated[list[Path], typer.Argument(help="Recordings.", show_default=False)],
    format: Annotated[str, typer.Option("--format", help="table, json, csv or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option(help="File to write; needed for parquet.")] = None,
) -> None:
    """Answer all tasks of a bundle for recordings."""
    from enecg import show
    from enecg.ensemble import bundle as bundles
    from enecg.ensemble.answer import predict_files
    from enecg.ensemble.recipe import ExpertInfo

    if format not in show.PREDICTION_FORMATS:
        raise InputError(f"--format {format}: choose one of {', '.join(show.PREDICTION_FORMATS)}")
    if format == "parquet" and out is None:
        raise InputError("--format parquet: say where with --out FILE")
    ensemble, digest = bundles.load(bundle)
    found = _create([info.name for info in ensemble.experts])
    ensemble.check([ExpertInfo.of(expert) for expert in found])
    document = predict_files(ensemble, digest, found, files)
    show.predictions(document, format, out)
    _tell_skipped([(each["record"], each["reason"]) for each in document["skipped"]])
    if not any(each["usable"] for each in document["predictions"]):
        raise InputError(f"none of {len(files)} files could be interpreted; the reasons are above")


@app.command()
def pretrain(
    manifest: Manifest,
    out: Annotated[Path, typer.Option(help="Folder for the expert.", show_default=False)],
    where: Where = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.", min=1)] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train a small expert of one's own on recordings without labels; use it as --experts FOLDER."""
    from enecg.cohort.manifest import Cohort
    from enecg.experts.pretrain import pretrain_tiny

    options = {} if steps is None else {"steps": steps}
    pretrain_tiny(Cohort.load(manifest, where), out, seed=seed, progress=not quiet, **options)
    typer.echo(f"expert: {out}; use it as --experts {out}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: versions, extras, experts, memory, folders. Exit code 1 when something must be mended."""
    from enecg import show
    from enecg.doctor import checks

    found = checks()
    if as_json:
        typer.echo(json.dumps([vars(check) for check in found], indent=1, default=str))
    else:
        show.checks(found)
    if any(check.ok is False for check in found):
        raise typer.Exit(1)


def main() -> None:
    """Run a command; what the user can mend is one line on standard error and its exit code, not a traceback."""
    try:
        app()
    except EnecgError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted; what is in the store is kept, run again to go on")
        sys.exit(130)
