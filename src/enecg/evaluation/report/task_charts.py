"""The charts of one task, each with a title and a note."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from enecg.evaluation.report import charts, wording
from enecg.evaluation.report.figures import TaskFigures
from enecg.evaluation.report.wording import METRIC_NAMES, Block

TitledChart = tuple[str, str, Markup]  # title, note, SVG


def task_charts(name: str, block: Block, figures: TaskFigures | None) -> list[TitledChart]:
    """Return the charts of a task.

    Args:
        name: of the task.
        block: its part of the document.
        figures: curves, bins and counts behind the charts; without them, only what the document holds is drawn.
    """
    drawn = [_forest(name, block), *_weights(name, block)]
    if figures is not None:
        drawn += [*_agreement(name, block, figures), *_probabilities(name, block, figures)]
    return drawn


def _forest(name: str, block: Block) -> TitledChart:
    metric = block["metric"]
    rows = []
    for part, who, scores in wording.predictors(block):
        entry, shown = scores[metric], wording.name_of(part, who)
        value, low, high = (math.nan if entry[key] is None else float(entry[key]) for key in ("value", "low", "high"))
        text = wording.with_span(entry, wording.decimals(metric, scores))
        rows.append(charts.Row(shown, part, value, low, high, text))
    title = wording.metric_title(metric, block)
    label = f"{name}: {title} of each predictor: " + ", ".join(f"{row.name} {row.text}" for row in rows)
    note = f"{METRIC_NAMES[metric]} with 95 % intervals; dashed: the ensemble"
    return "Ensemble, experts and baselines", note, charts.forest(rows, title, label)


def _weights(name: str, block: Block) -> Iterator[TitledChart]:
    shares = {who: share for who, share in block["weights"].items() if share is not None}
    if not shares:
        return
    shares = dict(sorted(shares.items(), key=lambda item: -item[1]))
    ends = {who: (spread["low"], spread["high"]) for who, spread in block.get("weights_spread", {}).items()}
    label = f"{name}: mean weight of each expert: " + ", ".join(f"{who} {share:.1%}" for who, share in shares.items())
    note = "mean weight per expert; brackets: 5 % to 95 % of the recordings"
    yield "Weight of each expert", note, charts.bars(shares, label, ends)


def _agreement(name: str, block: Block, figures: TaskFigures) -> Iterator[TitledChart]:
    found = figures.agreement
    if found is None:
        return
    few = len(found.points) < found.n
    shown = f"{len(found.points):,} of {found.n:,} recordings" if few else f"n = {found.n:,}"
    label = f"{name}: predicted against true values"
    yield "Predicted and true", shown, charts.scatter(found, block["unit"], label)
    label = f"{name}: Bland-Altman: bias {found.bias:.3g}, limits {found.limits[0]:.3g} to {found.limits[1]:.3g}"
    note = f"bias and limits of agreement; {shown}"
    yield "Bland-Altman", note, charts.bland_altman(found, block["unit"], label)


def _probabilities(name: str, block: Block, figures: TaskFigures) -> Iterator[TitledChart]:
    if figures.roc:
        yield _roc(name, block, figures)
    if (bins := figures.reliability) is not None:
        note = "observed share per bin with 95 % intervals; grey bars: how many cases"
        label = f"{name}: calibration of {bins.about}: " + ", ".join(
            f"predicted {share:.2f} observed {seen:.2f}"
            for share, seen in zip(bins.predicted, bins.observed, strict=True)
        )
        yield "Calibration", note, charts.calibration(bins, label)
    if figures.confusion is not None:
        note = "recordings; the shade is the share of the true class"
        label = f"{name}: confusion matrix of {', '.join(figures.classes)}"
        yield "Confusion matrix", note, charts.confusion(figures.confusion, figures.classes, label)


def _roc(name: str, block: Block, figures: TaskFigures) -> TitledChart:
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
    return "ROC", note, charts.roc({who: figures.roc[who] for who in order}, legend, label)
