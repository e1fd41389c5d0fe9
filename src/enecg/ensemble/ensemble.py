"""The ensemble: experts' heads, their weights per task, the gate, calibration. It predicts; `fitting` makes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from enecg.ensemble.baselines import Baselines
from enecg.ensemble.calibration import Calibrator
from enecg.ensemble.combiner import Combiner, Gated
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.gates.base import Gate, GateTest
from enecg.ensemble.outputs import Embeddings, FittedHeadOnExperts, TaskOutput
from enecg.ensemble.versions import ReducedEnsemble
from enecg.ensemble.weight_solver import experts_of
from enecg.errors import InputError
from enecg.tasks import Task


@dataclass
class TaskModel:
    """What was fitted for one task.

    Attributes:
        task: with its classes.
        combiner: static weights over all members.
        gate: weights that depend on the recording; None where a gate did not help.
        gate_test: the change of the loss by the gate on subjects that it was not fitted to; None without a gate input.
        gate_input: name of the embedding that the gate reads; empty when no gate was tried.
        baselines: what the ensemble is compared with.
        calibrator: of the probabilities; None for a regression.
        residuals: (5 %, 95 %) quantiles of the out-of-fold error of a regression.
        thresholds: per output, for decisions; they do not change the probabilities.
    """

    task: Task
    combiner: Combiner
    gate: Gate | None
    gate_test: GateTest | None
    gate_input: str
    baselines: Baselines
    calibrator: Calibrator | None = None
    residuals: tuple[float, float] | None = None
    thresholds: np.ndarray | None = None


@dataclass
class Ensemble:
    """Experts, heads, weights, gates and calibration of several tasks, fitted together.

    Attributes:
        experts: those that it was fitted with, gate inputs included, in order.
        models: task name -> what was fitted for the task.
        heads: the fitted heads.
        recipe: the settings of the fit, as JSON values.
        training: what it was trained on: digest, counts, hashed subjects, versions.
        reduced: versions with fewer experts, the most useful first.
    """

    experts: list[ExpertInfo]
    models: dict[str, TaskModel]
    heads: list[FittedHeadOnExperts]
    recipe: dict[str, Any]
    training: dict[str, Any]
    reduced: list[ReducedEnsemble] = field(default_factory=list)

    @property
    def tasks(self) -> list[Task]:
        """The tasks, with their classes."""
        return [model.task for model in self.models.values()]

    @property
    def trained(self) -> int:
        """Count of the numbers in heads, weights and gates that labels have determined, without the baselines."""
        models = self.models.values()
        members = {name for model in models for name in model.combiner.members}
        heads = sum(one.head.trained for one in self.heads if one.name in members)
        gates = [model.gate for model in models if model.gate is not None]
        static = [m.combiner for m in models if m.gate is None or m.gate.uses_static_weights]
        return heads + sum(gate.trained for gate in gates) + sum(c.weights.size + c.bias.size for c in static)

    @property
    def needed(self) -> list[str]:
        """Names of the experts and gate inputs that an answer needs; the others need not run."""
        models = self.models.values()
        members = {
            member
            for model in models
            for member, weighted in zip(model.combiner.members, model.combiner.weighted, strict=True)
            if weighted
        }
        names = {name for one in self.heads if one.name in members for name in one.experts}
        names |= {model.gate_input for model in models if model.gate is not None}
        return [info.name for info in self.experts if info.name in names]

    def check(self, experts: Sequence[ExpertInfo]) -> None:
        """Check that these are the experts that the ensemble was fitted with.

        Raises:
            InputError: an expert is missing or has another fingerprint.
        """
        have = {info.name: info.fingerprint for info in experts}
        for info in self.experts:
            if info.name not in have:
                raise InputError(f"the bundle needs the expert {info.name!r}, which is not installed")
            if have[info.name] != info.fingerprint:
                raise InputError(
                    f"expert {info.name!r} is not the one that the bundle was trained on "
                    f"({have[info.name][:12]} here, {info.fingerprint[:12]} in the bundle): fit again, or install the "
                    f"version of enecg and the weights that the bundle names"
                )

    def with_columns(self, tasks: Iterable[Task]) -> Ensemble:
        """Return the same with labels read from the columns of `tasks`; the classes stay as they were trained.

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
        """Return task name -> answers.

        Args:
            embeddings: of the experts that `needed` names; with `compare`, of all experts.
            compare: also what every expert alone and the baselines answer.
        """
        wanted = {name for model in self.models.values() for name in model.combiner.members}
        if compare:
            several = [one for model in self.models.values() for one in model.baselines.combiners]
            wanted |= {name for one in several for name in one.members}
        usable = [one for one in self.heads if one.name in wanted and all(name in embeddings for name in one.experts)]
        scores = {one.name: one.scores(embeddings) for one in usable}
        count = len(next(iter(embeddings.values())))
        return {name: self._output(model, scores, embeddings, count, compare) for name, model in self.models.items()}

    def _output(
        self,
        model: TaskModel,
        scores: dict[str, dict[str, np.ndarray]],
        embeddings: Embeddings,
        count: int,
        compare: bool,
    ) -> TaskOutput:
        name, combiner = model.task.name, model.combiner
        missing = np.full((count, model.task.outputs), np.nan)

        def scores_of(one: Combiner) -> list[np.ndarray]:
            return [scores[member][name] if member in scores else missing for member in one.members]

        def calibrated(p: np.ndarray) -> np.ndarray:
            return p if model.calibrator is None else model.calibrator(p)

        gated = None if model.gate is None else model.gate.gated(np.asarray(embeddings[model.gate_input]), combiner)
        raw = combiner.predict(scores_of(combiner), gated)
        value = calibrated(raw)
        shares = self._shares(combiner, scores_of(combiner), gated)
        out = TaskOutput(model.task, value, shares, thresholds=model.thresholds)
        if model.calibrator is not None:
            out.raw = raw
        if model.residuals is not None:
            out.low, out.high = value[:, 0] + model.residuals[0], value[:, 0] + model.residuals[1]
        if compare:
            out.baselines = model.baselines.outputs(scores_of, count)
            if gated is not None:
                out.static = calibrated(combiner.predict(scores_of(combiner)))
        return out

    def _shares(self, combiner: Combiner, scores: list[np.ndarray], gated: Gated | None) -> dict[str, np.ndarray]:
        weights = combiner.effective(combiner.calibrated(scores), gated).mean(2)  # [member, recording]
        total = np.maximum(weights.sum(0), 1e-12)
        shares = {info.name: np.zeros(weights.shape[1]) for info in self.experts if not info.gate_input}
        for member, weight in zip(combiner.members, weights, strict=True):
            for expert, part in experts_of(member).items():
                shares[expert] += part * weight / total
        return shares
