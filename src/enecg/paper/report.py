"""The report of `enecg reproduce`: recipes side by side and what they cost, as one HTML file or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from enecg import NOTICE
from enecg.evaluation.report import html, markdown, wording
from enecg.evaluation.report.wording import METRIC_NAMES

COSTS: Final = {
    "trained": "Trained numbers",
    "frozen_passes": "Passes of frozen experts",
    "seconds_frozen": "Seconds in them",
    "seconds_fitting": "Seconds of fitting",
    "peak_bytes": "Peak memory, GB",
}
REFERENCE: Final = "the public code’s way"
TITLE: Final = "EnECG’s protocol"


def write_html(document: Mapping[str, Any], path: Path) -> None:
    """Write the report as one HTML file."""
    note = f"{document['protocol']['folds']}-fold cross-validation by {document['protocol']['by']}; "
    note += f"recordings: {document['protocol']['recordings']}."
    text = html.render(
        "recipes.html.j2",
        document=document,
        title=TITLE,
        kind_note=note,
        made={f"Recipe {name}": _made(each) for name, each in document["recipes"].items()},
        tasks={name: _metric_rows(block) for name, block in document["tasks"].items()},
        differences={name: _differences(block) for name, block in document["tasks"].items()},
        fold_rows=_fold_rows(document),
        reference=REFERENCE,
        cost_rows=_cost_rows(document),
        cost_notes=_cost_notes(document),
    )
    path.write_text(text, "utf-8")


def _made(document: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}: {wording.plain(value)}" for key, value in document["provenance"].items())


def _metric_rows(block: Mapping[str, Any]) -> list[tuple[str, list[tuple[Mapping[str, Any], int]]]]:
    """Each metric of a task: its title, and each recipe's value with its number of decimals."""
    recipes = block["recipes"].values()
    metrics = next(iter(recipes))
    return [(metric, [(scores[metric], _digits(metric, scores)) for scores in recipes]) for metric in metrics]


def _digits(metric: str, scores: Mapping[str, Any]) -> int:
    value = scores[metric]["value"]
    return 0 if metric == "mse" and value and value >= 10 else wording.decimals(metric, scores)


def _differences(block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Verdict and paired difference of the last recipe against each other one."""
    found = []
    for recipe, others in block["compare"].items():
        for other, comparison in others.items():
            metric = comparison["metric"]
            digits, unit = wording.decimals(metric, block["recipes"][recipe]), wording.unit_of(metric, block)
            difference = wording.with_span(comparison["difference"], digits, unit, sign=True)
            found.append((comparison["verdict"], f"{recipe} minus {other}: {METRIC_NAMES[metric]} {difference}"))
    return found


def _fold_rows(document: Mapping[str, Any]) -> list[list[str]]:
    """As the paper gives results: task, metric, and each recipe's mean and standard deviation over folds."""
    rows = []
    for task, block in document["tasks"].items():
        for metric in next(iter(block["recipes"].values())):
            cells = []
            for scores in block["recipes"].values():
                digits, folds = _digits(metric, scores), scores[metric]["folds"]
                cells.append(f"{wording.number(folds['mean'], digits)} ± {wording.number(folds['sd'], digits)}")
            rows.append([task, METRIC_NAMES[metric], *cells])
    return rows


def _cost_rows(document: Mapping[str, Any]) -> list[list[str]]:
    cost = document["cost"]
    columns = [*cost["recipes"].values(), cost["reference"]]
    return [[title, *(_cost(key, each[key]) for each in columns)] for key, title in COSTS.items()]


def _cost(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1e9:.2f}" if key == "peak_bytes" else f"{value:,.0f}"


def _cost_notes(document: Mapping[str, Any]) -> str:
    cost = document["cost"]
    passes = ", ".join(f"{name} {ms:.3g} ms" for name, ms in cost["pass_ms"].items())
    return f"{cost['how']} One pass, measured on {cost['measured_on']} recordings on one thread: {passes}."


def write_markdown(document: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    recipes = list(document["recipes"])
    protocol = document["protocol"]
    lines = [
        f"{document['n_recordings']:,} recordings of {document['n_subjects']:,} subjects: {protocol['recordings']}; "
        f"{protocol['folds']} folds by subject. No subject and no recording is in two folds.",
        f"**{NOTICE}**",
        "",
    ]
    rows = []
    for task, block in document["tasks"].items():
        for metric, values in _metric_rows(block):
            cells = [wording.with_span(entry, digits) for entry, digits in values]
            rows.append([task, f"{block['n']:,}", wording.metric_title(metric, block, "{} {}"), *cells])
    lines += [*markdown.table(["Task", "n", "Metric", *recipes], rows), ""]
    for task, block in document["tasks"].items():
        lines += [f"- {task}: {verdict}: {difference}" for verdict, difference in _differences(block)]
    lines += ["", "Mean ± standard deviation over folds:", ""]
    lines += [
        *markdown.table(["Task", "Metric", *recipes], _fold_rows(document)),
        "",
        "Cost of all tasks and folds:",
        "",
    ]
    lines += [*markdown.table(["", *recipes, REFERENCE], _cost_rows(document)), "", _cost_notes(document)]
    return "\n".join(lines) + "\n"
