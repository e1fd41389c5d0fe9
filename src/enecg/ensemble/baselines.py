"""What an ensemble is compared with: every expert alone, all but one of them, and the usual baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from enecg.ensemble.combiner import Combiner, experts_of
from enecg.tasks import Target

CONCAT: Final = "all/joint"  # one head on all embeddings side by side; no member of the ensemble
RANDOM: Final = "random"  # the untrained encoder, a view
Scores = Mapping[str, np.ndarray]  # member -> scores `[recording, output]`


def is_member(head: str) -> bool:
    """Whether a head has a say in the ensemble; those of the baselines have none."""
    return head != CONCAT and head.split("/")[0] != RANDOM


@dataclass
class Rivals:
    """Combinations that answer for comparison only, fitted on the same out-of-fold scores.

    Attributes:
        alone: expert -> that expert's own members.
        without: expert -> all members that do not need it; what is lost without it is what it is worth.
        stacking: all members, with weights of any sign.
        concat: one head on all embeddings side by side.
        random: one head on an untrained encoder, where that was embedded.
        best: the expert of `alone` that was best out of fold: the choice that one would make without an ensemble.
        constant: value or probabilities of always saying the same.
    """

    alone: dict[str, Combiner]
    without: dict[str, Combiner]
    stacking: Combiner
    concat: Combiner
    random: Combiner | None
    best: str
    constant: np.ndarray

    @property
    def combiners(self) -> list[Combiner]:
        """All of them."""
        several = [*self.alone.values(), *self.without.values(), self.stacking, self.concat]
        return several if self.random is None else [*several, self.random]

    @classmethod
    def fit(cls, members: Sequence[str], scores: Scores, target: Target) -> Rivals:
        """Fit them.

        Args:
            members: of the ensemble.
            scores: theirs, out of fold, and those of the baselines' heads.
            target: labels.
        """

        def combined(chosen: Sequence[str]) -> Combiner:
            own = [scores[name] for name in chosen]
            return Combiner.fit(chosen, own, target, "shares").passed_through(own, target)

        experts = list(dict.fromkeys(expert for name in members for expert in experts_of(name)))
        own = {expert: [m for m in members if [*experts_of(m)] == [expert]] for expert in experts}
        alone = {expert: combined(chosen) for expert, chosen in own.items() if chosen}
        losses = {expert: loss(one.predict([scores[m] for m in one.members]), target) for expert, one in alone.items()}
        without = {}
        if len(experts) > 1:
            without = {e: combined([m for m in members if e not in experts_of(m)]) for e in experts}
        known = target.y[target.known]
        untrained = [name for name in scores if name.split("/")[0] == RANDOM]
        return cls(
            alone,
            without,
            Combiner.fit(members, [scores[name] for name in members], target, "free"),
            combined([CONCAT]),
            combined(untrained) if untrained else None,
            min(losses, key=lambda expert: losses[expert]),
            np.median(known, axis=0) if target.task.kind == "regression" else known.mean(0),
        )

    def answers(self, of: Callable[[Combiner], Sequence[np.ndarray]], count: int) -> Answers:
        """What they say; `of` gives the scores of a combiner's members, `count` is the number of recordings."""

        def said(one: Combiner) -> np.ndarray:
            return one.predict(of(one))

        alone = {expert: said(one) for expert, one in self.alone.items()}
        baselines = {
            "constant": np.tile(self.constant, (count, 1)),
            "mean": _mean(list(alone.values())),
            "best_on_validation": alone[self.best],
            "stacking": said(self.stacking),
            "concat": said(self.concat),
        }
        if self.random is not None:
            baselines["random"] = said(self.random)
        return Answers(alone, baselines, {expert: said(one) for expert, one in self.without.items()})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "alone": {name: one.as_dict() for name, one in self.alone.items()},
            "without": {name: one.as_dict() for name, one in self.without.items()},
            "stacking": self.stacking.as_dict(),
            "concat": self.concat.as_dict(),
            "random": None if self.random is None else self.random.as_dict(),
            "best": self.best,
            "constant": self.constant.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rivals:
        """From `as_dict`."""
        return cls(
            {name: Combiner.from_dict(part) for name, part in data["alone"].items()},
            {name: Combiner.from_dict(part) for name, part in data["without"].items()},
            Combiner.from_dict(data["stacking"]),
            Combiner.from_dict(data["concat"]),
            None if data["random"] is None else Combiner.from_dict(data["random"]),
            data["best"],
            np.array(data["constant"]),
        )


@dataclass
class Answers:
    """Values or probabilities `[recording, output]` of the rivals, by name."""

    alone: dict[str, np.ndarray] = field(default_factory=dict)
    baselines: dict[str, np.ndarray] = field(default_factory=dict)
    without: dict[str, np.ndarray] = field(default_factory=dict)


def _mean(answers: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over those who have an answer; NaN where nobody has."""
    stack = np.stack(answers)
    known = np.isfinite(stack)
    total = np.where(known, stack, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.asarray(np.where(known.any(0), total, np.nan))


def out_of_fold_loss(scores: Scores, target: Target) -> float:
    """Loss of one expert's members, combined, on recordings that they have not learned from; infinite without any."""
    if not scores:
        return float("inf")
    own = list(scores.values())
    return loss(Combiner.fit(list(scores), own, target, "shares").predict(own), target)


def loss(answers: np.ndarray, target: Target) -> float:
    """Mean absolute error or log-loss over what was answered; infinite where nothing was."""
    rows = target.known & np.isfinite(answers).all(1)
    if not rows.any():
        return float("inf")
    p, y = answers[rows], target.y[rows]
    if target.task.kind == "regression":
        return float(np.abs(p - y).mean())
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(1).mean())
