"""The contract suite of heads: what every registered head must fulfil, checked on a made-up problem."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np

from enecg.ensemble.heads.base import Bag, FittedHead, Head
from enecg.ensemble.heads.registry import restore_head
from enecg.tasks import Target, Task

N: Final = 120
TASKS: Final = (Task("age", "regression", "age", loss="l1"), Task("sex", "binary", "sex", classes=("M", "F")))


def broken_rules(kind: type[Head]) -> list[str]:
    """Return one line for each rule that a kind of head breaks; none for a good head.

    Its `example` is trained a few times on `N` made-up recordings with a regression and a binary task.
    """
    problem = _Problem(kind)
    problem.fitted, problem.cross_fitted = problem.fit(), problem.cross_fit(problem.targets)
    rules = (_shapes, _learns, _restores, _repeats, _masks, _does_not_see_the_fold, _leaves_inputs, _threads)
    return [f"{kind.kind}: {line}" for line in (rule(problem) for rule in rules) if line]


class _Problem:
    """Embeddings of which every column follows the labels, the first one the age exactly; and a head fitted to them."""

    fitted: FittedHead
    cross_fitted: tuple[list[np.ndarray], FittedHead]

    def __init__(self, kind: type[Head]) -> None:
        rng = np.random.default_rng(0)
        latent = rng.normal(size=N)
        age = 60 + 10 * latent
        self.x = (latent[:, None] + rng.normal(0, 0.4, (N, sum(kind.contract_sizes)))).astype(np.float32)
        self.x[:, 0] = age
        self.targets = [Target(TASKS[0], age[:, None]), Target(TASKS[1], (latent > 0).astype(float)[:, None])]
        self.subjects = np.array([f"s{i // 2}" for i in range(N)])
        self.folds = np.arange(N) // 2 % 2
        self.head = kind.example(kind.contract_sizes)
        self.before = [self.x.copy(), *(target.y.copy() for target in self.targets)]

    def fit(self, targets: Sequence[Target] | None = None) -> FittedHead:
        return self.head.fit(self.x, targets or self.targets, self.subjects, 1)

    def cross_fit(self, targets: Sequence[Target]) -> tuple[list[np.ndarray], FittedHead]:
        return self.head.cross_fit(self.x, targets, self.subjects, self.folds, 1)


def _equal(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def _shapes(problem: _Problem) -> str:
    scores = problem.fitted.predict(problem.x[:7])
    good = [s.shape == (7, 1) and s.dtype == np.float64 and bool(np.isfinite(s).all()) for s in scores]
    return "" if good == [True, True] else "scores are not one finite float64 [recording, output] per task"


def _learns(problem: _Problem) -> str:
    scores = problem.fitted.predict(problem.x)
    found = [float(np.corrcoef(s[:, 0], t.y[:, 0])[0, 1]) for s, t in zip(scores, problem.targets, strict=True)]
    return "" if min(found) > 0.4 else f"scores do not follow the labels: correlations {np.round(found, 2).tolist()}"


def _restores(problem: _Problem) -> str:
    for one in (problem.fitted, problem.cross_fitted[1]):
        state = one.state()
        if json.loads(json.dumps(state.meta)) != state.meta:
            return "the state's meta is not plain JSON"
        if not isinstance(one, Bag) and type(one).__module__.rpartition(".")[2] != one.type:
            return f"type {one.type!r} is not the name of its module"
        if not _equal(one.predict(problem.x), restore_head(state).predict(problem.x)):
            return "a restored head gives other scores"
    return ""


def _repeats(problem: _Problem) -> str:
    same = _equal(problem.fitted.predict(problem.x), problem.fit().predict(problem.x))
    return "" if same else "the same seed gives another head"


def _masks(problem: _Problem) -> str:
    gaps = [replace(t, y=np.where(np.arange(N)[:, None] % 3 == 0, np.nan, t.y)) for t in problem.targets]
    scores = problem.fit(gaps).predict(problem.x)
    return "" if all(np.isfinite(s).all() for s in scores) else "missing labels make scores unknown"


def _does_not_see_the_fold(problem: _Problem) -> str:
    outside = problem.folds == 1
    changed = [replace(t, y=np.where(outside[:, None], t.y[::-1], t.y)) for t in problem.targets]
    before, after = problem.cross_fitted[0], problem.cross_fit(changed)[0]
    same = _equal([s[outside] for s in before], [s[outside] for s in after])
    return "" if same else "out-of-fold scores depend on the labels of their own fold"


def _leaves_inputs(problem: _Problem) -> str:
    same = _equal(problem.before, [problem.x, *(t.y for t in problem.targets)])
    return "" if same else "embeddings or labels are changed"


def _threads(problem: _Problem) -> str:
    parts = [problem.x, problem.x[::-1].copy()]
    alone = [problem.fitted.predict(part) for part in parts]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(problem.fitted.predict, parts * 4))
    same = all(_equal(one, alone[i % 2]) for i, one in enumerate(together))
    return "" if same else "scores depend on what another thread does"
