"""What the command line prints: tables by Rich, and predictions as table, JSON, CSV or Parquet."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from enecg import NOTICE
from enecg.errors import InputError
from enecg.files import Place

if TYPE_CHECKING:
    from enecg.cli.doctor import MachineCheck
    from enecg.ensemble.outputs import Answering

FORMATS: Final = ("table", "json", "csv", "parquet", "fhir")
WIDTH: Final = 140  # of tables in a pipe, which has none of its own


def _print(*parts: Text | Table | str) -> None:
    """Print without reading markup: names of files and of classes may hold brackets."""
    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(*parts)


def _table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in row))
    _print(table)


def write_json(document: object, out: Path | None = None) -> None:
    """Plain JSON values, to a file or to standard output."""
    _put(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", out)


def _put(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, "utf-8")


def experts(cards: Sequence[Mapping[str, Any]], sets: Mapping[str, Sequence[str]]) -> None:
    """The list of experts and of sets."""

    def row(card: Mapping[str, Any]) -> list[object]:
        spec = card["input"]
        cost = "" if card["cost_ms"] is None else f"{card['cost_ms']:g}"
        here = "here" if card["available"] else "to fetch"
        leads = len(spec["leads"])
        licence = f"{card['licence']} ({card['licence_class']})"
        return [card["name"], leads, f"{spec['rate']:g}", card["dim"], f"{card['parameters']:,}", licence, cost, here]

    columns = ("name", "leads", "Hz", "dim", "parameters", "licence", "ms/recording", "weights")
    _table("Experts", columns, map(row, cards))
    for name, members in sets.items():
        _print(f"set {name}: {', '.join(members)}")


def card(facts: Mapping[str, Any]) -> None:
    """One expert's card."""
    rows = [(key, ", ".join(map(str, v)) if isinstance(v, list | tuple) else v) for key, v in facts.items()]
    _table(str(facts["name"]), ("", ""), rows)


def store_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """What an embedding store holds."""
    cells = [
        (row["expert"], row["fingerprint"][:12], row["dim"], row["rows"], row["shards"], f"{row['bytes']:,}")
        for row in rows
    ]
    _table("Embeddings", ("expert", "fingerprint", "dim", "recordings", "shards", "bytes"), cells)


def checks(found: Sequence[MachineCheck]) -> None:
    """What `doctor` found."""
    words = {True: Text("ok"), False: Text("mend", style="bold red"), None: Text("note")}
    _table("enecg doctor", ("", "check", "found", "remedy"), [(words[c.ok], c.name, c.detail, c.remedy) for c in found])


def weights(ensemble: Answering) -> None:
    """The experts' static shares per task."""
    names = [info.name for info in ensemble.experts if not info.gate_input]
    rows = []
    for task, model in ensemble.models.items():
        shares = model.combiner.shares()
        cells = [f"{shares.get(name, 0):.2f}" for name in names]
        rows.append([task, int(ensemble.training["labelled"][task]), *cells, "yes" if model.gate else "no"])
    _table("Weight of each expert", ("task", "labelled", *names, "gate"), rows)


def _number(value: float) -> str:
    """Four significant digits, and never an exponent for a large number."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _interval(estimate: Mapping[str, float | None]) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return _number(value) if low is None or high is None else f"{_number(value)} [{_number(low)}, {_number(high)}]"


def results(document: Mapping[str, Any]) -> None:
    """The summary of an evaluation."""
    rows = []
    for name, block in document["tasks"].items():
        metric = block["metric"]
        best = block["compare"].get("best_expert")
        rows.append([
            f"{name} ({block['unit']})" if block["unit"] else name,
            block["n"],
            metric,
            _interval(block["ensemble"][metric]),
            f"{best['name']} {_interval(block['experts'][best['name']][metric])}" if best else "–",
            best["verdict"] if best else "–",
            _interval(block["baselines"]["mean"][metric]) if "mean" in block["baselines"] else "–",
        ])  # fmt: skip
    columns = ("task", "n", "metric", "ensemble [95 %]", "best expert", "ensemble is", "uniform mean")
    leakage = document["leakage"]
    shared = "not known" if leakage["shared_subjects"] is None else leakage["shared_subjects"]
    _table(f"{document['n_recordings']} recordings of {document['n_subjects']} subjects", columns, rows)
    generated = " GENERATED ECGs: says nothing about patients." if document["cohort"].get("generated") else ""
    skipped = len(document["skipped"])
    _print(
        f"skipped: {skipped}; shared with the training part: subjects {shared}, "
        f"recordings {leakage['shared_recordings']}.{generated} {NOTICE}"
    )


def side_by_side(document: Mapping[str, Any]) -> None:
    """Each recipe's value of every task's metric."""
    recipes = list(document["recipes"])
    rows = []
    for name, block in document["tasks"].items():
        metric = block["metric"]
        cells = [_interval(block["recipes"][recipe][metric]) for recipe in recipes]
        said = [f"{told['verdict']} than {other}" if told["verdict"] in ("better", "worse") else told["verdict"]
                for others in block["compare"].values() for other, told in others.items()]  # fmt: skip
        rows.append(
            [f"{name} ({block['unit']})" if block["unit"] else name, block["n"], metric, *cells, "; ".join(said)]
        )
    columns = ("task", "n", "metric", *recipes, f"{recipes[-1]} is")
    _table(f"{document['n_recordings']} recordings of {document['n_subjects']} subjects", columns, rows)


def check_format(format: str, out: Place | None, engine: str = "local") -> None:
    """Raise `InputError` when predictions cannot be shown in that form, or not there, or not made so."""
    if format not in FORMATS:
        raise InputError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    if format == "parquet":
        if out is None:
            raise InputError("--format parquet: say where with --out FILE.parquet, or --out FOLDER")
        return
    if engine != "local":
        raise InputError(f"--engine {engine}: writes Parquet; add --format parquet --out FILE")
    if isinstance(out, str):
        raise InputError(f"--out {out}: a URL is for --format parquet")
    if out is not None and (format == "table" or out.is_dir()):
        told = "a table is for the screen; add --format json, csv or parquet" if format == "table" else "is a folder"
        raise InputError(f"--out {out}: {told}")


def predictions(document: Mapping[str, Any], format: str, out: Path | None) -> None:
    """Predictions as a table, JSON or CSV, to a file or to standard output."""
    if format == "json":
        write_json(document, out)
    elif format == "table":
        _prediction_table(document)
    else:
        import pandas as pd

        from enecg.ensemble.predictions import row

        entries = [*document["predictions"], *document["skipped"]]
        frame = pd.DataFrame([row(entry, document["bundle"]) for entry in entries])
        _put(frame.to_csv(index=False), out)


def _prediction_table(document: Mapping[str, Any]) -> None:
    for entry in document["predictions"]:
        rows = []
        for task, answer in entry["tasks"].items():
            most = sorted(answer["weights"].items(), key=lambda kv: -kv[1])[:3]
            trusted = ", ".join(f"{expert} {share:.0%}" for expert, share in most if share >= 0.005)
            rows.append([task, _said(answer), trusted])
        findings = "; ".join(finding["text"] for finding in entry["quality"]) or "nothing found"
        if entry["usable"]:
            _table(entry["record"], ("task", "answer", "trusted most"), rows)
            _print(f"quality: {findings}")
        else:
            _print(Text.assemble(f"{entry['record']}: ", ("not interpreted", "bold"), f": {findings}"))
        for note in entry["notes"]:
            _print(f"note: {note}")
    _print(Text(document["notice"], style="bold"))


def _said(answer: Mapping[str, Any]) -> str:
    if answer["kind"] == "regression":
        return _measured(answer)
    decision = answer["decision"]
    if decision is None:
        return "no answer"
    chosen = decision if isinstance(decision, list) else [decision]
    ranked = sorted(answer["probabilities"].items(), key=lambda kv: (kv[0] not in chosen, -kv[1]))
    shown = ", ".join(f"{name} {p:.2f}" for name, p in ranked[: max(3, len(chosen))])
    return f"{', '.join(chosen) or 'none'} ({shown})"


def _measured(answer: Mapping[str, Any]) -> str:
    """A value to the last digit that its interval leaves a meaning, such as `61 years (90 % 49 to 74)`."""
    value, low, high = (answer.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "no answer"
    if low is None or high is None:
        return f"{_number(value)} {answer['unit']}".rstrip()
    digits = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 0
    value_with_unit = f"{value:.{digits}f} {answer['unit']}".rstrip()
    return f"{value_with_unit} (90 % {low:.{digits}f} to {high:.{digits}f})"


def trained_on(ensemble: Answering) -> str:
    """How much an ensemble was trained on, in words."""
    told = ensemble.training
    return f"{told['recordings']} recordings of {told['subjects']} subjects, {told['skipped']} skipped"
