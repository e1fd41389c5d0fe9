"""The folds of a cross-validation: fitted one after the other or several at a time, and kept, so that a run goes on.

A finished fold is a file in a folder whose name follows from all that determines it: labels, subjects and folds, the
embeddings themselves, the recipe, the seed, the code and the versions of what it stands on.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from enecg.ensemble import outputs as answers
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.recipes import Recipe
from enecg.ensemble.outputs import TaskOutput
from enecg.errors import EnecgError, InputError
from enecg.evaluation.code_version import code_hash
from enecg.tasks import Target, Task
from enecg.workers.environment import child_environment, python_command, take_stdout

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Fold:
    """One fold, fitted without its recordings and asked about them.

    Attributes:
        rows: of the cohort, int `[recording]`.
        outputs: task name -> answers, experts and baselines included.
        facts: `seconds` that fitting took, `peak_bytes` of memory that the process had used by then at most, numbers
            `trained`.
    """

    rows: np.ndarray
    outputs: Mapping[str, TaskOutput]
    facts: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What a cross-validation fits.

    Attributes:
        embeddings: expert name -> float32 `[recording, dim]`.
        targets: labels; the classes that can be learned in every fold.
        subjects: `[recording]`.
        fold: int `[recording]`; constant within a subject.
        experts: facts of those in `embeddings`.
        recipe: how it is made.
        seed: of everything random.
        versions: of the packages that numbers depend on.
    """

    embeddings: Mapping[str, np.ndarray]
    targets: Sequence[Target]
    subjects: np.ndarray
    fold: np.ndarray
    experts: Sequence[ExpertInfo]
    recipe: Recipe
    seed: int
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """sha256 of all that determines the folds."""
        settings = {
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "experts": [info.as_dict() for info in self.experts],
            "tasks": [target.task.as_dict() for target in self.targets],
            "subjects": self.subjects.tolist(),
            "versions": dict(self.versions),
            "code": code_hash(fit.__module__),
        }
        found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        arrays = [*(target.y for target in self.targets), self.fold, *self.embeddings.values()]
        for array in arrays:
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def run(self, k: int, progress: Progress) -> Fold:
        """Fit without fold `k`, and answer its recordings."""
        began = time.perf_counter()
        inside, outside = np.flatnonzero(self.fold != k), np.flatnonzero(self.fold == k)
        ensemble = fit(
            {name: np.asarray(matrix[inside]) for name, matrix in self.embeddings.items()},
            [target.take(inside) for target in self.targets],
            self.subjects[inside],
            self.experts,
            recipe=self.recipe,
            seed=self.seed,
            progress=progress,
        )
        seconds = time.perf_counter() - began
        asked = {name: np.asarray(matrix[outside]) for name, matrix in self.embeddings.items()}
        outputs = ensemble.predict(asked, compare=True)
        return Fold(outside, outputs, {"seconds": seconds, "peak_bytes": _peak(), "trained": ensemble.trained})


def run_folds(
    plan: CrossValidation, count: int, *, jobs: int = 0, work: Path | None = None, progress: Progress = lambda _: None
) -> list[Fold]:
    """Fit all folds.

    Args:
        plan: what to fit.
        count: of folds.
        jobs: processes at a time, one for each fold; with 0 this one does it. The result does not depend on it.
        work: where finished folds are kept, in a folder of this plan's own; what is there already is not fitted again.
        progress: called with a line before each step.

    Raises:
        InputError: what `fit` refuses.
    """
    home = None if work is None else work / plan.key[:20]
    found: dict[int, Fold] = {}
    for k in range(count):
        if home is not None and (file := home / f"fold-{k}.npz").is_file():
            found[k] = load(file)
            progress(f"fold {k + 1} of {count}: found in {home}")

    def kept(k: int, fold: Fold) -> None:
        found[k] = fold
        if home is not None:
            save(fold, home / f"fold-{k}.npz")

    def progress_of(k: int) -> Progress:
        return lambda line: progress(f"fold {k + 1} of {count}: {line}")

    todo = [k for k in range(count) if k not in found]
    if not jobs or not todo:
        for k in todo:
            kept(k, plan.run(k, progress_of(k)))
    else:
        with _laid_out(plan) as folder, _workers(min(jobs, len(todo))) as (pool, ask):
            asked = {pool.submit(ask, folder, k, progress_of(k)): k for k in todo}
            for done in as_completed(asked):
                kept(asked[done], done.result())
    return [found[k] for k in range(count)]


@contextmanager
def _laid_out(plan: CrossValidation) -> Iterator[Path]:
    """The plan in files: embeddings are mapped into memory by every process, and not copied."""
    with tempfile.TemporaryDirectory(prefix="enecg-folds-") as name:
        folder = Path(name)
        for i, matrix in enumerate(plan.embeddings.values()):
            np.save(folder / f"{i}.npy", matrix)
        rest = {each.name: getattr(plan, each.name) for each in fields(plan) if each.name != "embeddings"}
        (folder / "plan.pickle").write_bytes(pickle.dumps({**rest, "names": list(plan.embeddings)}))
        yield folder


@contextmanager
def _workers(count: int) -> Iterator[tuple[ThreadPoolExecutor, Callable[[Path, int, Progress], Fold]]]:
    """Threads that each wait for a process; all processes end at once when the context is left."""
    running: set[subprocess.Popen[str]] = set()
    pool = ThreadPoolExecutor(count, thread_name_prefix="enecg-fold")

    def ask(folder: Path, k: int, progress: Progress) -> Fold:
        # The same modules as here; a session of its own, so that Ctrl-C reaches this process only.
        process = subprocess.Popen(
            python_command(f"from {__name__} import serve; serve()", str(folder), str(k)),
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
            start_new_session=True,
        )
        running.add(process)
        refusal = None
        with process:
            for line in process.stdout or ():
                kind, _, words = line.rstrip("\n").partition(" ")
                if kind == "error":
                    refusal = words
                else:
                    progress(words)
        if process.returncode and refusal is None:
            raise EnecgError(f"fold {k + 1}: its process ended with code {process.returncode}; folds before are kept")
        if refusal is not None:
            raise InputError(refusal)
        return load(folder / f"fold-{k}.npz")

    try:
        yield pool, ask
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.kill()
        pool.shutdown()


def serve() -> None:
    """Fit one fold of a plan in files: the main function of such a process."""
    folder, k = Path(sys.argv[1]), int(sys.argv[2])
    out = TextIOWrapper(take_stdout(), line_buffering=True)
    rest = pickle.loads((folder / "plan.pickle").read_bytes())
    names = rest.pop("names")
    plan = CrossValidation({name: np.load(folder / f"{i}.npy", mmap_mode="r") for i, name in enumerate(names)}, **rest)
    try:
        save(plan.run(k, lambda line: print("line", line, file=out)), folder / f"fold-{k}.npz")
    except InputError as error:
        print("error", " ".join(str(error).split()), file=out)


def save(fold: Fold, path: Path) -> None:
    """Write a fold: it appears whole or not at all."""
    arrays: dict[str, np.ndarray] = {"rows": fold.rows}
    meta: dict[str, Any] = {"facts": dict(fold.facts), "tasks": {}}
    for name, output in fold.outputs.items():
        parts = {key: part for key, part in _parts(output).items() if key != "task"}
        meta["tasks"][name] = {"task": output.task.as_dict(), "parts": _taken_apart(parts, arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}-{os.getpid()}.npz")
    np.savez(beside, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
    beside.replace(path)


def load(path: Path) -> Fold:
    """Read what `save` has written."""
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"]))
    outputs = {
        name: TaskOutput(Task.from_dict(saved["task"]), **_put_together(saved["parts"], arrays))
        for name, saved in meta["tasks"].items()
    }
    return Fold(arrays["rows"], outputs, meta["facts"])


def _parts(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _taken_apart(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Plain JSON values, in which an array is named by its place in `arrays`."""
    if isinstance(value, np.ndarray):
        arrays[f"a{len(arrays)}"] = value
        return {"array": f"a{len(arrays) - 1}"}
    if is_dataclass(value):
        return {"made": type(value).__name__, **_taken_apart(_parts(value), arrays)}
    if isinstance(value, Mapping):
        return {"of": {key: _taken_apart(part, arrays) for key, part in value.items()}}
    return {"value": value}


def _put_together(stored: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if "array" in stored:
        return arrays[stored["array"]]
    if "of" in stored:
        parts = {key: _put_together(part, arrays) for key, part in stored["of"].items()}
        return getattr(answers, stored["made"])(**parts) if "made" in stored else parts
    return stored["value"]


def _peak() -> int:
    """Bytes of memory that this process has used at most; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
