"""What an ensemble is compared with: every expert alone, all experts but one, and the standard baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from enecg.ensemble.combiner import Combiner
from enecg.ensemble.losses import mean_loss
from enecg.ensemble.weight_solver import experts_of
from enecg.tasks import Target

CONCAT: Final = "all/joint"  # one head on all embeddings side by side; no member of the ensemble
RANDOM: Final = "random"  # the untrained encoder, a control
Scores = Mapping[str, np.ndarray]  # member -> scores `[recording, output]`


def is_member(head: str) -> bool:
    """Return whether a head has weight in the ensemble; the heads of the baselines have none."""
    return head != CONCAT and head.split("/")[0] != RANDOM


@dataclass
class Baselines:
    """Combinations that answer for comparison only, fitted on the same out-of-fold scores.

    Attributes:
        single_experts: expert -> the members of that expert alone.
        leave_one_out: expert -> all members that do not need it; the difference is what the expert is worth.
        stacking: all members, with weights of any sign.
        concat: one head on all embeddings side by side.
        random: one head on an untrained encoder, where that was embedded.
        best: the expert of `single_experts` with the least out-of-fold loss.
        constant: value or probabilities that are the same for every recording.
    """

    single_experts: dict[str, Combiner]
    leave_one_out: dict[str, Combiner]
    stacking: Combiner
    concat: Combiner
    random: Combiner | None
    best: str
    constant: np.ndarray

    @property
    def combiners(self) -> list[Combiner]:
        """All of them."""
        several = [*self.single_experts.values(), *self.leave_one_out.values(), self.stacking, self.concat]
        return several if self.random is None else [*several, self.random]

    @classmethod
    def fit(cls, members: Sequence[str], scores: Scores, target: Target) -> Baselines:
        """Fit the baselines of one task.

        Args:
            members: of the ensemble.
            scores: out-of-fold scores of the members and of the baselines' own heads.
            target: labels.
        """

        def combined(chosen: Sequence[str]) -> Combiner:
            own = [scores[name] for name in chosen]
            return Combiner.fit(chosen, own, target, "shares").select_single_if_as_good(own, target)

        experts = list(dict.fromkeys(expert for name in members for expert in experts_of(name)))
        own = {expert: [m for m in members if [*experts_of(m)] == [expert]] for expert in experts}
        single = {expert: combined(chosen) for expert, chosen in own.items() if chosen}
        losses = {
            expert: mean_loss(one.predict([scores[m] for m in one.members]), target) for expert, one in single.items()
        }
        leave_one_out = {}
        if len(experts) > 1:
            leave_one_out = {e: combined([m for m in members if e not in experts_of(m)]) for e in experts}
        known = target.y[target.known]
        untrained = [name for name in scores if name.split("/")[0] == RANDOM]
        return cls(
            single,
            leave_one_out,
            Combiner.fit(members, [scores[name] for name in members], target, "free"),
            combined([CONCAT]),
            combined(untrained) if untrained else None,
            min(losses, key=lambda expert: losses[expert]),
            np.median(known, axis=0) if target.task.kind == "regression" else known.mean(0),
        )

    def outputs(self, scores_of: Callable[[Combiner], Sequence[np.ndarray]], count: int) -> BaselineOutputs:
        """Return the answers of all baselines.

        Args:
            scores_of: gives the scores of a combiner's members.
            count: number of recordings.
        """

        def answer(one: Combiner) -> np.ndarray:
            return one.predict(scores_of(one))

        single = {expert: answer(one) for expert, one in self.single_experts.items()}
        standard = {
            "constant": np.tile(self.constant, (count, 1)),
            "mean": _mean(list(single.values())),
            "best_on_validation": single[self.best],
            "stacking": answer(self.stacking),
            "concat": answer(self.concat),
        }
        if self.random is not None:
            standard["random"] = answer(self.random)
        return BaselineOutputs(single, standard, {expert: answer(one) for expert, one in self.leave_one_out.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "single_experts": {name: one.as_dict() for name, one in self.single_experts.items()},
            "leave_one_out": {name: one.as_dict() for name, one in self.leave_one_out.items()},
            "stacking": self.stacking.as_dict(),
            "concat": self.concat.as_dict(),
            "random": None if self.random is None else self.random.as_dict(),
            "best": self.best,
            "constant": self.constant.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Baselines:
        """Return what `as_dict` wrote."""
        return cls(
            {name: Combiner.from_dict(part) for name, part in data["single_experts"].items()},
            {name: Combiner.from_dict(part) for name, part in data["leave_one_out"].items()},
            Combiner.from_dict(data["stacking"]),
            Combiner.from_dict(data["concat"]),
            None if data["random"] is None else Combiner.from_dict(data["random"]),
            data["best"],
            np.array(data["constant"]),
        )


@dataclass
class BaselineOutputs:
    """Values or probabilities `[recording, output]` of the baselines, by name.

    Attributes:
        single_experts: expert -> its answers alone.
        standard: name of a baseline -> its answers.
        leave_one_out: expert -> the answers without it.
    """

    single_experts: dict[str, np.ndarray] = field(default_factory=dict)
    standard: dict[str, np.ndarray] = field(default_factory=dict)
    leave_one_out: dict[str, np.ndarray] = field(default_factory=dict)


def _mean(answers: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean over the answers that are known; NaN where none is."""
    stack = np.stack(answers)
    known = np.isfinite(stack)
    total = np.where(known, stack, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.asarray(np.where(known.any(0), total, np.nan))


def out_of_fold_loss(scores: Scores, target: Target) -> float:
    """Return the mean loss of one expert's members, combined, on out-of-fold scores; infinite without a member."""
    if not scores:
        return float("inf")
    own = list(scores.values())
    return mean_loss(Combiner.fit(list(scores), own, target, "shares").predict(own), target)
