"""Where a recording lies on ECG paper: leads in rows and columns, samples in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from enecg.errors import InputError
from enecg.leads import CABRERA, STANDARD
from enecg.recording import Recording

Layout = Literal["3x4", "6x2", "12x1"]
Order = Literal["standard", "cabrera"]

SECONDS: Final = 10.0  # of the recording on one sheet
TOP, RIGHT, BOTTOM = 10.0, 5.0, 10.0  # mm around the traces
_GRID: Final[dict[Layout, tuple[int, int, float]]] = {  # rows and columns of leads, mm from row to row
    "3x4": (3, 4, 30.0),
    "6x2": (6, 2, 25.0),
    "12x1": (12, 1, 15.0),
}


@dataclass(frozen=True)
class Segment:
    """A stretch of one lead on the sheet.

    Attributes:
        lead: canonical name.
        inverted: drawn upside down, as −aVR.
        x: mm from the sheet's left edge to sample `first`.
        y: mm from its upper edge to the lead's zero line.
        first: its first sample.
        last: the sample after its last one.
        strip: belongs to the rhythm strip, not to the grid of leads.
    """

    lead: str
    inverted: bool
    x: float
    y: float
    first: int
    last: int
    strip: bool = False


class Sheet:
    """The transform from (lead, sample) to millimetres. The first ten seconds of a recording fit on it.

    Args as of `enecg.drawing.ecg_paper.draw`.

    Attributes:
        width: mm.
        height: mm.
        left: mm from its left edge to the first sample.
        rows: number of rows, the rhythm strip included.
        pitch: mm from row to row.
        gain: mm per `unit`.
        unit: mV, or SD for a normalised recording.
        scale: speed and gain in words.
        segments: every stretch of a lead, also of leads that the recording does not have.
    """

    def __init__(
        self,
        recording: Recording,
        layout: Layout = "3x4",
        order: Order = "standard",
        speed: float = 25.0,
        gain: float | None = None,
    ) -> None:
        for what, value, known in (("layout", layout, get_args(Layout)), ("order", order, get_args(Order))):
            if value not in known:
                raise InputError(f"ECG paper: {what} {value!r} is not known; take one of {', '.join(known)}")
        self.recording, self.layout, self.order = recording, layout, order
        self.unit = "mV" if recording.amplitude == "mV" else "SD"
        # A normalised R wave is 5 to 8 standard deviations high, a real one about 1 mV.
        self.speed, self.gain = float(speed), float((10.0 if self.unit == "mV" else 2.5) if gain is None else gain)
        for what, number in (("speed", self.speed), ("gain", self.gain)):
            if not (math.isfinite(number) and number > 0):
                raise InputError(f"ECG paper: {what} {number:g} is impossible; it must be a number above 0")
        normalised = " (normalised recording: no millivolt scale)" if self.unit == "SD" else ""
        self.scale = f"{self.speed:g} mm/s, {self.gain:g} mm/{self.unit}{normalised}"
        rows, _, self.pitch = _GRID[layout]
        self.rows = rows + (layout == "3x4")
        self.left = max(15.0, 5.0 * math.ceil((0.2 * self.speed + 6) / 5))  # room for the calibration pulse
        self.width = self.left + SECONDS * self.speed + RIGHT
        self.height = TOP + self.rows * self.pitch + 5.0 + BOTTOM
        self.segments = tuple(self._segments())

    def _segments(self) -> list[Segment]:
        rows, columns, _ = _GRID[self.layout]
        names = STANDARD if self.order == "standard" else CABRERA
        fit = round(SECONDS * self.recording.rate)
        count = min(self.recording.signal.shape[1], fit)
        edges = [round(i * fit / columns) for i in range(columns + 1)]
        found = []
        for i, name in enumerate(names):
            column, row = divmod(i, rows)
            first, last = edges[column], max(edges[column], min(edges[column + 1], count))
            found.append(Segment(name.lstrip("-"), name[0] == "-", self.x(first), self.zero(row), first, last))
        if self.rows > rows:
            found.append(Segment("II", False, self.left, self.zero(rows), 0, count, strip=True))
        return found

    def x(self, sample: float) -> float:
        """Mm from the left edge to a sample, counted from the recording's start: columns go on in time."""
        return self.left + sample / self.recording.rate * self.speed

    def zero(self, row: int) -> float:
        """Mm from the upper edge to the zero line of a row; it lies on a thick line of the grid."""
        return TOP + 5.0 * math.ceil(self.pitch / 10) + row * self.pitch

    def trace(self, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
        """Millimetres from the left and from the upper edge of each sample of a segment; NaN where one is missing."""
        samples = np.arange(segment.first, segment.last)
        values = self.recording.lead(segment.lead)[segment.first : segment.last].astype(float)
        up = -values if segment.inverted else values
        return self.left + samples / self.recording.rate * self.speed, segment.y - up * self.gain
