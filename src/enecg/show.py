"""What the command line prints: tables by Rich, and predictions as table, JSON, CSV or Parquet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from enecg import NOTICE

if TYPE_CHECKING:
    from enecg.doctor import Check
    from enecg.ensemble.model import Ensemble

PREDICTION_FORMATS: Final = ("table", "json", "csv", "parquet")


def _console() -> Console:
    # A pipe has no width: tables must not be cut to 80 columns for a file.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def _table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    _console().print(table)


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
        _console().print(f"set {name}: {', '.join(members)}")


def card(facts: Mapping[str, Any]) -> None:
    """One expert's card."""
    rows = [(key, ", ".join(map(str, v)) if isinstance(v, list | tuple) else v) for key, v in facts.items()]
    _table(str(facts["name"]), ("", ""), rows)


def checks(found: Sequence[Check]) -> None:
    """What `doctor` found."""
    words = {True: "ok", False: "[bold red]mend[/]", None: "note"}
    _table("enecg doctor", ("", "check", "found", "remedy"), [(words[c.ok], c.name, c.detail, c.remedy) for c in found])


def weights(ensemble: Ensemble) -> None:
    """The experts' static shares per task."""
    names = [info.name for info in ensemble.experts]
    rows = []
    for task, model in ensemble.models.items():
        shares = model.combiner.shares()
        cells = [f"{shares.get(name, 0):.2f}" for name in names]
        rows.append([task, int(ensemble.training["labelled"][task]), *cells, "yes" if model.gate else "no"])
    _table("Weight of each expert", ("task", "labelled", *names, "gate"), rows)


def _interval(estimate: Mapping[str, float | None]) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:.4g}" if low is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"


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
    shared = document["leakage"]["shared_subjects"]
    _table(f"{document['n_recordings']} recordings of {document['n_subjects']} subjects", columns, rows)
    generated = " GENERATED ECGs: says nothing about patients." if document["cohort"].get("generated") else ""
    skipped = len(document["skipped"])
    _console().print(f"skipped: {skipped}; subjects shared with the training part: {shared}.{generated} {NOTICE}")


def predictions(document: Mapping[str, Any], format: str, out: Path | None) -> None:
    """Predictions in one of `PREDICTION_FORMATS`, to a file or to standard output."""
    if format == "json":
        _put(json.dumps(document, indent=1, ensure_ascii=False) + "\n", out)
    elif format == "table":
        _prediction_table(document)
    else:
        import pandas as pd

        frame = pd.DataFrame([_flat(entry, document["bundle"]) for entry in document["predictions"]])
        if format == "csv":
            _put(frame.to_csv(index=False), out)
        else:
            frame.to_parquet(out, index=False)


def _put(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, "utf-8")


def _flat(entry: Mapping[str, Any], bundle: str) -> dict[str, Any]:
    """One row of a table: every number of an entry under a name of its own."""
    row = {
        "record": entry["record"],
        "usable": entry["usable"],
        "quality": "; ".join(finding["text"] for finding in entry["quality"]),
    }
    for task, answer in entry["tasks"].items():
        for key in ("value", "low", "high", "decision"):
            if key in answer:
                found = answer[key]
                row[task if key == "value" else f"{task}_{key}"] = ";".join(found) if isinstance(found, list) else found
        row |= {f"{task}_p_{name}": p for name, p in answer.get("probabilities", {}).items()}
        row |= {f"{task}_weight_{name}": weight for name, weight in answer["weights"].items()}
    return {**row, "bundle": bundle, "notice": NOTICE}


def _prediction_table(document: Mapping[str, Any]) -> None:
    for entry in document["predictions"]:
        rows = []
        for task, answer in entry["tasks"].items():
            trusted = ", ".join(f"{k} {v:.0%}" for k, v in sorted(answer["weights"].items(), key=lambda kv: -kv[1])[:3])
            rows.append([task, _said(answer), trusted])
        findings = "; ".join(finding["text"] for finding in entry["quality"]) or "nothing found"
        if entry["usable"]:
            _table(entry["record"], ("task", "answer", "trusted most"), rows)
            _console().print(f"quality: {findings}")
        else:
            _console().print(f"{entry['record']}: [bold]not interpreted[/]: {findings}")
    _console().print(f"[bold]{document['notice']}[/]")


def _said(answer: Mapping[str, Any]) -> str:
    if answer["kind"] == "regression":
        if answer["value"] is None:
            return "no answer"
        interval = f" (90 % {answer['low']:.0f} to {answer['high']:.0f})" if answer.get("low") is not None else ""
        return f"{answer['value']:.0f} {answer['unit']}{interval}"
    decision = answer["decision"]
    if decision is None:
        return "no answer"
    top = sorted(answer["probabilities"].items(), key=lambda kv: -kv[1])[:3]
    chosen = ", ".join(decision) or "none" if isinstance(decision, list) else decision
    return f"{chosen} ({', '.join(f'{name} {p:.2f}' for name, p in top)})"
