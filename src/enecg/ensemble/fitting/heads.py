"""Fitting the heads of all experts, with out-of-fold scores of every training recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from enecg.cohorts.split import subject_folds
from enecg.ensemble.baselines import CONCAT, RANDOM, out_of_fold_loss
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.heads.base import Head
from enecg.ensemble.heads.ridge import Joint, Kernel
from enecg.ensemble.outputs import Embeddings, FittedHeadOnExperts, missing_rows, side_by_side
from enecg.ensemble.weight_solver import experts_of
from enecg.tasks import Target
from enecg.workers.threads import cpus, one_thread_each

OutOfFold = dict[str, dict[str, np.ndarray]]  # head -> task -> out-of-fold scores [recording, output]


@dataclass(frozen=True)
class HeadJob:
    """A head that is to be fitted.

    Attributes:
        name: of the fitted head.
        experts: whose embeddings it reads.
        head: its kind and settings.
        targets: the tasks that it learns.
    """

    name: str
    experts: tuple[str, ...]
    head: Head
    targets: Sequence[Target]


def fit_heads(
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    recipe: Recipe,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[list[FittedHeadOnExperts], OutOfFold]:
    """Return all heads of all experts and of the baselines, with their out-of-fold scores.

    Experts whose numbers are measurements also get heads on all of these side by side: trees combine a rhythm with a
    wave. The experts that are best alone get a head on all of them together, and one more without the costliest expert.

    Args:
        embeddings: expert name -> float32 `[recording, dim]`.
        targets: labels.
        subjects: `[recording]`.
        experts: facts of the experts in `embeddings`.
        recipe: which heads.
        seed: of everything random.
        progress: called with a line before each head.
    """
    fold = subject_folds(subjects, recipe.folds, seed)
    members = [info for info in experts if not info.gate_input]
    measured = {quantity for info in members for quantity in info.measurements}
    tables = tuple(info.name for info in members if info.tabular)

    def fitted(job: HeadJob) -> tuple[FittedHeadOnExperts, dict[str, np.ndarray]]:
        progress(f"head {job.name}")
        x = side_by_side(embeddings, job.experts)
        oof, head = job.head.cross_fit(x, job.targets, subjects, fold, seed)
        missing = missing_rows(embeddings, job.experts)
        for found in oof:
            found[missing] = np.nan
        names = tuple(target.task.name for target in job.targets)
        return FittedHeadOnExperts(job.name, job.experts, names, head), dict(zip(names, oof, strict=True))

    with one_thread_each(), ThreadPoolExecutor(cpus()) as pool:
        baselines = pool.map(fitted, _baseline_jobs(embeddings, members, targets, recipe))
        found = list(pool.map(fitted, _jobs(members, targets, measured, tables, recipe)))
        scores = {one.name: own for one, own in found}
        units = [*([tables] if tables else []), *((info.name,) for info in members if info.name not in tables)]
        if recipe.n_joint_experts > 1 and len(members) > 1:
            learned = [target for target in targets if target.task.name not in measured]
            found += pool.map(fitted, _joint_jobs(units, members, targets, learned or targets, scores, recipe))
        found += baselines
    return [one for one, _ in found], {one.name: own for one, own in found}


def _jobs(
    members: Sequence[ExpertInfo],
    targets: Sequence[Target],
    measured: set[str],
    tables: tuple[str, ...],
    recipe: Recipe,
) -> list[HeadJob]:
    """Return the heads of each expert, and those on the measurements of several experts."""
    tasks = [target.task for target in targets]
    jobs = [
        HeadJob(f"{info.name}/{head.kind}", (info.name,), head, [targets[i] for i in its_tasks])
        for info in members
        for head, its_tasks in recipe.heads(info, tasks, measured, side_by_side=info.tabular and len(tables) > 1)
    ]
    if len(tables) > 1:
        for head, its_tasks in recipe.tabular_heads(tasks):
            jobs.append(HeadJob(f"{'+'.join(tables)}/{head.kind}", tables, head, [targets[i] for i in its_tasks]))
    return jobs


def _baseline_jobs(
    embeddings: Embeddings, members: Sequence[ExpertInfo], targets: Sequence[Target], recipe: Recipe
) -> list[HeadJob]:
    """Return the heads of the baselines; they start first, as the first of them takes longest."""
    names = tuple(info.name for info in members)
    jobs = [HeadJob(CONCAT, names, Joint([info.dim for info in members]), targets)]
    if RANDOM in embeddings:
        jobs.append(HeadJob(f"{RANDOM}/kernel", (RANDOM,), Kernel(recipe.landmarks), targets))
    return jobs


def _joint_jobs(
    units: Sequence[tuple[str, ...]],
    members: Sequence[ExpertInfo],
    targets: Sequence[Target],
    learned: Sequence[Target],
    scores: OutOfFold,
    recipe: Recipe,
) -> list[HeadJob]:
    """Return heads on several experts: on those that are best alone, and on the best without the costliest expert.

    Without the second, a version without that expert would have no such head. `learned` are the tasks that decide.
    """
    costliest = max(members, key=lambda info: info.cost).name
    others = [unit for unit in units if costliest not in unit]
    jobs = {}
    for best in (_best_alone(some, learned, scores, recipe.n_joint_experts) for some in (units, others)):
        names = {name for unit in best for name in unit}
        infos = [info for info in members if info.name in names]
        if len(infos) > 1:
            head, experts = recipe.joint_head(infos), tuple(info.name for info in infos)
            jobs[experts] = HeadJob(f"{'+'.join(experts)}/{head.kind}", experts, head, targets)
    return list(jobs.values())


def _best_alone(
    units: Sequence[tuple[str, ...]], targets: Sequence[Target], scores: OutOfFold, count: int
) -> list[tuple[str, ...]]:
    """Return the `count` units whose own heads have the best mean rank over the tasks; all tables are one unit."""
    ranks = np.zeros(len(units))
    for target in targets:
        name = target.task.name
        losses = []
        for unit in units:
            own = {h: found[name] for h, found in scores.items() if {*experts_of(h)} <= {*unit} and name in found}
            losses.append(out_of_fold_loss(own, target))
        ranks += np.argsort(np.argsort(losses, kind="stable"), kind="stable")
    return [units[i] for i in np.argsort(ranks, kind="stable")[:count]]
