"""Single values that tests compare with: one metric, one place on ECG paper, both through the package's own code."""

from __future__ import annotations

import numpy as np

from enecg.drawing.sheet import Sheet
from enecg.metrics import Kind, auroc_per_class, evaluate


def metric_value(kind: Kind, name: str, y: np.ndarray, output: np.ndarray) -> float:
    """Return one metric on the recordings as they are."""
    return float(evaluate(kind, y, output, names=(name,))[name][0])


def auroc(y: np.ndarray, score: np.ndarray) -> float:
    """Return the AUROC of scores on any scale; `y` is 0 or 1."""
    return float(auroc_per_class("multilabel", y[:, None], score[:, None])[0, 0])


def place(sheet: Sheet, lead: str, sample: int, strip: bool = False) -> tuple[float, float]:
    """Return where a sample of a lead lies, in mm from the left and from the upper edge."""
    for segment in sheet.segments:
        if segment.lead == lead and segment.strip == strip and segment.first <= sample < segment.last:
            x, y = sheet.trace(segment)
            return float(x[sample - segment.first]), float(y[sample - segment.first])
    raise ValueError(f"sample {sample} of lead {lead} is not on the sheet")
