"""How results are put into words and rounded numbers, the same in HTML and Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from enecg.documents import LeakageCounts

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
    "interval excludes 0, else “no difference shown”, which is no proof of equality. The best expert is the one that "
    "is best on these very data, which favours the expert. A predictor that did not answer all recordings is scored "
    "and compared on those that it answered.",
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
    "predicted and observed frequency over 15 bins of equal width. Lower is better.",
}
GENERATED: Final = (
    "These ECGs were computed by a model of the heart, not recorded from people. "
    "The numbers show that the program works; they say nothing about patients."
)
UNKNOWN: Final = {"value": None, "low": None, "high": None}
BLOCKS: Final = {"ensemble": "Ensemble", "experts": "Experts, each alone", "baselines": "Baselines"}
_UNITLESS: Final = frozenset(METRIC_NAMES) - {"mae", "mse", "rmse"}
BASELINE_PHRASES: Final = {
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
    """Return the decimals to show: three for shares, else as many as give three significant digits."""
    value = (scores or {}).get(metric, {}).get("value")
    if metric in _UNITLESS or not value:
        return 3
    return min(3, max(0, 2 - math.floor(math.log10(abs(value)))))


def number(value: float | None, digits: int, sign: bool = False) -> str:
    """Return a rounded number with a true minus sign, or a dash for what is not known."""
    if value is None:
        return "–"
    rounded = round(value, digits) or 0.0  # no minus before what rounds to zero
    text = f"{rounded:+.{digits}f}" if sign and rounded else f"{rounded:.{digits}f}"
    return text.replace("-", "−")


def span(entry: Mapping[str, float | None], digits: int, sign: bool = False) -> str:
    """Return the interval of an entry, `7.92–8.55` or, with signs, `−1.2 to 0.4`; empty when there is none."""
    low, high = entry["low"], entry["high"]
    if low is None or high is None:
        return ""
    return f"{number(low, digits, sign)}{' to ' if sign or low < 0 else '–'}{number(high, digits, sign)}"


def with_span(entry: Mapping[str, float | None], digits: int, unit: str = "", sign: bool = False) -> str:
    """Return value, unit and interval: `8.43 years (7.92–8.55)`."""
    value = f"{number(entry['value'], digits, sign)} {unit}".rstrip()
    interval = span(entry, digits, sign)
    return f"{value} ({interval})" if interval else value


def unit_of(metric: str, block: Block) -> str:
    """Return the task's unit if the metric has it, squared for a mean squared error."""
    unit = "" if metric in _UNITLESS else str(block["unit"])
    return f"{unit}²" if unit and metric == "mse" else unit


def predictors(block: Block) -> Iterator[tuple[str, str, Scores]]:
    """Yield all predictors: (part, name, scores), the ensemble first."""
    yield "ensemble", "ensemble", block["ensemble"]
    for part in ("experts", "baselines"):
        for name, scores in block[part].items():
            yield part, name, scores


def name_of(part: str, who: str) -> str:
    """Return the name of a predictor in tables and charts; an expert has its own name."""
    return _NAMES.get(who, who) if part == "baselines" else who


def headline(tasks: Mapping[str, Block]) -> list[str]:
    """Return the comparisons of all tasks: one sentence for each baseline."""
    lines = []
    for key in ("best_expert", "mean", "stacking", "concat"):
        found = {name: block["compare"][key]["verdict"] for name, block in tasks.items() if key in block["compare"]}
        if found:
            opponent = "its best expert" if key == "best_expert" else BASELINE_PHRASES.get(key, key)
            lines.append(f"Against {opponent}, the ensemble is {_counted(found)}.")
    return lines


def _counted(found: Mapping[str, str]) -> str:
    """`better on 2 of 5 tasks (age, sex), worse on none`."""
    if not {"better", "worse"} & set(found.values()):
        return f"neither shown to be better nor worse on any of {len(found)} tasks"
    parts = []
    for verdict in ("better", "worse"):
        names = [name for name, each in found.items() if each == verdict]
        some = f"{verdict} on {len(names)} of {len(found)} tasks ({', '.join(names)})"
        parts.append(some if names else f"{verdict} on none")
    return ", ".join(parts)


def about_weights(block: Block) -> list[str]:
    """Return lines on the weights of the experts: means, experts without weight, what removing one costs."""
    spreads, metric = block.get("weights_spread", {}), block["metric"]
    digits = decimals(metric, block["ensemble"])
    known = {who: share for who, share in block["weights"].items() if share is not None}
    values = [
        with_span({"value": share, "low": None, "high": None, **spreads.get(who, {})}, 2)
        for who, share in known.items()
    ]
    lines = [
        "Mean weight (5 % to 95 % of the recordings): " + ", ".join(map(" ".join, zip(known, values, strict=True)))
    ]
    if block.get("never_used"):
        lines.append(f"No weight: {', '.join(block['never_used'])}")
    for who, change in block.get("removal", {}).items():
        words = with_span(change[metric], digits, unit_of(metric, block), sign=True)
        lines.append(f"Without {who}: {METRIC_NAMES[metric]} {words}")
    for when, scores in block.get("calibration", {}).items():
        shown = ", ".join(f"{METRIC_NAMES[name]} {with_span(entry, 3)}" for name, entry in scores.items())
        lines.append(f"Probabilities {when} calibration: {shown}")
    return lines


def metrics_of(block: Block) -> list[str]:
    """Return the metrics of a task's ensemble, the main metric first."""
    names = [name for name in block["ensemble"] if name in METRIC_NAMES]
    return sorted(names, key=lambda name: name != block["metric"])


def against(key: str, comparison: Mapping[str, Any]) -> str:
    """Return the other side of a comparison, to follow a verdict: `than the best expert (rhythm)`."""
    opponent = f"the best expert ({comparison['name']})" if key == "best_expert" else BASELINE_PHRASES.get(key, key)
    return f"{'from' if comparison['verdict'] == 'no difference shown' else 'than'} {opponent}"


def difference(comparison: Mapping[str, Any], block: Block) -> str:
    """Return the ensemble minus the other: `MAE −0.60 years (−0.90 to −0.20)`."""
    metric = comparison["metric"]
    digits = decimals(metric, block["ensemble"])
    return f"{METRIC_NAMES[metric]} {with_span(comparison['difference'], digits, unit_of(metric, block), sign=True)}"


def reasons(skipped: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
    """Return (reason, count) of the skipped recordings, the most frequent reason first."""
    return Counter(entry["reason"] for entry in skipped).most_common()


def plain(value: object) -> str:
    """Return a fact of the provenance as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value)
    return str(value)


def has_leakage(found: LeakageCounts) -> bool:
    """Return whether something of the evaluated cohort was in the training part."""
    return bool(found["shared_subjects"] or found["shared_recordings"])


def leakage(found: LeakageCounts) -> str:
    """Return what the leakage check found, in sentences."""
    subjects, recordings = found["shared_subjects"], found["shared_recordings"]
    if has_leakage(found):
        return (
            f"{subjects or 0:,} subjects and {recordings:,} recordings of this evaluation are also in the training "
            "part. Its numbers are too good."
        )
    if subjects is None:
        return (
            "No recording of this evaluation was in the training part. Subjects could not be compared: the bundle "
            "was fitted with another subject key (ENECG_SUBJECT_KEY)."
        )
    return "No subject and no recording of this evaluation was in the training part."


def main_facts(document: Mapping[str, Any]) -> dict[str, str]:
    """Return what must be known before any number is read: sizes and origin of the cohort."""
    cohort = document.get("cohort", {})
    return {
        "Recordings": f"{document['n_recordings']:,}",
        "Subjects": f"{document['n_subjects']:,}",
        "Tasks": str(len(document["tasks"])),
        "Skipped": f"{len(document['skipped']):,}",
        "Recordings are": {True: "generated", False: "real"}.get(cohort.get("generated"), "not stated"),
        "Cohort": cohort.get("name", "not stated"),
    }


def metric_title(metric: str, block: Block, form: str = "{} ({})") -> str:
    """Return a metric's name with its unit where it has one: `MAE (years)`, or as `form` says."""
    unit = unit_of(metric, block)
    return form.format(METRIC_NAMES[metric], unit) if unit else METRIC_NAMES[metric]


def summary_columns(block: Block) -> list[tuple[Mapping[str, Any], int]]:
    """Return the main metric of the ensemble, its best expert and the uniform mean, each with its decimals."""
    metric, best = block["metric"], block["compare"].get("best_expert", {}).get("name")
    scores = (block["ensemble"], block["experts"].get(best, {}), block["baselines"].get("mean", {}))
    return [(found.get(metric, UNKNOWN), decimals(metric, found)) for found in scores]


def task_size(block: Block) -> str:
    """Return kind, unit and size of a task: `Regression in years: 60 recordings of 60 subjects with a label`."""
    unit = f" in {block['unit']}" if block["unit"] else ""
    unanswered = f", {block['n_unanswered']:,} more without an answer" if block["n_unanswered"] else ""
    classes = ""
    if "classes" in block:
        classes = ". " + ", ".join(f"{label}\N{NO-BREAK SPACE}{count:,}" for label, count in block["classes"].items())
    size = f"{block['n']:,} recordings of {block['n_subjects']:,} subjects with a label"
    return f"{block['kind'].capitalize()}{unit}: {size}{unanswered}{classes}"


def never_used(names: Sequence[str]) -> str:
    """Return a sentence on experts without weight."""
    return f"No weight here: {', '.join(names)}. Without {'it' if len(names) == 1 else 'them'} nothing changes."


def members(block: Block, part: str) -> list[tuple[str, Scores]]:
    """Return name and scores of the predictors of one part: `ensemble`, `experts` or `baselines`."""
    return [(who, scores) for group, who, scores in predictors(block) if group == part]


def tags(part: str, who: str, scores: Scores, block: Block) -> list[str]:
    """Return short remarks on a predictor: whether it is the best expert, and how many recordings it answered."""
    best = block["compare"].get("best_expert", {}).get("name")
    notes = ["best expert"] if (part, who) == ("experts", best) else []
    return [*notes, f"answered {scores['n']:,}"] if "n" in scores else notes


def worth_showing(groups: Mapping[str, Scores], metric: str) -> bool:
    """Return whether subgroups are worth a table: there are several, and one has a value (sex by sex has none)."""
    return len(groups) > 1 and any(entry[metric]["value"] is not None for entry in groups.values())


def answer(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return an answer of predict as text: its value, its probabilities or interval, the weights of the experts."""
    if "probabilities" in found:
        decision = found["decision"]
        value = ", ".join(decision) or "none" if isinstance(decision, list | tuple) else str(decision)
        spread = _shares(sorted(found["probabilities"].items(), key=lambda item: -item[1])[:5])
    else:
        digits = decimals("mae", {"mae": found})
        value = f"{number(found['value'], digits)} {found.get('unit', '')}"
        spread = span({"low": None, "high": None, **found}, digits)
    shares = sorted(found.get("weights", {}).items(), key=lambda item: -item[1])
    return value, spread, _shares([(who, share) for who, share in shares if share >= 0.005])


def _shares(shares: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{who} {share * 100:.0f}\N{NO-BREAK SPACE}%" for who, share in shares)
