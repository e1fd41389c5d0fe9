"""What the commands print: tables, and predictions as table, JSON or CSV."""

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
from enecg.documents import (
    EstimateValues,
    EvaluationDocument,
    ListedExpert,
    PeriodAnswers,
    Prediction,
    PredictionsDocument,
    RegressionAnswer,
    SkippedRecord,
    TaskAnswer,
)
from enecg.errors import InputError
from enecg.files import Place

if TYPE_CHECKING:
    from enecg.cli.doctor import MachineCheck
    from enecg.ensemble.outputs import Answering
    from enecg.paper.documents import ReproductionDocument

FORMATS: Final = ("table", "json", "csv", "parquet", "fhir")
WIDTH: Final = 140  # columns of a table that is not written to a terminal


def _print(*parts: Text | Table | str) -> None:
    """Print without markup: names of files and classes may hold brackets."""
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
    """Write a JSON document to a file or to standard output."""
    _put(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", out)


def _put(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, "utf-8")


def experts(cards: Sequence[ListedExpert], sets: Mapping[str, Sequence[str]]) -> None:
    """Print the list of experts and of sets."""

    def row(card: ListedExpert) -> list[object]:
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


def card(facts: ListedExpert) -> None:
    """Print the card of an expert."""
    rows = [(key, ", ".join(map(str, v)) if isinstance(v, list | tuple) else v) for key, v in facts.items()]
    _table(str(facts["name"]), ("", ""), rows)


def store_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what an embedding store holds."""
    cells = [
        (row["expert"], row["fingerprint"][:12], row["dim"], row["rows"], row["shards"], f"{row['bytes']:,}")
        for row in rows
    ]
    _table("Embeddings", ("expert", "fingerprint", "dim", "recordings", "shards", "bytes"), cells)


def checks(found: Sequence[MachineCheck]) -> None:
    """Print the checks of `doctor`."""
    words = {True: Text("ok"), False: Text("fix", style="bold red"), None: Text("note")}
    _table("enecg doctor", ("", "check", "found", "remedy"), [(words[c.ok], c.name, c.detail, c.remedy) for c in found])


def weights(ensemble: Answering) -> None:
    """Print the static weight of each expert for each task."""
    names = [info.name for info in ensemble.experts if not info.gate_input]
    rows = []
    for task, model in ensemble.models.items():
        shares = model.combiner.shares()
        cells = [f"{shares.get(name, 0):.2f}" for name in names]
        rows.append([task, int(ensemble.training["labelled"][task]), *cells, "yes" if model.gate else "no"])
    _table("Weight of each expert", ("task", "labelled", *names, "gate"), rows)


def _number(value: float) -> str:
    """Return four significant digits, and no exponent for a large number."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _interval(estimate: EstimateValues) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "–"
    return _number(value) if low is None or high is None else f"{_number(value)} [{_number(low)}, {_number(high)}]"


def results(document: EvaluationDocument) -> None:
    """Print the summary of an evaluation."""
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


def side_by_side(document: ReproductionDocument) -> None:
    """Print the metric of each task for each recipe."""
    recipes = list(document["recipes"])
    rows = []
    for name, block in document["tasks"].items():
        metric = block["metric"]
        cells = [_interval(block["recipes"][recipe][metric]) for recipe in recipes]
        verdicts = [f"{found['verdict']} than {other}" if found["verdict"] in ("better", "worse") else found["verdict"]
                    for others in block["compare"].values() for other, found in others.items()]  # fmt: skip
        rows.append(
            [f"{name} ({block['unit']})" if block["unit"] else name, block["n"], metric, *cells, "; ".join(verdicts)]
        )
    columns = ("task", "n", "metric", *recipes, f"{recipes[-1]} is")
    _table(f"{document['n_recordings']} recordings of {document['n_subjects']} subjects", columns, rows)


def check_format(format: str, out: Place | None, engine: str = "local") -> None:
    """Raise `InputError` when format, file and engine do not go together."""
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
        reason = "a table is for the screen; add --format json, csv or parquet" if format == "table" else "is a folder"
        raise InputError(f"--out {out}: {reason}")


def predictions(document: PredictionsDocument, format: str, out: Path | None) -> None:
    """Write predictions as a table, JSON or CSV, to a file or to standard output."""
    if format == "json":
        write_json(document, out)
    elif format == "table":
        _prediction_table(document)
    else:
        import pandas as pd

        from enecg.ensemble.predictions import rows

        entries: list[Prediction | SkippedRecord] = [*document["predictions"], *document["skipped"]]
        frame = pd.DataFrame([each for entry in entries for each in rows(entry, document["bundle"])])
        _put(frame.to_csv(index=False), out)


def _prediction_table(document: PredictionsDocument) -> None:
    for entry in document["predictions"]:
        rows = []
        for task, answer in entry["tasks"].items():
            most = sorted(answer["weights"].items(), key=lambda kv: -kv[1])[:3]
            weights = ", ".join(f"{expert} {share:.0%}" for expert, share in most if share >= 0.005)
            rows.append([task, _answer_text(answer), weights])
        findings = "; ".join(finding["text"] for finding in entry["quality"]) or "nothing found"
        if entry["usable"]:
            _table(entry["record"], ("task", "answer", "largest weights"), rows)
            if "over_time" in entry:
                _over_time(entry["over_time"])
            _print(f"quality: {findings}")
            _print(f"seconds seen: {entry['seconds']['seen']:g} of {entry['seconds']['of']:g}")
        else:
            _print(Text.assemble(f"{entry['record']}: ", ("not interpreted", "bold"), f": {findings}"))
        for note in entry["notes"]:
            _print(f"note: {note}")
    _print(Text(document["notice"], style="bold"))


def _over_time(periods: Sequence[PeriodAnswers]) -> None:
    """One row a period: its start, how much of it was seen, and the answers."""
    tasks = list(dict.fromkeys(task for each in periods for task in each["tasks"]))
    rows = []
    for each in periods:
        minutes, seconds = divmod(round(each["start"]), 60)
        seen = f"{each['seconds']['seen'] / (each['seconds']['of'] or 1):.0%}"
        answers = [_answer_text(each["tasks"][task]) if task in each["tasks"] else "not interpreted" for task in tasks]
        rows.append([f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}", seen, *answers])
    _table("over time", ("start", "seen", *tasks), rows)


def _answer_text(answer: TaskAnswer) -> str:
    if answer["kind"] == "regression":
        return _value_text(answer)
    decision = answer["decision"]
    if decision is None:
        return "no answer"
    chosen = decision if isinstance(decision, list) else [decision]
    known = {name: p for name, p in answer["probabilities"].items() if p is not None}
    ranked = sorted(known.items(), key=lambda kv: (kv[0] not in chosen, -kv[1]))
    shown = ", ".join(f"{name} {p:.2f}" for name, p in ranked[: max(3, len(chosen))])
    return f"{', '.join(chosen) or 'none'} ({shown})"


def _value_text(answer: RegressionAnswer) -> str:
    """Return a value with the digits that its interval supports, such as `61 years (90 % 49 to 74)`."""
    value, low, high = answer["value"], answer.get("low"), answer.get("high")
    if value is None:
        return "no answer"
    if low is None or high is None:
        return f"{_number(value)} {answer['unit']}".rstrip()
    digits = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 0
    value_with_unit = f"{value:.{digits}f} {answer['unit']}".rstrip()
    return f"{value_with_unit} (90 % {low:.{digits}f} to {high:.{digits}f})"


def trained_on(ensemble: Answering) -> str:
    """Return how much an ensemble was trained on, in words."""
    facts = ensemble.training
    return f"{facts['recordings']} recordings of {facts['subjects']} subjects, {facts['skipped']} skipped"
