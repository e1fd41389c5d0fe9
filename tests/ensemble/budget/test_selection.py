"""Cheaper versions of an ensemble: fewer experts, weighted anew, and never dearer than asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import INFOS, make

from enecg.ensemble.budget.selection import _increase, _most_useful, within
from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.fitting.fit import fit
from enecg.ensemble.fitting.recipes import Recipe
from enecg.errors import InputError

COSTS = {"measures": 2.0, "shapes": 5.0, "noise": 40.0}


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    embeddings, targets, subjects = make(400, seed=0)
    infos = [replace(info, cost_ms=COSTS[info.name]) for info in INFOS]
    return fit(embeddings, targets, subjects, infos, recipe=Recipe(closed_form=True, landmarks=64))


def test_for_less_cost_the_experts_are_kept_that_are_worth_most(ensemble: Ensemble) -> None:
    versions = {version.experts: version.cost for version in ensemble.reduced}
    assert versions[("measures", "shapes")] == pytest.approx(7 / 47)
    assert ensemble.reduced[0].experts == ("measures", "shapes")
    assert all("noise" not in experts for experts in versions)
    assert set(within(ensemble, budget=0.06).needed) == {"measures"}


def test_a_dear_expert_goes_before_several_cheap_ones() -> None:
    """Although the cheap ones are worth less for what they cost, half of the cost is enough for all of them."""
    worth, costs = np.array([0.30, 0.05, 0.01, 0.002]), np.array([0.6, 0.2, 0.15, 0.05])
    assert _most_useful(worth, costs, 0.5, 4) == (1, 2, 3)
    assert _most_useful(worth, costs, 0.65, 4) == (0, 3)
    assert _most_useful(worth, costs, 1.0, 1) == (0,)
    assert _most_useful(worth, costs, 0.01, 4) == ()


def test_a_loss_may_be_none_at_all_and_grows_tenfold_at_most() -> None:
    """A quantity may be measured without any error, with all experts and without some."""
    assert [_increase(0.0, 0.0), _increase(1.0, 0.0), _increase(3.0, 2.0), _increase(1.0, 2.0)] == [0.0, 10.0, 0.5, 0.0]
    assert _increase(float("inf"), 2.0) == 10.0


def test_a_version_keeps_its_budget_and_answers_every_task(ensemble: Ensemble) -> None:
    small = within(ensemble, budget=0.2)
    assert set(small.needed) <= {"measures", "shapes"}
    embeddings, _, _ = make(40, seed=3)
    seen = {name: embeddings[name] for name in small.needed}
    for output in small.predict(seen).values():
        assert np.isfinite(output.value).all()
        assert sum(share.mean() for share in output.weights.values()) == pytest.approx(1)
    one = within(ensemble, most=1)
    assert len(one.needed) == 1


def test_the_whole_is_kept_where_it_is_allowed(ensemble: Ensemble) -> None:
    assert within(ensemble) is ensemble
    assert within(ensemble, budget=1.0, most=3) is ensemble


def test_an_impossible_budget_is_told(ensemble: Ensemble) -> None:
    with pytest.raises(InputError, match="the cheapest costs"):
        within(ensemble, budget=0.001)


def test_an_expert_of_unknown_cost_counts_as_a_large_one() -> None:
    assert replace(INFOS[0], cost_ms=None).cost > 50
