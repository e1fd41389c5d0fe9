"""Attribution by occlusion: parts of the signal are taken away, and the whole ensemble answers again.

Source: Zeiler and Fergus (2014). A part is replaced by a straight line between its ends. A whole lead becomes flat, so
that the experts treat it as missing. The attribution is the change of the answer, in the unit of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from enecg.documents import Decision, significant
from enecg.leads import STANDARD
from enecg.recording import Recording
from enecg.serve.documents import Explanation, TaskExplanation, TaskFacts
from enecg.signal import fill_gaps

DIGITS: Final = 4
Part = tuple[int | None, int | None]  # lead and window; None for all of them


@dataclass(frozen=True)
class OcclusionPlan:
    """The parts that are taken away, one after the other, from the standard leads that a recording has.

    Attributes:
        recording: with derived leads as rows, and without gaps.
        windows: (start, end) in seconds.
    """

    recording: Recording
    windows: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, recording: Recording, windows: int) -> OcclusionPlan:
        """Make the plan for a recording, with a number of windows of the same length."""
        leads = [name for name in STANDARD if recording.get(name) is not None]
        edges = np.linspace(0, recording.seconds, windows + 1).round(4).tolist()
        whole = recording.select(leads)
        whole = replace(whole, signal=fill_gaps(whole.signal))
        return cls(whole, tuple(pairwise(edges)))

    @property
    def parts(self) -> list[Part]:
        """All parts: each lead, each window, and each window of each lead."""
        leads, windows = range(len(self.recording.leads)), range(len(self.windows))
        return [*((lead, None) for lead in leads), *((None, window) for window in windows),
                *((lead, window) for lead in leads for window in windows)]  # fmt: skip

    def without(self, part: Part) -> Recording:
        """Return the recording without a part."""
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
    plan: OcclusionPlan,
    tasks: Sequence[TaskFacts],
    decisions: Mapping[str, Decision],
    values: Mapping[str, np.ndarray],
) -> Explanation:
    """Return how the answer of each task changes without each part.

    Args:
        plan: what was taken away.
        tasks: facts about each.
        decisions: of each task for the whole recording.
        values: of each task, float64 `[1 + part, output]`: for the whole recording, then without each part.
    """
    leads, windows = len(plan.recording.leads), len(plan.windows)
    tasks_out: dict[str, TaskExplanation] = {}
    for task in tasks:
        found, decision = values[task["name"]], decisions[task["name"]]
        if not np.isfinite(found[0]).all():
            continue
        column = 0 if found.shape[1] == 1 else int(found[0].argmax())
        name = task["outputs"][column]
        answer = found[:, column]
        if task["kind"] == "binary" and decision == task["classes"][0]:
            name, answer = task["classes"][0], 1 - answer
        change = answer[1:] - answer[0]
        tasks_out[task["name"]] = {
            "kind": task["kind"],
            "output": name,
            "unit": task["unit"],
            "base": significant(answer[0], DIGITS),
            "by_lead": [significant(x, DIGITS) for x in change[:leads]],
            "by_window": [significant(x, DIGITS) for x in change[leads : leads + windows]],
            "effect": [
                [significant(x, DIGITS) for x in row] for row in change[leads + windows :].reshape(leads, windows)
            ],
        }
    windows_out = [list(window) for window in plan.windows]
    return {"leads": list(plan.recording.leads), "windows": windows_out, "tasks": tasks_out}
