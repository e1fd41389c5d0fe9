"""The ensemble: experts' heads, their weights per task, the gate, calibration. It predicts; `fit` makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from enecg.ensemble.baselines import Answers, Rivals
from enecg.ensemble.calibration import Calibrator
from enecg.ensemble.combiner import Combiner, Gated, experts_of
from enecg.ensemble.fitting.recipes import ExpertInfo
from enecg.ensemble.gates.clusters import OUTPUTS, Gate, Verdict, view_of
from enecg.ensemble.gates.perceptron import MixtureGate
from enecg.ensemble.heads.base import FittedHead
from enecg.errors import InputError
from enecg.tasks import Task

if TYPE_CHECKING:
    from enecg.ensemble.budget.cascade import SecondLook
    from enecg.ensemble.budget.selection import Cheaper

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
        """Task name -> scores `[recording, output]`; NaN rows where one of its experts was silent."""
        x = side_by_side(embeddings, self.experts)
        silent = silent_rows(embeddings, self.experts)
        out = dict(zip(self.tasks, self.head.predict(x), strict=True))
        for scores in out.values():
            scores[silent] = np.nan
        return out


def silent_rows(embeddings: Embeddings, experts: Sequence[str]) -> np.ndarray:
    """bool `[recording]`: at least one of the experts has nothing to say."""
    spoken = np.stack([np.isfinite(embeddings[name]).any(1) for name in experts])
    return np.asarray(~spoken.all(axis=0))


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
        verdict: how the best gate did on subjects that it had not seen; None when none was tried.
        view: what that gate looks at: the name of an embedding, or `outputs`.
        rivals: what it is compared with.
        calibrator: of its probabilities; None for a regression.
        residuals: (5 %, 95 %) quantiles of the out-of-fold error of a regression.
        thresholds: per output, for decisions; probabilities are left alone.
    """

    task: Task
    combiner: Combiner
    gate: Gate | MixtureGate | None
    verdict: Verdict | None
    view: str
    rivals: Rivals
    calibrator: Calibrator | None = None
    residuals: tuple[float, float] | None = None
    thresholds: np.ndarray | None = None

    @property
    def looked_at(self) -> set[str]:
        """The embedding that its gate needs, if any."""
        return {self.view} - {OUTPUTS} if self.gate is not None else set()


@dataclass
class TaskOutput:
    """Answers for one task.

    Attributes:
        task: what was asked.
        value: float64 `[recording, output]`: value or probabilities; NaN where no expert had an answer.
        weights: expert name -> share `[recording]` that it had in the answer; they sum to one.
        low, high: `[recording]` bounds of the 90 % interval of a regression.
        thresholds: for decisions, `[output]`, or `[recording, output]` where they differ.
        raw: probabilities before they were calibrated; None for a regression.
        static: what the static weights alone would say, where a gate is in use.
        rivals: what is said by those that it is compared with.
    """

    task: Task
    value: np.ndarray
    weights: dict[str, np.ndarray]
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    raw: np.ndarray | None = None
    static: np.ndarray | None = None
    rivals: Answers = field(default_factory=Answers)

    def decisions(self) -> list[str | list[str] | None]:
        """Class names by the thresholds (multiclass: the most probable); None for a regression or without answer."""
        names = self.task.output_names
        out: list[str | list[str] | None] = []
        limits = np.full(self.value.shape, np.nan)
        if self.task.kind in ("binary", "multilabel"):
            assert self.thresholds is not None
            limits = np.broadcast_to(self.thresholds, self.value.shape)
        for row, limit in zip(self.value, limits, strict=True):
            if self.task.kind == "regression" or not np.isfinite(row).all():
                out.append(None)
            elif self.task.kind == "multiclass":
                out.append(names[int(row.argmax())])
            elif self.task.kind == "binary":
                out.append(self.task.classes[int(row[0] >= limit[0])])
            else:
                out.append([name for name, p, t in zip(names, row, limit, strict=True) if p >= t])
        return out

    def amended(self, rows: np.ndarray, other: TaskOutput) -> TaskOutput:
        """With the answers of another version for some recordings.

        Args:
            rows: bool `[recording]`.
            other: answers of the same task for those.
        """

        def mixed(ours: np.ndarray | None, theirs: np.ndarray | None) -> np.ndarray | None:
            if ours is None or theirs is None:
                return None
            out = ours.copy()
            out[rows] = theirs
            return out

        def limits(output: TaskOutput) -> np.ndarray | None:
            return None if output.thresholds is None else np.broadcast_to(output.thresholds, output.value.shape)

        value = self.value.copy()
        value[rows] = other.value
        weights = {name: share.copy() for name, share in self.weights.items()}
        for name, share in other.weights.items():
            weights[name][rows] = share
        return replace(
            self, value=value, weights=weights, low=mixed(self.low, other.low), high=mixed(self.high, other.high),
            thresholds=mixed(limits(self), limits(other)), raw=mixed(self.raw, other.raw), static=None,
        )  # fmt: skip


@dataclass
class Ensemble:
    """Experts + heads + weights + gate + calibration.

    Attributes:
        experts: what it was trained with, views included, in order.
        models: task name -> what was learned for it.
        predictors: the fitted heads.
        recipe: its settings, as JSON values.
        training: what it was trained on: digest, counts, hashed subjects, versions.
        cheaper: versions with fewer experts, the dearest first.
        second: in such a version, what looks again where its answers leave a recording open.
    """

    experts: list[ExpertInfo]
    models: dict[str, TaskModel]
    predictors: list[Predictor]
    recipe: dict[str, Any]
    training: dict[str, Any]
    cheaper: list[Cheaper] = field(default_factory=list)
    second: SecondLook | None = None

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

    @property
    def needed(self) -> list[str]:
        """Names of the experts and views that have a say in a first answer; the others need not look at a recording."""
        models = self.models.values()
        heads = {
            member
            for model in models
            for member, weighted in zip(model.combiner.members, model.combiner.weighted, strict=True)
            if weighted
        }
        names = {name for p in self.predictors if p.name in heads for name in p.experts}
        names |= {name for model in models for name in model.looked_at}
        return [info.name for info in self.experts if info.name in names]

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
            embeddings: from the experts that `needed` names, here and in the second look; of all to compare.
            compare: also what every expert alone and the baselines say.

        Returns:
            Task name -> answers.
        """
        first = self.first_answers(embeddings, compare=compare)
        return first if self.second is None else self.second.applied(first, embeddings)

    def first_answers(self, embeddings: Embeddings, *, compare: bool = False) -> dict[str, TaskOutput]:
        """As `predict`, before any second look."""
        wanted = {name for model in self.models.values() for name in model.combiner.members}
        if compare:
            wanted |= {name for model in self.models.values() for one in model.rivals.combiners for name in one.members}
        at_hand = [p for p in self.predictors if p.name in wanted and all(name in embeddings for name in p.experts)]
        scores = {p.name: p.scores(embeddings) for p in at_hand}
        count = len(next(iter(embeddings.values())))
        return {name: self._answer(model, scores, embeddings, count, compare) for name, model in self.models.items()}

    def _answer(
        self,
        model: TaskModel,
        scores: dict[str, dict[str, np.ndarray]],
        embeddings: Embeddings,
        count: int,
        compare: bool,
    ) -> TaskOutput:
        name, combiner = model.task.name, model.combiner
        silent = np.full((count, model.task.outputs), np.nan)

        def of(one: Combiner) -> list[np.ndarray]:
            return [scores[member][name] if member in scores else silent for member in one.members]

        def settled(p: np.ndarray) -> np.ndarray:
            return p if model.calibrator is None else model.calibrator(p)

        gated = None
        if model.gate is not None:
            gated = model.gate.gated(view_of(model.view, embeddings, combiner, of(combiner)), combiner)
        raw = combiner.predict(of(combiner), gated)
        value = settled(raw)
        out = TaskOutput(model.task, value, self._shares(combiner, of(combiner), gated), thresholds=model.thresholds)
        if model.calibrator is not None:
            out.raw = raw
        if model.residuals is not None:
            out.low, out.high = value[:, 0] + model.residuals[0], value[:, 0] + model.residuals[1]
        if compare:
            out.rivals = model.rivals.answers(of, count)
            if gated is not None:
                out.static = settled(combiner.predict(of(combiner)))
        return out

    def _shares(self, combiner: Combiner, scores: list[np.ndarray], gated: Gated | None) -> dict[str, np.ndarray]:
        weights = combiner.effective(combiner.calibrated(scores), gated).mean(2)  # [member, recording]
        total = np.maximum(weights.sum(0), 1e-12)
        shares = {info.name: np.zeros(weights.shape[1]) for info in self.experts if not info.view}
        for member, weight in zip(combiner.members, weights, strict=True):
            for expert, part in experts_of(member).items():
                shares[expert] += part * weight / total
        return shares
