"""Weighted metrics against scikit-learn on the drawn recordings, and what must hold for any predictor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from enecg.errors import InputError
from enecg.metrics import (
    ECE_BINS,
    METRICS,
    auroc_per_class,
    evaluate,
    higher_is_better,
)
from plain_values import auroc, metric_value

MACRO = {"average": "macro", "zero_division": 0}


def counts(rng: np.random.Generator, replicates: int, n: int) -> np.ndarray:
    return rng.multinomial(n, np.full(n, 1 / n), replicates).astype(float)


def drawn(weights: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    """The recordings of one replicate, each as often as it was drawn."""
    rows = np.repeat(np.arange(len(weights)), weights.astype(int))
    return [array[rows] for array in arrays]


def ranked_by_reference(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Macro AUROC and average precision over the columns that have both labels."""
    both = [c for c in range(y.shape[1]) if 0 < y[:, c].sum() < len(y)]
    if not both:
        return np.nan, np.nan
    return (
        float(np.mean([reference.roc_auc_score(y[:, c], p[:, c]) for c in both])),
        float(np.mean([reference.average_precision_score(y[:, c], p[:, c]) for c in both])),
    )


def decided_by_reference(truth: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    """F1, precision, recall over the classes among labels and decisions; indicator matrices for multilabel."""
    some = np.union1d(truth, decided) if truth.ndim == 1 else np.flatnonzero(truth.sum(0) + decided.sum(0) > 0)
    scores = (reference.f1_score, reference.precision_score, reference.recall_score)
    names = ("f1_macro", "precision_macro", "recall_macro")
    found = dict.fromkeys(names, np.nan)
    if len(some):
        found = {n: float(f(truth, decided, labels=some, **MACRO)) for n, f in zip(names, scores, strict=True)}
    return {**found, "accuracy": float(reference.accuracy_score(truth, decided))}


def ece_by_loop(probability: np.ndarray, hit: np.ndarray) -> float:
    total = 0.0
    for b in range(ECE_BINS):
        low, high = b / ECE_BINS, (b + 1) / ECE_BINS
        inside = (probability >= low) & ((probability < high) if b < ECE_BINS - 1 else (probability <= 1))
        if inside.any():
            total += inside.mean() * abs(probability[inside].mean() - hit[inside].mean())
    return total


def expected(kind: str, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    if kind == "regression":
        truth, value = y[:, 0], p[:, 0]
        r2 = reference.r2_score(truth, value) if np.ptp(truth) > 0 else np.nan
        rmse = reference.root_mean_squared_error(truth, value)
        return {"mae": reference.mean_absolute_error(truth, value), "rmse": rmse, "r2": r2}
    if kind == "binary":
        found = decided_by_reference(y[:, 0], (p[:, 0] >= 0.5).astype(float))
        brier = reference.brier_score_loss(y[:, 0], p[:, 0]) if 0 < y.sum() < len(y) else np.mean((p - y) ** 2)
        ece = ece_by_loop(p[:, 0], y[:, 0])
    elif kind == "multiclass":
        found = decided_by_reference(y.argmax(1), p.argmax(1))
        brier = reference.brier_score_loss(y.argmax(1), p, labels=range(y.shape[1]))
        ece = ece_by_loop(p.max(1), (y.argmax(1) == p.argmax(1)).astype(float))
    else:
        found = decided_by_reference(y, (p >= 0.5).astype(float))
        brier = np.mean((y - p) ** 2)
        ece = np.mean([ece_by_loop(p[:, c], y[:, c]) for c in range(y.shape[1])])
    macro_auroc, macro_auprc = ranked_by_reference(y, p)
    return {**found, "auroc": macro_auroc, "auprc": macro_auprc, "brier": brier, "ece": float(ece)}


def sample(kind: str, rng: np.random.Generator, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and coarse predictions, so that many tie; the last classes are rare and vanish from some replicates."""
    if kind == "regression":
        return np.round(rng.normal(60, 15, (n, 1))), np.round(rng.normal(60, 15, (n, 1)))
    if kind == "multiclass":
        rate = np.append(np.ones(classes - 1), 0.05)
        y = np.eye(classes)[rng.choice(classes, n, p=rate / rate.sum())]
        p = rng.integers(1, 4, (n, classes)) + y
        return y, p / p.sum(1, keepdims=True)
    columns = 1 if kind == "binary" else classes
    y = (rng.random((n, columns)) < np.linspace(0.5, 0.03, columns)).astype(float)
    return y, np.round(np.clip(0.4 * y + rng.random((n, columns)) * 0.7, 0, 1), 1)


@pytest.mark.parametrize("kind", METRICS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 60))
def test_equals_plain_metric_on_drawn_recordings(kind: str, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = sample(kind, rng, n, classes=4)
    weights = np.vstack([np.ones(n), counts(rng, 3, n)])
    found = evaluate(kind, y, p, weights)
    for replicate, row in enumerate(weights):
        want = expected(kind, *drawn(row, y, p))
        assert found.keys() == want.keys()
        for name, value in want.items():
            assert found[name][replicate] == pytest.approx(value, nan_ok=True, abs=1e-12), name


@pytest.mark.parametrize("kind", METRICS)
def test_missing_labels_do_not_count(kind: str) -> None:
    rng = np.random.default_rng(1)
    y, p = sample(kind, rng, 50, classes=3)
    known = rng.random(50) < 0.7
    weights = counts(rng, 5, 50)
    holes, blind = np.where(known[:, None], y, np.nan), np.where(known[:, None], p, np.nan)
    whole, part = evaluate(kind, holes, blind, weights), evaluate(kind, y[known], p[known], weights[:, known])
    for name in part:
        np.testing.assert_array_equal(whole[name], part[name])


def test_single_class_replicate_is_unknown_and_left_out_of_macro() -> None:
    y = np.array([[1.0, 0], [1, 0], [0, 0], [0, 1]])
    p = np.array([[0.9, 0.1], [0.4, 0.2], [0.5, 0.3], [0.1, 0.9]])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 1, 0], [4, 0, 0, 0], [0, 0, 0, 0]])
    per_class = auroc_per_class("multilabel", y, p, weights)
    np.testing.assert_array_equal(np.isnan(per_class), [[False, False], [False, True], [True, True], [True, True]])
    found = evaluate("multilabel", y, p, weights)
    assert found["auroc"][1] == per_class[1, 0] == 2 / 3
    assert np.isnan(found["auroc"][2:]).all() and np.isnan(found["auprc"][2:]).all()
    assert all(np.isnan(found[name][3]) for name in found)
    assert np.isnan(evaluate("regression", y[:, :1], p[:, :1], weights)["r2"][2:]).all()


scores = st.lists(st.tuples(st.booleans(), st.integers(-20, 20)), min_size=2, max_size=60)


@given(scores)
def test_auroc_sees_order_only(pairs: list[tuple[bool, int]]) -> None:
    y, score = np.array(pairs, float).T
    plain = auroc(y, score)
    np.testing.assert_array_equal(auroc(y, np.exp(score / 5) + score**3), plain)


@given(scores)
def test_auroc_is_symmetric(pairs: list[tuple[bool, int]]) -> None:
    y, score = np.array(pairs, float).T
    np.testing.assert_allclose(auroc(1 - y, -score), auroc(y, score))
    np.testing.assert_allclose(auroc(y, -score), 1 - auroc(y, score))


@pytest.mark.parametrize("kind", METRICS)
def test_perfect_predictor(kind: str) -> None:
    y, _ = sample(kind, np.random.default_rng(2), 80, classes=4)
    for name, value in evaluate(kind, y, y).items():
        assert value[0] == (1 if higher_is_better(name) else 0), name


def test_constant_predictor() -> None:
    y = np.repeat([[1.0], [0.0]], [30, 70], axis=0)
    found = {name: value[0] for name, value in evaluate("binary", y, np.full_like(y, 0.3)).items()}
    assert found["auroc"] == 0.5
    assert found["auprc"] == found["recall_macro"] - 0.2 == 0.3
    assert (found["accuracy"], found["ece"]) == pytest.approx((0.7, 0))
    assert metric_value("regression", "r2", y, np.full_like(y, 0.3)) == pytest.approx(0)


def test_coverage_and_thresholds() -> None:
    y = np.array([[1.0], [2.0], [3.0], [np.nan]])
    low, high = y + np.array([[0.0], [-1.0], [1.0], [0.0]]), y + np.array([[0.0], [1.0], [2.0], [0.0]])
    assert evaluate("regression", y, y, low=low, high=high)["coverage_90"] == pytest.approx([2 / 3])
    assert "coverage_90" not in evaluate("regression", y, y)
    labels, p = np.array([[1.0, 0], [0, 1]]), np.array([[0.3, 0.3], [0.1, 0.6]])
    assert evaluate("multilabel", labels, p)["accuracy"] == [0.5]
    assert evaluate("multilabel", labels, p, thresholds=np.array([0.2, 0.5]))["accuracy"] == [1]
    each = np.array([[0.2, 0.5], [0.05, 0.5]])
    assert evaluate("multilabel", labels, p, thresholds=each)["accuracy"] == [0.5]
    holes = np.where([[True], [False]], labels, np.nan)
    assert evaluate("multilabel", holes, p, thresholds=each)["accuracy"] == [1]


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("binary", {"output": np.full((3, 1), np.nan)}, "3 of 3 labelled recordings"),
        ("binary", {"output": np.full((3, 1), 1.5)}, "between 0 and 1"),
        ("binary", {"output": np.full((3, 2), 0.5)}, "do not fit labels"),
        ("binary", {"weights": np.ones(3)}, "do not fit 3 recordings"),
        ("binary", {"thresholds": np.ones(2)}, "one per output"),
        ("multiclass", {"thresholds": np.ones(1)}, "one per output"),
        ("binary", {"names": ["mae"]}, "none of a binary task's"),
        ("regression", {"low": np.zeros((3, 1))}, "both ends"),
        ("regression", {"names": ["coverage_90"]}, "needs the intervals"),
    ],
)
def test_refuses_what_does_not_fit(kind: str, change: dict[str, np.ndarray], said: str) -> None:
    y = np.array([[0.0], [1.0], [1.0]])
    with pytest.raises(InputError, match=said):
        evaluate(kind, y, **{"output": np.full((3, 1), 0.5), **change})


def test_direction() -> None:
    assert higher_is_better("auroc") and higher_is_better("r2")
    assert not higher_is_better("mae") and not higher_is_better("ece")
    with pytest.raises(InputError, match="coverage_90"):
        higher_is_better("coverage_90")
