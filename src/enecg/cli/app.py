"""The command line: parse, call, print. Everything it does can be had from Python under the same names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from enecg import NOTICE, __version__
from enecg.cli.experts import app as experts_app
from enecg.cli.experts import pretrain
from enecg.cli.store import app as store_app
from enecg.errors import EnecgError, InputError
from enecg.experts.runtimes.runtime import Runtime
from enecg.files import name_of, place

if TYPE_CHECKING:
    from enecg.evaluation.protocol import Evaluation


def _say(line: str) -> None:
    """A line for people, on standard error: standard output is for answers."""
    typer.echo(line, err=True)


class _Commands(TyperGroup):
    """What the user can mend is one line on standard error and an exit code, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EnecgError as error:
            _say(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            _say("interrupted; what is in the store is kept, run again to go on")
            raise typer.Exit(130) from None
        except OSError as error:
            if error.filename is None:  # not about a file: a pipe that was closed, or a bug
                raise
            _say(f"error: {error.filename}: {error.strerror}")
            raise typer.Exit(InputError.exit_code) from None


def _make_room(path: Path | None) -> Path | None:
    """Make the folder of a file to be written: a place that cannot be written is told before the work, not after."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


app = typer.Typer(
    name="enecg", cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help=f"Ensembles of frozen ECG experts with small trained heads. {NOTICE}",
)  # fmt: skip
app.add_typer(experts_app, name="experts")
app.add_typer(store_app, name="store")
app.command()(pretrain)

_FILE: dict[str, Any] = {"dir_okay": False, "writable": True, "callback": _make_room}
Manifest = Annotated[Any, typer.Argument(parser=place, metavar="MANIFEST", show_default=False,
                                         help="CSV or Parquet table, one row a recording; path or URL.")]  # fmt: skip
Bundle = Annotated[Path, typer.Argument(help="Folder that `enecg fit --out` wrote.", show_default=False)]
Tasks = Annotated[str, typer.Option(help="age, sex, rr_interval, potassium, arrhythmia; NAME=COLUMN; NAME:KIND.")]
Experts = Annotated[str, typer.Option(help="Names, sets or folders, separated by commas.")]
RuntimeName = Annotated[str, typer.Option("--runtime", help="torch; or onnx or openvino, faster on a processor.")]
AnyRuntime = Annotated[str | None, typer.Option("--runtime", help="torch, onnx or openvino; as fitted by default.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="float32; or bfloat16 or int8: other embeddings.")]
Where = Annotated[str | None, typer.Option(help="Row filter over the manifest, such as 'strat_fold <= 8'.")]
Recipe = Annotated[str, typer.Option(help="default; light for a first look; paper or paper-tuned: EnECG as described.")]
_STORE: dict[str, Any] = {"parser": place, "metavar": "DIR", "show_default": False}
StoreDir = Annotated[Any, typer.Option("--store", help="Embedding store; by default in the user's cache.", **_STORE)]
Charge = Annotated[
    float, typer.Option(help="What running all experts costs, as a share of a constant answer's loss.", min=0)
]
Seed = Annotated[int, typer.Option(help="Of everything random.", min=0)]
Budget = Annotated[float | None, typer.Option(help="Share of the experts' time to be spent, on average.")]
TopK = Annotated[int | None, typer.Option(help="Experts that may look.", min=1)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the results as JSON.", **_FILE)]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write a report for people.", **_FILE)]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown.", **_FILE)]
Jobs = Annotated[int | None, typer.Option(help="Folds at a time; by default one per processor.", min=0)]
Work = Annotated[Path | None, typer.Option(help="Where finished folds are kept; by default in the user's cache.")]
Engine = Annotated[str, typer.Option(help="local, or ray for the processors of a cluster.")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster: auto, or ray://HOST:10001; else one is started.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Replicates = Annotated[int, typer.Option(help="Bootstrap resamples of the subjects.", min=1)]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"enecg {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for recordings, bundle and report.")] = Path("demo"),
    subjects: Annotated[int, typer.Option(help="Generated subjects.", min=150)] = 500,
    experts: Experts = "offline",
    recipe: Recipe = "default",
    seed: Seed = 0,
) -> None:
    """Everything once, offline: generate ECGs, fit, evaluate on held-out subjects, predict a real ECG, report."""
    from enecg.cli.demo import run

    report = run(out, subjects=subjects, experts=experts, recipe=recipe, seed=seed, say=typer.echo)
    typer.echo(f"report: {report}")


@app.command()
def embed(
    manifest: Manifest,
    store: Annotated[Any, typer.Option(help="Embedding store.", **_STORE)],
    experts: Experts = "offline",
    where: Where = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "float32",
    engine: Engine = "local",
    address: Address = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Run frozen experts over recordings and keep what they say; what is there already is not computed again."""
    from enecg import api
    from enecg.cli import output as show

    report = api.embed(
        manifest, experts, store, where=where, runtime=Runtime(runtime, precision), engine=engine, address=address,
        progress=not quiet, say=_say,
    )  # fmt: skip
    if json_file:
        skipped = [vars(each) for each in report.skipped]
        counts = {"n_recordings": report.n, "computed": report.computed, "reused": report.reused}
        show.write_json({**counts, "skipped": skipped}, json_file)
    told = f"{report.computed} computed, {report.reused} in the store before, {len(report.skipped)} skipped"
    typer.echo(f"{report.n} recordings: {told}")
    if not report.computed + report.reused:
        raise InputError(f"{manifest}: none of {report.n} recordings could be embedded; the reasons are above")


@app.command()
def fit(
    manifest: Manifest,
    tasks: Tasks,
    out: Annotated[Path, typer.Option(help="Folder for the bundle.", show_default=False)],
    experts: Experts = "offline",
    where: Where = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "float32",
    recipe: Recipe = "default",
    charge: Charge = 0.0,
    store: StoreDir = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train heads, weights and gate on a cohort, and save them as a bundle."""
    from enecg import api
    from enecg.cli import output as show
    from enecg.ensemble.serialization.folder import check_target

    check_target(out)
    bundle = api.fit(
        manifest, tasks, experts, store,
        where=where, runtime=Runtime(runtime, precision), recipe=recipe, charge=charge, seed=seed,
        progress=not quiet, say=_say,
    )  # fmt: skip
    digest = bundle.save(out)
    show.weights(bundle.ensemble)
    typer.echo(f"bundle: {out} ({digest[:12]}); {show.trained_on(bundle.ensemble)}. {NOTICE}")


@app.command()
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
    """Evaluate a bundle on a cohort, with intervals, every expert alone, and baselines."""
    from enecg import api

    found = api.evaluate(
        api.load(bundle, runtime).within(budget, top_k), manifest, store,
        where=where, tasks=tasks, replicates=replicates, seed=seed, progress=not quiet, say=_say,
    )  # fmt: skip
    title = f"Evaluation on {name_of(manifest)}"
    part = "".join(f", {name} {v:g}" for name, v in (("--budget", budget), ("--top-k", top_k)) if v is not None)
    _write(found, title, f"One bundle on one cohort{part}.", json_file, html_file, markdown_file)


@app.command()
def crossval(
    manifest: Manifest,
    tasks: Tasks,
    experts: Experts = "offline",
    folds: Annotated[int, typer.Option(help="Folds, by subject.", min=2)] = 5,
    where: Where = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "float32",
    recipe: Recipe = "default",
    charge: Charge = 0.0,
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

    found = api.crossval(
        manifest, tasks, experts, store,
        folds=folds, where=where, runtime=Runtime(runtime, precision), recipe=recipe, charge=charge,
        replicates=replicates, seed=seed, **_spread(jobs, work), progress=not quiet, say=_say,
    )  # fmt: skip
    note = f"{folds}-fold cross-validation by subject."
    _write(found, f"Cross-validation on {name_of(manifest)}", note, json_file, html_file, markdown_file)


@app.command()
def reproduce(
    manifest: Annotated[Path, typer.Argument(help="Manifest, or EnECG's cohort file (.jsonl).", show_default=False)],
    recipe: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    tasks: Annotated[str | None, typer.Option(help="As in fit; by default the five tasks that have labels.")] = None,
    experts: Experts = "offline",
    folds: Annotated[int, typer.Option(help="Folds, by subject.", min=2)] = 3,
    where: Where = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.md and results.json.")] = Path("reproduce"),
    store: StoreDir = None,
    replicates: Replicates = 1000,
    seed: Seed = 0,
    jobs: Jobs = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """EnECG's protocol: one recording of each subject, folds by subject, recipes (paper, default) side by side."""
    from enecg import api
    from enecg.cli import output as show
    from enecg.paper.report import write_html, write_markdown

    out.mkdir(parents=True, exist_ok=True)
    found = api.reproduce(
        manifest, tasks, experts, store,
        recipes=recipe or ("paper", "default"), folds=folds, where=where, replicates=replicates, seed=seed,
        **_spread(jobs, work), progress=not quiet, say=_say,
    ).document  # fmt: skip
    show.write_json(found, out / "results.json")
    write_html(found, out / "report.html")
    (out / "report.md").write_text(write_markdown(found), "utf-8")
    show.side_by_side(found)
    typer.echo(f"report: {out / 'report.html'}. {NOTICE}")


def _spread(jobs: int | None, work: Path | None) -> dict[str, Any]:
    """Over as many processes as there are processors, and with finished folds kept, unless something else is said."""
    from enecg.experts.weights import cache_folder
    from enecg.workers.threads import cpus

    return {"jobs": cpus() if jobs is None else jobs, "work": work or cache_folder() / "folds"}


def _write(
    found: Evaluation, title: str, note: str, json_file: Path | None, html_file: Path | None, markdown_file: Path | None
) -> None:
    from enecg.cli import output as show
    from enecg.evaluation.report.html import write_html, write_markdown

    if json_file:
        show.write_json(found.document, json_file)
    if html_file:
        write_html(found.document, html_file, title=title, kind_note=note, figures=found.figures())
    if markdown_file:
        markdown_file.write_text(write_markdown(found.document), "utf-8")
    show.results(found.document)


@app.command()
def predict(
    bundle: Bundle,
    files: Annotated[
        list[Any],
        typer.Argument(
            parser=place,
            metavar="RECORDING...",
            show_default=False,
            help="Files, folders, patterns or manifests, by path or URL.",
        ),
    ],
    format: Annotated[str, typer.Option("--format", help="table, json, csv, parquet or fhir.")] = "table",
    out: Annotated[
        Any, typer.Option(parser=place, metavar="FILE", help="File to write, or for parquet a folder of them.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Hz, where files do not state it.")] = None,
    unit: Annotated[str | None, typer.Option(help="mV, uV, V or unitless, where files do not state it.")] = None,
    ignore_checksums: Annotated[
        bool, typer.Option("--ignore-checksums", help="Read WFDB samples that do not fit their header's checksums.")
    ] = False,
    runtime: AnyRuntime = None,
    budget: Budget = None,
    top_k: TopK = None,
    engine: Engine = "local",
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Answer all tasks of a bundle for recordings; for a whole archive use --format parquet."""
    from enecg.cli import output as show

    show.check_format(format, out, engine)
    if isinstance(out, Path):
        _make_room(out)

    from enecg import bundle as answers
    from enecg.cohorts.listing import listed

    loaded = answers.load(bundle, runtime).within(budget, top_k)
    given: dict[str, Any] = {"rate": rate, "unit": unit, "ignore_checksums": ignore_checksums}
    if format == "parquet":
        options: dict[str, Any] = {"engine": engine, "address": address, "progress": not quiet, "say": _say}
        found = answers.predict_archive(loaded, files, out, **given, **options)
        _say(f"{found.n} recordings: {found.usable} answered, {found.reused} of them written before: {out}. {NOTICE}")
        answered, asked = found.usable, found.n
    else:
        items = listed(files).items
        document = answers.predict(loaded, items, **given)
        if format == "fhir":
            from enecg.readers import read
            from enecg.serve.fhir import collection

            at = {item.record: item.at for item in items if item.at is not None}
            told = collection(document, loaded.ensemble.tasks, lambda name: read(at[name], **given))
            show.write_json(told, out)
        else:
            show.predictions(document, format, out)
        for each in document["skipped"]:
            _say(f"skipped {each['record']}: {each['reason'].removeprefix(each['record'] + ': ')}")
        answered, asked = sum(each["usable"] for each in document["predictions"]), len(items)
    if not answered:
        raise InputError(f"none of {asked} files could be interpreted; the reasons are above")


@app.command()
def serve(
    bundle: Bundle,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.", show_default="8000")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="processors")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Tokens, one a line; without, this machine only.")] = None,
) -> None:
    """Serve a bundle: a page and an HTTP API. ENECG_SERVE_... in the environment sets everything (docs/serve.md)."""
    from enecg.errors import require

    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        require(package, "serve", "enecg serve")
    from enecg.serve.server import serve as run
    from enecg.serve.settings import Settings

    run(bundle, Settings.read(host=host, port=port, workers=workers, token_file=token_file), say=_say)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: versions, extras, experts, memory, folders. Exit code 1 when something must be mended."""
    from enecg.cli import output as show
    from enecg.cli.doctor import checks

    found = checks()
    if as_json:
        show.write_json([vars(check) for check in found])
    else:
        show.checks(found)
    if any(check.ok is False for check in found):
        raise typer.Exit(1)
