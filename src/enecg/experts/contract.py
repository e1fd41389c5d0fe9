"""What every expert owes, looked at one thing after the other: the same for those of this package and for anybody's.

`enecg experts verify` and the tests run all of it. Recordings are made by a formula, so nothing else is needed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np

from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch
from enecg.experts.network import NetworkExpert
from enecg.experts.sample import SHORT, prepared_batch, sample_batch, sample_recording
from enecg.recording import Recording

# A batch mate may change the order in which a product is summed, and no more: share of the largest number.
MATES: Final = 1e-5
KNOWN: Final = 0.9  # share of an embedding of ten seconds of twelve clean leads in mV that must be known
KNOWN_OF_SHORT: Final = 0.5
FEW: Final = ("II", "V1", "V5")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what came of it, and whether it is as it must be."""

    what: str
    said: str
    passed: bool = True


class Seen:
    """An expert with what it was shown: ten seconds, and less than its window at another rate and pulse."""

    def __init__(self, expert: Expert) -> None:
        self.expert = expert

    @cached_property
    def batch(self) -> Batch:
        """As the expert wants to see them."""
        return sample_batch(self.expert.card.input)

    @cached_property
    def embedding(self) -> np.ndarray:
        """Of the batch, the first time."""
        return self.expert.encode(self.batch)


def behaviour(expert: Expert) -> Iterator[Check]:
    """Look at everything in turn."""
    seen = Seen(expert)
    for look in CHECKS:
        yield look(seen)


def shape(seen: Seen) -> Check:
    """The embedding is what the card promises, and different recordings have different ones."""
    found, expert = seen.embedding, seen.expert
    passed = (
        found.shape == (len(seen.batch), expert.card.dim)
        and found.dtype == np.float32
        and not np.isinf(found).any()
        and np.isfinite(found[0]).mean() > KNOWN
        and all(not np.array_equal(one, other, equal_nan=True) for one, other in pairwise(found))
    )
    return Check("embedding", f"{found.dtype} {list(found.shape)}, {np.isfinite(found[0]).mean():.0%} known", passed)


def repetition(seen: Seen) -> Check:
    """The same bits again, with the network set to training and gradients on; the batch stays as it was."""
    first, before = seen.embedding, seen.batch.signal.copy()
    frozen = True
    if isinstance(seen.expert, NetworkExpert):
        import torch

        seen.expert.module.train()  # must not matter
        frozen = not any(parameter.requires_grad for parameter in seen.expert.module.parameters())
        with torch.enable_grad():
            again = seen.expert.encode(seen.batch)
    else:
        again = seen.expert.encode(seen.batch)
    same = np.array_equal(first, again, equal_nan=True) and np.array_equal(before, seen.batch.signal, equal_nan=True)
    return Check("repetition", "the same numbers again, were the network set to training or not", same and frozen)


def mates(seen: Seen) -> Check:
    """Alone and in another order as among others."""
    alone = np.concatenate([seen.expert.encode(seen.batch[row : row + 1]) for row in range(len(seen.batch))])
    turned = seen.expert.encode(seen.batch[np.arange(len(seen.batch))[::-1]])[::-1]
    away = max(distance(seen.embedding, alone), distance(seen.embedding, turned))
    return Check("batch mates", f"alone as among others: {away:.1e} of the largest number", away <= MATES)


def absent_leads(seen: Seen) -> Check:
    """Leads that are not there are zeros, or the recording is refused, as the card says."""
    spec, bare = seen.expert.card.input, sample_recording().select(FEW)
    if spec.missing == "error" and not set(spec.leads) <= set(bare.leads):
        return _refused(seen, bare, "absent leads", "leads missing")
    return _answered(seen, bare, "absent leads", "three of twelve")


def short(seen: Seen) -> Check:
    """What is shorter than the window is filled up."""
    spec = seen.expert.card.input
    padded = seen.batch.length[-1] < spec.samples
    known = np.isfinite(seen.embedding[-1]).mean()
    return Check(
        "short recording", f"{SHORT * spec.seconds:.3g} s: {known:.0%} known", padded and known > KNOWN_OF_SHORT
    )


def long(seen: Seen) -> Check:
    """What is longer is looked at in windows, and pooled."""
    expert = seen.expert
    windows = expert.encode(prepared_batch(expert.card.input, sample_recording(seconds=3 * expert.card.input.seconds)))
    pooled, known = expert.pool(windows), np.isfinite(windows).any(0)
    passed = (
        (len(windows) > 1) == (expert.card.input.max_windows > 1)
        and pooled.shape == (expert.card.dim,)
        and pooled.dtype == np.float32
        and np.array_equal(np.isfinite(pooled), known)
        and np.allclose(expert.pool(windows[:1]), windows[0], rtol=1e-6, equal_nan=True)
    )
    return Check("long recording", f"{len(windows)} windows pooled", passed)


def normalised(seen: Seen) -> Check:
    """Amplitudes without unit are seen, or refused, as the card says."""
    recording = replace(sample_recording(), amplitude="normalised")
    if seen.expert.card.input.amplitude == "mV":
        return _refused(seen, recording, "normalised", "needs amplitudes in mV")
    return _answered(seen, recording, "normalised", "without millivolts")


def fingerprint(seen: Seen) -> Check:
    """Another contract, other weights or another version give another fingerprint."""
    expert, own = seen.expert, seen.expert.fingerprint
    others = [copy.copy(expert) for _ in range(3)]
    spec = expert.card.input
    others[0].card = replace(expert.card, input=replace(spec, max_windows=spec.max_windows + 1))
    others[1].state_hash = lambda: "others"  # type: ignore[method-assign]
    others[2].version = expert.version + "x"  # type: ignore[misc]
    has_hash = bool(expert.state_hash()) or not expert.card.parameters
    passed = bool(re.fullmatch("[0-9a-f]{64}", own)) and has_hash and all(each.fingerprint != own for each in others)
    return Check("fingerprint", f"{own[:12]}… of weights, contract and version", passed)


def columns(seen: Seen) -> Check:
    """Names and measurements fit the embedding."""
    expert = seen.expert
    names = expert.columns
    passed = names is None or len(names) == len(set(names)) == expert.card.dim
    passed = passed and all(0 <= column < expert.card.dim for column in expert.measurements.values())
    passed = passed and (names is not None or not expert.tabular)
    told = f"{len(names)} names" if names else "numbers without names"
    return Check("columns", f"{told}, {len(expert.measurements)} measurements", passed)


CHECKS: Final[tuple[Callable[[Seen], Check], ...]] = (
    shape, repetition, mates, absent_leads, short, long, normalised, fingerprint, columns,
)  # fmt: skip


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference, over the largest number; infinite where only one of them is known."""
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    return float(np.nanmax(np.abs(one - other)) / max(float(np.nanmax(np.abs(one))), 1e-12))


def _refused(seen: Seen, recording: Recording, what: str, because: str) -> Check:
    try:
        prepared_batch(seen.expert.card.input, recording)
    except InputError as error:
        return Check(what, "refused, as the card says", because in str(error))
    return Check(what, "not refused, though the card says so", False)


def _answered(seen: Seen, recording: Recording, what: str, how: str) -> Check:
    windows = prepared_batch(seen.expert.card.input, recording)
    found = seen.expert.encode(windows)
    passed = found.shape == (len(windows), seen.expert.card.dim) and not np.isinf(found).any()
    return Check(what, f"{how}: {np.isfinite(found).mean():.0%} known", passed and bool(np.isfinite(found).any()))
