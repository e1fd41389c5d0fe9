"""Trees as arrays: LightGBM's numbers bit for bit, whatever is missing and wherever it is sent."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from enecg.ensemble.heads.tree_arrays import Forest

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 3}
HOW: dict[str, dict[str, Any]] = {
    "as the recipe": {"objective": "binary", "num_leaves": 7, "feature_fraction": 0.4},
    "two leaves": {"objective": "binary", "num_leaves": 2},
    "many leaves": {"objective": "l1", "num_leaves": 64},
    "zero is missing": {"objective": "binary", "num_leaves": 31, "zero_as_missing": True},
    "missing is zero": {"objective": "binary", "num_leaves": 9, "use_missing": False},
}


def numbers(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Some NaN, many zeros, a column that is constant and one that is never known."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = 0
    x[:, :6][rng.random((n, 6)) < 0.3] = np.nan
    x[:, 10], x[:, 11] = 3, np.nan
    y = np.nansum(x[:, :4], axis=1) + np.isnan(x[:, 5]) - (x[:, 7] == 0) + rng.normal(0, 0.5, n)
    return x, y


def grown_on(x: np.ndarray, y: np.ndarray, rounds: int, **settings: Any) -> lightgbm.Booster:
    return lightgbm.train({**QUIET, **settings}, lightgbm.Dataset(x, y), rounds)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("gaps", [True, False])
def test_equals_lightgbm(how: str, gaps: bool) -> None:
    x, y = numbers()
    if not gaps:  # in training; later there are some
        x = np.nan_to_num(x)
    labels = y > 0 if HOW[how]["objective"] == "binary" else y
    grown = grown_on(x, labels, 25, **HOW[how])
    later, _ = numbers(seed=1)
    later[::7, 3], later[::11, 2], later[::13, 7] = np.inf, -np.inf, 1e-36
    forest = Forest.parse(grown.model_to_string())
    assert len(forest) == grown.num_trees() == 25
    np.testing.assert_array_equal(forest(later).cumsum(1)[:, -1], grown.predict(later, raw_score=True))
    np.testing.assert_array_equal(
        forest(later)[:, 0], grown.predict(later, raw_score=True, start_iteration=0, num_iteration=1)
    )


def test_every_kind_of_missing_is_met() -> None:
    """What the comparison above is worth: NaN, zero and neither are missing somewhere, and go to both sides."""
    x, y = numbers()
    x[:, 8:10] = np.nan_to_num(x[:, 8:10])
    kinds = [set(Forest.parse(grown_on(x, y > 0, 25, **HOW[how]).model_to_string()).decision.ravel()) for how in HOW]
    assert set.union(*kinds) == {0, 2, 4, 6, 8, 10}


def test_trees_without_a_decision() -> None:
    x, y = numbers(40)
    grown = grown_on(x, y, 3, min_data_in_leaf=100)
    forest = Forest.parse(grown.model_to_string())
    np.testing.assert_array_equal(forest(x).cumsum(1)[:, -1], grown.predict(x, raw_score=True))
    both = Forest.join([Forest.constant(2.5), forest])
    assert (both(x)[:, 0] == 2.5).all()


def test_trees_of_several_shapes_side_by_side() -> None:
    x, y = numbers()
    small, large = (Forest.parse(grown_on(x, y, 5, num_leaves=n).model_to_string()) for n in (3, 40))
    joined = Forest.join([small, Forest.constant(-1.0), large])
    np.testing.assert_array_equal(joined(x), np.column_stack([small(x), np.full(len(x), -1.0), large(x)]))
    again = Forest(**joined.arrays())
    np.testing.assert_array_equal(again(x), joined(x))


def test_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = numbers()
    forest = Forest.parse(grown_on(x, y, 5).model_to_string())
    whole = forest(x)
    monkeypatch.setattr("enecg.ensemble.heads.tree_arrays._CELLS", 7 * forest.feature.size)
    np.testing.assert_array_equal(forest(x), whole)


@pytest.mark.parametrize("settings", [{"categorical_feature": [0]}, {"linear_tree": True}, {"num_leaves": 65}])
def test_what_is_not_read_is_refused(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 5, 600), rng.normal(size=(600, 3))]).astype(np.float32)
    y = (x[:, 0] == 2) + x[:, 1] ** 2 + rng.normal(0, 0.1, 600)
    settings = dict(settings)
    data = lightgbm.Dataset(x, y, categorical_feature=settings.pop("categorical_feature", "auto"), params=settings)
    grown = lightgbm.train({**QUIET, **settings}, data, 3)
    with pytest.raises(ValueError, match="only numerical trees"):
        Forest.parse(grown.model_to_string())
