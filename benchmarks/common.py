"""What the benchmarks share: options, the machine, timing side by side, recordings, peak memory.

Each benchmark is a script: `python benchmarks/NAME.py [--quick] [--json FILE]`. What is compared is measured in one
run, by turns, because other load on a machine comes and goes; `ratios` are of medians. `--quick` is smaller, for trying
a script out: its ratios say little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from enecg.cohorts.manifest import Cohort
from enecg.cohorts.split import subject_folds
from enecg.ensemble.fitting.labels import prepare
from enecg.evaluation.bootstrap import bootstrap
from enecg.evaluation.scores import estimate_values
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import PublishedExpert, find
from enecg.metrics import evaluate, higher_is_better
from enecg.simulation import make_cohort
from enecg.tasks import Target, parse_tasks
from enecg.workers.threads import cpus

TASKS: Final = "rr_interval,age,sex,potassium,arrhythmia"  # of a generated cohort
REAL_TASKS: Final = "rr_interval=rr_mean_ms[rr_ok == 1],age,sex,arrhythmia=rhythm,superclass:multilabel"
FOLDS: Final = 5
Measured = tuple[dict[str, float], dict[str, Any]]  # ratios and figures


def run(name: str, measure: Callable[[bool, Path], Measured]) -> None:
    """Parse the options, measure in a temporary folder, and write `{"name", "ratios", "figures", "machine"}`."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, to try it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="enecg-benchmark-") as folder:
        ratios, figures = measure(options.quick, Path(folder))
    ratios = {key: round(value, 4) for key, value in ratios.items()}
    document = {"name": name, "ratios": ratios, "figures": {"quick": options.quick, **figures}, "machine": machine()}
    text = json.dumps(document, indent=1, allow_nan=False)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n", encoding="utf-8")
    print(text)


def machine() -> dict[str, Any]:
    """Processor, memory, load and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "processors": cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_after": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "versions": {name: version(name) for name in ("enecg", "numpy", "scipy", "torch", "pandas", "pyarrow", "wfdb")},
    }


def side_by_side(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Wall time in seconds of each call, by turns: `repeats` of each, in an order that turns round every time."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        for name in list(calls)[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            calls[name]()
            taken[name].append(time.perf_counter() - start)
    return taken


def median(seconds: list[float]) -> float:
    """Of several times."""
    return statistics.median(seconds)


def told(taken: Mapping[str, list[float]]) -> dict[str, Any]:
    """Times for the figures: median, lowest and highest."""
    return {
        name: {"n": len(each), "median_s": round(median(each), 5), "low_s": round(min(each), 5),
               "high_s": round(max(each), 5)}
        for name, each in taken.items()
    }  # fmt: skip


def simulated(folder: Path, recordings: int, seed: int = 0) -> Cohort:
    """The first recordings of a generated cohort (12 leads, 10 s, 500 Hz) with labels of the five tasks."""
    return Cohort.load(make_cohort(folder, recordings, seed)).take(range(recordings))


def data_folder() -> Path | None:
    """The folder of real recordings, where there is one: `ENECG_DATA`, or beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ENECG_DATA", beside))
    return folder if (folder / "manifest.csv").is_file() else None


def real(recordings: int) -> Cohort | None:
    """Real recordings of 10 s at 500 Hz in mV, where they are at hand."""
    folder = data_folder()
    if folder is None:
        return None
    cohort = Cohort.load(folder / "manifest.csv", "fs == 500 and n_samples == 5000 and units == 'mV'")
    return cohort.take(range(min(recordings, len(cohort))))


def ptbxl(quick: bool, last: int = 9) -> Cohort:
    """Folds 1 to `last` of PTB-XL at 100 Hz, for questions of quality; two of them for a quick run."""
    folder = data_folder()
    if folder is None:
        raise SystemExit("set ENECG_DATA to the folder that holds manifest.csv")
    return Cohort.load(
        folder / "manifest.csv",
        f'record.str.startswith("ptbxl_filtered_100hz/") and strat_fold <= {2 if quick else last}',
    )


def folded(cohort: Cohort) -> tuple[np.ndarray, list[Target]]:
    """The fold of each recording, by subject, and the targets of `REAL_TASKS` with what every fold can learn."""
    fold = subject_folds(cohort.subjects, FOLDS, 0)
    parts = [fold != k for k in range(FOLDS)]
    return fold, prepare(cohort, parse_tasks(REAL_TASKS), parts=parts)


def compared(
    target: Target, answers: Mapping[str, np.ndarray], subjects: np.ndarray, base: str, quick: bool = False
) -> dict[str, Any]:
    """The task's metric of each answer, and what each is minus `base`, paired, on the recordings that all answered.

    Args:
        target: labels.
        answers: name -> values, probabilities or scores `[recording, output]`.
        subjects: `[recording]`, the unit of the bootstrap.
        base: the one that the others are compared with.
        quick: fewer resamples.
    """
    rows = target.known & np.all([np.isfinite(each).all(1) for each in answers.values()], axis=0)
    kind, metric, y = target.task.kind, target.task.metric, target.y[rows]

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: evaluate(kind, y, each[rows], weights, names=(metric,))[metric] for name, each in answers.items()}

    found = bootstrap(statistics, subjects[rows], 100 if quick else 1000, 0)
    told: dict[str, Any] = {"metric": metric, "n": int(rows.sum())}
    for name, estimate in found.items():
        change = estimate - found[base]
        told[name] = {"value": estimate_values(estimate)} | (
            {}
            if name == base
            else {
                f"minus {base}": estimate_values(change),
                "relative": round(change.value / found[base].value, 5),
                "verdict": change.verdict(higher_is_better(metric)),
            }
        )
    return told


def offline() -> list[Expert]:
    """The experts that need no download."""
    return [registry.create(name) for name in registry.resolve("offline")]


def network(name: str, folder: Path) -> PublishedExpert:
    """A published network with generated weights of its true layout: what it costs does not depend on their values."""
    published = find(name)
    assert published is not None
    generate.write(published, folder / name)
    unknown = replace(published.card, weights=replace(published.card.weights, sha256=None, bytes=None))
    return PublishedExpert(replace(published, card=unknown), folder / name, cache=folder / name)


def apart(call: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """`call(*arguments)` in a fresh process; `peak_mb` and `cpu_seconds` are added to what it returns.

    The peak is the highest resident memory of the process and of the largest of those that it started, summed. The
    processors' time is that of all of them, with what is imported on the way.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, call, *arguments).result()


def here(call: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """As `apart`, in this process: its peak is that of all that has run here."""
    return _measured(call, *arguments)


def _measured(call: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    before = _cpu_seconds()
    found = call(*arguments)
    sizes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = _cpu_seconds() - before
    return {**found, "peak_mb": round(sum(sizes) / 1024, 1), "cpu_seconds": round(spent, 2)}


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
