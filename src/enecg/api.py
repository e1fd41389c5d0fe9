"""The verbs in Python; the commands of the same names call them, and `enecg` exports them.

```
import enecg
bundle = enecg.fit("manifest.csv", "age,sex", where="fold <= 8")
bundle.save("my-bundle")
enecg.evaluate(bundle, "manifest.csv", where="fold == 9").document["tasks"]["age"]["ensemble"]["mae"]
enecg.predict("my-bundle", "ecg.dcm")["predictions"][0]["tasks"]["age"]
```

Arguments that several of them take:

- `manifest`: path of a CSV or Parquet manifest or of a known data set's folder, or a `Cohort`.
- `where`: row filter over the manifest's columns, such as `"strat_fold <= 8"`.
- `tasks`: `"age,sex"` or a list of such; see `enecg.tasks.parse_tasks`.
- `experts`: `"offline"`, `"rhythm,beat"` or a list of names, sets and folders.
- `runtime`: how experts' networks are run: `"torch"`, `"onnx"`, `"openvino"`, or with a precision `"torch bfloat16"`.
- `store`: folder of the embedding store; by default in the user's cache.
- `progress`: a progress bar on standard error, and lines for each step to `say`.
- `say`: called with a line about whatever was skipped, could not be read or should be known; by default it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from enecg.bundle import Bundle, Say, load, predict, predict_archive, silent
from enecg.cohorts.manifest import Cohort
from enecg.embedding import pipeline
from enecg.embedding.cluster import check_engine
from enecg.embedding.dataset import Gathered, gather, gather_first
from enecg.embedding.pipeline import EmbedReport, Skipped
from enecg.embedding.store.store import Store
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.labels import check_target
from enecg.ensemble.fitting.recipes import Recipe, find_recipe
from enecg.errors import InputError
from enecg.evaluation import protocol as run
from enecg.evaluation.leakage import contrary_copies, replace_label_leaking_experts, seen_in_pretraining
from enecg.evaluation.protocol import Evaluation
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.runtimes.runtime import TORCH, Runtime
from enecg.experts.weights import cache_folder
from enecg.paper.protocol import Reproduction, time_passes
from enecg.paper.protocol import reproduce as run_reproduce
from enecg.tasks import BUILT_IN, Target, Task, parse_tasks

__all__ = ["Bundle", "crossval", "embed", "evaluate", "fit", "load", "predict", "predict_archive", "reproduce"]
SHOWN: Final = 10  # lines of one kind that are shown; the rest is counted


def embed(
    manifest: str | Path | Cohort,
    experts: str | Sequence[str] = "offline",
    store: str | Path | None = None,
    *,
    where: str | None = None,
    runtime: str | Runtime = TORCH,
    engine: str = "local",
    address: str | None = None,
    progress: bool = False,
    say: Say = silent,
) -> EmbedReport:
    """Run frozen experts over recordings and keep their embeddings; what the store has is not computed again.

    Args:
        manifest: the recordings, with `where`.
        experts: their names.
        store: of the embeddings.
        where: row filter.
        runtime: of the experts' networks.
        engine: `local`, or `ray` for the processors of a cluster, with the same result.
        address: of a Ray cluster; by default one on this machine.
        progress: show it.
        say: gets a line on whatever was skipped.

    Returns:
        How many were computed, found in the store, and skipped for which reasons.

    Raises:
        InputError: the manifest, a name or the store is wrong.
    """
    check_engine(engine, address)
    cohort = _cohort(manifest, where)
    found = _create(experts, runtime)
    if engine == "ray":
        from enecg.embedding import ray

        report = ray.embed(cohort, found, _store(store), address=address, progress=progress)
    else:
        report = pipeline.embed(cohort, found, _store(store), progress=progress)
    _say_skipped(report.skipped, say)
    return report


def fit(
    manifest: str | Path | Cohort,
    tasks: str | Iterable[str],
    experts: str | Sequence[str] = "offline",
    store: str | Path | None = None,
    *,
    where: str | None = None,
    runtime: str | Runtime = TORCH,
    recipe: str = "default",
    seed: int = 0,
    progress: bool = False,
    say: Say = silent,
) -> Bundle:
    """Train heads, weights and gate on a cohort; what the store lacks is embedded first.

    Args:
        manifest: the training part, with `where`.
        tasks: what to predict.
        experts: whose embeddings it learns from.
        store: of the embeddings.
        where: row filter.
        runtime: of the experts' networks.
        recipe: how heads and weights are made; `enecg.ensemble.fitting.recipes.RECIPES` has the names.
        seed: of everything random.
        progress: show it.
        say: gets a line on whatever was skipped or should be known.

    Raises:
        InputError: the manifest, a label or a name is wrong, or there are too few labels.
    """
    chosen = find_recipe(recipe)

    def check(cohort: Cohort, targets: Sequence[Target]) -> None:
        for target in targets:
            check_target(target, cohort.subjects, chosen)

    training = _prepared(
        manifest, where, parse_tasks(tasks), experts, [chosen], runtime, store, progress, say, check=check
    )
    data = training.data
    ensemble = run.train(
        data, training.targets, training.infos, recipe=chosen, seed=seed, progress=_steps(progress, say)
    )
    _say_lines("note: ", ensemble.training["left_out"], say)
    return Bundle(ensemble, training.experts, skipped=data.skipped)


def evaluate(
    bundle: Bundle | str | Path,
    manifest: str | Path | Cohort,
    store: str | Path | None = None,
    *,
    where: str | None = None,
    tasks: str | Iterable[str] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    progress: bool = False,
    say: Say = silent,
) -> Evaluation:
    """Evaluate a bundle on a cohort, with intervals, every expert alone, and baselines.

    Args:
        bundle: from `fit` or `load`, or its folder.
        manifest: the test part, with `where`.
        store: of the embeddings.
        where: row filter.
        tasks: other columns for some of the bundle's tasks, such as `"age=age_years"`.
        replicates: bootstrap resamples of the subjects.
        seed: of the resamples.
        progress: show it.
        say: gets a line on whatever was skipped or left out, and on data that were in the training part too.

    Returns:
        The results; `document` is the JSON of `enecg evaluate --json`.

    Raises:
        InputError: the bundle or manifest is wrong, or none of the bundle's tasks has a label there.
    """
    loaded, cohort = bundle if isinstance(bundle, Bundle) else load(bundle), _cohort(manifest, where)
    named = [] if tasks is None else parse_tasks(tasks)
    ensemble = loaded.ensemble.with_columns(named)
    for task in named:
        cohort.target(ensemble.models[task.name].task)  # what is asked for by name must be there
    _say_problems(list(run.labels(ensemble, cohort)[0].values()), say)
    data = gather(cohort, loaded.experts, _store(store), progress=progress)
    _say_gathered(data, ensemble.experts, say)
    found = run.evaluate(ensemble, data, replicates=replicates, seed=seed, progress=_steps(progress, say))
    _say_lines("left out: ", found.left_out, say)
    leakage = found.document["leakage"]
    subjects, recordings = leakage["shared_subjects"], leakage["shared_recordings"]
    if subjects or recordings:
        shared = f"{subjects or 0} subjects and {recordings} recordings"
        say(f"warning: {shared} were in the training part too; these results are too good")
    if subjects is None:
        say(
            "warning: subjects cannot be compared with those of the training part; the bundle was fitted with another "
            "key: set ENECG_SUBJECT_KEY to its file"
        )
    return found


def crossval(
    manifest: str | Path | Cohort,
    tasks: str | Iterable[str],
    experts: str | Sequence[str] = "offline",
    store: str | Path | None = None,
    *,
    folds: int = 5,
    where: str | None = None,
    runtime: str | Runtime = TORCH,
    recipe: str = "default",
    replicates: int = 1000,
    seed: int = 0,
    jobs: int = 0,
    work: str | Path | None = None,
    progress: bool = False,
    say: Say = silent,
) -> Evaluation:
    """Cross-validate by subject: everything is fitted anew in each fold, and all answers are scored together.

    Args:
        manifest: the cohort, with `where`.
        tasks: what to predict.
        experts: whose embeddings it learns from.
        store: of the embeddings.
        folds: how many; no subject is in two.
        where: row filter.
        runtime: of the experts' networks.
        recipe: as for `fit`.
        replicates: bootstrap resamples of the subjects.
        seed: of the folds, the fits and the resamples.
        jobs: folds that are fitted at a time, each in a process of its own; with 0 this one fits them. The results do
            not depend on it.
        work: folder where finished folds are kept, so that an interrupted run goes on; by default they are not.
        progress: show it.
        say: gets a line on whatever was skipped or should be known.

    Returns:
        The results; `document` is the JSON of `enecg crossval --json`.

    Raises:
        InputError: as for `fit`, or fewer subjects than folds.
    """
    chosen = find_recipe(recipe)
    training = _prepared(
        manifest, where, parse_tasks(tasks), experts, [chosen], runtime, store, progress, say,
        check=lambda cohort, _: cohort.folds(folds, seed),
    )  # fmt: skip
    evaluation = run.crossval(
        training.data, training.targets, training.infos,
        folds=folds, recipe=chosen, replicates=replicates, seed=seed, jobs=jobs,
        work=None if work is None else Path(work), progress=_steps(progress, say),
    )  # fmt: skip
    _say_lines("note: ", evaluation.left_out, say)
    return evaluation


def reproduce(
    manifest: str | Path | Cohort,
    tasks: str | Iterable[str] | None = None,
    experts: str | Sequence[str] = "offline",
    store: str | Path | None = None,
    *,
    recipes: Sequence[str] = ("paper", "default"),
    folds: int = 3,
    where: str | None = None,
    replicates: int = 1000,
    seed: int = 0,
    jobs: int = 0,
    work: str | Path | None = None,
    progress: bool = False,
    say: Say = silent,
) -> Reproduction:
    """Follow EnECG's protocol with several recipes: of each subject one recording, folds by subject, side by side.

    Args:
        manifest: the cohort, with `where`; EnECG's own cohort file (.jsonl) among others.
        tasks: what to predict; by default those of the five built-in ones that have labels there.
        experts: whose embeddings it learns from.
        store: of the embeddings.
        recipes: names; the last one is compared with each of the others.
        folds: how many; no subject is in two.
        where: row filter.
        replicates: bootstrap resamples of the subjects.
        seed: of the folds, the fits and the resamples.
        jobs: as for `crossval`.
        work: as for `crossval`.
        progress: show it.
        say: gets a line on whatever was skipped or should be known.

    Raises:
        InputError: as for `crossval`.
    """
    chosen = [find_recipe(name) for name in dict.fromkeys(recipes)]
    wanted = None if tasks is None else parse_tasks(tasks)
    training = _prepared(
        manifest, where, wanted, experts, chosen, TORCH, store, progress, say,
        check=lambda cohort, _: cohort.folds(folds, seed), gathering=gather_first,
    )  # fmt: skip
    data = training.data
    return run_reproduce(
        data, training.targets, training.infos, time_passes(data.cohort, training.experts), chosen,
        folds=folds, replicates=replicates, seed=seed, progress=_steps(progress, say), jobs=jobs,
        work=None if work is None else Path(work),
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingData:
    """What a fit starts from.

    Attributes:
        data: recordings with their embeddings.
        targets: their labels, read once.
        experts: in the order of `infos`.
        infos: facts of the experts.
    """

    data: Gathered
    targets: list[Target]
    experts: list[Expert]
    infos: list[ExpertInfo]


def _prepared(
    manifest: str | Path | Cohort,
    where: str | None,
    tasks: Sequence[Task] | None,
    experts: str | Sequence[str],
    recipes: Sequence[Recipe],
    runtime: str | Runtime,
    store: str | Path | None,
    progress: bool,
    say: Say,
    *,
    check: Callable[[Cohort, Sequence[Target]], object],
    gathering: Callable[..., Gathered] = gather,
) -> TrainingData:
    """Read labels and embeddings of a cohort for one or several recipes; what is worth knowing goes to `say`.

    `check` gets cohort and labels before anything is embedded, and raises where they cannot be fitted.
    """
    cohort = _cohort(manifest, where)
    names = dict.fromkeys([*registry.resolve(experts), *(name for recipe in recipes for name in recipe.auxiliary)])
    found, replaced = replace_label_leaking_experts(cohort, _create(list(names), runtime))
    _say_lines("note: ", replaced, say)
    targets = [cohort.target(task) for task in (_labelled(cohort) if tasks is None else tasks)]
    _say_problems(targets, say)
    check(cohort, targets)
    infos = [ExpertInfo.of(expert) for expert in found]
    data = gathering(cohort, found, _store(store), progress=progress)
    _say_gathered(data, infos, say)
    place = {record: row for row, record in enumerate(cohort.records)}
    rows = np.array([place[record] for record in data.cohort.records])
    targets = [replace(target, y=target.y[rows]) for target in targets]
    _say_lines("note: ", contrary_copies(data.cohort, data.contents, targets), say)
    return TrainingData(data, targets, found, infos)


def _labelled(cohort: Cohort) -> list[Task]:
    """The built-in tasks that have labels in a cohort."""
    found = []
    for task in BUILT_IN.values():
        try:
            cohort.target(task)
        except InputError:
            continue
        found.append(task)
    if not found:
        raise InputError(f"{cohort.name}: no label for any of {', '.join(BUILT_IN)}; name --tasks and their columns")
    return found


def _create(names: str | Sequence[str], runtime: str | Runtime) -> list[Expert]:
    chosen = Runtime.parse(runtime)
    return [registry.create(name, chosen) for name in registry.resolve(names)]


def _cohort(manifest: str | Path | Cohort, where: str | None) -> Cohort:
    if not isinstance(manifest, Cohort):
        return Cohort.load(manifest, where)
    if where is None:
        return manifest
    return Cohort.from_table(manifest.table, manifest.root, manifest.name, where)


def _store(folder: str | Path | None) -> Store:
    return Store(cache_folder() / "store" if folder is None else folder)


def _say_gathered(data: Gathered, infos: Sequence[ExpertInfo], say: Say) -> None:
    _say_skipped(data.skipped, say)
    _say_lines("not seen by all experts: ", [f"{each.record}: {each.reason}" for each in data.refused], say)
    _say_lines("note: ", data.copies, say)
    _say_lines("note: ", seen_in_pretraining(data.cohort, infos), say)


def _steps(progress: bool, say: Say) -> Callable[[str], None]:
    def step(line: str) -> None:
        say(f"  {line}")

    return step if progress else silent


def _say_skipped(skipped: Sequence[Skipped], say: Say) -> None:
    _say_lines("skipped ", [f"{each.record}: {each.reason}" for each in skipped], say)


def _say_problems(targets: Sequence[Target], say: Say) -> None:
    _say_lines("label taken as missing: ", [problem for target in targets for problem in target.problems], say)
    _say_lines("note: ", [note for target in targets for note in target.notes], say)


def _say_lines(kind: str, lines: Sequence[str], say: Say) -> None:
    for line in lines[:SHOWN]:
        say(f"{kind}{line}")
    if len(lines) > SHOWN:
        say(f"{kind}{len(lines) - SHOWN} more")
