"""Options that several commands share, and what all commands do alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from enecg.files import place


def log(line: str) -> None:
    """Write a line for people to standard error; standard output is for results."""
    typer.echo(line, err=True)


def make_folder_of(path: Path | None) -> Path | None:
    """Make the folder of a file that will be written: if that is impossible, it shows before the work."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def warn_of_charge(charge: float | None) -> None:
    """Warn that the option `--charge` of version 0.1 has no effect; version 0.3 does not know it."""
    if charge is not None:
        log("warning: --charge has no effect: it never saved an expert; leave it out, and use predict --budget instead")


_FILE: Final[dict[str, Any]] = {"dir_okay": False, "writable": True, "callback": make_folder_of}
PLACE: Final[dict[str, Any]] = {"parser": place, "metavar": "DIR", "show_default": False}

Manifest = Annotated[Any, typer.Argument(parser=place, metavar="MANIFEST", show_default=False,
                                         help="CSV or Parquet table, one row a recording; path or URL.")]  # fmt: skip
Bundle = Annotated[Path, typer.Argument(help="Folder that `enecg fit --out` wrote.", show_default=False)]
Tasks = Annotated[str, typer.Option(help="age, sex, rr_interval, potassium, arrhythmia; NAME=COLUMN; NAME:KIND.")]
Experts = Annotated[str, typer.Option(help="Names, sets or folders, separated by commas.")]
RuntimeName = Annotated[str, typer.Option("--runtime", help="torch; or onnx or openvino, faster on a processor.")]
AnyRuntime = Annotated[str | None, typer.Option("--runtime", help="torch, onnx or openvino; default: as fitted.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="float32; or bfloat16 or int8, with other embeddings.")]
Where = Annotated[str | None, typer.Option(help="Row filter over the manifest, such as 'strat_fold <= 8'.")]
RecipeName = Annotated[str, typer.Option("--recipe", help="default; light: a quick fit; paper, paper-tuned: EnECG's.")]
StoreDir = Annotated[Any, typer.Option("--store", help="Embedding store; default: in the user's cache.", **PLACE)]
Charge = Annotated[float | None, typer.Option(help="Has no effect.", hidden=True)]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.", min=0)]
Budget = Annotated[float | None, typer.Option(help="Share of the time of all experts that may be spent, on average.")]
TopK = Annotated[int | None, typer.Option(help="Most experts that may run.", min=1)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the results as JSON.", **_FILE)]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write a report as HTML.", **_FILE)]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown.", **_FILE)]
Jobs = Annotated[int | None, typer.Option(help="Folds at a time; default: one for each processor.", min=0)]
Work = Annotated[Path | None, typer.Option(help="Folder for finished folds; default: in the user's cache.")]
Engine = Annotated[str, typer.Option(help="local; or ray for the processors of a cluster.")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster: auto, or ray://HOST:10001; default: start one.")]
Replicates = Annotated[int, typer.Option(help="Bootstrap resamples of the subjects.", min=1)]
Folds = Annotated[int, typer.Option(help="Number of folds, by subject.", min=2)]
