"""Boosted trees by LightGBM, for experts whose numbers are measurements of different kinds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.ensemble.heads.registry import register_head
from enecg.ensemble.heads.tree_arrays import Forest
from enecg.ensemble.losses import label_scale, scaled_labels
from enecg.tasks import Target
from enecg.workers.threads import cpus


@register_head
@dataclass
class FittedTrees(FittedHead):
    """The trees of all outputs, and the scale of each task's labels."""

    type: ClassVar[str] = "trees"

    forest: Forest
    counts: list[list[int]]  # per task, per output: how many of the forest's trees, in this order, are its own
    means: list[float]  # per task; what was subtracted from a regression's labels
    scales: list[float]

    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        values = self.forest(x)
        out, start = [], 0
        for counts, mean, scale in zip(self.counts, self.means, self.scales, strict=True):
            scores = np.empty((len(x), len(counts)))
            for output, count in enumerate(counts):
                # One after the other, as LightGBM adds them up: the same bits.
                scores[:, output] = values[:, start : start + count].cumsum(1)[:, -1]
                start += count
            out.append(scores * scale + mean)
        return out

    @property
    @override
    def trained(self) -> int:
        """Values of leaves, and columns and thresholds of the splits."""
        return self.forest.size

    @override
    def state(self) -> HeadState:
        meta = {"type": self.type, "counts": self.counts, "means": self.means, "scales": self.scales}
        return HeadState(meta, self.forest.arrays())

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedTrees:
        meta = state.meta
        return cls(Forest(**state.tensors), meta["counts"], meta["means"], meta["scales"])


@register_head
@dataclass
class Trees(Head):
    """Gradient boosting (Ke et al. 2017): many small trees, each on a few columns; one score per class.

    Attributes:
        rounds: trees per output.
        rate: learning rate.
        leaves: leaves per tree.
        columns: share of the columns that a tree may use.
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
            unit = label_scale(target)
            means.append(unit[0])
            scales.append(unit[1])
            jobs += [(task, rows, column, regression) for column in scaled_labels(target, unit)[rows].T]
        # One booster per thread: on so few rows, threads inside LightGBM cost far more than they bring.
        with ThreadPoolExecutor(cpus()) as pool:
            grown = list(pool.map(lambda job: self._grow(x[job[1]], job[2], job[3], seed), jobs))
        counts: list[list[int]] = [[] for _ in targets]
        for (task, *_), forest in zip(jobs, grown, strict=True):
            counts[task].append(len(forest))
        return FittedTrees(Forest.join(grown), counts, means, scales)

    def _grow(self, x: np.ndarray, y: np.ndarray, regression: bool, seed: int) -> Forest:
        """Return the trees of one output."""
        import lightgbm

        if np.ptp(y) == 0:
            return Forest.constant(0.0 if regression else float(np.sign(y[0] - 0.5) * 6))
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
        grown = lightgbm.train(settings, lightgbm.Dataset(x, y, free_raw_data=True), self.rounds)
        return Forest.parse(grown.model_to_string())

    @override
    @classmethod
    def example(cls, sizes: Sequence[int]) -> Trees:
        return cls(rounds=30)
