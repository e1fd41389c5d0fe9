"""The contract suite: what every expert must fulfil, one check after another, for this package's experts and for yours.

`enecg experts verify` and the tests run all checks. The recordings are made by a formula, so no file is needed.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.resources import files as resources
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch
from enecg.experts.network import NetworkExpert
from enecg.experts.probes import encode_in_threads, written_files
from enecg.experts.sample import SHORT, prepared_batch, sample_batch, sample_recording
from enecg.files import writing
from enecg.recording import Recording

# Another batch may change the order in which a product is summed, and no more: share of the largest number.
BATCH_NOISE: Final = 1e-5
KNOWN: Final = 0.9  # share of an embedding of ten seconds of twelve clean leads in mV that must be known
KNOWN_OF_SHORT: Final = 0.5
FEW: Final = ("II", "V1", "V5")
GAIN: Final = 4.0  # a power of two, so that scaled samples are exact
DEPENDS: Final = 0.05  # relative change of a number from which on it depends on the gain
RECORD: Final = "recorded.json"  # the packaged experts' numbers by fingerprint; scripts/expert_goldens.py makes it
RECORDED: Final = 512  # numbers of an embedding that are recorded, at most
CHANGED: Final = 5e-3  # relative change of a recorded number that another machine cannot explain
# What the sample recording shows by its construction, in the units of the tasks: value and tolerance.
MEASURED: Final[Mapping[str, tuple[float, float]]] = {
    "rr_interval": (800.0, 5.0),  # ms
    "heart_rate": (75.0, 0.5),  # per minute
    "pr_interval": (170.0, 50.0),  # ms, as the next three
    "qrs_duration": (100.0, 40.0),
    "qt_interval": (390.0, 60.0),
    "qtc_interval": (435.0, 70.0),
}


@dataclass(frozen=True)
class ExpertCheck:
    """One check of an expert, its result in words, and whether it passed."""

    name: str
    result: str
    passed: bool = True


class Trial:
    """An expert with the sample batch and its embedding: ten seconds, and a short recording at another rate.

    Args:
        expert: the expert.
        record: a JSON file that keeps the expert's numbers from one run to the next, to find a forgotten version.
    """

    def __init__(self, expert: Expert, record: Path | None = None) -> None:
        self.expert, self.record = expert, record

    @cached_property
    def batch(self) -> Batch:
        """The sample recordings, prepared for the expert."""
        return sample_batch(self.expert.card.input)

    @cached_property
    def embedding(self) -> np.ndarray:
        """The embedding of the batch when it was first computed."""
        return self.expert.encode(self.batch)

    def encode(self, *recordings: Recording) -> np.ndarray:
        """Return the embeddings of all windows of recordings."""
        return self.expert.encode(prepared_batch(self.expert.card.input, *recordings))


def run_checks(expert: Expert, record: Path | None = None) -> Iterator[ExpertCheck]:
    """Run all checks in turn; see `Trial` for the arguments."""
    trial = Trial(expert, record)
    for check in CHECKS:
        yield check(trial)


def shape(trial: Trial) -> ExpertCheck:
    """The embedding has the form that the card promises, and different recordings have different embeddings."""
    found, expert = trial.embedding, trial.expert
    passed = (
        found.shape == (len(trial.batch), expert.card.dim)
        and found.dtype == np.float32
        and not np.isinf(found).any()
        and np.isfinite(found[0]).mean() > KNOWN
        and all(not np.array_equal(one, other, equal_nan=True) for one, other in pairwise(found))
    )
    known = np.isfinite(found[0]).mean() if len(found) else 0.0
    return ExpertCheck("embedding", f"{found.dtype} {list(found.shape)}, {known:.0%} known", bool(passed))


def repetition(trial: Trial) -> ExpertCheck:
    """A second call gives the same bits, also in training mode and with gradients on; the batch is not changed."""
    first, before, expert = trial.embedding, trial.batch.signal.copy(), trial.expert
    frozen = True
    if isinstance(expert, NetworkExpert):
        import torch

        expert.module.train()  # must make no difference
        frozen = not any(parameter.requires_grad for parameter in expert.module.parameters())
        with torch.enable_grad():
            again = expert.encode(trial.batch)
    else:
        again = expert.encode(trial.batch)
    same = np.array_equal(first, again, equal_nan=True) and np.array_equal(before, trial.batch.signal, equal_nan=True)
    result = "the same numbers again, in training mode too" if same else "other numbers, or a changed batch"
    return ExpertCheck("repetition", result if frozen else "parameters require gradients", same and frozen)


def batch_mates(trial: Trial) -> ExpertCheck:
    """A window's embedding does not depend on the other windows of its batch, nor on their order."""
    encode, batch = trial.expert.encode, trial.batch
    alone = np.concatenate([encode(batch[row : row + 1]) for row in range(len(batch))])
    turned = encode(batch[np.arange(len(batch))[::-1]])[::-1]
    away = max(distance(trial.embedding, alone), distance(trial.embedding, turned))
    return ExpertCheck("batch mates", f"alone and in a batch: {away:.1e} of the largest number", away <= BATCH_NOISE)


def threads(trial: Trial) -> ExpertCheck:
    """Two threads that encode at the same time get the numbers that each gets alone."""
    batches = [trial.batch[:1], trial.batch[1:2]]
    alone = [trial.expert.encode(batch) for batch in batches]
    rounds = int(np.clip(100 / (trial.expert.card.cost_ms or 10.0), 2, 10))
    try:
        found = encode_in_threads(trial.expert, batches, rounds)
    except Exception as error:
        return ExpertCheck("threads", f"fails in two threads: {type(error).__name__}: {error}", False)
    away = max(distance(one, each) for one, many in zip(alone, found, strict=True) for each in many)
    result = f"in two threads: {away:.1e} of the largest number"
    remedy = "" if away <= BATCH_NOISE else "; encode must not keep state in the expert"
    return ExpertCheck("threads", result + remedy, away <= BATCH_NOISE)


def pickling(trial: Trial) -> ExpertCheck:
    """The expert can be sent to other processes and machines, and is the same expert there."""
    cloudpickle = import_module("cloudpickle")  # what clusters use; it has no types
    try:
        other = cloudpickle.loads(cloudpickle.dumps(trial.expert))
        same = other.fingerprint == trial.expert.fingerprint
        away = distance(trial.embedding, other.encode(trial.batch))
    except Exception as error:  # whatever its attributes raise
        return ExpertCheck("pickling", f"cannot be pickled: {type(error).__name__}: {error}", False)
    result = f"after pickling: {away:.1e} of the largest number" if same else "another fingerprint after pickling"
    return ExpertCheck("pickling", result, same and away <= BATCH_NOISE)


def files(trial: Trial) -> ExpertCheck:
    """Encoding writes no file."""
    batch = trial.batch[np.arange(len(trial.batch))]  # a new batch, on which nothing is computed yet
    with written_files() as found:
        trial.expert.encode(batch)
    return ExpertCheck("files", f"encode writes {found[0]}" if found else "none is written", not found)


def absent_leads(trial: Trial) -> ExpertCheck:
    """Absent leads are zeros, or the recording is refused, as the card says."""
    spec, bare = trial.expert.card.input, sample_recording().select(FEW)
    if spec.missing == "error" and not set(spec.leads) <= set(bare.leads):
        return _refused(trial, bare, "absent leads", "leads missing")
    return _answered(trial, bare, "absent leads", "three of twelve")


def short(trial: Trial) -> ExpertCheck:
    """A recording that is shorter than the window is padded, and most numbers are known."""
    spec = trial.expert.card.input
    known = np.isfinite(trial.embedding[-1]).mean()
    passed = bool(trial.batch.length[-1] < spec.samples and known > KNOWN_OF_SHORT)
    return ExpertCheck("short recording", f"{SHORT * spec.seconds:.3g} s: {known:.0%} known", passed)


def padding(trial: Trial) -> ExpertCheck:
    """What stands in the padding makes no difference, unless the card says that the padding's zeros are read."""
    if trial.expert.card.padding == "zeros":
        return ExpertCheck("padding", "zeros, which are part of the input")
    filled = copy.deepcopy(trial.batch[np.arange(len(trial.batch))])
    noise = np.random.default_rng(0).standard_normal(filled.signal.shape).astype(np.float32)
    behind = np.arange(filled.signal.shape[-1]) >= filled.length[:, None, None]
    filled.signal = np.where(behind, noise * filled.signal.std(), filled.signal)
    away = distance(trial.embedding, trial.expert.encode(filled))
    remedy = "" if away <= BATCH_NOISE else "; use Batch.length, or say padding='zeros' on the card"
    return ExpertCheck("padding", f"noise in it: {away:.1e} of the largest number{remedy}", away <= BATCH_NOISE)


def long(trial: Trial) -> ExpertCheck:
    """A recording that is longer than the window is cut into windows, whose embeddings are pooled."""
    expert = trial.expert
    windows = trial.encode(sample_recording(seconds=3 * expert.card.input.seconds))
    pooled, known = expert.pool(windows), np.isfinite(windows).any(0)
    passed = (
        (len(windows) > 1) == (expert.card.input.max_windows > 1)
        and pooled.shape == (expert.card.dim,)
        and pooled.dtype == np.float32
        and np.array_equal(np.isfinite(pooled), known)
        and np.allclose(expert.pool(windows[:1]), windows[0], rtol=1e-6, equal_nan=True)
    )
    return ExpertCheck("long recording", f"{len(windows)} windows pooled", bool(passed))


def normalised(trial: Trial) -> ExpertCheck:
    """A recording without a unit of amplitude is answered or refused, as the card says."""
    recording = replace(sample_recording(), amplitude="normalised")
    if trial.expert.card.input.amplitude == "mV":
        return _refused(trial, recording, "normalised", "needs amplitudes in mV")
    return _answered(trial, recording, "normalised", "without millivolts")


def amplitude(trial: Trial) -> ExpertCheck:
    """A number that depends on the amplitude is NaN where the amplitude is unknown; no other depends on the gain."""
    if trial.expert.card.input.amplitude == "mV":
        return ExpertCheck("amplitude", "always in mV")
    known = sample_recording()
    amplified = replace(known, signal=known.signal * np.float32(GAIN))
    in_mv = _differing(trial.encode(known), trial.encode(amplified))
    one, other = (trial.encode(replace(each, amplitude="normalised")) for each in (known, amplified))
    guessed = (in_mv & np.isfinite(one)).any(0)
    dependent = (_differing(one, other) | (np.isnan(one) != np.isnan(other))).any(0)
    wrong = np.flatnonzero(guessed | dependent)
    if not len(wrong):
        return ExpertCheck("amplitude", f"{int(in_mv.any(0).sum())} numbers need millivolts, and are NaN without them")
    names = trial.expert.columns
    first = names[wrong[0]] if names else f"number {wrong[0]}"
    result = f"{len(wrong)} numbers depend on an amplitude that is not known, such as {first}; make them NaN"
    return ExpertCheck("amplitude", result, False)


def fingerprint(trial: Trial) -> ExpertCheck:
    """Another input contract, other weights or another version give another fingerprint."""
    expert, own = trial.expert, trial.expert.fingerprint
    others = [copy.copy(expert) for _ in range(3)]
    spec = expert.card.input
    others[0].card = replace(expert.card, input=replace(spec, max_windows=spec.max_windows + 1))
    others[1].state_hash = lambda: "others"  # type: ignore[method-assign]
    others[2].version = expert.version + "x"  # type: ignore[misc]
    has_hash = bool(expert.state_hash()) or not expert.card.parameters
    passed = bool(re.fullmatch("[0-9a-f]{64}", own)) and has_hash and all(each.fingerprint != own for each in others)
    return ExpertCheck("fingerprint", f"{own[:12]}… of weights, contract and version", passed)


def version(trial: Trial) -> ExpertCheck:
    """The numbers are those that were recorded under the same fingerprint."""
    key, now = trial.expert.fingerprint, recorded_numbers(trial.embedding)
    packaged = Path(str(resources("enecg.experts") / "data" / RECORD))
    own = _read_record(trial.record)
    known = {**_read_record(packaged), **own}
    if key in known:
        before = np.array(known[key], np.float64)
        away = float(_changes(before, now).max()) if before.shape == now.shape else float("inf")
        remedy = "" if away <= CHANGED else "; raise the version of the expert, or restore its code"
        result = f"the numbers recorded before: a relative change of {away:.1e}{remedy}"
        return ExpertCheck("version", result, away <= CHANGED)
    if trial.record is None:
        return ExpertCheck("version", "nothing is recorded to compare with")
    try:
        with writing(trial.record) as file:
            file.write(json.dumps({**own, key: as_json(now)}).encode())
    except OSError as error:  # such as a cache that cannot be written: nothing is known against the expert
        return ExpertCheck("version", f"cannot be recorded for the next time: {error.strerror or error}")
    return ExpertCheck("version", f"recorded in {trial.record.name} for the next time")


def columns(trial: Trial) -> ExpertCheck:
    """Names and measurements fit the embedding."""
    expert = trial.expert
    names = expert.columns
    passed = names is None or len(names) == len(set(names)) == expert.card.dim
    passed = passed and all(0 <= column < expert.card.dim for column in expert.measurements.values())
    passed = passed and (names is not None or not expert.tabular)
    text = f"{len(names)} names" if names else "numbers without names"
    return ExpertCheck("columns", f"{text}, {len(expert.measurements)} measurements", passed)


def measurements(trial: Trial) -> ExpertCheck:
    """Each measurement is in the unit of its task: the sample recording has known values."""
    named = trial.expert.measurements
    wrong = []
    for name in sorted(MEASURED.keys() & named.keys()):
        value, tolerance = MEASURED[name]
        found = float(trial.embedding[0, named[name]])
        if not abs(found - value) <= tolerance:
            wrong.append(f"{name} {found:.4g} instead of {value:g} ± {tolerance:g}")
    result = f"{len(MEASURED.keys() & named.keys())} of {len(named)} compared with known values"
    return ExpertCheck("measurements", "; ".join(wrong) or result, not wrong)


CHECKS: Final[tuple[Callable[[Trial], ExpertCheck], ...]] = (
    shape, repetition, batch_mates, threads, pickling, files, absent_leads, short, padding, long, normalised, amplitude,
    fingerprint, version, columns, measurements,
)  # fmt: skip


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference over the largest number; infinite where only one of them is known."""
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    return float(np.nanmax(np.abs(one - other)) / max(float(np.nanmax(np.abs(one))), 1e-12))


def recorded_numbers(embedding: np.ndarray) -> np.ndarray:
    """Return the numbers `[number]` of the first window that are recorded: all, or evenly spaced ones."""
    first = embedding[0].astype(np.float64)
    found: np.ndarray = first[np.unique(np.linspace(0, len(first) - 1, RECORDED).astype(int))]
    return found


def as_json(numbers: np.ndarray) -> list[float | None]:
    """Return numbers with six significant digits, None for NaN."""
    return [None if np.isnan(each) else float(f"{each:.6g}") for each in numbers]


def _changes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Relative differences by number, tolerant of numbers near zero; infinite where only one of them is known."""
    if not np.isfinite(one).any():
        return np.where(np.isfinite(other), np.inf, 0.0)
    typical = float(np.nanmedian(np.abs(one)))
    relative = np.abs(one - other) / (np.abs(one) + np.abs(other) + 0.1 * typical + 1e-12)
    found: np.ndarray = np.where(np.isnan(one) == np.isnan(other), np.nan_to_num(relative), np.inf)
    return found


def _differing(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where both are known and their relative difference is larger than noise; bool, of the same shape."""
    both = np.isfinite(one) & np.isfinite(other)
    found: np.ndarray = both & (_changes(one.astype(np.float64), other.astype(np.float64)) > DEPENDS)
    return found


def _read_record(path: Path | None) -> dict[str, list[float | None]]:
    """Numbers by fingerprint; none where nothing was recorded, or the file is damaged."""
    if path is None or not path.is_file():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _refused(trial: Trial, recording: Recording, name: str, because: str) -> ExpertCheck:
    try:
        prepared_batch(trial.expert.card.input, recording)
    except InputError as error:
        return ExpertCheck(name, "refused, as the card says", because in str(error))
    return ExpertCheck(name, "not refused, though the card says so", False)


def _answered(trial: Trial, recording: Recording, name: str, how: str) -> ExpertCheck:
    windows = prepared_batch(trial.expert.card.input, recording)
    found = trial.expert.encode(windows)
    passed = found.shape == (len(windows), trial.expert.card.dim) and not np.isinf(found).any()
    return ExpertCheck(name, f"{how}: {np.isfinite(found).mean():.0%} known", passed and bool(np.isfinite(found).any()))
