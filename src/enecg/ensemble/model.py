"""The ensemble: experts' heads, their weights per task, the gate, calibration. It predicts; `fit` makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from enecg.ensemble.combine import Combiner
from enecg.ensemble.gate import Gate, Verdict
from enecg.ensemble.heads.base import FittedHead
from enecg.ensemble.mixture_gate import MixtureGate
from enecg.ensemble.recipe import ExpertInfo
from enecg.errors import InputError
from enecg.tasks import Task

Embeddings = Mapping[str, np.ndarray]  # expert name -> float32 [recording, dim]; a row of NaN: the expert was silent


@dataclass
class Predictor:
    """One fitted head of one expert (or of several side by side) and the tasks that it answers.

    Attributes:
        name: `expert/kind`.
        experts: whose embeddings it reads, side by side.
        tasks: names, in the order of the head's outputs.
        head: fitted.
    """

    name: str
    experts: tuple[str, ...]
    tasks: tuple[str, ...]
    head: FittedHead

    def scores(self, embeddings: Embeddings) -> dict[str, np.ndarray]:
        """Task name -> scores `[recording, output]`; NaN rows where an expert was silent."""
        x = side_by_side(embeddings, self.experts)
        silent = ~np.isfinite(x).any(1)
        out = dict(zip(self.tasks, self.head.predict(x), strict=True))
        for scores in out.values():
            scores[silent] = np.nan
        return out


def _mean(answers: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over those who have an answer; NaN where nobody has."""
    stack = np.stack(answers)
    known = np.isfinite(stack)
    total = np.where(known, stack, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.asarray(np.where(known.any(0), total, np.nan))


def side_by_side(embeddings: Embeddings, experts: Sequence[str]) -> np.ndarray:
    """The embeddings of several experts as one matrix."""
    if len(experts) == 1:
        return np.asarray(embeddings[experts[0]])
    return np.concatenate([embeddings[name] for name in experts], axis=1)


@dataclass
class TaskModel:
    """What was learned for one task.

    Attributes:
        task: with its classes.
        combiner: static weights over all members.
        gate: the recording-dependent part, or None where it did not earn its place.
        verdict: how the gate did on subjects that it had not seen; None when none was tried.
        alone: expert name -> combiner over that expert's members only.
        stacking: unconstrained weights, for comparison.
        concat: one head on all embeddings side by side, for comparison.
        constant: value or probabilities of always saying the same, for comparison.
        residuals: (5 %, 95 %) quantiles of the out-of-fold error of a regression.
        thresholds: per output, for decisions; probabilities are left alone.
    """

    task: Task
    combiner: Combiner
    gate: Gate | MixtureGate | None
    verdict: Verdict | None
    alone: dict[str, Combiner]
    stacking: Combiner
    concat: Combiner
    constant: np.ndarray
    residuals: tuple[float, float] | None = None
    thresholds: np.ndarray | None = None

    @property
    def compared(self) -> tuple[Combiner, ...]:
        """What answers for comparison only."""
        return (*self.alone.values(), self.stacking, self.concat)


@dataclass
class TaskOutput:
    """Answers for one task.

    Attributes:
        task: what was asked.
        value: float64 `[recording, output]`: value or probabilities; NaN where no expert had an answer.
        weights: expert name -> share `[recording]` that it had in the answer; they sum to one.
        low, high: `[recording]` bounds of the 90 % interval of a regression.
        alone: expert name -> what that expert alone would say.
        baselines: constant, mean, stacking, concat.
    """

    task: Task
    value: np.ndarray
    weights: dict[str, np.ndarray]
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    alone: dict[str, np.ndarray] = field(default_factory=dict)
    baselines: dict[str, np.ndarray] = field(default_factory=dict)

    def decisions(self) -> list[str | list[str] | None]:
        """Class names by the thresholds (multiclass: the most probable); None for a regression or without answer."""
        names = self.task.output_names
        out: list[str | list[str] | None] = []
        for row in self.value:
            if self.task.kind == "regression" or not np.isfinite(row).all():
                out.append(None)
            elif self.task.kind == "multiclass":
                out.append(names[int(row.argmax())])
            elif self.task.kind == "binary":
                assert self.thresholds is not None
                out.append(self.task.classes[int(row[0] >= self.thresholds[0])])
            else:
                assert self.thresholds is not None
                out.append([name for name, p, t in zip(names, row, self.thresholds, strict=True) if p >= t])
        return out


@dataclass
class Ensemble:
    """Experts + heads + weights + gate + calibration.

    Attributes:
        experts: what it needs to be fed with, in order.
        models: task name -> what was learned for it.
        predictors: the fitted heads.
        view: the expert whose embedding the gate looks at.
        recipe: its settings, as JSON values.
        training: what it was trained on: digest, counts, hashed subjects, versions.
    """

    experts: list[ExpertInfo]
    models: dict[str, TaskModel]
    predictors: list[Predictor]
    view: str
    recipe: dict[str, Any]
    training: dict[str, Any]

    @property
    def tasks(self) -> list[Task]:
        """The tasks, with their classes."""
        return [model.task for model in self.models.values()]

    @property
    def trained(self) -> int:
        """Numbers that labels have determined in what answers: heads, weights and gates, without the baselines."""
        models = self.models.values()
        members = {name for model in models for name in model.combiner.members}
        heads = sum(predictor.head.trained for predictor in self.predictors if predictor.name in members)
        gates = [model.gate for model in models if model.gate is not None]
        static = [model.combiner for model in models if not isinstance(model.gate, MixtureGate)]
        return heads + sum(gate.trained for gate in gates) + sum(c.weights.size + c.bias.size for c in static)

    def check(self, experts: Sequence[ExpertInfo]) -> None:
        """Raise `InputError` unless these are the very experts that it was trained on."""
        have = {info.name: info.fingerprint for info in experts}
        for info in self.experts:
            if info.name not in have:
                raise InputError(f"the bundle needs the expert {info.name!r}, which is not here")
            if have[info.name] != info.fingerprint:
                raise InputError(
                    f"expert {info.name!r} is not the one that the bundle was trained on "
                    f"({have[info.name][:12]} here, {info.fingerprint[:12]} there): fit again, or install the version "
                    f"of enecg and the weights that the bundle names"
                )

    def renamed(self, tasks: Iterable[Task]) -> Ensemble:
        """The same, with the labels of `tasks` read from their columns; classes stay as they were trained.

        Raises:
            InputError: a task that the ensemble does not have.
        """
        models = dict(self.models)
        for task in tasks:
            if task.name not in models:
                raise InputError(f"--tasks: the bundle has no task {task.name!r}; it has {', '.join(models)}")
            own = models[task.name].task
            models[task.name] = replace(models[task.name], task=replace(own, column=task.column, where=task.where))
        return replace(self, models=models)

    def predict(self, embeddings: Embeddings, *, compare: bool = False) -> dict[str, TaskOutput]:
        """Answer all tasks.

        Args:
            embeddings: from the experts that `experts` names.
            compare: also what every expert alone and the baselines say.

        Returns:
            Task name -> answers.
        """
        wanted = {name for model in self.models.values() for name in model.combiner.members}
        if compare:
            wanted |= {name for model in self.models.values() for one in model.compared for name in one.members}
        scores: dict[str, dict[str, np.ndarray]] = {
            p.name: p.scores(embeddings) for p in self.predictors if p.name in wanted
        }
        return {name: self._answer(model, scores, embeddings, compare) for name, model in self.models.items()}

    def _answer(
        self, model: TaskModel, scores: dict[str, dict[str, np.ndarray]], embeddings: Embeddings, compare: bool
    ) -> TaskOutput:
        name, combiner = model.task.name, model.combiner

        def of(one: Combiner) -> list[np.ndarray]:
            return [scores[member][name] for member in one.members]

        residual = model.gate.residual(embeddings[self.view]) if model.gate else None
        value = combiner.predict(of(combiner), residual)
        out = TaskOutput(model.task, value, self._shares(combiner, of(combiner), residual), thresholds=model.thresholds)
        if model.residuals is not None:
            out.low, out.high = value[:, 0] + model.residuals[0], value[:, 0] + model.residuals[1]
        if compare:
            out.alone = {expert: one.predict(of(one)) for expert, one in model.alone.items()}
            out.baselines = {
                "constant": np.tile(model.constant, (len(value), 1)),
                "mean": _mean(list(out.alone.values())),
                "stacking": model.stacking.predict(of(model.stacking)),
                "concat": model.concat.predict(of(model.concat)),
            }
        return out

    def _shares(
        self, combiner: Combiner, scores: list[np.ndarray], residual: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        weights = combiner.effective(combiner.calibrated(scores), residual).mean(2)  # [member, recording]
        total = np.maximum(weights.sum(0), 1e-12)
        shares = {info.name: np.zeros(weights.shape[1]) for info in self.experts if not info.view}
        for member, weight in zip(combiner.members, weights, strict=True):
            shares[member.split("/")[0]] += weight / total
        return shares
