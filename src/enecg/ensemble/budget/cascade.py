"""A second look: experts that a cheaper version does without see the recordings that its answers leave open.

Early exit by the entropy of what is said (BranchyNet: Teerapittayanon, McDanel and Kung 2016), with an ensemble's
cheaper version as the first exit: where its probabilities are sure, the dear experts would hardly change them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from enecg.tasks import Kind, Task

if TYPE_CHECKING:
    from enecg.ensemble.ensemble import Embeddings, Ensemble, TaskOutput

STEPS: Final = np.linspace(0, 1, 201)
_TINY: Final = 1e-12


def entropy(kind: Kind, p: np.ndarray) -> np.ndarray:
    """Of probabilities `[recording, output]`, in nats; the mean over outputs that do not exclude each other."""
    p = np.clip(p, _TINY, 1 - _TINY)
    if kind == "multiclass":
        return np.asarray(-(p * np.log(p)).sum(1))
    return np.asarray(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean(1))


@dataclass
class Doubt:
    """How open answers leave a recording: the entropy of each task's probabilities, in units of its spread, their mean.

    Values have no entropy, so regressions do not count. A recording without an answer to some task is open beyond all
    others.

    Attributes:
        kinds: task name -> its kind.
        scales: task name -> mean and standard deviation of the entropy.
        quantiles: of the doubt about recordings like those of the training, at `STEPS`.
    """

    kinds: dict[str, Kind]
    scales: dict[str, tuple[float, float]]
    quantiles: np.ndarray

    @classmethod
    def fit(cls, tasks: Sequence[Task], answers: Mapping[str, np.ndarray]) -> Doubt | None:
        """From out-of-fold answers; None where no task has probabilities.

        Args:
            tasks: all of them.
            answers: task name -> `[recording, output]`.
        """
        kinds: dict[str, Kind] = {task.name: task.kind for task in tasks if task.kind != "regression"}
        if not kinds:
            return None
        each = {name: entropy(kind, answers[name]) for name, kind in kinds.items()}
        scales = {name: (float(np.nanmean(own)), float(np.nanstd(own)) or 1.0) for name, own in each.items()}
        doubt = cls(kinds, scales, STEPS)
        found = doubt(answers)
        return cls(kinds, scales, np.quantile(found[np.isfinite(found)], STEPS))

    def __call__(self, answers: Mapping[str, np.ndarray]) -> np.ndarray:
        """The doubt `[recording]`; infinite where an answer is missing."""
        each = [(entropy(self.kinds[name], answers[name]) - mean) / sd for name, (mean, sd) in self.scales.items()]
        known = np.all([np.isfinite(own).all(1) for own in answers.values()], axis=0)
        return np.where(known, np.mean(each, axis=0), np.inf)

    def limit(self, share: float) -> float:
        """The doubt that a share of recordings like those of the training reaches."""
        return float(np.interp(1 - share, STEPS, self.quantiles))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"kinds": self.kinds, "scales": self.scales, "quantiles": self.quantiles.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Doubt:
        """From `as_dict`."""
        scales = {name: (mean, sd) for name, (mean, sd) in data["scales"].items()}
        return cls(dict(data["kinds"]), scales, np.array(data["quantiles"]))


@dataclass
class SecondLook:
    """What answers instead where doubt about the first answers reaches a limit.

    Attributes:
        ensemble: that answers then.
        doubt: about first answers.
        share: of recordings like those of the training that get a second look.
    """

    ensemble: Ensemble
    doubt: Doubt
    share: float

    def wanted(self, first: Mapping[str, TaskOutput]) -> np.ndarray:
        """bool `[recording]`: which need a second look."""
        answers = {name: output.value for name, output in first.items()}
        return np.asarray(self.doubt(answers) >= self.doubt.limit(self.share))

    def applied(self, first: Mapping[str, TaskOutput], embeddings: Embeddings) -> dict[str, TaskOutput]:
        """The first answers, and those of the second look where it is wanted.

        Args:
            first: task name -> answers.
            embeddings: of the experts that either look needs; rows that nobody looks at again may be NaN.
        """
        rows = self.wanted(first)
        if not rows.any():
            return dict(first)
        then = self.ensemble.predict({name: matrix[rows] for name, matrix in embeddings.items()})
        return {name: output.amended(rows, then[name]) for name, output in first.items()}
