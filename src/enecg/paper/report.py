"""The report of `enecg reproduce`: recipes side by side and what they cost, as one HTML file or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from enecg import NOTICE
from enecg.evaluation.report import wording
from enecg.evaluation.report.html import facts, masthead, page, rows_of_markdown, skipped_section
from enecg.evaluation.report.markup import Html, html, join
from enecg.evaluation.report.sections import anchor, verdict
from enecg.evaluation.report.tables import cell, column, table
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
    sections = [_results(document), _folds(document), _costs(document), skipped_section(document)]
    made = {f"Recipe {name}": _made(each) for name, each in document["recipes"].items()}
    sections += [facts("How it was made", made), facts("How to read this", wording.GLOSSARY)]
    path.write_text(page(TITLE, masthead(document, TITLE, note), sections), "utf-8")


def _made(document: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}: {wording.plain(value)}" for key, value in document["provenance"].items())


def _results(document: Mapping[str, Any]) -> Html:
    recipes = list(document["recipes"])
    head = [column("Task"), column("Metric"), *(column(name, "n") for name in recipes), column("Paired difference")]
    bodies = [_task(i, name, block, recipes) for i, (name, block) in enumerate(document["tasks"].items())]
    return html(
        '<section id="results" aria-labelledby="results-h"><h2 id="results-h">Recipes side by side</h2>'
        "<p>Answers of all folds together; small: 95 % intervals over subjects.</p>{table}</section>",
        table=table("Published metrics of each recipe, and AUROC", head, bodies),
    )


def _task(index: int, name: str, block: Mapping[str, Any], recipes: list[str]) -> Html:
    """The rows of one task, one per metric; the deciding one also has the differences."""
    metrics = list(block["recipes"][recipes[0]])
    label = html('<th scope="rowgroup" rowspan="{n}">{name}<small>n = {count:,}</small></th>',
                 n=len(metrics), name=name, count=block["n"])  # fmt: skip
    rows = []
    for metric in metrics:
        scores = [block["recipes"][recipe] for recipe in recipes]
        unit = wording.unit_of(metric, block)
        words = METRIC_NAMES[metric] + (f" ({unit})" if unit else "")
        told = join(cell(each[metric], _digits(metric, each)) for each in scores)
        said = _differences(block) if metric == block["metric"] else html("")
        row = html('<tr>{label}<td>{words}</td>{told}<td class="words">{said}</td></tr>',
                   label=label if metric == metrics[0] else html(""), words=words, told=told, said=said)  # fmt: skip
        rows.append(row)
    return html('<tbody id="{id}">{rows}</tbody>', id=anchor(index), rows=join(rows))


def _digits(metric: str, scores: Mapping[str, Any]) -> int:
    value = scores[metric]["value"]
    return 0 if metric == "mse" and value and value >= 10 else wording.decimals(metric, scores)


def _differences(block: Mapping[str, Any]) -> Html:
    said = []
    for recipe, others in block["compare"].items():
        for other, told in others.items():
            said.append(
                html("<div>{label} {words}</div>", label=verdict(told["verdict"]), words=_said(block, recipe, other))
            )
    return join(said)


def _said(block: Mapping[str, Any], recipe: str, other: str) -> str:
    told = block["compare"][recipe][other]
    metric = told["metric"]
    digits = wording.decimals(metric, block["recipes"][recipe])
    difference = wording.with_span(told["difference"], digits, wording.unit_of(metric, block), sign=True)
    return f"{recipe} minus {other}: {METRIC_NAMES[metric]} {difference}"


def _folds(document: Mapping[str, Any]) -> Html:
    """As the paper tells results: mean and standard deviation over folds."""
    recipes = list(document["recipes"])
    head = [column("Task"), column("Metric"), *(column(name, "n") for name in recipes)]
    rows = []
    for task, metric in _lines(document):
        block = document["tasks"][task]
        cells = join(html('<td class="n">{text}</td>', text=_over_folds(block, r, metric)) for r in recipes)
        row = '<tr><th scope="row">{task}</th><td>{metric}</td>{cells}</tr>'
        rows.append(html(row, task=task, metric=METRIC_NAMES[metric], cells=cells))
    return html(
        '<section aria-labelledby="folds-h"><h2 id="folds-h">As mean and standard deviation over folds</h2>'
        "<p>The way in which EnECG’s results are told. A deviation over so few folds is no interval.</p>{t}</section>",
        t=table("Mean ± standard deviation over folds", head, [html("<tbody>{rows}</tbody>", rows=join(rows))]),
    )


def _lines(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each task with each of its metrics."""
    blocks = document["tasks"].items()
    return [(task, metric) for task, block in blocks for metric in next(iter(block["recipes"].values()))]


def _over_folds(block: Mapping[str, Any], recipe: str, metric: str) -> str:
    scores = block["recipes"][recipe]
    digits, found = _digits(metric, scores), scores[metric]["folds"]
    return f"{wording.number(found['mean'], digits)} ± {wording.number(found['sd'], digits)}"


def _cost_rows(document: Mapping[str, Any]) -> list[list[str]]:
    cost = document["cost"]
    columns = [*cost["recipes"].values(), cost["reference"]]
    return [[words, *(_cost(key, each[key]) for each in columns)] for key, words in COSTS.items()]


def _cost(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1e9:.2f}" if key == "peak_bytes" else f"{value:,.0f}"


def _cost_notes(document: Mapping[str, Any]) -> str:
    cost = document["cost"]
    passes = ", ".join(f"{name} {ms:.3g} ms" for name, ms in cost["pass_ms"].items())
    return f"{cost['how']} One pass, measured on {cost['measured_on']} recordings on one thread: {passes}."


def _costs(document: Mapping[str, Any]) -> Html:
    head = [column("Cost"), *(column(name, "n") for name in document["recipes"]), column(REFERENCE, "n")]
    rows = []
    for first, *rest in _cost_rows(document):
        cells = join(html('<td class="n">{text}</td>', text=text) for text in rest)
        rows.append(html('<tr><th scope="row">{first}</th>{cells}</tr>', first=first, cells=cells))
    shown = table("What it costs, all tasks and folds", head, [html("<tbody>{rows}</tbody>", rows=join(rows))])
    return html(
        '<section aria-labelledby="cost-h"><h2 id="cost-h">Cost</h2>{t}<p>{notes}</p></section>',
        t=shown, notes=_cost_notes(document),
    )  # fmt: skip


def write_markdown(document: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    recipes = list(document["recipes"])
    lines = [
        f"{document['n_recordings']:,} recordings of {document['n_subjects']:,} subjects: "
        f"{document['protocol']['recordings']}; {document['protocol']['folds']} folds by subject. "
        "No subject and no recording is in two folds.",
        f"**{NOTICE}**",
        "",
    ]
    rows = []
    for task, metric in _lines(document):
        block = document["tasks"][task]
        scores = [block["recipes"][recipe] for recipe in recipes]
        told = [wording.with_span(each[metric], _digits(metric, each)) for each in scores]
        words = f"{METRIC_NAMES[metric]} {wording.unit_of(metric, block)}".rstrip()
        rows.append([task, f"{block['n']:,}", words, *told])
    lines += [*rows_of_markdown(["Task", "n", "Metric", *recipes], rows), ""]
    for task, block in document["tasks"].items():
        for recipe, others in block["compare"].items():
            lines += [f"- {task}: {told['verdict']}: {_said(block, recipe, o)}" for o, told in others.items()]
    lines += ["", "Mean ± standard deviation over folds:", ""]
    rows = [
        [task, METRIC_NAMES[metric], *(_over_folds(document["tasks"][task], recipe, metric) for recipe in recipes)]
        for task, metric in _lines(document)
    ]
    lines += [*rows_of_markdown(["Task", "Metric", *recipes], rows), "", "Cost of all tasks and folds:", ""]
    lines += [*rows_of_markdown(["", *recipes, REFERENCE], _cost_rows(document)), "", _cost_notes(document)]
    return "\n".join(lines) + "\n"
