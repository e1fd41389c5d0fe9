"""Gates that `fit` does not offer, for comparison: a learned convolution over a few leads, and one gate for all tasks.

As `enecg.ensemble.gates.clusters`, they are log factors on static weights, start at zero, and learn from out-of-fold
scores with early stopping on a tenth of the subjects.
A gate that tasks share weights experts, since heads differ between tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from enecg.cohorts.split import subject_folds
from enecg.ensemble.combiner import Combiner
from enecg.ensemble.weight_solver import experts_of
from enecg.tasks import Target

EPOCHS: Final = 40
PATIENCE: Final = 8
BATCH: Final = 128
RATE: Final = 2e-3
DECAY: Final = 0.05
UNITS: Final = 32
CLIP: Final = 10.0  # deviations: one wild number must not carry a gate away


@dataclass
class Weighed:
    """One task: its static weights, and the out-of-fold scores `[recording, output]` of its heads."""

    combiner: Combiner
    scores: Sequence[np.ndarray]
    target: Target


class LearnedGate(nn.Module):
    """A view to log factors `[recording, expert]`.

    Args:
        view: `[recording, number]`, or `[recording, lead, sample]` for strided convolutions.
        experts: how many.
    """

    def __init__(self, view: np.ndarray, experts: int) -> None:
        super().__init__()
        if view.ndim == 3:
            self.trunk = nn.Sequential(
                nn.Conv1d(view.shape[1], 16, 15, stride=5), nn.ReLU(), nn.BatchNorm1d(16),
                nn.Conv1d(16, UNITS, 9, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
            )  # fmt: skip
        else:
            self.trunk = nn.Sequential(nn.Linear(view.shape[1], UNITS), nn.Tanh())
        self.last = nn.Linear(UNITS, experts)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, view: torch.Tensor) -> torch.Tensor:
        """Log factors, bounded."""
        units = F.dropout(self.trunk(view), 0.5, self.training)
        return self.last(units).clamp(-8, 8)


@dataclass
class Fitted:
    """A trained gate: `residuals` gives each task's log factors `[recording, member]`."""

    gate: LearnedGate
    middle: np.ndarray
    spread: np.ndarray
    parts: list[np.ndarray]  # of each task, `[member, expert]`

    def residuals(self, view: np.ndarray) -> list[np.ndarray]:
        """For new recordings."""
        with torch.no_grad():
            factors = self.gate.eval()(_standard(view, self.middle, self.spread)).numpy()
        return [factors @ part.T for part in self.parts]


def fit(view: np.ndarray, tasks: Sequence[Weighed], subjects: np.ndarray, seed: int = 0) -> Fitted:
    """One gate for all of `tasks`: the sum of their losses, each relative to that of the static weights.

    Args:
        view: of the training part.
        tasks: one, or several that share it.
        subjects: `[recording]`.
        seed: of weights, order and dropout.
    """
    torch.manual_seed(seed)
    experts = sorted({name for task in tasks for member in task.combiner.members for name in experts_of(member)})
    parts = [
        np.array([[experts_of(member).get(name, 0.0) for name in experts] for member in task.combiner.members])
        for task in tasks
    ]
    axes = (0, 2) if view.ndim == 3 else 0
    middle = np.nanmean(view, axis=axes, keepdims=True)
    spread = np.nanstd(view, axis=axes, keepdims=True) + 1e-6
    seen = _standard(view, middle, spread)
    losses = [_Loss(task, part) for task, part in zip(tasks, parts, strict=True)]
    gate = LearnedGate(view, len(experts))
    optimiser = torch.optim.AdamW(gate.parameters(), lr=RATE, weight_decay=DECAY)
    held = subject_folds(subjects, 10, seed + 1) == 0
    inside, judge = torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))
    best, kept, waited = float("inf"), deepcopy(gate.state_dict()), 0
    for _ in range(EPOCHS):
        with torch.no_grad():
            factors = gate.eval()(seen[judge])
            judged = float(sum(loss(factors, judge) for loss in losses))
        if judged < best:
            best, kept, waited = judged, deepcopy(gate.state_dict()), 0
        elif (waited := waited + 1) > PATIENCE:
            break
        gate.train()
        for rows in inside[torch.randperm(len(inside))].split(BATCH):
            optimiser.zero_grad()
            torch.stack([loss(gate(seen[rows]), rows) for loss in losses]).sum().backward()
            optimiser.step()
    gate.load_state_dict(kept)
    return Fitted(gate, middle, spread, parts)


class _Loss:
    """A task's loss of gated weights, relative to that of the static ones."""

    def __init__(self, task: Weighed, part: np.ndarray) -> None:
        combiner, target = task.combiner, task.target
        calibrated = combiner.calibrated(task.scores)
        self.known = torch.from_numpy(target.known & np.isfinite(calibrated).all((0, 2)))
        self.stack, self.truth = _tensor(calibrated), _tensor(target.y)
        self.part, self.static, self.bias = _tensor(part), _tensor(combiner.weights), _tensor(combiner.bias)
        self.kind, self.unit = combiner.kind, torch.tensor(1.0)
        self.unit = self(torch.zeros(len(target.y), part.shape[1]), torch.arange(len(target.y)))

    def __call__(self, factors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        weights = torch.exp(factors @ self.part.T)[..., None] * self.static  # [row, member, output]
        weights = weights * (self.static.abs().sum(0) / weights.abs().sum(1).clamp(min=1e-9))[:, None]
        z, y = (weights * self.stack[:, rows].transpose(0, 1)).sum(1) + self.bias, self.truth[rows]
        if self.kind == "regression":
            each = (z - y).abs().sum(1)
        elif self.kind == "multiclass":
            each = torch.logsumexp(z, 1) - (z * y).sum(1)
        else:
            each = F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(1)
        known = self.known[rows]
        return each[known].sum() / known.sum().clamp(min=1) / self.unit


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.nan_to_num(np.asarray(array, np.float32)))


def _standard(view: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> torch.Tensor:
    return _tensor(np.clip((view - middle) / spread, -CLIP, CLIP))
