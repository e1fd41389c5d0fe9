"""The command `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from enecg import NOTICE
from enecg.cli.options import Address, AnyRuntime, Budget, Bundle, Engine, Quiet, TopK, log, make_folder_of
from enecg.errors import InputError
from enecg.files import place


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
        Any, typer.Option(parser=place, metavar="FILE", help="File to write; for parquet also a folder of files.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Sampling rate in Hz of files that do not state it.")] = None,
    unit: Annotated[str | None, typer.Option(help="mV, uV, V or unitless, for files that do not state it.")] = None,
    ignore_checksums: Annotated[
        bool, typer.Option("--ignore-checksums", help="Read WFDB samples that do not fit their header's checksums.")
    ] = False,
    runtime: AnyRuntime = None,
    budget: Budget = None,
    top_k: TopK = None,
    every: Annotated[str | None, typer.Option(help="Also an answer for each period, such as 1h or 10min.")] = None,
    engine: Engine = "local",
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Answer all tasks of a bundle for recordings; for a whole archive use --format parquet."""
    from enecg.cli import output

    output.check_format(format, out, engine)
    if isinstance(out, Path):
        make_folder_of(out)

    from enecg import bundle as bundles
    from enecg.cohorts.listing import listed
    from enecg.ensemble.over_time import period

    seconds = None if every is None else period(every)
    loaded = bundles.load(bundle, runtime).within(budget, top_k)
    given: dict[str, Any] = {"rate": rate, "unit": unit, "ignore_checksums": ignore_checksums}
    if format == "parquet":
        options: dict[str, Any] = {"engine": engine, "address": address, "progress": not quiet, "say": log}
        found = bundles.predict_archive(loaded, files, out, every=seconds, **given, **options)
        log(f"{found.n} recordings: {found.usable} answered, {found.reused} of them in an earlier run: {out}. {NOTICE}")
        answered, asked = found.usable, found.n
    else:
        items = listed(files).items
        document = bundles.predict(loaded, items, every=seconds, **given)
        if format == "fhir":
            from enecg.readers import read
            from enecg.serve.fhir import collection

            at = {item.record: item.at for item in items if item.at is not None}
            fhir = collection(document, loaded.ensemble.tasks, lambda name: read(at[name], **given))
            output.write_json(fhir, out)
        else:
            output.predictions(document, format, out)
        for each in document["skipped"]:
            log(f"skipped {each['record']}: {each['reason'].removeprefix(each['record'] + ': ')}")
        answered, asked = sum(each["usable"] for each in document["predictions"]), len(items)
    if not answered:
        raise InputError(f"none of {asked} files could be interpreted; the reasons are above")
