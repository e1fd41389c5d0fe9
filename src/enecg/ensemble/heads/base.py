"""What a head is: a small trained map from an embedding to the outputs of some tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.lora import Adapter
from enecg.ensemble.heads.registry import register_head, restore_head
from enecg.tasks import Target

Tensors = dict[str, np.ndarray]  # float32, named as in torch: `first.weight` [out, in]

# Torch has one generator for all threads: a head that draws from it holds this lock, so that its draws are its own.
TORCH_GENERATOR = Lock()


@dataclass
class HeadState:
    """A fitted head as plain data: what a bundle stores, without pickle.

    Attributes:
        meta: JSON values.
        tensors: name -> array, for safetensors.
        adapters: name -> low-rank adapter, for peft's files.
    """

    meta: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    adapters: dict[str, Adapter] = field(default_factory=dict)

    @classmethod
    def nested(cls, meta: dict[str, Any], parts: Mapping[str, HeadState]) -> HeadState:
        """Return one state of several, their names prefixed by `part/`."""
        state = cls({**meta, "parts": {name: part.meta for name, part in parts.items()}})
        for name, part in parts.items():
            state.tensors |= {f"{name}/{key}": value for key, value in part.tensors.items()}
            state.adapters |= {f"{name}/{key}": value for key, value in part.adapters.items()}
        return state

    def part(self, name: str) -> HeadState:
        """Return one of the parts that `nested` joined."""
        inside = f"{name}/"
        return HeadState(
            self.meta["parts"][name],
            {key.removeprefix(inside): value for key, value in self.tensors.items() if key.startswith(inside)},
            {key.removeprefix(inside): value for key, value in self.adapters.items() if key.startswith(inside)},
        )


class FittedHead(ABC):
    """A trained head.

    Attributes:
        type: its name in a bundle, which is that of its module.
    """

    type: ClassVar[str]

    @abstractmethod
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        """Return scores, one float64 `[recording, output]` per task that it was fitted to.

        Regressions in the task's unit; classes as scores that rise with the probability, calibrated later.
        A row of NaN means that this head has no answer for the recording.
        """

    @abstractmethod
    def state(self) -> HeadState:
        """Return all that `restore` needs."""

    @property
    def trained(self) -> int:
        """Count of the numbers that labels have determined."""
        state = self.state()
        return sum(t.size for t in state.tensors.values()) + sum(a.parameters for a in state.adapters.values())

    @classmethod
    @abstractmethod
    def restore(cls, state: HeadState) -> FittedHead:
        """Return the head from its `state`: the same predictions, bit for bit on one machine."""


class Head(ABC):
    """A kind of head, with its settings.

    Attributes:
        kind: the name in recipes and reports.
        bag: True when the final head is the mean of the cross-fitted ones, False when it is fitted again on all rows.
        contract_sizes: dimensions of the experts in the contract suite, whose embeddings lie side by side.
    """

    kind: ClassVar[str]
    bag: ClassVar[bool] = False
    contract_sizes: ClassVar[tuple[int, ...]] = (6, 8)

    @abstractmethod
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedHead:
        """Train on embeddings `[recording, dim]` (NaN = unknown number); unlabelled recordings are left out per task.

        Args:
            x: float32 `[recording, dim]`.
            targets: the tasks' labels for these recordings.
            subjects: `[recording]`; whatever is held out inside is held out by subject.
            seed: of everything random.
        """

    @classmethod
    def example(cls, sizes: Sequence[int]) -> Head:
        """Return a small head of this kind for the contract suite, on embeddings of these sizes side by side."""
        return cls()

    def cross_fit(
        self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, folds: np.ndarray, seed: int
    ) -> tuple[list[np.ndarray], FittedHead]:
        """Return out-of-fold scores of every training recording, and the head for other recordings.

        Args:
            x: float32 `[recording, dim]`.
            targets: labels; recordings without one are scored all the same.
            subjects: `[recording]`.
            folds: int `[recording]`, constant within a subject.
            seed: of everything random.

        Returns:
            Out-of-fold scores, one `[recording, output]` per task, and the head for recordings to come.
        """
        oof = [np.full((len(x), target.y.shape[1]), np.nan) for target in targets]
        fitted = []
        for fold in np.unique(folds):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            part = self.fit(x[inside], [target.take(inside) for target in targets], subjects[inside], seed + int(fold))
            for scores, found in zip(oof, part.predict(x[outside]), strict=True):
                scores[outside] = found
            fitted.append(part)
        return oof, Bag(fitted) if self.bag else self.fit(x, targets, subjects, seed)


@register_head
class Bag(FittedHead):
    """The mean of several fitted heads."""

    type = "bag"

    def __init__(self, members: Sequence[FittedHead]) -> None:
        self.members = list(members)

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        each = [member.predict(x) for member in self.members]
        return [np.mean([scores[task] for scores in each], axis=0) for task in range(len(each[0]))]

    @property
    @override
    def trained(self) -> int:
        return sum(member.trained for member in self.members)

    @override
    def state(self) -> HeadState:
        return HeadState.nested({"type": self.type}, {str(i): member.state() for i, member in enumerate(self.members)})

    @override
    @classmethod
    def restore(cls, state: HeadState) -> Bag:
        return cls([restore_head(state.part(name)) for name in state.meta["parts"]])
