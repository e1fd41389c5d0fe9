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
from pathlib import Path
from typing import Final

from enecg.bundle import Bundle, Say, load, predict, predict_archive, silent
from enecg.cohorts.manifest import Cohort
from enecg.embedding import pipeline
from enecg.embedding.cluster import check_engine
from enecg.embedding.dataset import Gathered, gather, gather_first
from enecg.embedding.pipeline import EmbedReport, Skipped
from enecg.embedding.store.store import Store
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.labels import check_target
from enecg.ensemble.fitting.recipes import find_recipe
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
SHOWN: Final = 10  # lines of a kind that are said; the rest is counted


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
        experts: who looks at them.
        store: of the embeddings.
        where: row filter.
        runtime: of the experts' networks.
        engine: `local`, or `ray` for the processors of a cluster, with the same result.
        address: of a Ray cluster; by default one on this machine.
        progress: show it.
        say: told what was skipped.

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
    _tell_skipped(report.skipped, say)
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
        say: told what was skipped and what should be known.

    Raises:
        InputError: the manifest, a label or a name is wrong, or there are too few labels.
    """
    chosen, wanted = find_recipe(recipe), parse_tasks(tasks)
    cohort = _cohort(manifest, where)
    found = _fit_for(cohort, [*registry.resolve(experts), *chosen.auxiliary], runtime, say)
    targets = [cohort.target(task) for task in wanted]
    _tell_problems(targets, say)
    for target in targets:
        check_target(target, cohort.subjects, chosen)  # what cannot be fitted is told before it is embedded
    infos = [ExpertInfo.of(expert) for expert in found]
    data = _gather(cohort, found, infos, store, progress, say)
    _tell("note: ", contrary_copies(data.cohort, data.contents, map(data.cohort.target, wanted)), say)
    ensemble = run.train(data, wanted, infos, recipe=chosen, seed=seed, progress=_steps(progress, say))
    _tell("note: ", ensemble.training["left_out"], say)
    return Bundle(ensemble, found, skipped=data.skipped)


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
        say: told what was skipped or left out, and when subjects were in the training part too.

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
    _tell_problems(list(run.labels(ensemble, cohort)[0].values()), say)
    data = _gather(cohort, loaded.experts, ensemble.experts, store, progress, say)
    found = run.evaluate(ensemble, data, replicates=replicates, seed=seed, progress=_steps(progress, say))
    _tell("left out: ", found.left_out, say)
    leakage = found.document["leakage"]
    subjects, recordings = leakage["shared_subjects"], leakage["shared_recordings"]
    if subjects or recordings:
        say(
            f"warning: {subjects or 0} subjects and {recordings} recordings were in the training part too; "
            f"these results are too good"
        )
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
        say: told what was skipped and what should be known.

    Returns:
        The results; `document` is the JSON of `enecg crossval --json`.

    Raises:
        InputError: as for `fit`, or fewer subjects than folds.
    """
    chosen, wanted = find_recipe(recipe), parse_tasks(tasks)
    cohort = _cohort(manifest, where)
    found = _fit_for(cohort, [*registry.resolve(experts), *chosen.auxiliary], runtime, say)
    _tell_problems([cohort.target(task) for task in wanted], say)
    cohort.folds(folds, seed)  # too few subjects are told before they are embedded
    infos = [ExpertInfo.of(expert) for expert in found]
    data = _gather(cohort, found, infos, store, progress, say)
    evaluation = run.crossval(
        data, wanted, infos,
        folds=folds, recipe=chosen, replicates=replicates, seed=seed, jobs=jobs,
        work=None if work is None else Path(work), progress=_steps(progress, say),
    )  # fmt: skip
    _tell("note: ", evaluation.left_out, say)
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
        say: told what was skipped and what should be known.

    Raises:
        InputError: as for `crossval`.
    """
    chosen = [find_recipe(name) for name in dict.fromkeys(recipes)]
    views = dict.fromkeys(view for recipe in chosen for view in recipe.auxiliary)
    cohort = _cohort(manifest, where)
    wanted = parse_tasks(tasks) if tasks is not None else _labelled(cohort)
    found = _fit_for(cohort, [*registry.resolve(experts), *views], TORCH, say)
    _tell_problems([cohort.target(task) for task in wanted], say)
    cohort.folds(folds, seed)  # too few subjects are told before they are embedded
    infos = [ExpertInfo.of(expert) for expert in found]
    data = gather_first(cohort, found, _store(store), progress=progress)
    _tell_gathered(data, infos, say)
    return run_reproduce(
        data, wanted, infos, time_passes(data.cohort, found), chosen,
        folds=folds, replicates=replicates, seed=seed, progress=_steps(progress, say), jobs=jobs,
        work=None if work is None else Path(work),
    )  # fmt: skip


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


def _fit_for(cohort: Cohort, names: Sequence[str], runtime: str | Runtime, say: Say) -> list[Expert]:
    """The experts, those that know labels of the cohort replaced."""
    found, told = replace_label_leaking_experts(cohort, _create(names, runtime))
    _tell("note: ", told, say)
    return found


def _cohort(manifest: str | Path | Cohort, where: str | None) -> Cohort:
    if not isinstance(manifest, Cohort):
        return Cohort.load(manifest, where)
    if where is None:
        return manifest
    return Cohort.from_table(manifest.table, manifest.root, manifest.name, where)


def _store(folder: str | Path | None) -> Store:
    return Store(cache_folder() / "store" if folder is None else folder)


def _gather(
    cohort: Cohort,
    experts: Sequence[Expert],
    infos: Sequence[ExpertInfo],
    store: str | Path | None,
    progress: bool,
    say: Say,
) -> Gathered:
    data = gather(cohort, experts, _store(store), progress=progress)
    _tell_gathered(data, infos, say)
    return data


def _tell_gathered(data: Gathered, infos: Sequence[ExpertInfo], say: Say) -> None:
    _tell_skipped(data.skipped, say)
    _tell("not seen by all experts: ", [f"{each.record}: {each.reason}" for each in data.refused], say)
    _tell("note: ", data.copies, say)
    _tell("note: ", seen_in_pretraining(data.cohort, infos), say)


def _steps(progress: bool, say: Say) -> Callable[[str], None]:
    def told(line: str) -> None:
        say(f"  {line}")

    return told if progress else silent


def _tell_skipped(skipped: Sequence[Skipped], say: Say) -> None:
    _tell("skipped ", [f"{each.record}: {each.reason}" for each in skipped], say)


def _tell_problems(targets: Sequence[Target], say: Say) -> None:
    _tell("label taken as missing: ", [problem for target in targets for problem in target.problems], say)
    _tell("note: ", [note for target in targets for note in target.notes], say)


def _tell(kind: str, lines: Sequence[str], say: Say) -> None:
    for line in lines[:SHOWN]:
        say(f"{kind}{line}")
    if len(lines) > SHOWN:
        say(f"{kind}{len(lines) - SHOWN} more")
