"""What goes into an ensemble's prediction and what comes out: embeddings, heads' scores, answers per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from enecg.ensemble.baselines import BaselineOutputs
from enecg.ensemble.heads.base import FittedHead
from enecg.tasks import Task

if TYPE_CHECKING:
    from enecg.ensemble.ensemble import TaskModel
    from enecg.ensemble.expert_info import ExpertInfo

Embeddings = Mapping[str, np.ndarray]  # expert name -> float32 [recording, dim]; a row of NaN: no embedding


@dataclass
class FittedHeadOnExperts:
    """A fitted head with the experts whose embeddings it reads and the tasks that it answers.

    Attributes:
        name: `expert/kind`, or `expert+expert/kind`.
        experts: whose embeddings the head reads, side by side.
        tasks: names, in the order of the head's outputs.
        head: fitted.
    """

    name: str
    experts: tuple[str, ...]
    tasks: tuple[str, ...]
    head: FittedHead

    def scores(self, embeddings: Embeddings) -> dict[str, np.ndarray]:
        """Return task name -> scores `[recording, output]`; a row is NaN where an expert has no embedding."""
        x = side_by_side(embeddings, self.experts)
        missing = missing_rows(embeddings, self.experts)
        out = dict(zip(self.tasks, self.head.predict(x), strict=True))
        for scores in out.values():
            scores[missing] = np.nan
        return out


def missing_rows(embeddings: Embeddings, experts: Sequence[str]) -> np.ndarray:
    """Return bool `[recording]`: at least one of the experts has no embedding."""
    there = np.stack([np.isfinite(embeddings[name]).any(1) for name in experts])
    return np.asarray(~there.all(axis=0))


def side_by_side(embeddings: Embeddings, experts: Sequence[str]) -> np.ndarray:
    """Return the embeddings of several experts as one matrix `[recording, sum of dims]`."""
    if len(experts) == 1:
        return np.asarray(embeddings[experts[0]])
    return np.concatenate([embeddings[name] for name in experts], axis=1)


@dataclass
class TaskOutput:
    """The answers to one task.

    Attributes:
        task: with its classes.
        value: float64 `[recording, output]`: value or probabilities; NaN where no expert has an answer.
        weights: expert name -> share `[recording]` that it has in the answer; the shares sum to one.
        low, high: `[recording]` bounds of the 90 % interval of a regression.
        thresholds: for decisions, `[output]`, or `[recording, output]` where they differ.
        raw: probabilities before calibration; None for a regression.
        static: the answer of the static weights alone, where a gate is in use.
        baselines: the answers of the baselines, where they were asked for.
    """

    task: Task
    value: np.ndarray
    weights: dict[str, np.ndarray]
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    raw: np.ndarray | None = None
    static: np.ndarray | None = None
    baselines: BaselineOutputs = field(default_factory=BaselineOutputs)

    def decisions(self) -> list[str | list[str] | None]:
        """Return class names by the thresholds, or by 0.5 where there are none; None without an answer.

        The class of a multiclass task is the most probable one.
        """
        names = self.task.output_names
        out: list[str | list[str] | None] = []
        limits = np.broadcast_to(0.5 if self.thresholds is None else self.thresholds, self.value.shape)
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

    def with_rows(self, rows: np.ndarray, other: TaskOutput) -> TaskOutput:
        """Return these answers with those of another version for some recordings.

        Args:
            rows: bool `[recording]`, the recordings that are replaced.
            other: answers to the same task for those recordings.
        """

        def merged(ours: np.ndarray | None, theirs: np.ndarray | None) -> np.ndarray | None:
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
            self, value=value, weights=weights, low=merged(self.low, other.low), high=merged(self.high, other.high),
            thresholds=merged(limits(self), limits(other)), raw=merged(self.raw, other.raw), static=None,
        )  # fmt: skip


class Answering(Protocol):
    """What answers tasks from embeddings: an `Ensemble`, or a `Cascade` of two."""

    @property
    def experts(self) -> list[ExpertInfo]:
        """The experts that it was fitted with, gate inputs included."""

    @property
    def models(self) -> dict[str, TaskModel]:
        """Task name -> what was fitted for the task; of a cascade, of its first stage."""

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of the fit, as JSON values."""

    @property
    def training(self) -> dict[str, Any]:
        """What it was trained on."""

    @property
    def tasks(self) -> list[Task]:
        """The tasks, with their classes."""

    @property
    def needed(self) -> list[str]:
        """Names of the experts and gate inputs that every recording needs."""

    def predict(self, embeddings: Embeddings, *, compare: bool = False) -> dict[str, TaskOutput]:
        """Return task name -> answers; with `compare` also those of the baselines."""

    def with_columns(self, tasks: Iterable[Task]) -> Answering:
        """Return the same with labels read from the columns of `tasks`."""
