"""Where an answer comes from: parts of the signal are taken away, and the whole ensemble answers again.

After Zeiler and Fergus (2014). A part is replaced by a straight line between its ends. A lead that is taken away as a
whole is flat, and so absent for the experts. What is shown is how much the answer changes, in its own unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from enecg.leads import STANDARD
from enecg.recording import Recording
from enecg.signal import fill_gaps

Part = tuple[int | None, int | None]  # lead and window; None for all of them


@dataclass(frozen=True)
class Plan:
    """What is taken away from a recording of the twelve leads (those that it has).

    Attributes:
        recording: with every lead as a row of its own, derived ones too.
        windows: (start, end) in seconds.
    """

    recording: Recording
    windows: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, recording: Recording, windows: int) -> Plan:
        """Leads of `recording`, and so many windows of the same length."""
        leads = [name for name in STANDARD if recording.get(name) is not None]
        edges = np.linspace(0, recording.seconds, windows + 1).round(4).tolist()
        whole = recording.select(leads)
        whole = replace(whole, signal=fill_gaps(whole.signal))
        return cls(whole, tuple(pairwise(edges)))

    @property
    def parts(self) -> list[Part]:
        """Each lead, each window, and each window of each lead."""
        leads, windows = range(len(self.recording.leads)), range(len(self.windows))
        return [*((lead, None) for lead in leads), *((None, window) for window in windows),
                *((lead, window) for lead in leads for window in windows)]  # fmt: skip

    def without(self, part: Part) -> Recording:
        """The recording without a part."""
        lead, window = part
        rows = slice(None) if lead is None else slice(lead, lead + 1)
        signal = self.recording.signal.copy()
        if window is None:
            signal[rows] = np.median(signal[rows], axis=1, keepdims=True)
        else:
            first, last = (round(at * self.recording.rate) for at in self.windows[window])
            last = min(last, signal.shape[1])
            ends = signal[rows, [first, last - 1]]
            signal[rows, first:last] = np.linspace(ends[:, 0], ends[:, 1], last - first, axis=1)
        return replace(self.recording, signal=signal)


def explanation(
    plan: Plan,
    tasks: Sequence[Mapping[str, Any]],
    decisions: Mapping[str, str | list[str] | None],
    values: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The document: for each task how its answer changes without each part.

    Args:
        plan: what was taken away.
        tasks: name, kind, unit, classes and output names of each.
        decisions: of each task for the whole recording.
        values: of each task, float64 `[1 + part, output]`: for the whole recording, then without each part.
    """
    leads, windows = len(plan.recording.leads), len(plan.windows)
    told = {}
    for task in tasks:
        found, decision = values[task["name"]], decisions[task["name"]]
        if not np.isfinite(found[0]).all():
            continue
        column = 0 if found.shape[1] == 1 else int(found[0].argmax())
        name = task["outputs"][column]
        answer = found[:, column]
        if task["kind"] == "binary" and decision == task["classes"][0]:
            name, answer = decision, 1 - answer
        change = answer[1:] - answer[0]
        told[task["name"]] = {
            "kind": task["kind"],
            "output": name,
            "unit": task["unit"],
            "base": _number(answer[0]),
            "by_lead": [_number(x) for x in change[:leads]],
            "by_window": [_number(x) for x in change[leads : leads + windows]],
            "effect": [[_number(x) for x in row] for row in change[leads + windows :].reshape(leads, windows)],
        }
    return {"leads": list(plan.recording.leads), "windows": [list(w) for w in plan.windows], "tasks": told}


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
