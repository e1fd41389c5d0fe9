"""How results are put into words and rounded numbers, the same in HTML and Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Block = Mapping[str, Any]  # one task of the document
Scores = Mapping[str, Any]  # metric -> value, low, high

METRIC_NAMES: Final = {
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
    "coverage_90": "Coverage of 90 % intervals",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "accuracy": "Accuracy",
    "f1_macro": "F1",
    "precision_macro": "Precision",
    "recall_macro": "Recall",
    "brier": "Brier",
    "ece": "ECE",
}
GLOSSARY: Final = {
    "Interval": "95 % percentile bootstrap: subjects are drawn with replacement, each with all of its recordings.",
    "Verdict": "The difference, ensemble minus the other, both on the same resamples. “Better” or “worse” if its "
    "interval excludes 0, else “no difference shown”, which is not proof of equality. The best expert is the one that "
    "turned out best on these very data, which favours the expert. Who did not answer every recording is scored and "
    "compared on those that it answered.",
    "MAE, RMSE": "Mean absolute error and root mean squared error, in the unit of the task. Lower is better.",
    "R²": "Share of the variance that is explained; 0 is what a constant reaches.",
    "AUROC, AUPRC": "Area under the ROC curve and under the precision-recall curve (average precision), mean over the "
    "classes that occur. An AUROC of 0.5 is chance; the AUPRC of chance is the share of the class.",
    "F1, precision, recall": "Mean over the classes, of the decisions. A decision is the most probable class, or a "
    "probability at or above the threshold (0.5 unless one was fitted).",
    "Accuracy": "Share of recordings decided right; where several classes may apply, all of them.",
    "Weights": "Each expert's share in an answer, over recordings: the mean, and from the 5 % to the 95 % point.",
    "Removal": "How the main metric changes when the ensemble does without an expert, on the same resamples.",
    "Brier, ECE": "Mean squared error of the probabilities, and expected calibration error: the mean distance between "
    "said and observed frequency over 15 bins of equal width. Lower is better.",
}
UNKNOWN: Final = {"value": None, "low": None, "high": None}
BLOCKS: Final = {"ensemble": "Ensemble", "experts": "Experts, each alone", "baselines": "Baselines"}
_UNITLESS: Final = frozenset(METRIC_NAMES) - {"mae", "mse", "rmse"}
_RIVALS: Final = {
    "mean": "the uniform mean",
    "concat": "one head on all embeddings",
    "best_on_validation": "the expert that was best in training",
    "random": "an untrained encoder",
    "static": "its weights without the gate",
}
_NAMES: Final = {
    "mean": "uniform mean",
    "concat": "concatenation",
    "best_on_validation": "best in training",
    "random": "untrained encoder",
    "static": "without the gate",
}


def decimals(metric: str, scores: Scores | None) -> int:
    """Three for shares; as many as give three significant digits for an error in the unit of the task."""
    value = (scores or {}).get(metric, {}).get("value")
    if metric in _UNITLESS or not value:
        return 3
    return min(3, max(0, 2 - math.floor(math.log10(abs(value)))))


def number(value: float | None, digits: int, sign: bool = False) -> str:
    """Rounded, with a true minus; a dash for what is not known."""
    if value is None:
        return "–"
    rounded = round(value, digits) or 0.0  # no minus before what rounds to zero
    text = f"{rounded:+.{digits}f}" if sign and rounded else f"{rounded:.{digits}f}"
    return text.replace("-", "−")


def span(entry: Mapping[str, float | None], digits: int, sign: bool = False) -> str:
    """The interval of an entry, `7.92–8.55` or, where a sign is near, `−1.2 to 0.4`; empty when there is none."""
    low, high = entry["low"], entry["high"]
    if low is None or high is None:
        return ""
    return f"{number(low, digits, sign)}{' to ' if sign or low < 0 else '–'}{number(high, digits, sign)}"


def with_span(entry: Mapping[str, float | None], digits: int, unit: str = "", sign: bool = False) -> str:
    """Value, unit and interval: `8.43 years (7.92–8.55)`."""
    value = f"{number(entry['value'], digits, sign)} {unit}".rstrip()
    told = span(entry, digits, sign)
    return f"{value} ({told})" if told else value


def unit_of(metric: str, block: Block) -> str:
    """The task's unit where the metric has one."""
    unit = "" if metric in _UNITLESS else str(block["unit"])
    return f"{unit}²" if unit and metric == "mse" else unit


def predictors(block: Block) -> Iterator[tuple[str, str, Scores]]:
    """Everyone who was scored: (block, name, scores), the ensemble first."""
    yield "ensemble", "ensemble", block["ensemble"]
    for part in ("experts", "baselines"):
        for name, scores in block[part].items():
            yield part, name, scores


def name_of(part: str, who: str) -> str:
    """What a predictor is called in tables and charts; an expert goes by its own name."""
    return _NAMES.get(who, who) if part == "baselines" else who


def headline(tasks: Mapping[str, Block]) -> list[str]:
    """The comparisons of all tasks, a sentence for each kind of rival."""
    lines = []
    for key in ("best_expert", "mean", "stacking", "concat"):
        found = {name: block["compare"][key]["verdict"] for name, block in tasks.items() if key in block["compare"]}
        if found:
            whom = "its best expert" if key == "best_expert" else _RIVALS.get(key, key)
            lines.append(f"Against {whom}, the ensemble is {_counted(found)}.")
    return lines


def _counted(found: Mapping[str, str]) -> str:
    """`better on 2 of 5 tasks (age, sex), worse on none`."""
    if not {"better", "worse"} & set(found.values()):
        return f"neither shown to be better nor worse on any of {len(found)} tasks"
    told = []
    for verdict in ("better", "worse"):
        names = [name for name, said in found.items() if said == verdict]
        some = f"{verdict} on {len(names)} of {len(found)} tasks ({', '.join(names)})"
        told.append(some if names else f"{verdict} on none")
    return ", ".join(told)


def about_weights(block: Block) -> list[str]:
    """Lines on whom the ensemble trusts, and what it would lose: mean weights, experts never used, removal."""
    spreads, metric = block.get("weights_spread", {}), block["metric"]
    digits = decimals(metric, block["ensemble"])
    known = {who: share for who, share in block["weights"].items() if share is not None}
    told = [
        with_span({"value": share, "low": None, "high": None, **spreads.get(who, {})}, 2)
        for who, share in known.items()
    ]
    lines = ["Mean weight (5 % to 95 % of the recordings): " + ", ".join(map(" ".join, zip(known, told, strict=True)))]
    if block.get("never_used"):
        lines.append(f"Never used: {', '.join(block['never_used'])}")
    for who, change in block.get("removal", {}).items():
        words = with_span(change[metric], digits, unit_of(metric, block), sign=True)
        lines.append(f"Without {who}: {METRIC_NAMES[metric]} {words}")
    for when, scores in block.get("calibration", {}).items():
        shown = ", ".join(f"{METRIC_NAMES[name]} {with_span(entry, 3)}" for name, entry in scores.items())
        lines.append(f"Probabilities {when} calibration: {shown}")
    return lines


def metrics_of(block: Block) -> list[str]:
    """The metrics that its ensemble has, the deciding one first."""
    names = [name for name in block["ensemble"] if name in METRIC_NAMES]
    return sorted(names, key=lambda name: name != block["metric"])


def against(key: str, comparison: Mapping[str, Any]) -> str:
    """Whom the ensemble was compared with; follows a verdict: `than the best expert (rhythm)`."""
    whom = f"the best expert ({comparison['name']})" if key == "best_expert" else _RIVALS.get(key, key)
    return f"{'from' if comparison['verdict'] == 'no difference shown' else 'than'} {whom}"


def difference(comparison: Mapping[str, Any], block: Block) -> str:
    """The ensemble minus the other: `MAE −0.60 years (−0.90 to −0.20)`."""
    metric = comparison["metric"]
    digits = decimals(metric, block["ensemble"])
    return f"{METRIC_NAMES[metric]} {with_span(comparison['difference'], digits, unit_of(metric, block), sign=True)}"


def reasons(skipped: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
    """How many recordings were skipped for each reason, the most frequent first."""
    return Counter(entry["reason"] for entry in skipped).most_common()


def plain(value: object) -> str:
    """A fact of the provenance as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value)
    return str(value)
