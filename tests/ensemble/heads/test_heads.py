"""Heads on several tasks with gaps; ridge against scikit-learn and brute-force leave-one-out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from synthetic import make, regression

from enecg.cohorts.split import subject_folds
from enecg.ensemble.heads import leave_one_out as linear
from enecg.ensemble.heads.base import Bag, Head
from enecg.ensemble.heads.direct import Direct
from enecg.ensemble.heads.feature_maps import GROUP, Blocks, Landmarks, Standard
from enecg.ensemble.heads.feed_forward import FeedForward
from enecg.ensemble.heads.feed_forward_training import ADAPTED, Trunk
from enecg.ensemble.heads.leave_one_out import ALPHAS, Ridges
from enecg.ensemble.heads.registry import restore_head
from enecg.ensemble.heads.ridge import FittedLinear, Joint, Kernel, Ridge, _alike
from enecg.ensemble.heads.trees import Trees
from enecg.errors import InputError

HEADS: dict[str, Head] = {
    "ridge": Ridge(),
    "kernel": Kernel(64),
    "joint": Joint([5, 7]),
    "trees": Trees(rounds=20),
    "ffn": FeedForward(epochs=15),
    "ffn-lora": FeedForward(epochs=10, lora_rank=4, lora_epochs=4),
}


@pytest.mark.parametrize("name", HEADS)
def test_learns_and_restores_bit_for_bit(name: str) -> None:
    embeddings, targets, subjects = make(300)
    x, head = embeddings["measures"], HEADS[name]
    fitted = head.fit(x, targets, subjects, seed=1)
    scores = fitted.predict(x)
    assert [s.shape for s in scores] == [t.y.shape for t in targets]
    rr, wide = scores[0][:, 0], scores[4][:, list(targets[4].task.classes).index("W")]
    assert np.corrcoef(rr, targets[0].y[:, 0])[0, 1] > 0.7
    labels = targets[4].y[:, list(targets[4].task.classes).index("W")]
    assert wide[labels == 1].mean() > wide[labels == 0].mean()
    again = restore_head(fitted.state()).predict(x)
    assert all((a == b).all() for a, b in zip(scores, again, strict=True))


@pytest.mark.parametrize("name", HEADS)
def test_unknown_numbers_are_no_obstacle(name: str) -> None:
    embeddings, targets, subjects = make(150)
    x = embeddings["measures"].copy()
    x[::3, 4] = np.nan
    x[:, 5] = np.nan  # never known in training
    fitted = HEADS[name].fit(x, targets, subjects, seed=0)
    later = x.copy()
    later[:, 5] = 1e6  # known all of a sudden: was never trained on, so it must not count
    before, after = fitted.predict(x), fitted.predict(later)
    assert all(np.isfinite(s).all() for s in before)
    if name != "trees":  # LightGBM drops such a column by itself; the equality holds there too
        assert all(np.allclose(a, b) for a, b in zip(before, after, strict=True))


def test_bag_is_the_mean_of_its_members() -> None:
    x, target = regression(90)
    subjects = np.arange(90).astype(str)
    _, bag = Trees(rounds=10).cross_fit(x, [target], subjects, subject_folds(subjects, 3), seed=0)
    assert isinstance(bag, Bag)
    mean = np.mean([member.predict(x)[0] for member in bag.members], axis=0)
    assert np.allclose(bag.predict(x)[0], mean)


def test_adapters_are_low_rank_and_leave_the_trunk_alone() -> None:
    embeddings, targets, subjects = make(150)
    x = embeddings["measures"]
    plain = FeedForward(epochs=10).fit(x, targets, subjects, seed=2)
    adapted = FeedForward(epochs=10, lora_rank=4, lora_epochs=4).fit(x, targets, subjects, seed=2)
    one, other = plain.trunk, adapted.trunk
    assert all((one[key] == other[key]).all() for key in one)
    assert len(adapted.adapters) == len(targets)
    assert all((a.rank, set(a.layers)) == (4, {"first", "second"}) for a in adapted.adapters)
    assert not np.allclose(plain.predict(x)[0], adapted.predict(x)[0])


def test_predicts_what_the_trained_network_says() -> None:
    embeddings, targets, subjects = make(150)
    x = embeddings["measures"]
    fitted = FeedForward(epochs=6, lora_rank=4, lora_epochs=4).fit(x, targets, subjects, seed=2)
    for task, (scores, adapter) in enumerate(zip(fitted.predict(x), fitted.adapters, strict=True)):
        changed = {f"{layer}.weight": fitted.trunk[f"{layer}.weight"] + adapter.change(layer) for layer in ADAPTED}
        network = Trunk.of(fitted.trunk | changed)
        with torch.no_grad():
            expected = network(torch.from_numpy(fitted.standard(x)))[task].numpy()
        np.testing.assert_allclose((scores - fitted.means[task]) / fitted.scales[task], expected, atol=1e-5)


def test_direct_passes_the_measurement_through() -> None:
    embeddings, targets, subjects = make(50)
    x = embeddings["measures"]
    found = Direct([0]).fit(x, targets[:1], subjects, seed=0).predict(x)[0]
    assert (found[:, 0] == x[:, 0].astype(float)).all()


@pytest.mark.parametrize("dim", [12, 300])  # both sides of "more features than rows"
def test_ridge_equals_scikit_learn_and_brute_force_leave_one_out(dim: int) -> None:
    x, target = regression(80, dim)
    z = Standard.fit(x)(x)
    coefficients, intercept, alpha = Ridges(z).solve(np.arange(80), target.y)
    centred = z - z.mean(0)
    unit = float((centred.astype(float) ** 2).sum() / 80)
    reference = SklearnRidge(alpha=float(alpha[0]) * unit).fit(z.astype(float), target.y)
    ours = z @ coefficients + intercept
    assert np.abs(ours - reference.predict(z.astype(float)).reshape(-1, 1)).max() < 1e-2
    errors = []
    for candidate in ALPHAS[::6]:
        residuals = []
        for left_out in range(0, 80, 8):
            rest = np.arange(80) != left_out
            model = SklearnRidge(alpha=float(candidate) * unit).fit(z[rest].astype(float), target.y[rest])
            residuals.append(float(target.y[left_out, 0] - np.ravel(model.predict(z[[left_out]].astype(float)))[0]))
        errors.append(np.mean(np.square(residuals)))
    best = ALPHAS[::6][int(np.argmin(errors))]
    assert abs(np.log10(best / alpha[0])) < 2  # the grids differ, the neighbourhood must not


def test_ridge_on_a_part_is_that_of_the_part_alone() -> None:
    """Inner products of a part are those of all less those of the rest, also where features lie far from zero."""
    rng = np.random.default_rng(3)
    z = (50 + rng.normal(size=(400, 30))).astype(np.float32)
    y = z[:, :2] @ rng.normal(size=(2, 3)) + rng.normal(size=(400, 3))
    for rows in (np.arange(0, 400, 5), np.flatnonzero(np.arange(400) % 5)):
        part = Ridges(z).solve(rows, y[rows])
        alone = Ridges(z[rows]).solve(np.arange(len(rows)), y[rows])
        for ours, theirs in zip(part, alone, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dim", [20, 700])
def test_filling_unknown_labels_comes_to_the_ridge_on_the_known(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "SETTLED", 1e-6)
    monkeypatch.setattr(linear, "ALPHAS", np.array([3.0]))
    rng = np.random.default_rng(4)
    z = rng.normal(size=(600, dim)).astype(np.float32)
    y = z[:, :1] + 0.5 * z[:, 1:3] + 2 * rng.normal(size=(600, 2)) + 40
    unknown = rng.random((600, 2)) < [0, 0.15]
    ridges = Ridges(z)
    coefficients, intercept, _ = ridges.solve(np.arange(600), np.where(unknown, np.nan, y))
    rows = np.flatnonzero(~unknown[:, 1])
    alone, its_intercept, _ = ridges.solve(rows, y[rows, 1:])
    ours, theirs = z @ coefficients[:, 1] + intercept[1], z @ alone[:, 0] + its_intercept[0]
    assert np.abs(ours - theirs).max() < 0.01 * theirs.std()


def test_tasks_that_know_much_the_same_rows_are_solved_together() -> None:
    known = [np.arange(100) < 100, np.arange(100) >= 10, np.arange(100) < 30, np.arange(100) < 25]
    assert _alike(known) == [[0, 1], [2, 3]]


def test_some_rows_choose_the_penalty_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = regression(900, 40)
    z = Standard.fit(x)(x)
    whole = Ridges(z).solve(np.arange(900), target.y)
    monkeypatch.setattr(linear, "MAX_LEFT_OUT", 300)
    looked = Ridges(z).solve(np.arange(900), target.y)
    assert abs(np.log10(whole[2][0] / looked[2][0])) < 0.6
    assert np.corrcoef(z @ whole[0][:, 0], z @ looked[0][:, 0])[0, 1] > 0.999


@pytest.mark.parametrize("rows", [700, 250])  # more than features, and fewer
def test_many_features_of_many_rows_are_taken_along_their_principal_axes(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    hidden = rng.normal(size=(rows, 40))
    z = (10 + hidden @ rng.normal(size=(40, 300)) + 0.3 * rng.normal(size=(rows, 300))).astype(np.float32)
    y = hidden[:, :2] + 0.5 * rng.normal(size=(rows, 2)) + 30
    train, test = np.arange(0, rows, 2), np.arange(1, rows, 2)
    exact = Ridges(z).solve(train, y[train])
    monkeypatch.setattr(linear, "AXES", 80)
    taken = Ridges(z).solve(train, y[train])
    assert taken[0].shape == exact[0].shape == (300, 2)
    ours, theirs = (z[test] @ coefficients + intercepts for coefficients, intercepts, _ in (taken, exact))
    assert np.abs(ours - y[test]).mean() < 1.05 * np.abs(theirs - y[test]).mean()
    assert np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1] > 0.99
    axes = linear._principal_axes(z, 80)
    np.testing.assert_allclose(axes.T @ axes, np.eye(80), atol=1e-5)
    best = np.linalg.svd(z - z.mean(0))[1]
    held = np.linalg.norm((z - z.mean(0)) @ axes) ** 2
    assert held > 0.99 * (best[:80] ** 2).sum()


def test_landmarks_are_no_single_recordings() -> None:
    x = np.random.default_rng(0).normal(size=(90, 10)).astype(np.float32)
    landmarks = Landmarks.fit(x, 40, seed=0)
    z = landmarks.standard(x)
    nearest = np.abs(landmarks.centres[:, None] - z[None]).max(2).min(1)
    assert GROUP >= 3
    assert (nearest > 1e-3).all()


def test_landmark_features_approach_the_kernel() -> None:
    x = np.random.default_rng(1).uniform(size=(600, 2)).astype(np.float32)
    landmarks = Landmarks.fit(x, 1000, seed=0)
    z = landmarks.standard(x).astype(float)
    kernel = np.exp(-((z[:, None] - z[None]) ** 2).sum(2) / landmarks.width)
    mapped = landmarks(x).astype(float)
    assert np.abs(mapped @ mapped.T - kernel).mean() < 0.01


def test_blocks_have_equal_weight() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(100, 4)), 1000 * rng.normal(size=(100, 50))], axis=1).astype(np.float32)
    z = Blocks.fit(x, [4, 50])(x)
    assert np.isclose(z[:, :4].var(0).sum(), z[:, 4:].var(0).sum(), rtol=1e-3)


def test_unknown_head_in_a_bundle_is_refused() -> None:
    x, target = regression(40)
    state = Ridge().fit(x, [target], np.arange(40).astype(str), seed=0).state()
    assert isinstance(restore_head(state), FittedLinear)
    state.meta["type"] = "magic"
    with pytest.raises(InputError, match="magic"):
        restore_head(state)
