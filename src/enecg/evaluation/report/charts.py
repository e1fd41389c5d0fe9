"""Charts as inline SVG. Colours come from the page's style sheet, so that they follow light, dark and print.

Every chart is one image with a name that says what it shows; nothing is shown by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from enecg.evaluation.report.figures import Agreement, Reliability

WIDTH: Final = 440
SERIES: Final = 6  # curves that the style sheet tells apart, by colour and by dash
_ROW: Final = 24
_MARKS: Final = {"ensemble": "m-6 0l6 -6l6 6l-6 6z", "experts": "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"}
_SQUARE: Final = "m-3.5 -3.5h7v7h-7z"
_UNIT: Final = np.array([[0.0, 0.0], [1.0, 1.0]])  # the diagonal


@dataclass(frozen=True)
class Row:
    """A line of a forest plot.

    Attributes:
        name: at its left end.
        block: ensemble, experts or baselines: shape and colour of the mark.
        value: NaN where it is not known; then only `text` is shown.
        low: of the interval.
        high: of the interval.
        text: at its right end.
    """

    name: str
    block: str
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class _Axes:
    """A plot area in an image of `WIDTH` x `height`, and the ranges it shows."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    height: int = 340
    left: int = 56
    right: int = WIDTH - 16
    top: int = 10

    @property
    def bottom(self) -> int:
        return self.height - 46

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def across(self, title: str, about: int = 5) -> Markup:
        """The lower axis: line, grid, tick labels, title."""
        parts = [_path("axis", f"M{self.left} {self.bottom}H{self.right}")]
        for value in ticks(*self.x_range, about):
            parts.append(_path("grid", f"M{self.x(value):.1f} {self.top}V{self.bottom}"))
            parts.append(_text("tick", self.x(value), self.bottom + 16, _short(value), "middle"))
        parts.append(_text("title", (self.left + self.right) / 2, self.height - 8, title, "middle"))
        return _joined(parts)

    def up(self, title: str) -> Markup:
        """The left axis."""
        parts = [_path("axis", f"M{self.left} {self.top}V{self.bottom}")]
        for value in ticks(*self.y_range):
            parts.append(_path("grid", f"M{self.left} {self.y(value):.1f}H{self.right}"))
            parts.append(_text("tick", self.left - 7, self.y(value) + 4, _short(value), "end"))
        turned = f"translate(13 {(self.top + self.bottom) / 2}) rotate(-90)"
        parts.append(Markup('<text class="title" transform="{}" text-anchor="middle">{}</text>').format(turned, title))
        return _joined(parts)

    def line(self, style: str, points: np.ndarray) -> Markup:
        """A line through `points [point, 2]` in units of the axes."""
        return _path(style, "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points.tolist()))

    def dots(self, points: np.ndarray) -> Markup:
        """All points in one path: each a stroke without length, with round ends."""
        return _path("dots", "".join(f"M{self.x(x):.1f} {self.y(y):.1f}h0" for x, y in points.tolist()))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values from `low` to `high`, steps of 1, 2 or 5 times a power of ten, some `about` of them."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [power * factor for factor in (0.5, 1, 2, 5, 10)]
    coarse = next(i for i, step in enumerate(steps) if i and step >= raw * 0.999)
    for step in (steps[coarse], steps[coarse - 1]):  # few wide steps may all fall beside a narrow range
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if first <= last:
            break
    return [round(i * step, 12) for i in range(first, last + 1)]


def forest(rows: Sequence[Row], title: str, label: str) -> Markup:
    """Values with their intervals, one row each; the first row's value runs through as a dashed line.

    The scale is set by all but the constant baseline; what lies beyond it is an arrow at the edge.
    """
    setting = [row for row in rows if row.name != "constant"] or rows
    ends = [end for row in setting for end in (row.low, row.high, row.value) if math.isfinite(end)] or [0.0, 1.0]
    axes = _Axes(_padded(min(ends), max(ends)), (0, 1), _ROW * len(rows) + 56, 122, WIDTH - 138)
    parts = [axes.across(title, about=4)]
    if math.isfinite(rows[0].value):
        parts.append(_path("reference", f"M{axes.x(rows[0].value):.1f} {axes.top}V{axes.bottom}"))
    parts += [_forest_row(row, axes, axes.top + _ROW * (i + 0.5)) for i, row in enumerate(rows)]
    return _svg(axes.height, label, parts)


def _forest_row(row: Row, axes: _Axes, y: float) -> Markup:
    parts = [
        _text(f"name {row.block}", axes.left - 10, y + 4, _clipped(row.name, 18), "end"),
        _text(f"value {row.block}", axes.right + 12, y + 4, row.text),
    ]
    low, high = axes.x_range
    if row.value > high:
        parts.append(_path(f"mark {row.block}", f"M{axes.right} {y:.1f}l-8 -4v8z"))
    elif row.value < low:
        parts.append(_path(f"mark {row.block}", f"M{axes.left} {y:.1f}l8 -4v8z"))
    elif math.isfinite(row.value):
        if math.isfinite(row.low):
            start, end = (axes.x(min(max(edge, low), high)) for edge in (row.low, row.high))
            parts.append(_path(f"whisker {row.block}", f"M{start:.1f} {y:.1f}H{end:.1f}"))
        shape = _MARKS.get(row.block, _SQUARE)
        parts.append(_path(f"mark {row.block}", f"M{axes.x(row.value):.1f} {y:.1f}{shape}"))
    return _joined(parts)


def bars(shares: Mapping[str, float], label: str, spreads: Mapping[str, tuple[float, float]] | None = None) -> Markup:
    """One bar per name, its length and its percentage telling the share (0 to 1); a line tells its spread."""
    left, right = 122, WIDTH - 96
    parts = [_path("axis", f"M{left} 4V{_ROW * len(shares) + 8}")]
    for i, (name, share) in enumerate(shares.items()):
        y = 6 + _ROW * i
        width = max(share, 0) * (right - left)
        low, high = (spreads or {}).get(name, (share, share))
        start, end = (left + edge * (right - left) for edge in (low, high))
        words = f"{share * 100:.{0 if share >= 0.1 else 1}f} %"
        parts.append(_text("name", left - 10, y + 16, _clipped(name, 18), "end"))
        parts.append(Markup(f'<rect class="bar" x="{left}" y="{y + 4}" width="{width:.1f}" height="15"/>'))
        if high - low >= 0.005:
            parts.append(_path("spread", f"M{start:.1f} {y + 11.5:.1f}H{end:.1f}m0 -4v8M{start:.1f} {y + 7.5:.1f}v8"))
            words += f" ({low * 100:.0f}–{high * 100:.0f})"
        parts.append(_text("value", max(left + width, end) + 8, y + 16, words))
    return _svg(_ROW * len(shares) + 12, label, parts)


def roc(curves: Mapping[str, np.ndarray], legend: Mapping[str, str], label: str) -> Markup:
    """ROC curves `[point, 2]`; the first six have their own colour and dash, the others are thin and grey.

    Args:
        curves: name -> false and true positive rate.
        legend: name -> what the legend says of it.
        label: the image's accessible name.
    """
    axes = _Axes((0, 1), (0, 1), height=400)
    distinct = list(curves)[:SERIES]
    parts = [axes.across("1 − specificity"), axes.up("Sensitivity")]
    parts.append(axes.line("diagonal", _UNIT))
    parts += [axes.line("curve other", curve) for name, curve in curves.items() if name not in distinct]
    parts += [axes.line(f"curve s{i}", curves[name]) for i, name in reversed(list(enumerate(distinct)))]
    lines = [(f"curve s{i}", legend[name]) for i, name in enumerate(distinct)]
    if len(curves) > len(distinct):
        lines.append(("curve other", f"{len(curves) - len(distinct)} more"))
    for i, (style, words) in enumerate(lines):
        y = axes.bottom - 12 - 18 * (len(lines) - 1 - i)
        parts.append(_path(style, f"M{axes.right - 206} {y - 4}h26"))
        parts.append(_text("legend", axes.right - 174, y, words))
    return _svg(axes.height, label, parts)


def scatter(agreement: Agreement, unit: str, label: str) -> Markup:
    """Predicted over true values, with the line of identity."""
    ends = _padded(float(agreement.points.min()), float(agreement.points.max()), 0.03)
    axes = _Axes(ends, ends, height=400)
    parts = [axes.across(_with_unit("True", unit)), axes.up(_with_unit("Predicted", unit))]
    parts += [axes.dots(agreement.points), axes.line("diagonal", np.array([[ends[0]] * 2, [ends[1]] * 2]))]
    return _svg(axes.height, label, parts)


def bland_altman(agreement: Agreement, unit: str, label: str) -> Markup:
    """Difference over mean of predicted and true values, with the bias and the limits of agreement."""
    mean, difference = agreement.points.mean(1), agreement.points[:, 1] - agreement.points[:, 0]
    low, high = agreement.limits
    x_range = _padded(float(mean.min()), float(mean.max()), 0.03)
    axes = _Axes(x_range, _padded(min(low, float(difference.min())), max(high, float(difference.max()))), height=400)
    parts = [axes.across(_with_unit("Mean of true and predicted", unit)), axes.up(_with_unit("Predicted − true", unit))]
    parts.append(axes.dots(np.stack([mean, difference], 1)))
    for style, value, words in (
        ("reference", agreement.bias, "bias"),
        ("limit", low, "−1.96 SD"),
        ("limit", high, "+1.96 SD"),
    ):
        parts.append(_path(style, f"M{axes.left} {axes.y(value):.1f}H{axes.right}"))
        parts.append(
            _text("legend halo", axes.right - 4, axes.y(value) - 5, f"{words}: {_short(float(f'{value:.3g}'))}", "end")
        )
    return _svg(axes.height, label, parts)


def calibration(found: Reliability, label: str) -> Markup:
    """Observed share over predicted probability, with intervals, and how many cases each bin has as bars below."""
    axes = _Axes((0, 1), (0, 1), height=400)
    parts = [axes.across(f"Predicted probability, {found.about}"), axes.up("Observed share")]
    for predicted, n in zip(found.predicted.tolist(), found.n.tolist(), strict=True):
        tall = 44 * n / found.n.max()
        parts.append(_path("count", f"M{axes.x(predicted) - 7:.1f} {axes.bottom}v{-tall:.1f}h14v{tall:.1f}z"))
    parts.append(axes.line("diagonal", _UNIT))
    parts.append(axes.line("curve thin", np.stack([found.predicted, found.observed], 1)))
    radii = 2 + 4 * np.sqrt(found.n / found.n.max())
    for predicted, observed, low, high, r in zip(
        found.predicted, found.observed, found.low, found.high, radii, strict=True
    ):
        parts.append(_path("whisker soft", f"M{axes.x(predicted):.1f} {axes.y(low):.1f}V{axes.y(high):.1f}"))
        parts.append(
            Markup(
                f'<circle class="mark ensemble" cx="{axes.x(predicted):.1f}" cy="{axes.y(observed):.1f}" r="{r:.1f}"/>'
            )
        )
    return _svg(axes.height, label, parts)


def confusion(counts: np.ndarray, classes: Sequence[str], label: str) -> Markup:
    """Recordings by true (row) and decided (column) class; the shade is the share of the row."""
    left, top = 112.0, 44.0
    side = min(76.0, (WIDTH - left - 4) / len(classes))
    small = " small" if side < 34 else ""
    middle = side * len(classes) / 2
    turned = f"translate(13 {top + middle:.1f}) rotate(-90)"
    parts = [
        _text("title", left + middle, 14, "Decided", "middle"),
        Markup('<text class="title" transform="{}" text-anchor="middle">True</text>').format(turned),
    ]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for i, name in enumerate(classes):
        y = top + side * i
        parts.append(_text("name" + small, left - 8, y + side / 2 + 4, _clipped(name, 12), "end"))
        parts.append(_text("tick", left + side * (i + 0.5), top - 7, _clipped(name, max(3, int(side / 7.5))), "middle"))
        for j in range(len(classes)):
            x = left + side * j
            shade = f"{0.06 + 0.94 * shares[i, j]:.2f}"
            square = f"M{x:.1f} {y:.1f}h{side - 2:.1f}v{side - 2:.1f}h{2 - side:.1f}z"
            parts.append(Markup(f'<path class="cell" fill-opacity="{shade}" d="{square}"/>'))
            style = f"number{small}{' strong' if shares[i, j] > 0.65 else ''}"
            parts.append(_text(style, x + side / 2 - 1, y + side / 2 + 4, str(counts[i, j]), "middle"))
    return _svg(top + side * len(classes) + 6, label, parts)


def _svg(height: float, label: str, parts: Sequence[Markup]) -> Markup:
    size = f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
    svg = Markup('<svg class="chart" {} role="img" aria-label="{}">{}</svg>')
    return svg.format(Markup(size), label, _joined(parts))


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _path(style: str, d: str) -> Markup:
    return Markup(f'<path class="{style}" d="{d}"/>')


def _text(style: str, x: float, y: float, words: str, anchor: str = "start") -> Markup:
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return text.format(style, x, y, anchor, words)


def _padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def _short(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def _with_unit(words: str, unit: str) -> str:
    return f"{words} ({unit})" if unit else words


def _clipped(name: str, room: int) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"
