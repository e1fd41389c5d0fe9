"""Supervised networks as heads: they learn, are the same every time, and come back from a bundle bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from enecg.ensemble.heads.base import restore_head
from enecg.ensemble.heads.network import NETWORK_HEADS, Network, train
from enecg.tasks import Target, Task

SMALL = Network(epochs=12, batch=32)


def _beats(n: int, seed: int) -> tuple[np.ndarray, list[Target], np.ndarray]:
    """Beats with a bump in lead V1 whose place tells an age, and whose presence tells a class."""
    rng = np.random.default_rng(seed)
    beats = rng.normal(0, 0.3, (n, 12, 100)).astype(np.float32)
    place, there = rng.integers(20, 80, n), rng.random(n) < 0.5
    at = np.exp(-0.5 * ((np.arange(100) - place[:, None]) / 3) ** 2)
    beats[:, 6] += 4 * at
    beats[:, 9] += 4 * at * there[:, None]
    age = Target(Task("age", "regression", "age", "years", loss="l1"), place[:, None].astype(float))
    sex = Target(Task("sex", "binary", "sex", classes=("M", "F")), there[:, None].astype(float))
    return beats.reshape(n, -1), [age, sex], np.array([f"s{i}" for i in range(n)])


def test_learns_from_examples_and_masks_missing_labels() -> None:
    x, (age, sex), subjects = _beats(320, 0)
    age.y[::3] = np.nan
    x[::7, :100] = np.nan  # a lead that is not there
    fitted = SMALL.fit(x, [age, sex], subjects, seed=0)
    fresh, (truth, kind), _ = _beats(200, 1)
    years, score = fitted.predict(fresh)
    assert np.abs(years - truth.y).mean() < 0.6 * np.abs(truth.y - np.median(truth.y)).mean()
    assert score[kind.y == 1].mean() > score[kind.y == 0].mean() + 2


def test_out_of_fold_scores_come_from_networks_that_have_not_seen_the_fold() -> None:
    x, targets, subjects = _beats(96, 2)
    folds = np.arange(96) % 3
    head = replace(SMALL, epochs=2)
    oof, bag = head.cross_fit(x, targets, subjects, folds, seed=5)
    inside, outside = np.flatnonzero(folds != 1), np.flatnonzero(folds == 1)
    alone = train(head, x[inside], [target.take(inside) for target in targets], seed=6)
    for found, expected in zip(oof, alone.predict(x[outside]), strict=True):
        np.testing.assert_array_equal(found[outside], expected)
    again = restore_head(bag.state())
    for one, other in zip(again.predict(x), bag.predict(x), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", NETWORK_HEADS)
def test_a_network_takes_less_than_a_megabyte(kind: str) -> None:
    samples = {"beat": 100, "signal": 700}[kind]
    x = np.random.default_rng(0).normal(size=(8, 12 * samples)).astype(np.float32)
    target = Target(Task("age", "regression", "age", loss="l1"), np.arange(8.0)[:, None])
    fitted = train(replace(NETWORK_HEADS[kind], epochs=1), x, [target], seed=0)
    assert sum(tensor.nbytes for tensor in fitted.state().tensors.values()) < 1_000_000
    assert fitted.predict(x)[0].shape == (8, 1)
