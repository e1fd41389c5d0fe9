"""Sections of the HTML report: one per task, with its tables and charts, and one per recording shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enecg import NOTICE
from enecg.drawing.ecg_paper import draw
from enecg.evaluation.report import charts, wording
from enecg.evaluation.report.figures import TaskFigures
from enecg.evaluation.report.markup import Html, html, join
from enecg.evaluation.report.tables import cell, column, small_tables, table
from enecg.evaluation.report.wording import METRIC_NAMES, Block
from enecg.recording import Recording


@dataclass(frozen=True)
class Example:
    """One recording with what was predicted for it.

    Attributes:
        prediction: an entry of `predictions` in the JSON of predict.
        drawing: SVG of the recording, which enters the page as it is.
    """

    prediction: Mapping[str, Any]
    drawing: str

    @classmethod
    def of(cls, recording: Recording, prediction: Mapping[str, Any]) -> Example:
        """Draw the recording on ECG paper."""
        return cls(prediction, draw(recording, title=str(prediction["record"])))


def verdict(words: str) -> Html:
    """A verdict as a label: the words carry it, the colour helps."""
    return html('<span class="verdict {style}">{words}</span>', style=words.split()[0], words=words)


def anchor(index: int) -> str:
    """The id of a task's section."""
    return f"task-{index + 1}"


def task_section(index: int, name: str, block: Block, figures: TaskFigures | None) -> Html:
    """Everything about one task."""
    unit = f" in {block['unit']}" if block["unit"] else ""
    classes = ""
    if "classes" in block:
        classes = ". " + ", ".join(f"{label}\N{NO-BREAK SPACE}{count:,}" for label, count in block["classes"].items())
    silent = f", {block['n_unanswered']:,} more without an answer" if block["n_unanswered"] else ""
    drawings = [_forest(name, block), *_weights(name, block), *_curves(name, block, figures)]
    return html(
        '<section class="task" id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{name}</h2>'
        "<p>{kind}{unit}: {n:,} recordings of {subjects:,} subjects with a label{silent}{classes}</p>"
        '<ul class="verdicts">{verdicts}</ul>{unused}{table}<div class="charts">{charts}</div>{more}</section>',
        anchor=anchor(index), name=name, kind=block["kind"].capitalize(), unit=unit, n=block["n"],
        subjects=block["n_subjects"], silent=silent, classes=classes, table=_predictors(name, block),
        charts=join(drawings),
        verdicts=join(_verdict(key, comparison, block) for key, comparison in block["compare"].items()),
        unused=_unused(block), more=small_tables(block),
    )  # fmt: skip


def _unused(block: Block) -> Html:
    names = block.get("never_used", [])
    if not names:
        return html("")
    words = f"Never used here: {', '.join(names)}. Without {'it' if len(names) == 1 else 'them'} nothing would change."
    return html('<p class="warning">{words}</p>', words=words)


def _verdict(key: str, comparison: Mapping[str, Any], block: Block) -> Html:
    whom, told = wording.against(key, comparison), wording.difference(comparison, block)
    return html("<li>{label} {whom}: {told}</li>", label=verdict(comparison["verdict"]), whom=whom, told=told)


def _predictors(name: str, block: Block) -> Html:
    """Every metric of the ensemble, of each expert and of each baseline."""
    metrics = wording.metrics_of(block)
    best = block["compare"].get("best_expert", {}).get("name")
    groups: dict[str, list[Html]] = {}
    for part, who, scores in wording.predictors(block):
        notes = ["best expert"] if (part, who) == ("experts", best) else []
        notes += [f"answered {scores['n']:,}"] if "n" in scores else []
        tags = join(html('<span class="tag">{note}</span>', note=note) for note in notes)
        cells = join(
            cell(scores.get(m, wording.UNKNOWN), wording.decimals(m, scores), "n main" if m == block["metric"] else "n")
            for m in metrics
        )
        row = html(
            '<tr class="{part}"><th scope="row">{who}{tags}</th>{cells}</tr>',
            part=part, who="Ensemble" if part == "ensemble" else wording.name_of(part, who),
            tags=tags, cells=cells,
        )  # fmt: skip
        groups.setdefault(part, []).append(row)
    body = []
    for part, rows in groups.items():
        label = html(
            '<tr><th scope="rowgroup" colspan="{n}">{words}</th></tr>', n=len(metrics) + 1, words=wording.BLOCKS[part]
        )
        body.append(html("<tbody>{label}{rows}</tbody>", label="" if part == "ensemble" else label, rows=join(rows)))
    head = [column("Predictor")]
    for metric in metrics:
        unit = wording.unit_of(metric, block)
        words = METRIC_NAMES[metric] + (f" ({unit})" if unit else "")
        head.append(column(words, "n main" if metric == block["metric"] else "n"))
    return table(f"{name}: all metrics with 95 % intervals", head, body)


def _figure(title: str, note: str, drawing: Html) -> Html:
    return html(
        "<figure><figcaption>{title}<span>{note}</span></figcaption>{drawing}</figure>",
        title=title, note=note, drawing=drawing,
    )  # fmt: skip


def _forest(name: str, block: Block) -> Html:
    metric = block["metric"]
    unit = wording.unit_of(metric, block)
    rows = []
    for part, who, scores in wording.predictors(block):
        entry, shown = scores[metric], wording.name_of(part, who)
        value, low, high = (math.nan if entry[key] is None else float(entry[key]) for key in ("value", "low", "high"))
        words = wording.with_span(entry, wording.decimals(metric, scores))
        rows.append(charts.Row(shown, part, value, low, high, words))
    title = METRIC_NAMES[metric] + (f" ({unit})" if unit else "")
    label = f"{name}: {title} of each predictor: " + ", ".join(f"{row.name} {row.text}" for row in rows)
    note = f"{METRIC_NAMES[metric]} with 95 % intervals; dashed: the ensemble"
    return _figure("Ensemble, experts and baselines", note, charts.forest(rows, title, label))


def _weights(name: str, block: Block) -> list[Html]:
    shares = {who: share for who, share in block["weights"].items() if share is not None}
    if not shares:
        return []
    shares = dict(sorted(shares.items(), key=lambda item: -item[1]))
    ends = {who: (spread["low"], spread["high"]) for who, spread in block.get("weights_spread", {}).items()}
    label = f"{name}: mean weight of each expert: " + ", ".join(f"{who} {share:.1%}" for who, share in shares.items())
    note = "mean weight per expert; brackets: 5 % to 95 % of the recordings"
    return [_figure("Whom the ensemble trusts", note, charts.bars(shares, label, ends))]


def _curves(name: str, block: Block, figures: TaskFigures | None) -> list[Html]:
    if figures is None:
        return []
    drawn = []
    if (found := figures.agreement) is not None:
        shown = (
            f"{len(found.points):,} of {found.n:,} recordings" if len(found.points) < found.n else f"n = {found.n:,}"
        )
        label = f"{name}: predicted against true values"
        drawn.append(_figure("Predicted and true", shown, charts.scatter(found, block["unit"], label)))
        label = f"{name}: Bland-Altman: bias {found.bias:.3g}, limits {found.limits[0]:.3g} to {found.limits[1]:.3g}"
        note = f"bias and limits of agreement; {shown}"
        drawn.append(_figure("Bland-Altman", note, charts.bland_altman(found, block["unit"], label)))
    if figures.roc:
        drawn.append(_roc(name, block, figures))
    if (bins := figures.reliability) is not None:
        note = "observed share per bin with 95 % intervals; grey bars: how many cases"
        label = f"{name}: calibration of {bins.about}: " + ", ".join(
            f"said {said:.2f} observed {observed:.2f}" for said, observed in zip(bins.said, bins.observed, strict=True)
        )
        drawn.append(_figure("Calibration", note, charts.calibration(bins, label)))
    if figures.confusion is not None:
        note = "recordings; the shade is the share of the true class"
        label = f"{name}: confusion matrix of {', '.join(figures.classes)}"
        drawn.append(_figure("Confusion matrix", note, charts.confusion(figures.confusion, figures.classes, label)))
    return drawn


def _roc(name: str, block: Block, figures: TaskFigures) -> Html:
    if block["kind"] == "binary":
        best = block["compare"].get("best_expert", {}).get("name")
        order = [who for who in ("ensemble", best) if who in figures.roc]
        aurocs = {"ensemble": block["ensemble"], **block["experts"]}
        note = "the ensemble and the best expert"
    else:
        aurocs = block["ensemble"]["per_class"]
        order = sorted(figures.roc, key=lambda who: -aurocs[who]["n"])
        note = "the ensemble, each class against the rest"
    legend = {who: f"{who} {wording.number(aurocs[who]['auroc']['value'], 3)}" for who in order}
    label = f"{name}: ROC curves with AUROC: " + ", ".join(legend.values())
    return _figure("ROC", note, charts.roc({who: figures.roc[who] for who in order}, legend, label))


def recording_section(index: int, example: Example) -> Html:
    """One recording: the drawing, whether it may be used, and each task's answer."""
    prediction = example.prediction
    texts = [*(finding["text"] for finding in prediction["quality"]), *prediction["notes"]]
    findings = join(html("<p>{text}</p>", text=text) for text in texts)
    if not prediction["usable"]:
        words = "<strong>Not usable: do not rely on these predictions.</strong>"
        state = html(
            '<div class="banner alarm" role="note">{words}{findings}</div>', words=Html(words), findings=findings
        )
    else:
        state = html("<p>Usable: the quality check found nothing that forbids interpretation.</p>{f}", f=findings)
    rows = [_answer(name, told) for name, told in prediction["tasks"].items()]
    head = [
        column(words) for words in ("Task", "Prediction", "Probabilities or 90 % interval", "Weights of the experts")
    ]
    return html(
        '<section class="recording" aria-labelledby="recording-{i}"><h2 id="recording-{i}">Recording {record}</h2>'
        '<p class="notice">{notice}</p>{state}<div class="sheet" tabindex="0" role="group" '
        'aria-label="ECG of {record}">{drawing}</div>{table}</section>',
        i=index + 1, record=prediction["record"], notice=NOTICE, state=state, drawing=Html(example.drawing),
        table=table("Predictions", head, [html("<tbody>{rows}</tbody>", rows=join(rows))]),
    )  # fmt: skip


def _answer(name: str, told: Mapping[str, Any]) -> Html:
    if "probabilities" in told:
        value = told["decision"]
        value = ", ".join(value) or "none" if isinstance(value, list | tuple) else str(value)
        likely = sorted(told["probabilities"].items(), key=lambda item: -item[1])[:5]
        spread = _shares(likely)
    else:
        digits = wording.decimals("mae", {"mae": told})
        value = f"{wording.number(told['value'], digits)} {told.get('unit', '')}"
        spread = wording.span({"low": None, "high": None, **told}, digits)
    shares = sorted(told.get("weights", {}).items(), key=lambda item: -item[1])
    weights = _shares([(who, share) for who, share in shares if share >= 0.005])
    return html(
        '<tr><th scope="row">{name}</th><td><strong>{value}</strong></td><td>{spread}</td><td>{weights}</td></tr>',
        name=name, value=value, spread=spread, weights=weights,
    )  # fmt: skip


def _shares(shares: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{who} {share * 100:.0f}\N{NO-BREAK SPACE}%" for who, share in shares)
