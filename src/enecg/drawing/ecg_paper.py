"""A recording drawn on ECG paper, at true scale, as one self-contained SVG.

Conventions: thin lines every 1 mm and thick ones every 5 mm; 25 mm/s and 10 mm/mV by default; a
calibration pulse of 1 mV and 200 ms at the left of every row; columns that go on in time; no smoothing, no display
filter. In the Cabrera order aVR is drawn inverted and named −aVR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final
from zlib import crc32

import numpy as np

from enecg.drawing.sheet import BOTTOM, SECONDS, TOP, Layout, Order, Segment, Sheet
from enecg.errors import InputError
from enecg.leads import STANDARD
from enecg.recording import Recording

TOLERANCE: Final = 0.02  # mm; a trace leaves out samples that lie this close to the line between their neighbours
_LIGHT: Final = {"paper": "#fff", "thin": "#f5c6c6", "thick": "#e08a8a", "trace": "#000", "text": "#000"}
_DARK: Final = {"paper": "#101418", "thin": "#3a2326", "thick": "#6b3a3a", "trace": "#e8f0e8", "text": "#e8f0e8"}
_MARKS: Final = (("#0072b2", "", "┃"), ("#d55e00", "0.8", "╏"), ("#777", "0.3", "┋"))  # never by colour alone


def draw(
    recording: Recording,
    *,
    layout: Layout = "3x4",
    order: Order = "standard",
    speed: float = 25.0,
    gain: float | None = None,
    marks: Mapping[str, Sequence[float]] | None = None,
    title: str | None = None,
) -> str:
    """Draw the first ten seconds of a recording on ECG paper.

    The size is in millimetres, so that a print at 100 % is at true scale. `Sheet` has the same arguments and tells
    where each sample lies, with `Sheet.xy`.

    Args:
        recording: leads that it lacks are named on the sheet as not recorded.
        layout: `3x4` with lead II as a rhythm strip over ten seconds, `6x2` or `12x1`.
        order: `standard`, or `cabrera` (aVL, I, −aVR, II, aVF, III).
        speed: mm/s.
        gain: mm/mV, 10 when not given; of a normalised recording mm per standard deviation, 2.5 when not given.
        marks: name -> seconds, at most three kinds, such as `{"R peaks": [...]}`.
        title: heading, and the picture's accessible name; the recording's source when not given.

    Returns:
        SVG text. It asks for nothing outside itself, and turns dark on a screen that is set to dark, never in print.

    Raises:
        InputError: a layout or order that is not known, an impossible speed or gain, or too many kinds of marks.
    """
    sheet, marks = Sheet(recording, layout, order, speed, gain), marks or {}
    if len(marks) > len(_MARKS):
        raise InputError(f"ECG paper: {len(marks)} kinds of marks; at most {len(_MARKS)} can be drawn")
    heading = title or recording.source or "ECG"
    missing = [s.lead for s in sheet.segments if recording.get(s.lead) is None and not s.strip]
    size = f"{len(STANDARD) - len(missing)} leads, {min(recording.seconds, SECONDS):.3g} s, layout {sheet.layout}"
    described = f"{size}, {sheet.scale}" + (f"; not recorded: {', '.join(missing)}" if missing else "")
    key = (
        f"ecg{crc32((recording.content_hash() + repr((sheet.layout, sheet.order, sheet.scale, heading))).encode()):08x}"
    )
    w, h = f"{sheet.width:g}", f"{sheet.height:g}"
    return "".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ecg" width="{w}mm" height="{h}mm" '
        f'viewBox="0 0 {w} {h}" role="img" aria-labelledby="{key}t {key}d">',
        f'<title id="{key}t">{escape(heading)}</title><desc id="{key}d">{escape(described)}</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="ecg-paper" width="{w}" height="{h}" fill="{_LIGHT["paper"]}"/>',
        _grid(sheet),
        f'<clipPath id="{key}c"><rect y="{TOP - 5:g}" width="{w}" height="{sheet.height - TOP:g}"/></clipPath>',
        f'<g class="ecg-trace" clip-path="url(#{key}c)" fill="none" stroke="{_LIGHT["trace"]}" '
        f'stroke-width="0.25" stroke-linejoin="round" stroke-linecap="round">',
        _pulses(sheet),
        *(_path(sheet, segment) for segment in sheet.segments if recording.get(segment.lead) is not None),
        "</g>",
        _marks(sheet, marks),
        f'<g class="ecg-text" aria-hidden="true" font-family="sans-serif" font-size="3" '
        f'fill="{_LIGHT["text"]}">{_texts(sheet, heading, list(marks))}</g></svg>',
    ])  # fmt: skip


def _grid(sheet: Sheet) -> str:
    top, bottom = TOP - 5, sheet.height - BOTTOM + 5

    def lines(step: int) -> str:
        across = (f"M{x} {top:g}V{bottom:g}" for x in range(0, math.floor(sheet.width) + 1, step))
        down = (f"M0 {y}H{sheet.width:g}" for y in range(round(top), round(bottom) + 1, step))
        return "".join([*across, *down])

    return "".join(
        f'<path class="ecg-{name}" fill="none" stroke="{_LIGHT[name]}" stroke-width="{width}" d="{lines(step)}"/>'
        for name, width, step in (("thin", 0.1, 1), ("thick", 0.2, 5))
    )


def _pulses(sheet: Sheet) -> str:
    """1 mV (or 1 SD) high and 200 ms wide, before every row."""
    wide = 0.2 * sheet.speed
    lead_in = (sheet.left - 3 - wide) / 2
    shape = f"h{lead_in:g}v{-sheet.gain:g}h{wide:g}v{sheet.gain:g}h{lead_in:g}"
    return f'<path d="{"".join(f"M1.5 {sheet.zero(row):g}{shape}" for row in range(sheet.rows))}"/>'


def _path(sheet: Sheet, segment: Segment) -> str:
    """One path in hundredths of a millimetre: whole numbers, and short ones, since each is relative to the last."""
    x, y = sheet.trace(segment)
    parts = []
    for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(np.isfinite(y))) + 1):
        if len(run) == 0 or not np.isfinite(y[run[0]]):
            continue  # the pen is up where samples are missing
        keep = run[_swinging_door(x[run], y[run], TOLERANCE)]
        points = np.stack([np.rint(x[keep] * 100), np.rint(y[keep] * 100)], 1).astype(int)
        steps = " ".join(f"{dx} {dy}" for dx, dy in np.diff(points, axis=0).tolist())
        parts.append(f"M{points[0, 0]} {points[0, 1]}" + (f"l{steps}" if steps else "h0"))
    name = f"{segment.lead}-strip" if segment.strip else segment.lead
    return f'<path data-lead="{name}" transform="scale(.01)" stroke-width="25" d="{"".join(parts)}"/>'


def _marks(sheet: Sheet, marks: Mapping[str, Sequence[float]]) -> str:
    """A short line under every row at each time; colour and dash show the kind."""
    drawn = []
    for (colour, dash, _), seconds in zip(_MARKS, marks.values(), strict=False):
        lines = []
        for segment in sheet.segments:
            times = np.asarray(seconds, float) * sheet.recording.rate
            here = times[(times >= segment.first) & (times < segment.last)].tolist()
            lines += [f"M{sheet.x(sample):.2f} {segment.y + sheet.pitch / 3:g}v2.5" for sample in here]
        drawn.append(f'<path class="ecg-mark" stroke="{colour}" stroke-width="0.5" stroke-dasharray="{dash or 0}" '
                     f'fill="none" d="{"".join(lines)}"/>')  # fmt: skip
    return "".join(drawn)


def _texts(sheet: Sheet, heading: str, marks: list[str]) -> str:
    recording, subject = sheet.recording, sheet.recording.subject
    texts = [f'<text x="2" y="4" font-size="3.6" font-weight="bold">{escape(heading)}</text>']
    age = "" if subject.age is None else f"{subject.age:g} years"
    who = ", ".join(part for part in ({"F": "female", "M": "male"}.get(subject.sex or ""), age) if part)
    texts.append(f'<text x="{sheet.width - 2:g}" y="4" text-anchor="end">{who}</text>')
    for segment in sheet.segments:
        absent = "" if recording.get(segment.lead) is not None else " not recorded"
        name = ("−" if segment.inverted else "") + segment.lead + absent
        weight = "normal" if absent else "bold"
        up = segment.y - sheet.pitch / 3
        texts.append(f'<text x="{segment.x + 1:g}" y="{up:g}" font-weight="{weight}">{name}</text>')
        if segment.first and not segment.strip:  # the short line where one lead ends and the next begins
            texts.append(f'<rect x="{segment.x - 0.1:g}" y="{segment.y - 2.5:g}" width="0.2" height="5"/>')
    band = recording.band
    filtered = f"recorded {band[0]:g}-{band[1]:g} Hz" if band else "no display filter"
    cut = f"first {SECONDS:g} of {recording.seconds:.4g} s" if recording.seconds > SECONDS else ""
    kinds = zip(_MARKS, marks, strict=False)
    shown = [f'<tspan fill="{colour}">{line}</tspan> {escape(name)}' for (colour, _, line), name in kinds]
    footer = [sheet.scale, filtered, f"{recording.rate:g} Hz", cut, *shown, "bar: 50 mm when printed at 100 %"]
    y = sheet.height - 1.5
    texts.append(f'<text x="2" y="{y:g}">{" · ".join(part for part in footer if part)}</text>')
    texts.append(f'<rect x="{sheet.width - 52:g}" y="{y - 1:g}" width="50" height="0.5"/>')
    return "".join(texts)


def _style() -> str:
    def rules(colours: Mapping[str, str]) -> str:
        fills = "".join(f".ecg-{name}{{fill:{colours[name]}}}" for name in ("paper", "text"))
        return fills + "".join(f".ecg-{name}{{stroke:{colours[name]}}}" for name in ("thin", "thick", "trace"))

    system = {"paper": "Canvas", "thin": "GrayText", "thick": "GrayText", "trace": "CanvasText", "text": "CanvasText"}
    return (
        f"@media screen and (prefers-color-scheme:dark){{{rules(_DARK)}}}"
        f"@media screen and (forced-colors:active){{{rules(system)}}}"
    )


def _swinging_door(x: np.ndarray, y: np.ndarray, tolerance: float) -> list[int]:
    """Which points to keep so that the line through them passes every other within `tolerance`, measured along y.

    Bristol's swinging door (ISA Advances in Instrumentation 45, 1990): one pass, every kept point is a sample.
    """
    xs, ys = x.tolist(), y.tolist()
    keep, pivot = [0], 0
    low, high = -math.inf, math.inf
    for i in range(1, len(xs)):
        run = xs[i] - xs[pivot]
        slope = (ys[i] - ys[pivot]) / run
        if not low <= slope <= high:
            pivot = i - 1
            keep.append(pivot)
            low, high, run = -math.inf, math.inf, xs[i] - xs[pivot]
        low = max(low, (ys[i] - tolerance - ys[pivot]) / run)
        high = min(high, (ys[i] + tolerance - ys[pivot]) / run)
    if len(xs) > 1:
        keep.append(len(xs) - 1)
    return keep
