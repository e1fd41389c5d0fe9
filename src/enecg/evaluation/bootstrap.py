"""The bootstrap over subjects: 95 % intervals, paired differences and their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np

from enecg.errors import InputError

Verdict = Literal["better", "no difference shown", "worse"]
Key = TypeVar("Key")
LEVEL: Final = 0.95
_CELLS: Final = 4_000_000  # weights held at a time: replicates come in portions of so many numbers


@dataclass(frozen=True, eq=False)
class Estimate:
    """A statistic of a cohort and of its resamples.

    Attributes:
        value: on the cohort as it is.
        draws: on each resample, `[replicate]`; NaN where a resample has no value.
    """

    value: float
    draws: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """Percentile interval (Efron and Tibshirani 1993, chapter 13) over resamples with a value; NaN if none."""
        known = self.draws[np.isfinite(self.draws)]
        if not len(known) or not np.isfinite(self.value):
            return np.nan, np.nan
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference: both must come from the same call of `bootstrap`."""
        return Estimate(self.value - other.value, self.draws - other.draws)

    def verdict(self, higher_is_better: bool) -> Verdict:
        """What this difference (mine minus the other's) shows of mine: better or worse if its interval excludes 0."""
        low, high = self.interval
        if low > 0:
            return "better" if higher_is_better else "worse"
        if high < 0:
            return "worse" if higher_is_better else "better"
        return "no difference shown"


def resamples(subjects: Sequence[str] | np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Weights `[portion of replicates, n]` of resamples by subject.

    A replicate draws as many subjects as there are, with replacement, and with a subject all of its recordings. The
    same arguments give the same weights.

    Args:
        subjects: one name per recording.
        replicates: resamples in all.
        seed: of the generator.
    """
    _, index = np.unique(np.asarray(subjects), return_inverse=True)
    count = int(index.max()) + 1
    rng = np.random.default_rng(seed)
    portion = max(1, _CELLS // len(index))
    for start in range(0, replicates, portion):
        size = min(portion, replicates - start)
        drawn = rng.integers(0, count, (size, count))
        cells = drawn * size + np.arange(size)[:, None]
        times = np.bincount(cells.ravel(), minlength=count * size).reshape(count, size)
        yield times.astype(float)[index].T  # column-major: the metrics add up whole recordings at a time


def bootstrap(
    statistics: Callable[[np.ndarray], Mapping[Key, np.ndarray]],
    subjects: Sequence[str] | np.ndarray,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[Key, Estimate]:
    """Bootstrap several statistics on the same resamples by subject, so that their differences are paired.

    Args:
        statistics: weights `[replicate, n]` -> any number of statistics `[replicate]`.
        subjects: one name per recording.
        replicates: resamples.
        seed: of the generator.

    Raises:
        InputError: no recording, or no replicate.
    """
    if replicates < 1 or not len(subjects):
        raise InputError(
            f"bootstrap: {len(subjects)} recordings and {replicates} replicates; needs at least one of each"
        )
    values = statistics(np.ones((1, len(subjects))))
    portions = [statistics(weights) for weights in resamples(subjects, replicates, seed)]
    return {
        key: Estimate(float(value[0]), np.concatenate([portion[key] for portion in portions]))
        for key, value in values.items()
    }
