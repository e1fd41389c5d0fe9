"""The protocol of EnECG (arXiv 2511.22935), with several recipes side by side, and what each of them costs.

Of each subject the first usable recording; folds by subject; everything fitted anew in each fold. The published
metrics (MAE, MSE; accuracy, and precision, recall and F1 as means over classes) with intervals, and as mean and
standard deviation over folds, as the paper reports them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import enecg
from enecg.embedding.dataset import Gathered
from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.recipes import JointTraining, Recipe
from enecg.errors import EnecgError, InputError
from enecg.evaluation import protocol as run
from enecg.evaluation.bootstrap import Estimate, bootstrap
from enecg.evaluation.protocol import Evaluation
from enecg.evaluation.scores import estimate_values
from enecg.experts.base import Expert
from enecg.metrics import evaluate, higher_is_better
from enecg.readers import read
from enecg.recording import Recording
from enecg.tasks import Target, Task
from enecg.workers.threads import one_torch_thread

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort

MEASURED_ON: Final = 8  # recordings that a pass of each expert is timed on
PUBLISHED: Final = {
    "regression": ("mae", "mse"),
    "classes": ("accuracy", "precision_macro", "recall_macro", "f1_macro", "auroc"),
}
_SAMPLES, _LEADS, _FLOAT64 = 5000, 12, 8  # of a recording in the public code, which holds them all in memory


@dataclass(frozen=True)
class Passes:
    """What one look of each expert at one recording costs.

    Attributes:
        ms: expert -> milliseconds to prepare and see a recording, on one thread.
        parameters: expert -> of its frozen network.
        measured_on: recordings; `ms` is the median over them.
    """

    ms: Mapping[str, float]
    parameters: Mapping[str, int]
    measured_on: int


@dataclass(frozen=True)
class Reproduction:
    """Several recipes on the same folds.

    Attributes:
        document: plain JSON values: `protocol`, `tasks` (recipe -> metrics; `compare`), `cost`, and under `recipes`
            the whole document of each recipe's cross-validation.
        evaluations: recipe -> its cross-validation.
    """

    document: dict[str, Any]
    evaluations: Mapping[str, Evaluation]


def reproduce(
    data: Gathered,
    targets: Sequence[Target],
    experts: Sequence[ExpertInfo],
    passes: Passes,
    recipes: Sequence[Recipe],
    *,
    folds: int = 3,
    replicates: int = 1000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
    **spread: Any,
) -> Reproduction:
    """Cross-validate each recipe on the same folds, and put the results side by side.

    Args:
        data: of each subject one recording (`gather_first`), with the auxiliary experts of all recipes.
        targets: their labels.
        experts: facts of the experts in `data`.
        passes: what one pass of each expert costs (`time_passes`).
        recipes: the last one is compared with each of the others.
        folds: by subject.
        replicates: bootstrap resamples of the subjects.
        seed: of the folds, the fits and the resamples.
        progress: called with a line before each step.
        spread: `jobs` and `work` of `enecg.evaluation.folds.run_folds`.

    Raises:
        InputError: as for `crossval`.
    """
    found: dict[str, Evaluation] = {}

    def progress_of(name: str) -> Callable[[str], None]:
        return lambda line: progress(f"{name}: {line}")

    for recipe in recipes:
        names = [info.name for info in experts if not info.gate_input or info.name in recipe.auxiliary]
        part = replace(data, embeddings={name: data.embeddings[name] for name in names})
        found[recipe.name] = run.crossval(
            part, targets, [info for info in experts if info.name in names],
            folds=folds, recipe=recipe, replicates=replicates, seed=seed,
            progress=progress_of(recipe.name), **spread,
        )  # fmt: skip
    first = found[recipes[0].name]
    document = {
        "protocol": {"folds": folds, "by": "subject", "recordings": "the first usable one of each subject"},
        "n_recordings": len(data.cohort),
        "n_subjects": len(set(data.cohort.subjects)),
        "skipped": first.document["skipped"],
        "leakage": first.document["leakage"],
        "cohort": first.document["cohort"],
        "tasks": {
            name: _side_by_side(target, data.cohort, found, replicates, seed) for name, target in first.targets.items()
        },
        "cost": _cost(found, recipes, [e for e in experts if not e.gate_input], passes, folds, len(data.cohort)),
        "recipes": {name: each.document for name, each in found.items()},
        "notice": enecg.NOTICE,
    }
    return Reproduction(document, found)


def _side_by_side(
    target: Target, cohort: Cohort, found: Mapping[str, Evaluation], replicates: int, seed: int
) -> dict[str, Any]:
    """One task: each recipe's published metrics, and the last recipe minus each other one."""
    task, name = target.task, target.task.name
    answers = {recipe: each.predictions[name] for recipe, each in found.items()}
    known = target.known & np.all([np.isfinite(a.ensemble).all(1) for a in answers.values()], axis=0)
    y, taken = target.y[known], {recipe: a.take(known) for recipe, a in answers.items()}

    def metrics(rows: np.ndarray | slice, weights: np.ndarray | None = None) -> dict[tuple[str, str], np.ndarray]:
        out: dict[tuple[str, str], np.ndarray] = {}
        for recipe, given in taken.items():
            limits = None if given.thresholds is None else given.thresholds[rows]
            values = evaluate(task.kind, y[rows], given.ensemble[rows], weights, thresholds=limits)
            values["mse"] = values["rmse"] ** 2 if "rmse" in values else np.empty(0)
            out |= {(recipe, metric): values[metric] for metric in _published(task)}
        return out

    estimates = bootstrap(lambda w: metrics(slice(None), w), cohort.subjects[known], replicates, seed)
    fold_of = np.empty(len(known), int)
    for k, fold in enumerate(next(iter(found.values())).folds):
        fold_of[fold.rows] = k
    each = [metrics(fold_of[known] == k) for k in range(fold_of.max() + 1) if (fold_of[known] == k).any()]
    scores: dict[str, dict[str, Any]] = {recipe: {} for recipe in found}
    for (recipe, metric), estimate in estimates.items():
        over = np.array([float(values[recipe, metric][0]) for values in each])
        scores[recipe][metric] = {**estimate_values(estimate), "folds": {"mean": over.mean(), "sd": over.std()}}
    *others, last = found
    compare = {other: _against(task, estimates, last, other) for other in others}
    return {
        "kind": task.kind,
        "unit": task.unit,
        "metric": task.metric,
        "n": int(known.sum()),
        "recipes": scores,
        "compare": {last: compare},
    }


def _published(task: Task) -> tuple[str, ...]:
    return PUBLISHED["regression" if task.kind == "regression" else "classes"]


def _against(task: Task, estimates: Mapping[tuple[str, str], Estimate], one: str, other: str) -> dict[str, Any]:
    difference = estimates[one, task.metric] - estimates[other, task.metric]
    verdict = difference.verdict(higher_is_better(task.metric))
    return {"metric": task.metric, "difference": estimate_values(difference), "verdict": verdict}


def time_passes(cohort: Cohort, experts: Sequence[Expert]) -> Passes:
    """Time each expert on the first `MEASURED_ON` recordings that can be read.

    Raises:
        InputError: none can be read.
    """
    recordings: list[Recording] = []
    for row in range(len(cohort)):
        if len(recordings) == MEASURED_ON:
            break
        try:
            recordings.append(read(cohort.path(row)))
        except EnecgError:  # reported when the cohort is embedded
            continue
    if not recordings:
        raise InputError(f"{cohort.name}: no recording can be read")
    ms = {}
    with one_torch_thread():
        for expert in experts:
            embed_recordings(recordings[:1], [expert])  # the first one loads and plans
            took = []
            for recording in recordings:
                began = time.perf_counter()
                embed_recordings([recording], [expert])
                took.append(1000 * (time.perf_counter() - began))
            ms[expert.card.name] = float(np.median(took))
    return Passes(ms, {each.card.name: each.card.parameters for each in experts}, len(recordings))


def public_looks(folds: int) -> int:
    """How often the public code shows a recording to each expert, for one task.

    Every epoch of every fold runs the frozen experts on the training part, and once more on the test part.
    """
    return JointTraining().epochs * (folds - 1) + 1


def _cost(
    found: Mapping[str, Evaluation],
    recipes: Sequence[Recipe],
    experts: Sequence[ExpertInfo],
    passes: Passes,
    folds: int,
    n: int,
) -> dict[str, Any]:
    """What each recipe costs, and what the same would cost in the way of the public code."""
    each = sum(passes.ms[info.name] for info in experts) / 1000
    table: dict[str, Any] = {}
    for recipe in recipes:
        done = found[recipe.name].folds
        table[recipe.name] = {
            "trained": round(float(np.mean([fold.facts["trained"] for fold in done]))),
            "frozen_passes": n * len(experts),
            "seconds_frozen": n * each,
            "seconds_fitting": float(sum(fold.facts["seconds"] for fold in done)),
            "peak_bytes": int(max(fold.facts["peak_bytes"] for fold in done)),
        }
    tasks = len(next(iter(found.values())).targets)
    looks = tasks * public_looks(folds)
    literal = table.get("paper")
    reference = {
        "trained": literal["trained"] if literal else None,
        "frozen_passes": looks * n * len(experts),
        "seconds_frozen": looks * n * each,
        "seconds_fitting": literal["seconds_fitting"] if literal else None,
        "peak_bytes": n * _SAMPLES * _LEADS * _FLOAT64 + 4 * sum(passes.parameters[info.name] for info in experts),
    }
    return {
        "recipes": table,
        "reference": reference,
        "pass_ms": {info.name: passes.ms[info.name] for info in experts},
        "measured_on": passes.measured_on,
        "tasks": tasks,
        "how": "Passes of the experts that are frozen: seconds computed from the time that one takes, which was "
        "measured. Fitting: measured, over all folds, with the heads of the baselines. Memory of a recipe: the most "
        "that a process which fits a fold used, measured. The public code's way: computed; every epoch of every fold "
        "of every task runs all experts again, and its memory counts only the signals, which it holds "
        "in double precision, and the frozen networks.",
    }
