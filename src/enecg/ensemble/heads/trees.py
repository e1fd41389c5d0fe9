"""Boosted trees by LightGBM, for experts whose numbers are measurements of different kinds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.tasks import Target


def _booster(text: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=text)


@dataclass
class FittedTrees(FittedHead):
    """One booster per output, in LightGBM's text format; an output that was constant in training keeps its constant."""

    type: ClassVar[str] = "trees"

    boosters: list[list[Any]]  # per task, per output: a Booster or a float
    means: list[float]  # per task; what was subtracted from a regression's labels
    scales: list[float]

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        out = []
        for boosters, mean, scale in zip(self.boosters, self.means, self.scales, strict=True):
            scores = np.empty((len(x), len(boosters)))
            for column, booster in enumerate(boosters):
                fixed = isinstance(booster, float)
                scores[:, column] = booster if fixed else booster.predict(x, raw_score=True, num_threads=1)
            out.append(scores * scale + mean)
        return out

    @property
    @override
    def trained(self) -> int:
        """Values of leaves, and columns and thresholds of the splits."""
        grown = [booster for boosters in self.boosters for booster in boosters if not isinstance(booster, float)]
        trees = [tree for booster in grown for tree in booster.dump_model()["tree_info"]]
        return sum(3 * tree["num_leaves"] - 2 for tree in trees)

    @override
    def state(self) -> HeadState:
        state = HeadState({"type": self.type, "means": self.means, "scales": self.scales, "constants": []})
        for task, boosters in enumerate(self.boosters):
            constants: list[float | None] = []
            for output, booster in enumerate(boosters):
                fixed = isinstance(booster, float)
                constants.append(booster if fixed else None)
                if not fixed:
                    state.texts[f"{task}.{output}.txt"] = booster.model_to_string(importance_type="gain")
            state.meta["constants"].append(constants)
        return state

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedTrees:
        boosters = [
            [
                _booster(state.texts[f"{task}.{output}.txt"]) if constant is None else constant
                for output, constant in enumerate(constants)
            ]
            for task, constants in enumerate(state.meta["constants"])
        ]
        return cls(boosters, state.meta["means"], state.meta["scales"])


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Trees(Head):
    """Gradient boosting (Ke et al. 2017): many small trees, each on a few columns; one score per class.

    Attributes:
        rounds: trees per output.
        rate: learning rate.
        leaves: leaves per tree.
        columns: share of the columns that a tree may look at.
    """

    rounds: int = 300
    rate: float = 0.03
    leaves: int = 7
    columns: float = 0.15
    kind: ClassVar[str] = "trees"
    bag: ClassVar[bool] = True

    @override
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedTrees:
        means, scales, jobs = [], [], []
        for task, target in enumerate(targets):
            rows = target.known
            regression = target.task.kind == "regression"
            mean = float(np.median(target.y[rows])) if regression else 0.0
            scale = (float(target.y[rows].std()) or 1.0) if regression else 1.0
            means.append(mean)
            scales.append(scale)
            jobs += [(task, rows, column, regression) for column in ((target.y[rows] - mean) / scale).T]
        # One booster per thread: on so few rows, threads inside LightGBM cost far more than they bring.
        with ThreadPoolExecutor(_threads()) as pool:
            grown = list(pool.map(lambda job: self._grow(x[job[1]], job[2], job[3], seed), jobs))
        boosters: list[list[Any]] = [[] for _ in targets]
        for (task, *_), booster in zip(jobs, grown, strict=True):
            boosters[task].append(booster)
        return FittedTrees(boosters, means, scales)

    def _grow(self, x: np.ndarray, y: np.ndarray, regression: bool, seed: int) -> Any:
        import lightgbm

        if np.ptp(y) == 0:
            return 0.0 if regression else float(np.sign(y[0] - 0.5) * 6)
        settings = {
            "objective": "l1" if regression else "binary",
            "learning_rate": self.rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": 15,
            "feature_fraction": self.columns,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
            "max_bin": 63,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        return lightgbm.train(settings, lightgbm.Dataset(x, y, free_raw_data=True), self.rounds)
