"""Cheaper versions of an ensemble: which experts to do without, and what the others then weigh.

A frozen pass costs far more than everything behind it. Experts are dropped one after the other, the one first whose
weight is least for what it costs; after each the rest are weighted anew on the same out-of-fold scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from enecg.ensemble.calibrate import Calibrator, choose_thresholds, residual_quantiles
from enecg.ensemble.combine import Combiner, experts_of
from enecg.ensemble.model import Ensemble, TaskModel
from enecg.ensemble.recipe import ExpertInfo
from enecg.errors import InputError
from enecg.tasks import Target


@dataclass
class Answering:
    """What answers one task when fewer experts look: weights, calibration, intervals and thresholds of their own."""

    combiner: Combiner
    calibrator: Calibrator | None
    residuals: tuple[float, float] | None
    thresholds: np.ndarray | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "combiner": self.combiner.as_dict(),
            "calibrator": None if self.calibrator is None else self.calibrator.as_dict(),
            "residuals": self.residuals,
            "thresholds": None if self.thresholds is None else self.thresholds.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Answering:
        """From `as_dict`."""
        return cls(
            Combiner.from_dict(data["combiner"]),
            None if data["calibrator"] is None else Calibrator.from_dict(data["calibrator"]),
            tuple(data["residuals"]) if data["residuals"] else None,
            None if data["thresholds"] is None else np.array(data["thresholds"]),
        )


@dataclass
class Cheaper:
    """One version of an ensemble.

    Attributes:
        experts: that look at a recording.
        cost: share of what all experts cost.
        tasks: task name -> what answers it.
    """

    experts: tuple[str, ...]
    cost: float
    tasks: dict[str, Answering]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        tasks = {name: one.as_dict() for name, one in self.tasks.items()}
        return {"experts": self.experts, "cost": self.cost, "tasks": tasks}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cheaper:
        """From `as_dict`."""
        tasks = {name: Answering.from_dict(part) for name, part in data["tasks"].items()}
        return cls(tuple(data["experts"]), data["cost"], tasks)


def cost_of(info: ExpertInfo) -> float:
    """Milliseconds per recording; of an expert whose card does not tell, as much as a large network takes."""
    return info.cost_ms if info.cost_ms is not None else 100.0


def cost_share(member: str, experts: Sequence[ExpertInfo]) -> float:
    """What the experts that a member reads cost, as a share of what all cost that are no views."""
    costs = {info.name: cost_of(info) for info in experts if not info.view}
    return sum(costs[name] for name in experts_of(member)) / sum(costs.values())


def cheaper_versions(
    experts: Sequence[ExpertInfo],
    models: Mapping[str, TaskModel],
    targets: Sequence[Target],
    scores: Mapping[str, Mapping[str, np.ndarray]],
) -> list[Cheaper]:
    """Versions with ever fewer experts, the dearest first.

    Args:
        experts: that have a say, views left out.
        models: task name -> what was learned for it.
        targets: labels.
        scores: member -> task name -> out-of-fold scores `[recording, output]`.
    """
    costs = {info.name: cost_of(info) for info in experts}
    total, left, found = sum(costs.values()), dict(costs), []
    weights = {task: model.combiner.shares() for task, model in models.items()}
    while len(left) > 1:
        worth = {name: sum(shares.get(name, 0.0) for shares in weights.values()) / costs[name] for name in left}
        del left[min(worth, key=lambda name: worth[name])]
        tasks = {target.task.name: _answering(target, scores, left) for target in targets}
        if any(one is None for one in tasks.values()):  # a task that only the dropped expert answers
            break
        settled = {name: one for name, one in tasks.items() if one is not None}
        found.append(Cheaper(tuple(left), sum(left.values()) / total, settled))
        weights = {task: one.combiner.shares() for task, one in settled.items()}
    return found


def _answering(
    target: Target, scores: Mapping[str, Mapping[str, np.ndarray]], left: Mapping[str, float]
) -> Answering | None:
    name = target.task.name
    members = [member for member in scores if experts_of(member).keys() <= left.keys() and name in scores[member]]
    if not members:
        return None
    own = [scores[member][name] for member in members]
    combiner = Combiner.fit(members, own, target, "shares").passed_through(own, target)
    said = combiner.predict(own)  # a handful of weights on all recordings: hardly better than out of fold
    calibrator = None if target.task.kind == "regression" else Calibrator.fit(target, said)
    settled = said if calibrator is None else calibrator(said)
    return Answering(combiner, calibrator, residual_quantiles(target, settled), choose_thresholds(target, settled))


def within(ensemble: Ensemble, budget: float | None = None, most: int | None = None) -> Ensemble:
    """The best version of an ensemble that costs at most a share of the whole, or runs at most so many experts.

    Args:
        ensemble: fitted.
        budget: share of the cost of all experts, 0 to 1.
        most: experts that may run.

    Raises:
        InputError: no version is so cheap.
    """
    allowed = 1.0 if budget is None else budget
    count = len(ensemble.experts) if most is None else most
    whole = [info.name for info in ensemble.experts if not info.view and info.name in ensemble.needed]
    total = sum(cost_of(info) for info in ensemble.experts if not info.view)
    spent = sum(cost_of(info) for info in ensemble.experts if info.name in whole) / total
    if spent <= allowed + 1e-9 and len(whole) <= count:
        return ensemble
    for version in ensemble.cheaper:
        if version.cost <= allowed + 1e-9 and len(version.experts) <= count:
            models = {name: _replaced(model, version.tasks[name]) for name, model in ensemble.models.items()}
            return replace(ensemble, models=models)
    cheapest = min((version.cost for version in ensemble.cheaper), default=spent)
    raise InputError(
        f"--budget: no version of this ensemble costs at most {allowed:.0%} and runs at most {count} experts; "
        f"the cheapest costs {cheapest:.0%}"
    )


def _replaced(model: TaskModel, by: Answering) -> TaskModel:
    return replace(
        model, combiner=by.combiner, gate=None, view="",
        calibrator=by.calibrator, residuals=by.residuals, thresholds=by.thresholds,
    )  # fmt: skip
