"""The verbs over cohorts: train on one, evaluate on another, cross-validate by subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import enecg
from enecg.cohorts.split import subject_folds
from enecg.documents import LeakageCounts
from enecg.embedding.dataset import Gathered
from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.labels import drop_rare_classes
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.outputs import Answering, TaskOutput
from enecg.errors import InputError
from enecg.evaluation.code_version import versions
from enecg.evaluation.folds import CrossValidation, Fold, run_folds
from enecg.evaluation.leakage import (
    contrary_copies,
    identity_facts,
    seen_in_pretraining,
    shared_recordings,
    shared_subjects,
)
from enecg.evaluation.report.figures import TaskFigures, figures
from enecg.evaluation.scores import TaskPredictions, age_bands, result_document, score
from enecg.tasks import Target

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort

Progress = Callable[[str], None]


@dataclass
class Evaluation:
    """An evaluation with what its charts are drawn from.

    Attributes:
        document: the JSON of `evaluate` and `crossval`.
        targets: task name -> labels.
        predictions: task name -> predictions of the ensemble, the experts and the baselines.
        left_out: a line for each task without labels, or class with too few.
        folds: of a cross-validation.
    """

    document: dict[str, Any]
    targets: dict[str, Target] = field(default_factory=dict)
    predictions: dict[str, TaskPredictions] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    folds: Sequence[Fold] = ()

    def figures(self) -> dict[str, TaskFigures]:
        """The data behind the charts of a report."""
        return {name: figures(t.task, t.y, self.predictions[name]) for name, t in self.targets.items()}


def train(
    data: Gathered,
    targets: Sequence[Target],
    experts: Sequence[ExpertInfo],
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Ensemble:
    """Fit an ensemble on a cohort with its embeddings; the bundle then knows what it was trained on.

    Args:
        data: the recordings.
        targets: their labels.
        experts: facts of the experts in `data`.
        recipe: of the fit; the default one when None.
        seed: of everything random.
        progress: called with a line before each step.
    """
    learned, left_out = _learnable(targets, [np.ones(len(data.cohort), bool)])
    facts = {**training_facts(data, learned), "left_out": left_out, "skipped": len(data.skipped)}
    return fit(
        data.embeddings,
        learned,
        data.cohort.subjects,
        experts,
        recipe=recipe,
        seed=seed,
        training=facts,
        progress=progress,
    )


def _learnable(targets: Sequence[Target], parts: Sequence[np.ndarray]) -> tuple[list[Target], list[str]]:
    """The labels without classes that are rare in one of the training parts, and a line for each class left out."""
    found = [drop_rare_classes(target, parts=parts) for target in targets]
    pairs = zip(targets, found, strict=True)
    return found, [line for whole, each in pairs for line in each.problems[len(whole.problems) :]]


def training_facts(data: Gathered, targets: Sequence[Target]) -> dict[str, Any]:
    """Return what a bundle keeps of its training part: counts, digest, what knows it again, versions."""
    cohort = data.cohort
    return {
        "cohort": cohort.name,
        "recordings": len(cohort),
        "subjects": len(set(cohort.subjects)),
        "labelled": {target.task.name: int(target.known.sum()) for target in targets},
        **identity_facts(cohort, data.contents),
        **versions(),
    }


def labels(ensemble: Answering, cohort: Cohort) -> tuple[dict[str, Target], list[str]]:
    """The labels that a cohort has for the tasks of an ensemble.

    Returns:
        Task name -> labels, and a line for each task without any.

    Raises:
        InputError: no task has any.
    """
    targets, missing = {}, []
    for task in ensemble.tasks:
        try:
            targets[task.name] = cohort.target(task)
        except InputError as error:
            missing.append(str(error))
    if not targets:
        raise InputError(f"nothing to evaluate: {missing[0]}")
    return targets, missing


def evaluate(
    ensemble: Answering, data: Gathered, *, replicates: int = 1000, seed: int = 0, progress: Progress = lambda _: None
) -> Evaluation:
    """Evaluate a fitted ensemble on a cohort; tasks without a label there are left out.

    Raises:
        InputError: none of the bundle's tasks has a label in the cohort.
    """
    targets, missing = labels(ensemble, data.cohort)
    progress("predicting")
    outputs = ensemble.predict(data.embeddings, compare=True)
    predictions = {name: TaskPredictions.of(outputs[name]) for name in targets}
    provenance = {
        "Trained on": f"{ensemble.training['recordings']} recordings of {ensemble.training['subjects']} subjects "
        f"of {ensemble.training['cohort']} (digest {ensemble.training['digest'][:12]})",
        "Experts": ", ".join(f"{info.name} {info.fingerprint[:12]}" for info in ensemble.experts),
        "Recipe": ensemble.recipe["name"],
        "Gates in use": ", ".join(name for name, m in ensemble.models.items() if m.gate) or "none",
        "Left out": "; ".join(missing) or "nothing",
        **_notes(data, ensemble.experts, targets.values()),
    }
    subjects = shared_subjects(ensemble.training, data.cohort.subjects)
    leakage: LeakageCounts = {
        "shared_subjects": None if subjects is None else len(subjects),
        "shared_recordings": shared_recordings(ensemble.training, data.contents),
    }
    found = _scored(data, targets, predictions, leakage, provenance, replicates, seed, progress)
    return replace(found, left_out=missing)


def crossval(
    data: Gathered,
    targets: Sequence[Target],
    experts: Sequence[ExpertInfo],
    *,
    folds: int = 5,
    recipe: Recipe | None = None,
    replicates: int = 1000,
    seed: int = 0,
    jobs: int = 0,
    work: Path | None = None,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Cross-validate by subject: in each fold everything is fitted anew without it; its answers are pooled.

    Args:
        data: the recordings.
        targets: their labels.
        experts: facts of the experts in `data`.
        folds: how many; no subject is in two.
        recipe: of the fits; the default one when None.
        replicates: bootstrap resamples of the subjects.
        seed: of the folds, the fits and the resamples.
        jobs: as for `enecg.evaluation.folds.run_folds`.
        work: as for `enecg.evaluation.folds.run_folds`.
        progress: called with a line before each step.

    Raises:
        InputError: too few subjects for the folds, or a task that cannot be fitted.
    """
    fold = subject_folds(data.cohort.subjects, folds, seed)
    learned, left_out = _learnable(targets, [fold != k for k in range(folds)])
    by_name = {target.task.name: target for target in learned}
    chosen = recipe or Recipe()
    plan = CrossValidation(data.embeddings, learned, data.cohort.subjects, fold, experts, chosen, seed, versions())
    done = run_folds(plan, folds, jobs=jobs, work=work, progress=progress)
    parts = [(each.rows, each.outputs) for each in done]
    predictions = {name: _pooled(target, parts) for name, target in by_name.items()}
    provenance = {
        "Protocol": f"{folds}-fold cross-validation by subject; everything is fitted inside the folds",
        "Experts": ", ".join(f"{info.name} {info.fingerprint[:12]}" for info in experts),
        "Recipe": chosen.name,
        "Cohort digest": data.cohort.digest()[:12],
        "Left out": "; ".join(left_out) or "nothing",
        **_notes(data, experts, by_name.values()),
    }
    leakage: LeakageCounts = {"shared_subjects": 0, "shared_recordings": 0}  # folds are split by both
    found = _scored(data, by_name, predictions, leakage, provenance, replicates, seed, progress)
    return replace(found, left_out=left_out, folds=done)


def _pooled(target: Target, parts: Sequence[tuple[np.ndarray, Mapping[str, TaskOutput]]]) -> TaskPredictions:
    """One task's answers of all folds in the cohort's order; all folds have the same classes."""
    each = [(rows, TaskPredictions.of(found[target.task.name])) for rows, found in parts]

    def filled(pick: Callable[[TaskPredictions], np.ndarray | None], *shape: int) -> np.ndarray:
        out = np.empty(shape or target.y.shape)
        for rows, prediction in each:
            out[rows] = pick(prediction)
        return out

    first = each[0][1]
    weights = {
        expert: float(np.average([p.weights[expert] for _, p in each], weights=[len(rows) for rows, _ in each]))
        for expert in first.weights
    }
    interval, thresholds = first.low is not None, first.thresholds is not None
    # A fold whose gate is not in use answers by its static weights.
    baselines = dict.fromkeys(name for _, prediction in each for name in prediction.baselines)
    return TaskPredictions(
        filled(lambda p: p.ensemble),
        {expert: filled(lambda p, e=expert: p.experts[e]) for expert in first.experts},  # type: ignore[misc]
        {base: filled(lambda p, b=base: p.baselines.get(b, p.ensemble)) for base in baselines},  # type: ignore[misc]
        filled(lambda p: p.low) if interval else None,
        filled(lambda p: p.high) if interval else None,
        filled(lambda p: p.thresholds) if thresholds else None,
        weights,
        {expert: filled(lambda p, e=expert: p.shares[e], len(target.y)) for expert in first.shares},  # type: ignore[misc]
        {expert: filled(lambda p, e=expert: p.without[e]) for expert in first.without},  # type: ignore[misc]
        None if first.raw is None else filled(lambda p: p.raw),
    )


def _notes(data: Gathered, experts: Sequence[ExpertInfo], targets: Iterable[Target]) -> dict[str, str]:
    held = list(targets)
    problems = [problem for target in held for problem in target.problems]
    notes = {
        "Experts that have seen these data": "; ".join(seen_in_pretraining(data.cohort, experts))
        or "none that is known"
    }
    if data.refused:
        first = f"{data.refused[0].record}: {data.refused[0].reason}"
        notes["Recordings that some experts could not see"] = f"{len(data.refused)}; first: {first}"
    if counted := Counter(note for each in data.notes for note in each):
        notes["Left out of recordings"] = "; ".join(f"{note}: {n} recordings" for note, n in counted.most_common(10))
    if of_labels := [note for target in held for note in target.notes]:
        notes["Labels to be considered"] = "; ".join(of_labels)
    if data.copies:
        notes["Recordings under two subjects"] = f"{len(data.copies)}; first: {data.copies[0]}"
    if contrary := contrary_copies(data.cohort, data.contents or [""] * len(data.cohort), held):
        notes["Recordings with contrary labels"] = f"{len(contrary)}; first: {contrary[0]}"
    if problems:
        notes["Labels that could not be read"] = f"{len(problems)}, taken as missing; first: {problems[0]}"
    return notes | {f"Version of {name}": text for name, text in versions().items()}


def _scored(
    data: Gathered,
    targets: Mapping[str, Target],
    predictions: Mapping[str, TaskPredictions],
    leakage: LeakageCounts,
    provenance: Mapping[str, Any],
    replicates: int,
    seed: int,
    progress: Progress,
) -> Evaluation:
    groups = _groups(data)
    blocks = {}
    for name, target in targets.items():
        progress(f"intervals for {name}")
        blocks[name] = score(
            target.task,
            target.y,
            data.cohort.subjects,
            predictions[name],
            groups=groups,
            replicates=replicates,
            seed=seed,
        )
    table = data.cohort.table
    generated = bool("generated" in table.columns and table["generated"].astype(str).isin(["1", "1.0", "True"]).all())
    document = result_document(
        blocks,
        n_recordings=len(data.cohort),
        n_subjects=len(set(data.cohort.subjects)),
        skipped=[(each.record, each.reason) for each in data.skipped],
        leakage=leakage,
        cohort={"name": data.cohort.name, "generated": generated},
        provenance=provenance,
    )
    return Evaluation({**document, "notice": enecg.NOTICE}, dict(targets), dict(predictions))


def _groups(data: Gathered) -> dict[str, list[str]]:
    """Groupings that the manifest's columns allow: sex, age band, data set; and what the quality check found."""
    cohort, groups = data.cohort, {}
    for column in ("sex", "dataset"):
        if column in cohort.table.columns:
            groups[column] = [str(value) if isinstance(value, str) else "" for value in cohort.table[column]]
    ages = cohort.table.get("age")
    if ages is not None and ages.dtype.kind in "if":
        groups["age"] = age_bands(ages.to_numpy(dtype=float))
    if data.quality:
        groups["quality"] = [_quality(codes) for codes in data.quality]
    return groups


def _quality(codes: Sequence[str]) -> str:
    """One group per recording: what was found, if it is one thing."""
    if not codes:
        return "nothing found"
    return codes[0].replace("_", " ") if len(codes) == 1 else "several findings"
