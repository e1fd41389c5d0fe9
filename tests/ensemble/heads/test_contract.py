"""Every registered head fulfils the contract, and the contract finds deliberate mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from enecg.ensemble.heads import registry
from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.ensemble.heads.contract import broken_rules
from enecg.ensemble.heads.registry import head_kinds, register_head, restore_head
from enecg.errors import InputError
from enecg.tasks import Target

KINDS = head_kinds()


def test_every_head_is_found() -> None:
    assert {"direct", "ridge", "kernel", "joint", "kernels", "trees", "ffn", "network"} <= KINDS.keys()


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_head_fulfils_the_contract(name: str) -> None:
    assert broken_rules(KINDS[name]) == []


@dataclass
class FittedMean(FittedHead):
    """Scores follow the mean of the embedding."""

    type: ClassVar[str] = "test_contract"

    slopes: list[float]
    calls: list[int] = field(default_factory=list)

    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        return [slope * x[:, 1:].mean(1, keepdims=True).astype(np.float64) for slope in self.slopes]

    def state(self) -> HeadState:
        return HeadState({"type": self.type, "slopes": self.slopes})

    @classmethod
    def restore(cls, state: HeadState) -> FittedMean:
        return cls(state.meta["slopes"])


class MeanHead(Head):
    """A head of one's own, in one file: what a user would add."""

    kind = "mean"

    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
        return FittedMean([float(np.nanstd(target.y)) for target in targets])


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FITTED", dict(registry._FITTED))
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    register_head(FittedMean)


@pytest.mark.usefixtures("registered")
def test_a_head_of_ones_own_fulfils_it() -> None:
    register_head(MeanHead)
    assert "mean" in head_kinds()
    assert broken_rules(MeanHead) == []


def test_an_unknown_head_is_refused() -> None:
    for name in ("os.system", "base", None):
        with pytest.raises(InputError, match="does not know"):
            restore_head(HeadState({"type": name}))


def _mistakes() -> dict[str, type[Head]]:
    class Float32(MeanHead):
        """Scores in single precision."""

        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            class Single(FittedMean):
                def predict(self, x: np.ndarray) -> list[np.ndarray]:
                    return [each.astype(np.float32) for each in super().predict(x)]

            return Single([1.0 for _ in targets])

    class Constant(MeanHead):
        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            return FittedMean([-1.0 for _ in targets])

    class Forgetful(MeanHead):
        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            class Rounded(FittedMean):
                def state(self) -> HeadState:
                    return HeadState({"type": self.type, "slopes": [round(s) for s in self.slopes]})

            return Rounded([float(np.nanstd(target.y)) + 0.25 for target in targets])

    class Unseeded(MeanHead):
        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            return FittedMean([float(np.random.default_rng().uniform(1, 2)) for _ in targets])

    class Unmasked(MeanHead):
        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            return FittedMean([float(target.y.std()) for target in targets])

    class Leaking(MeanHead):
        def cross_fit(
            self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, folds: np.ndarray, seed: int
        ) -> tuple[list[np.ndarray], FittedHead]:
            return [target.y.copy() for target in targets], self.fit(x, targets, subjects, seed)

    class Writing(MeanHead):
        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            x -= x.mean(0)
            return super().fit(x, targets, subjects, seed)

    class Shared(MeanHead):
        def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedMean:
            class Counting(FittedMean):
                def predict(self, x: np.ndarray) -> list[np.ndarray]:
                    self.calls.append(1)
                    return [each + 1e-3 * max(0, len(self.calls) - 2) for each in super().predict(x)]

            return Counting([float(np.nanstd(target.y)) for target in targets])

    return {
        "not one finite float64": Float32,
        "do not follow": Constant,
        "restored head": Forgetful,
        "same seed": Unseeded,
        "missing labels": Unmasked,
        "their own fold": Leaking,
        "are changed": Writing,
        "another thread": Shared,
    }


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("line", list(_mistakes()))
def test_a_mistake_is_found(line: str) -> None:
    assert any(line in broken for broken in broken_rules(_mistakes()[line]))
