"""Charts are well-formed, named, free of NaN, and put marks where the numbers are."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from enecg.evaluation.report import charts
from enecg.evaluation.report.charts import WIDTH, Row
from enecg.evaluation.report.figures import Agreement, reliability, roc_curve

EVIL = "<script>&\"'"


def parsed(drawing: Markup, label: str) -> ElementTree.Element:
    assert "nan" not in drawing and "inf" not in drawing
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img" and root.get("aria-label") == label
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter("text")]


@example(low=1.0, width=400401.0, about=2)
@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), about=st.integers(2, 8))
def test_ticks_are_round_even_and_inside(low: float, width: float, about: int) -> None:
    found = charts.ticks(low, low + width, about)
    assert 1 <= len(found) <= about + 2
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[:1], rtol=1e-6)
    assert all(re.fullmatch(r"[125]e[+-]\d+", f"{step:.0e}") for step in steps)


def row(name: str, block: str, value: float, half: float) -> Row:
    return Row(name, block, value, value - half, value + half, f"{value:g}")


def test_forest_orders_values_and_shows_the_constant_as_an_arrow() -> None:
    rows = [row("ensemble", "ensemble", 8, 1), row("a", "experts", 9, 1), row("constant", "baselines", 40, 2)]
    root = parsed(charts.forest(rows, "MAE", EVIL), EVIL)
    marks = {path.get("class"): str(path.get("d")) for path in root.iter("path")}
    start = {name: float(re.match(r"M([\d.]+)", marks[f"mark {name}"]).group(1)) for name in ("ensemble", "experts")}  # type: ignore[union-attr]
    assert 100 < start["ensemble"] < start["experts"] < WIDTH - 138
    assert marks["mark baselines"].startswith(f"M{WIDTH - 138} ") and marks["mark baselines"].endswith("l-8 -4v8z")
    assert "whisker baselines" not in marks
    assert {"ensemble", "a", "constant", "8", "9", "40"} <= set(texts(root))


def test_forest_without_any_number() -> None:
    rows = [
        Row("ensemble", "ensemble", math.nan, math.nan, math.nan, "–"),
        Row("a", "experts", math.nan, math.nan, math.nan, "–"),
    ]
    root = parsed(charts.forest(rows, "AUROC", "x"), "x")
    assert texts(root).count("–") == 2
    assert not [path for path in root.iter("path") if str(path.get("class")).startswith("mark")]


def test_bars() -> None:
    root = parsed(charts.bars({EVIL: 0.75, "b": 0.25, "none": 0.0}, "w"), "w")
    widths = [float(str(bar.get("width"))) for bar in root.iter("rect")]
    assert widths[0] == pytest.approx(3 * widths[1]) and widths[2] == 0
    assert {EVIL, "75 %", "25 %", "0.0 %"} <= set(texts(root))


def test_roc_tells_six_apart_and_counts_the_rest() -> None:
    curves = {f"class {i}": roc_curve(np.array([0, 1, 0, 1]), np.array([i, 3, 1, 2])) for i in range(8)}
    root = parsed(charts.roc(curves, {name: f"{name} {EVIL}" for name in curves}, "r"), "r")
    assert [text for text in texts(root) if EVIL in text] == [f"class {i} {EVIL}" for i in range(6)]
    assert "2 more" in texts(root)
    assert len([path for path in root.iter("path") if path.get("class") == "curve other"]) == 3


@pytest.mark.parametrize("spread", [0.0, 5.0])
def test_agreement_charts(spread: float) -> None:
    truth = 60 + spread * np.random.default_rng(0).normal(size=30)
    found = Agreement(np.stack([truth, truth + spread], 1), 30, spread, (spread - 1, spread + 1))
    for draw in (charts.scatter, charts.bland_altman):
        root = parsed(draw(found, "years", "a"), "a")
        dots = next(path for path in root.iter("path") if path.get("class") == "dots")
        assert str(dots.get("d")).count("M") == 30
        assert any("(years)" in text for text in texts(root))
    assert f"bias: {spread:g}" in texts(parsed(charts.bland_altman(found, "", "a"), "a"))


def test_calibration() -> None:
    p = np.array([0.02, 0.03, 0.5, 0.97])
    root = parsed(charts.calibration(reliability(p, np.array([0.0, 0, 1, 1]), "F"), "c"), "c")
    assert len(list(root.iter("circle"))) == 3
    assert "Predicted probability, F" in texts(root)


@pytest.mark.parametrize("count", [2, 15])
def test_confusion(count: int) -> None:
    counts = np.arange(count**2).reshape(count, count)
    counts[1] = 0
    root = parsed(charts.confusion(counts, [f"{EVIL}{i}" for i in range(count)], "m"), "m")
    cells = [path for path in root.iter("path") if path.get("class") == "cell"]
    assert len(cells) == count**2
    assert [text for text in texts(root) if text.isdigit()] == [str(n) for n in counts.ravel()]
    width = max(float(str(text.get("x") or 0)) for text in root.iter("text"))
    assert width < WIDTH
