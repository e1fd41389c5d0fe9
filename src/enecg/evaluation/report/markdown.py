"""The report of an evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enecg import NOTICE
from enecg.evaluation.report import wording
from enecg.evaluation.report.wording import METRIC_NAMES, Block


def write_markdown(document: Mapping[str, Any]) -> str:
    """Return the results as Markdown: a summary, and for each task all metrics and comparisons."""
    cohort = document.get("cohort", {})
    lines = []
    if cohort.get("generated"):
        lines += [f"> **Generated cohort: no real patients.** {wording.GENERATED}", ""]
    where = f" ({escaped(cohort['name'])})" if "name" in cohort else ""
    lines.append(f"{document['n_recordings']:,} recordings of {document['n_subjects']:,} subjects{where}.")
    lines += [wording.leakage(document["leakage"]), f"**{NOTICE}**", ""]
    lines += [*(f"- {escaped(line)}" for line in wording.headline(document["tasks"])), ""]
    lines += _summary(document["tasks"])
    for name, block in document["tasks"].items():
        lines += ["", f"### {escaped(name)}", "", *_metrics(block), ""]
        for key, comparison in block["compare"].items():
            verdict = f"{comparison['verdict'].capitalize()} {wording.against(key, comparison)}"
            lines.append(f"- {escaped(f'{verdict}: {wording.difference(comparison, block)}')}")
        lines += [f"- {escaped(line)}" for line in wording.about_weights(block)]
    if document["skipped"]:
        lines += ["", f"Skipped recordings: {len(document['skipped']):,}", ""]
        counted = [[reason, f"{count:,}"] for reason, count in wording.reasons(document["skipped"])]
        lines += table(["Reason", "Recordings"], counted)
    return "\n".join(lines) + "\n"


def _summary(tasks: Mapping[str, Block]) -> list[str]:
    rows = []
    for name, block in tasks.items():
        values = [wording.with_span(entry, digits) for entry, digits in wording.summary_columns(block)]
        best = block["compare"].get("best_expert", {"verdict": "–"})["verdict"]
        rows.append([name, f"{block['n']:,}", wording.metric_title(block["metric"], block, "{} {}"), *values, best])
    head = ["Task", "n", "Metric", "Ensemble", "Best expert", "Uniform mean", "Ensemble against best expert"]
    return table(head, rows)


def _metrics(block: Block) -> list[str]:
    metrics = wording.metrics_of(block)
    rows = []
    for part, who, scores in wording.predictors(block):
        entries = [
            wording.with_span(scores.get(metric, wording.UNKNOWN), wording.decimals(metric, block["ensemble"]))
            for metric in metrics
        ]
        rows.append([wording.name_of(part, who), *entries])
    head = [f"{METRIC_NAMES[metric]} {wording.unit_of(metric, block)}".rstrip() for metric in metrics]
    return table(["Predictor", *head], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown, line by line."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(escaped(text) for text in line) + " |" for line in lines]


def escaped(text: str) -> str:
    """Return text that cannot break out of a table's cell, nor become markup."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
