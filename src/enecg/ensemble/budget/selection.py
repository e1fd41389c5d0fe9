"""Versions of an ensemble with fewer experts: which experts to leave out, and the weights of the others.

A pass through a network costs far more than everything behind it. The worth of an expert is the increase of the
out-of-fold loss without it. For several budgets and numbers of experts, the experts that are worth most together are
chosen, and their weights are fitted again on the same out-of-fold scores. What a budget leaves is spent on a second
stage, in which all experts answer where the first answers are uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np

from enecg.ensemble.budget.cascade import Cascade
from enecg.ensemble.calibration import Calibrator, choose_thresholds, residual_quantiles
from enecg.ensemble.combiner import Combiner
from enecg.ensemble.ensemble import Ensemble, TaskModel
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.losses import mean_loss
from enecg.ensemble.versions import EntropyThreshold, ReducedEnsemble, TaskWeights
from enecg.ensemble.weight_solver import experts_of
from enecg.errors import InputError
from enecg.tasks import Target
from enecg.workers.threads import cpus

BUDGETS: Final = (0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)  # shares of the cost of all experts
_MOST: Final = 10.0  # relative increase of a loss that counts at most
_OutOfFold = Mapping[str, Mapping[str, np.ndarray]]  # member -> task name -> scores `[recording, output]`


def reduced_ensembles(
    experts: Sequence[ExpertInfo], models: Mapping[str, TaskModel], targets: Sequence[Target], scores: _OutOfFold
) -> list[ReducedEnsemble]:
    """Return the most useful versions within ever smaller budgets and ever fewer experts, the most useful first.

    Args:
        experts: of the ensemble, without gate inputs.
        models: task name -> what was fitted for the task.
        targets: labels.
        scores: member -> task name -> out-of-fold scores `[recording, output]`.
    """
    names = [info.name for info in experts]
    costs = np.array([info.cost for info in experts])
    costs = costs / costs.sum()
    worth = np.sum([_worth(names, models[target.task.name], target, scores) for target in targets], axis=0)
    limits = [(budget, len(names)) for budget in BUDGETS] + [(1.0, count) for count in range(1, len(names))]
    chosen = {_most_useful(worth, costs, *limit) for limit in limits} - {(), tuple(range(len(names)))}
    found = []
    with ThreadPoolExecutor(cpus()) as pool:
        for some in sorted(chosen, key=lambda some: -float(worth[list(some)].sum())):
            left = tuple(names[i] for i in some)
            tasks = list(pool.map(lambda target, left=left: _task_weights(target, scores, left), targets))
            each = {target.task.name: one for target, one in zip(targets, tasks, strict=True) if one is not None}
            if len(each) < len(targets):  # a task that only other experts answer
                continue
            weights = {name: one for name, (one, _) in each.items()}
            answers = {name: own for name, (_, own) in each.items()}
            increase = sum(
                _increase(mean_loss(answers[t.task.name], t), _loss_of(models[t.task.name], t, scores)) for t in targets
            )
            threshold = EntropyThreshold.fit([target.task for target in targets], answers)
            found.append(ReducedEnsemble(left, float(costs[list(some)].sum()), weights, increase, threshold))
    return found


def _worth(experts: Sequence[str], model: TaskModel, target: Target, scores: _OutOfFold) -> np.ndarray:
    """Return the relative increase of a task's loss without each expert, `[expert]`."""
    whole, name = _loss_of(model, target, scores), target.task.name
    without = {
        expert: mean_loss(combiner.predict([scores[member][name] for member in combiner.members]), target)
        for expert, combiner in model.baselines.leave_one_out.items()
    }
    return np.array([_increase(without[expert], whole) if expert in without else 0.0 for expert in experts])


def _loss_of(model: TaskModel, target: Target, scores: _OutOfFold) -> float:
    """Return the loss of all experts' answers."""
    combiner = model.combiner
    return mean_loss(combiner.predict([scores[member][target.task.name] for member in combiner.members]), target)


def _increase(after: float, before: float) -> float:
    """Return the relative increase of a loss, at most tenfold: the only expert of one task is not worth everything."""
    return float(np.clip(after / max(before, 1e-12) - 1, 0.0, _MOST))  # a quantity may be measured without any error


def _most_useful(worth: np.ndarray, costs: np.ndarray, budget: float, count: int) -> tuple[int, ...]:
    """Return the positions of at most `count` experts that are worth most together: a knapsack, solved exactly."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    limits = LinearConstraint(np.stack([costs, np.ones(len(costs))]), ub=[budget + 1e-9, count])
    value = worth + 1e-6 * costs  # among experts without worth, those that fit
    found = milp(-value, constraints=limits, integrality=np.ones(len(costs), int), bounds=Bounds(0, 1))
    return tuple(int(i) for i in np.flatnonzero(found.x > 0.5)) if found.x is not None else ()


def _task_weights(target: Target, scores: _OutOfFold, left: Sequence[str]) -> tuple[TaskWeights, np.ndarray] | None:
    """Return what answers a task with these experts only, and its answers; None where none of them answers it."""
    name = target.task.name
    members = [member for member in scores if experts_of(member).keys() <= {*left} and name in scores[member]]
    if not members:
        return None
    own = [scores[member][name] for member in members]
    combiner = Combiner.fit(members, own, target, "shares").select_single_if_as_good(own, target)
    raw = combiner.predict(own)  # few weights on all recordings: hardly better than out of fold
    calibrator = None if target.task.kind == "regression" else Calibrator.fit(target, raw)
    answers = raw if calibrator is None else calibrator(raw)
    thresholds = choose_thresholds(target, answers)
    return TaskWeights(combiner, calibrator, residual_quantiles(target, answers), thresholds), answers


def within(ensemble: Ensemble, budget: float | None = None, most: int | None = None) -> Ensemble | Cascade:
    """Return the best version that costs at most a share of the whole, or runs at most so many experts.

    What a budget leaves is spent on a second stage by the whole ensemble, which recovers at least its share of what
    the version loses: the best version is the one with the least remaining loss. The share holds for recordings like
    those of the training part: where more answers are uncertain, more is spent.

    Args:
        ensemble: fitted.
        budget: share of the cost of all experts, 0 to 1.
        most: experts that may run; with it there is no second stage.

    Raises:
        InputError: no version is so cheap.
    """
    allowed = 1.0 if budget is None else budget
    count = len(ensemble.experts) if most is None else most
    whole = [info.name for info in ensemble.experts if not info.gate_input and info.name in ensemble.needed]
    total = sum(info.cost for info in ensemble.experts if not info.gate_input)
    full_cost = sum(info.cost for info in ensemble.experts if info.name in whole) / total
    if full_cost <= allowed + 1e-9 and len(whole) <= count:
        return ensemble
    fitting = [v for v in ensemble.reduced if v.cost <= allowed + 1e-9 and len(v.experts) <= count]
    if not fitting:
        cheapest = min((version.cost for version in ensemble.reduced), default=full_cost)
        raise InputError(
            f"--budget: no version of this ensemble costs at most {allowed:.0%} and runs at most {count} experts; "
            f"the cheapest costs {cheapest:.0%}"
        )
    shares = [version.second_stage_share(allowed, full_cost) if most is None else 0.0 for version in fitting]
    version, share = min(zip(fitting, shares, strict=True), key=lambda pair: pair[0].loss_increase * (1 - pair[1]))
    models = {name: _with_weights(model, version.tasks[name]) for name, model in ensemble.models.items()}
    first = replace(ensemble, models=models)
    if not share or version.threshold is None:
        return first
    return Cascade(first, ensemble, version.threshold, share)


def _with_weights(model: TaskModel, weights: TaskWeights) -> TaskModel:
    return replace(
        model, combiner=weights.combiner, gate=None, gate_input="",
        calibrator=weights.calibrator, residuals=weights.residuals, thresholds=weights.thresholds,
    )  # fmt: skip
