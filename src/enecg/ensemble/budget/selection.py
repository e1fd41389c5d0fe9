"""Cheaper versions of an ensemble: which experts to do without, and what the others then weigh.

A frozen pass costs far more than everything behind it. What an expert is worth is what is lost without it, out of fold.
For several budgets and numbers of experts those that are worth most together are chosen, and weighted anew on the same
out-of-fold scores. What a budget leaves is spent on a second look by all experts at what the first answers leave open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from enecg.ensemble.baselines import loss
from enecg.ensemble.budget.cascade import Doubt, SecondLook
from enecg.ensemble.calibration import Calibrator, choose_thresholds, residual_quantiles
from enecg.ensemble.combiner import Combiner, experts_of
from enecg.ensemble.ensemble import Ensemble, TaskModel
from enecg.ensemble.fitting.recipes import ExpertInfo
from enecg.errors import InputError
from enecg.tasks import Target
from enecg.workers.threads import cpus

BUDGETS: Final = (0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)  # shares of the cost of all experts
FEWEST_AGAIN: Final = 0.01  # share of recordings below which a second look is not worth its while


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
        lost: by how much of itself the loss grows out of fold, summed over the tasks.
        doubt: about those answers; None where no task has probabilities.
    """

    experts: tuple[str, ...]
    cost: float
    tasks: dict[str, Answering]
    lost: float
    doubt: Doubt | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        tasks = {name: one.as_dict() for name, one in self.tasks.items()}
        doubt = None if self.doubt is None else self.doubt.as_dict()
        return {"experts": self.experts, "cost": self.cost, "tasks": tasks, "lost": self.lost, "doubt": doubt}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cheaper:
        """From `as_dict`."""
        tasks = {name: Answering.from_dict(part) for name, part in data["tasks"].items()}
        doubt = None if data["doubt"] is None else Doubt.from_dict(data["doubt"])
        return cls(tuple(data["experts"]), data["cost"], tasks, data["lost"], doubt)

    def again(self, budget: float, spent: float) -> float:
        """Share of recordings at which all experts may look, where all cost `spent`: what the budget leaves."""
        if self.doubt is None or spent <= self.cost:
            return 0.0
        share = min((budget - self.cost) / (spent - self.cost), 1.0)
        return share if share >= FEWEST_AGAIN else 0.0


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
    """The versions that are worth most with ever smaller budgets and ever fewer experts, the worthiest first.

    Args:
        experts: that have a say, views left out.
        models: task name -> what was learned for it.
        targets: labels.
        scores: member -> task name -> out-of-fold scores `[recording, output]`.
    """
    names = [info.name for info in experts]
    costs = np.array([cost_of(info) for info in experts])
    costs = costs / costs.sum()
    worth = np.sum([_worth(names, models[target.task.name], target, scores) for target in targets], axis=0)
    limits = [(budget, len(names)) for budget in BUDGETS] + [(1.0, count) for count in range(1, len(names))]
    chosen = {_worthiest(worth, costs, *limit) for limit in limits} - {(), tuple(range(len(names)))}
    found = []
    with ThreadPoolExecutor(cpus()) as pool:
        for some in sorted(chosen, key=lambda some: -float(worth[list(some)].sum())):
            left = tuple(names[i] for i in some)
            tasks = list(pool.map(lambda target, left=left: _answering(target, scores, left), targets))
            settled = {target.task.name: one for target, one in zip(targets, tasks, strict=True) if one is not None}
            if len(settled) < len(targets):  # a task that only others answer
                continue
            answering = {name: one for name, (one, _) in settled.items()}
            said = {name: answers for name, (_, answers) in settled.items()}
            lost = sum(_grown(loss(said[t.task.name], t), _loss_of(models[t.task.name], t, scores)) for t in targets)
            doubt = Doubt.fit([target.task for target in targets], said)
            found.append(Cheaper(left, float(costs[list(some)].sum()), answering, lost, doubt))
    return found


def _worth(
    experts: Sequence[str], model: TaskModel, target: Target, scores: Mapping[str, Mapping[str, np.ndarray]]
) -> np.ndarray:
    """By how much of itself a task's loss grows without each expert `[expert]`."""
    whole, name = _loss_of(model, target, scores), target.task.name
    without = {
        expert: loss(combiner.predict([scores[member][name] for member in combiner.members]), target)
        for expert, combiner in model.rivals.without.items()
    }
    return np.array([_grown(without[expert], whole) if expert in without else 0.0 for expert in experts])


def _loss_of(model: TaskModel, target: Target, scores: Mapping[str, Mapping[str, np.ndarray]]) -> float:
    """The loss of all experts' answers."""
    combiner = model.combiner
    return loss(combiner.predict([scores[member][target.task.name] for member in combiner.members]), target)


def _grown(after: float, before: float) -> float:
    """By how much of itself a loss has grown, at most ten times: the last who can answer is not worth everything."""
    return float(np.clip(after / max(before, 1e-12) - 1, 0.0, 10.0))  # a quantity may be measured without any error


def _worthiest(worth: np.ndarray, costs: np.ndarray, budget: float, most: int) -> tuple[int, ...]:
    """Positions of the experts that are worth most together within a budget: a knapsack, solved exactly."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    limits = LinearConstraint(np.stack([costs, np.ones(len(costs))]), ub=[budget + 1e-9, most])
    value = worth + 1e-6 * costs  # of those that are worth nothing, what fits
    found = milp(-value, constraints=limits, integrality=np.ones(len(costs), int), bounds=Bounds(0, 1))
    return tuple(int(i) for i in np.flatnonzero(found.x > 0.5)) if found.x is not None else ()


def _answering(
    target: Target, scores: Mapping[str, Mapping[str, np.ndarray]], left: Sequence[str]
) -> tuple[Answering, np.ndarray] | None:
    """What answers a task without some experts, and its answers out of fold; None where nobody is left."""
    name = target.task.name
    members = [member for member in scores if experts_of(member).keys() <= {*left} and name in scores[member]]
    if not members:
        return None
    own = [scores[member][name] for member in members]
    combiner = Combiner.fit(members, own, target, "shares").passed_through(own, target)
    said = combiner.predict(own)  # a handful of weights on all recordings: hardly better than out of fold
    calibrator = None if target.task.kind == "regression" else Calibrator.fit(target, said)
    settled = said if calibrator is None else calibrator(said)
    own_limits = choose_thresholds(target, settled)
    return Answering(combiner, calibrator, residual_quantiles(target, settled), own_limits), settled


def within(ensemble: Ensemble, budget: float | None = None, most: int | None = None) -> Ensemble:
    """The best version of an ensemble that costs at most a share of the whole, or runs at most so many experts.

    What a budget leaves is spent on second looks by the whole ensemble, which bring back at least their share of what
    the version loses: the best version is that which then loses least. The share holds for recordings like those of
    the training: where more are open, more is spent.

    Args:
        ensemble: fitted.
        budget: share of the cost of all experts, 0 to 1.
        most: experts that may run; with it there are no second looks.

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
    fitting = [v for v in ensemble.cheaper if v.cost <= allowed + 1e-9 and len(v.experts) <= count]
    if not fitting:
        cheapest = min((version.cost for version in ensemble.cheaper), default=spent)
        raise InputError(
            f"--budget: no version of this ensemble costs at most {allowed:.0%} and runs at most {count} experts; "
            f"the cheapest costs {cheapest:.0%}"
        )
    shares = [version.again(allowed, spent) if most is None else 0.0 for version in fitting]
    version, share = min(zip(fitting, shares, strict=True), key=lambda pair: pair[0].lost * (1 - pair[1]))
    models = {name: _replaced(model, version.tasks[name]) for name, model in ensemble.models.items()}
    second = SecondLook(ensemble, version.doubt, share) if share and version.doubt is not None else None
    return replace(ensemble, models=models, second=second)


def _replaced(model: TaskModel, by: Answering) -> TaskModel:
    return replace(
        model, combiner=by.combiner, gate=None, view="",
        calibrator=by.calibrator, residuals=by.residuals, thresholds=by.thresholds,
    )  # fmt: skip
