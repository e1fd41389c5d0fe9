"""LightGBM's trees as arrays: predicting needs numpy alone, all trees at once, and gives LightGBM's numbers.

Every node is evaluated for every recording. Each decision excludes the leaves on its other side; the only leaf that no
decision excludes is the recording's leaf (QuickScorer: Lucchese et al., SIGIR 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final, Self

import numpy as np

MOST_LEAVES: Final = 64  # of a tree: the bits of an integer
_CATEGORICAL, _DEFAULT_LEFT, _ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2, 4, 8  # bits of LightGBM's decision type
_ZERO: Final = float(np.float32(1e-35))  # no further from zero is zero, for LightGBM
_CELLS: Final = 1 << 22  # decisions taken at a time: bounds the memory


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees, filled up with nodes that rule nothing out and with leaves that are never reached.

    Attributes:
        feature: int32 `[tree, node]`; column that is compared.
        threshold: float64 `[tree, node]`; left if the number is not above it.
        decision: uint8 `[tree, node]`; LightGBM's decision type: what is missing, and where it goes.
        left, right: unsigned `[tree, node]`; one bit for each leaf that is possible after going there.
        leaf: float64 `[tree, leaf]`.
    """

    feature: np.ndarray
    threshold: np.ndarray
    decision: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray

    def __len__(self) -> int:
        return len(self.leaf)

    @property
    def size(self) -> int:
        """Count of the learned numbers: values of leaves, columns and thresholds of splits."""
        leaves = int(np.bitwise_count(np.bitwise_or(self.left, self.right)).max(1).sum())
        return 3 * leaves - 2 * len(self)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the trees of a model in LightGBM's text format, numerical features only."""
        blocks = [block.partition("\n\n")[0] for block in text.split("\nTree=")[1:]]
        return cls.join([cls._tree(block) for block in blocks])

    @classmethod
    def _tree(cls, block: str) -> Self:
        lines = dict(line.split("=", 1) for line in block.splitlines()[1:])

        def array(name: str, kind: type) -> np.ndarray:
            return np.array(lines.get(name, "").split(), kind)

        leaf, decision = array("leaf_value", np.float64), array("decision_type", np.uint8)
        if (decision & _CATEGORICAL).any() or len(leaf) > MOST_LEAVES or int(lines.get("is_linear", "0")):
            raise ValueError(f"only numerical trees of constants in at most {MOST_LEAVES} leaves are read")
        left, right = _reached(array("left_child", np.int64), array("right_child", np.int64))
        if not len(left):
            return cls.constant(leaf[0])
        everything = np.uint64(2 ** len(leaf) - 1)
        parts = (array("split_feature", np.int32), array("threshold", np.float64), decision,
                 everything & ~right, everything & ~left, leaf)  # fmt: skip
        return cls(*(part[None] for part in parts))

    @classmethod
    def constant(cls, value: float) -> Self:
        """Return a tree with one leaf."""
        node = np.zeros((1, 1), np.uint8)
        return cls(node.astype(np.int32), node.astype(np.float64), node, node + 1, node + 1, np.full((1, 1), value))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the trees of several forests, in order."""
        nodes, leaves = (max(getattr(part, name).shape[1] for part in parts) for name in ("left", "leaf"))
        mask = np.min_scalar_type(2**leaves - 1)

        def joined(name: str, width: int, filling: int) -> np.ndarray:
            arrays = [getattr(part, name) for part in parts]
            joined = np.full((sum(map(len, arrays)), width), filling, np.result_type(*arrays))
            start = 0
            for array in arrays:
                joined[start : start + len(array), : array.shape[1]] = array
                start += len(array)
            return joined

        whole = 2**leaves - 1
        return cls(
            joined("feature", nodes, 0),
            joined("threshold", nodes, 0),
            joined("decision", nodes, 0),
            joined("left", nodes, whole).astype(mask),
            joined("right", nodes, whole).astype(mask),
            joined("leaf", leaves, 0),
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return each tree's value, float64 `[recording, tree]`, for `[recording, feature]`; NaN is missing."""
        out = np.empty((len(x), len(self)))
        step = max(1, _CELLS // max(1, self.feature.size))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            # One bit is left of each tree; the exponent of a power of two is its place.
            possible = np.bitwise_and.reduce(np.where(self._goes_left(x[rows]), self.left, self.right), axis=2)
            place = np.frexp(possible.astype(np.float64))[1] - 1
            out[rows] = self.leaf[np.arange(len(self)), place]
        return out

    def _goes_left(self, x: np.ndarray) -> np.ndarray:
        """Return whether each recording goes left at each node, bool `[recording, tree, node]`."""
        value = x[:, self.feature]
        left: np.ndarray = value <= self.threshold
        if np.isnan(x).any():
            left |= np.isnan(value) & self._unknown_goes_left
        if self._zero_is_missing.any():
            left = np.where(self._zero_is_missing & (np.abs(value) <= _ZERO), self._missing_goes_left, left)
        return left

    @cached_property
    def _missing_goes_left(self) -> np.ndarray:
        return np.asarray((self.decision & _DEFAULT_LEFT) > 0)

    @cached_property
    def _zero_is_missing(self) -> np.ndarray:
        return np.asarray((self.decision & _ZERO_IS_MISSING) > 0)

    @cached_property
    def _unknown_goes_left(self) -> np.ndarray:
        """Whether a NaN goes left; where training had no NaN, it counts as zero."""
        known = (self.decision & (_ZERO_IS_MISSING | _NAN_IS_MISSING)) > 0
        return np.where(known, self._missing_goes_left, self.threshold >= 0)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, for a bundle; `Forest(**arrays)` is the forest again."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _reached(left_child: np.ndarray, right_child: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the leaves below each node's left and right child, one bit each; children come after their parents.

    Args:
        left_child, right_child: int `[node]`; the number of a node, or `~leaf`.
    """
    left, right = np.zeros(len(left_child), np.uint64), np.zeros(len(left_child), np.uint64)
    for node in reversed(range(len(left_child))):
        for side, child in ((left, left_child[node]), (right, right_child[node])):
            side[node] = np.uint64(1) << np.uint64(~child) if child < 0 else left[child] | right[child]
    return left, right
