"""Tables of the HTML report: how one is made, and the small ones at the end of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from enecg.evaluation.report import wording
from enecg.evaluation.report.markup import Html, html, join
from enecg.evaluation.report.wording import METRIC_NAMES, Block

CALIBRATION: Final = ("before", "after")


def table(caption: str, head: Sequence[Html], body: Iterable[Html]) -> Html:
    """A table with a caption that scrolls sideways where it is too wide; `body` holds rows or row groups."""
    return html(
        '<div class="scroll" tabindex="0" role="group" aria-label="{caption}"><table><caption>{caption}</caption>'
        "<thead><tr>{head}</tr></thead>{body}</table></div>",
        caption=caption, head=join(head), body=join(body),
    )  # fmt: skip


def column(words: str, style: str = "") -> Html:
    """A column's header."""
    return html('<th scope="col" class="{style}">{words}</th>', style=style, words=words)


def cell(entry: Mapping[str, float | None], digits: int, style: str = "n") -> Html:
    """A value with its interval below it."""
    return html(
        '<td class="{style}">{value}<small>{span}</small></td>',
        style=style, value=wording.number(entry["value"], digits), span=wording.span(entry, digits),
    )  # fmt: skip


def small_tables(block: Block) -> Html:
    """What removing experts costs, calibration, thresholds, classes, subgroups: as far as they are known."""
    metric = block["metric"]
    tables = [*_removal(block), *_calibration(block)]
    if per_class := block["ensemble"].get("per_class"):
        rows = [_counted(who, entry, "auroc") for who, entry in per_class.items()]
        head = [column("Class"), column("n", "n"), column("AUROC", "n")]
        tables.append(table("Ensemble by class", head, [html("<tbody>{rows}</tbody>", rows=join(rows))]))
    for grouping, groups in block.get("subgroups", {}).items():
        if len(groups) < 2 or all(entry[metric]["value"] is None for entry in groups.values()):
            continue  # such as sex by sex
        rows = [_counted(who, entry, metric) for who, entry in groups.items()]
        head = [column(grouping.capitalize()), column("n", "n"), column(METRIC_NAMES[metric], "n")]
        tables.append(table(f"Ensemble by {grouping}", head, [html("<tbody>{rows}</tbody>", rows=join(rows))]))
    return html('<div class="tables">{tables}</div>', tables=join(tables))


def _table(caption: str, head: Sequence[tuple[str, str]], rows: Iterable[Html]) -> Html:
    """A table of one body; `head` holds words and style of each column."""
    columns = [column(words, style) for words, style in head]
    return table(caption, columns, [html("<tbody>{rows}</tbody>", rows=join(rows))])


def _row(first: str, *cells: Html) -> Html:
    return html('<tr><th scope="row">{first}</th>{cells}</tr>', first=first, cells=join(cells))


def _removal(block: Block) -> list[Html]:
    """What removing each expert costs."""
    if not block.get("removal"):
        return []
    metric = block["metric"]
    digits = wording.decimals(metric, block["ensemble"])
    told = {who: wording.with_span(each[metric], digits, sign=True) for who, each in block["removal"].items()}
    rows = [_row(who, html('<td class="n">{words}</td>', words=words)) for who, words in told.items()]
    return [
        _table("What removing each expert costs", [("Without", ""), (f"{METRIC_NAMES[metric]} changes by", "n")], rows)
    ]


def _calibration(block: Block) -> list[Html]:
    """Probabilities before and after calibration, and where decisions are cut."""
    found = []
    if told := block.get("calibration"):
        rows = [
            _row(METRIC_NAMES[metric], *(cell(told[when][metric], 3) for when in CALIBRATION))
            for metric in told["after"]
        ]
        found.append(_table("Calibration", [("Probabilities", ""), *((when, "n") for when in CALIBRATION)], rows))
    if cuts := block.get("thresholds"):
        shown = {name: wording.number(value, 3) for name, value in cuts["values"].items()}
        rows = [_row(name, html('<td class="n">{value}</td>', value=value)) for name, value in shown.items()]
        cut = _table("Decision thresholds", [("Class", ""), ("yes from", "n")], rows)
        found.append(html('<div>{cut}<p class="soft">Rule: {rule}</p></div>', cut=cut, rule=cuts["rule"]))
    return found


def _counted(who: str, scores: wording.Scores, metric: str) -> Html:
    return html(
        '<tr><th scope="row">{who}</th><td class="n">{n:,}</td>{cell}</tr>',
        who=who, n=scores["n"], cell=cell(scores[metric], wording.decimals(metric, scores)),
    )  # fmt: skip
