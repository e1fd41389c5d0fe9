"""The data of an ensemble's versions with fewer experts: their weights, and when to ask all experts after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from enecg.ensemble.calibration import Calibrator
from enecg.ensemble.combiner import Combiner
from enecg.tasks import Kind, Task

LEVELS: Final = np.linspace(0, 1, 201)  # at which the quantiles of the uncertainty are kept
MIN_SHARE: Final = 0.01  # share of recordings below which a second stage is left out
_TINY: Final = 1e-12


def entropy(kind: Kind, p: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities `[recording, output]` in nats, `[recording]`.

    For outputs that do not exclude each other it is the mean over the outputs.
    """
    p = np.clip(p, _TINY, 1 - _TINY)
    if kind == "multiclass":
        return np.asarray(-(p * np.log(p)).sum(1))
    return np.asarray(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean(1))


@dataclass
class EntropyThreshold:
    """How uncertain answers are: the entropy of each task's probabilities, standardised, averaged over the tasks.

    Values have no entropy, so regressions do not count. A recording without an answer to some task is more uncertain
    than all others.

    Attributes:
        kinds: task name -> its kind.
        scales: task name -> mean and standard deviation of the entropy.
        quantiles: of the uncertainty of recordings like those of the training part, at `LEVELS`.
    """

    kinds: dict[str, Kind]
    scales: dict[str, tuple[float, float]]
    quantiles: np.ndarray

    @classmethod
    def fit(cls, tasks: Sequence[Task], answers: Mapping[str, np.ndarray]) -> EntropyThreshold | None:
        """Fit it to out-of-fold answers; None where no task has probabilities.

        Args:
            tasks: all of them.
            answers: task name -> `[recording, output]`.
        """
        kinds: dict[str, Kind] = {task.name: task.kind for task in tasks if task.kind != "regression"}
        if not kinds:
            return None
        each = {name: entropy(kind, answers[name]) for name, kind in kinds.items()}
        scales = {name: (float(np.nanmean(own)), float(np.nanstd(own)) or 1.0) for name, own in each.items()}
        found = cls(kinds, scales, LEVELS).uncertainty(answers)
        return cls(kinds, scales, np.quantile(found[np.isfinite(found)], LEVELS))

    def uncertainty(self, answers: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the uncertainty `[recording]` of answers by task; infinite where an answer is missing."""
        each = [(entropy(self.kinds[name], answers[name]) - mean) / sd for name, (mean, sd) in self.scales.items()]
        known = np.all([np.isfinite(own).all(1) for own in answers.values()], axis=0)
        return np.where(known, np.mean(each, axis=0), np.inf)

    def limit(self, share: float) -> float:
        """Return the uncertainty that this share of recordings like those of the training part reaches."""
        return float(np.interp(1 - share, LEVELS, self.quantiles))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kinds": self.kinds, "scales": self.scales, "quantiles": self.quantiles.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EntropyThreshold:
        """Return what `as_dict` wrote."""
        scales = {name: (mean, sd) for name, (mean, sd) in data["scales"].items()}
        return cls(dict(data["kinds"]), scales, np.array(data["quantiles"]))


@dataclass
class TaskWeights:
    """What answers one task with fewer experts: weights, calibration, interval and thresholds of their own.

    Attributes:
        combiner: weights over the members that are left.
        calibrator: of the probabilities; None for a regression.
        residuals: (5 %, 95 %) quantiles of the out-of-fold error of a regression.
        thresholds: per output, for decisions.
    """

    combiner: Combiner
    calibrator: Calibrator | None
    residuals: tuple[float, float] | None
    thresholds: np.ndarray | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "combiner": self.combiner.as_dict(),
            "calibrator": None if self.calibrator is None else self.calibrator.as_dict(),
            "residuals": self.residuals,
            "thresholds": None if self.thresholds is None else self.thresholds.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskWeights:
        """Return what `as_dict` wrote."""
        return cls(
            Combiner.from_dict(data["combiner"]),
            None if data["calibrator"] is None else Calibrator.from_dict(data["calibrator"]),
            tuple(data["residuals"]) if data["residuals"] else None,
            None if data["thresholds"] is None else np.array(data["thresholds"]),
        )


@dataclass
class ReducedEnsemble:
    """One version of an ensemble with fewer experts.

    Attributes:
        experts: that run.
        cost: share of what all experts cost.
        tasks: task name -> what answers it.
        loss_increase: relative increase of the out-of-fold loss, summed over the tasks.
        threshold: of the uncertainty of those answers; None where no task has probabilities.
    """

    experts: tuple[str, ...]
    cost: float
    tasks: dict[str, TaskWeights]
    loss_increase: float
    threshold: EntropyThreshold | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        tasks = {name: one.as_dict() for name, one in self.tasks.items()}
        threshold = None if self.threshold is None else self.threshold.as_dict()
        return {
            "experts": self.experts,
            "cost": self.cost,
            "tasks": tasks,
            "loss_increase": self.loss_increase,
            "threshold": threshold,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReducedEnsemble:
        """Return what `as_dict` wrote."""
        tasks = {name: TaskWeights.from_dict(part) for name, part in data["tasks"].items()}
        threshold = None if data["threshold"] is None else EntropyThreshold.from_dict(data["threshold"])
        return cls(tuple(data["experts"]), data["cost"], tasks, data["loss_increase"], threshold)

    def second_stage_share(self, budget: float, full_cost: float) -> float:
        """Return the share of recordings on which all experts may run within a budget; all of them cost `full_cost`."""
        if self.threshold is None or full_cost <= self.cost:
            return 0.0
        share = min((budget - self.cost) / (full_cost - self.cost), 1.0)
        return share if share >= MIN_SHARE else 0.0
