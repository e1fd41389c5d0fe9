"""The commands that learn and evaluate: embed, fit, evaluate, crossval, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enecg import NOTICE
from enecg.cli.options import (
    PLACE,
    Address,
    AnyRuntime,
    Budget,
    Bundle,
    Charge,
    Engine,
    Experts,
    Folds,
    HtmlFile,
    Jobs,
    JsonFile,
    Manifest,
    MarkdownFile,
    PrecisionName,
    Quiet,
    RecipeName,
    Replicates,
    RuntimeName,
    Seed,
    StoreDir,
    Tasks,
    TopK,
    Where,
    Work,
    log,
    warn_of_charge,
)  # fmt: skip
from enecg.documents import EmbedDocument, SkippedRecord
from enecg.errors import InputError
from enecg.experts.runtimes.runtime import Runtime
from enecg.files import name_of

if TYPE_CHECKING:
    from enecg.evaluation.protocol import Evaluation


def embed(
    manifest: Manifest,
    store: Annotated[Any, typer.Option(help="Embedding store.", **PLACE)],
    experts: Experts = "offline",
    where: Where = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "float32",
    engine: Engine = "local",
    address: Address = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Run frozen experts over recordings and store their embeddings; those in the store are not computed again."""
    from enecg import api
    from enecg.cli import output

    report = api.embed(
        manifest, experts, store, where=where, runtime=Runtime(runtime, precision), engine=engine, address=address,
        progress=not quiet, say=log,
    )  # fmt: skip
    if json_file:
        skipped: list[SkippedRecord] = [{"record": each.record, "reason": each.reason} for each in report.skipped]
        document: EmbedDocument = {"n_recordings": report.n, "computed": report.computed, "reused": report.reused,
                                   "skipped": skipped}  # fmt: skip
        output.write_json(document, json_file)
    counts = f"{report.computed} computed, {report.reused} in the store before, {len(report.skipped)} skipped"
    typer.echo(f"{report.n} recordings: {counts}")
    if not report.computed + report.reused:
        raise InputError(f"{manifest}: none of {report.n} recordings could be embedded; the reasons are above")


def fit(
    manifest: Manifest,
    tasks: Tasks,
    out: Annotated[Path, typer.Option(help="Folder for the bundle.", show_default=False)],
    experts: Experts = "offline",
    where: Where = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "float32",
    recipe: RecipeName = "default",
    charge: Charge = None,
    store: StoreDir = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train heads, weights and gate on a cohort, and save them as a bundle."""
    from enecg import api
    from enecg.cli import output
    from enecg.ensemble.serialization.folder import check_target

    check_target(out)
    warn_of_charge(charge)
    bundle = api.fit(
        manifest, tasks, experts, store,
        where=where, runtime=Runtime(runtime, precision), recipe=recipe, seed=seed,
        progress=not quiet, say=log,
    )  # fmt: skip
    digest = bundle.save(out)
    output.weights(bundle.ensemble)
    typer.echo(f"bundle: {out} ({digest[:12]}); {output.trained_on(bundle.ensemble)}. {NOTICE}")


def evaluate(
    bundle: Bundle,
    manifest: Manifest,
    where: Where = None,
    tasks: Annotated[str | None, typer.Option(help="Other columns for the bundle's tasks, as in fit.")] = None,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    markdown_file: MarkdownFile = None,
    runtime: AnyRuntime = None,
    budget: Budget = None,
    top_k: TopK = None,
    store: StoreDir = None,
    replicates: Replicates = 1000,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Evaluate a bundle on a cohort, with intervals, beside single experts and baselines."""
    from enecg import api

    found = api.evaluate(
        api.load(bundle, runtime).within(budget, top_k), manifest, store,
        where=where, tasks=tasks, replicates=replicates, seed=seed, progress=not quiet, say=log,
    )  # fmt: skip
    title = f"Evaluation on {name_of(manifest)}"
    part = "".join(f", {name} {v:g}" for name, v in (("--budget", budget), ("--top-k", top_k)) if v is not None)
    _write(found, title, f"One bundle on one cohort{part}.", json_file, html_file, markdown_file)


def crossval(
    manifest: Manifest,
    tasks: Tasks,
    experts: Experts = "offline",
    folds: Folds = 5,
    where: Where = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "float32",
    recipe: RecipeName = "default",
    charge: Charge = None,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
    markdown_file: MarkdownFile = None,
    store: StoreDir = None,
    replicates: Replicates = 1000,
    seed: Seed = 0,
    jobs: Jobs = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Cross-validate by subject: everything is fitted anew in each fold."""
    from enecg import api

    warn_of_charge(charge)
    found = api.crossval(
        manifest, tasks, experts, store,
        folds=folds, where=where, runtime=Runtime(runtime, precision), recipe=recipe,
        replicates=replicates, seed=seed, **_spread(jobs, work), progress=not quiet, say=log,
    )  # fmt: skip
    note = f"{folds}-fold cross-validation by subject."
    _write(found, f"Cross-validation on {name_of(manifest)}", note, json_file, html_file, markdown_file)


def reproduce(
    manifest: Annotated[Path, typer.Argument(help="Manifest, or EnECG's cohort file (.jsonl).", show_default=False)],
    recipe: Annotated[list[str] | None, typer.Option(help="Can be given several times.")] = None,
    tasks: Annotated[str | None, typer.Option(help="As in fit; default: of the five tasks those with labels.")] = None,
    experts: Experts = "offline",
    folds: Folds = 3,
    where: Where = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.md and results.json.")] = Path("reproduce"),
    store: StoreDir = None,
    replicates: Replicates = 1000,
    seed: Seed = 0,
    jobs: Jobs = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Run EnECG's protocol: one recording of each subject, folds by subject, recipes (paper, default) side by side."""
    from enecg import api
    from enecg.cli import output
    from enecg.paper.report import write_html, write_markdown

    out.mkdir(parents=True, exist_ok=True)
    document: Any = api.reproduce(
        manifest, tasks, experts, store,
        recipes=recipe or ("paper", "default"), folds=folds, where=where, replicates=replicates, seed=seed,
        **_spread(jobs, work), progress=not quiet, say=log,
    ).document  # fmt: skip
    output.write_json(document, out / "results.json")
    write_html(document, out / "report.html")
    (out / "report.md").write_text(write_markdown(document), "utf-8")
    output.side_by_side(document)
    typer.echo(f"report: {out / 'report.html'}. {NOTICE}")


def _spread(jobs: int | None, work: Path | None) -> dict[str, Any]:
    """Return how folds are spread: by default over all processors, and finished folds are kept."""
    from enecg.experts.weights import cache_folder
    from enecg.workers.threads import cpus

    return {"jobs": cpus() if jobs is None else jobs, "work": work or cache_folder() / "folds"}


def _write(
    found: Evaluation, title: str, note: str, json_file: Path | None, html_file: Path | None, markdown_file: Path | None
) -> None:
    from enecg.cli import output
    from enecg.evaluation.report.html import write_html
    from enecg.evaluation.report.markdown import write_markdown

    document: Any = found.document
    if json_file:
        output.write_json(document, json_file)
    if html_file:
        write_html(document, html_file, title=title, kind_note=note, figures=found.figures())
    if markdown_file:
        markdown_file.write_text(write_markdown(document), "utf-8")
    output.results(document)
