"""Self-supervised training of a small convolutional encoder: what it learns from, and a run that can be resumed.

Two views of one window (a crop each, with noise, gain, hidden time spans and hidden leads) must be recognised as
belonging together among the views of all others (SimCLR: Chen et al. 2020), and what was hidden must be filled in
(masked reconstruction). No label is used, nor which recordings come from one subject.
"""

from __future__ import annotations

import hashlib
import io
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from typing_extensions import override

from enecg.ensemble.heads.network import one_cycle
from enecg.errors import InputError
from enecg.experts.networks.convolutional import WIDTHS, Encoder, pool
from enecg.files import writing
from enecg.pretraining.signals import Signals

PATCH: Final = 2 ** len(WIDTHS)  # samples per step of the last stage
FEWEST: Final = 32  # windows; with fewer there is nothing to tell apart


@dataclass(frozen=True)
class TrainingSettings:
    """How any network is trained.

    Attributes:
        steps: optimiser steps.
        batch: windows per step.
        crop: samples of a window that are used; shorter windows are left out.
        rate: highest learning rate (AdamW, warm-up over 15 % of the steps, then a cosine to zero).
        decay: weight decay.
    """

    steps: int = 1200
    batch: int = 96
    crop: int = 512
    rate: float = 3e-3
    decay: float = 1e-2


@dataclass(frozen=True)
class ContrastiveSettings(TrainingSettings):
    """How an encoder is trained, beside its plan: each window of a batch is seen in two views.

    Attributes:
        temperature: of the contrastive loss.
        contrast: weight of the contrastive loss beside the reconstruction.
        gain: standard deviation of the factor on each lead.
        noise: standard deviation of the noise on each sample.
        hide_time: share of spans of 0.32 s that are hidden in all leads.
        hide_lead: share of leads that are hidden.
    """

    temperature: float = 0.1
    contrast: float = 0.5
    gain: float = 0.15
    noise: float = 0.05
    hide_time: float = 0.25
    hide_lead: float = 0.2


class Student(nn.Module):
    """The encoder with the two heads that are dropped after training."""

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.encoder = Encoder(leads)
        dim = self.encoder.dim
        self.project = nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, 128))
        self.fill = nn.Sequential(nn.Conv1d(WIDTHS[-1], 128, 3, padding=1), nn.ReLU(), nn.Conv1d(128, leads * PATCH, 1))

    def forward(self, views: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`[view, lead, sample]` to its place on the sphere `[view, 128]` and the signal filled in, as `views`."""
        count, leads, samples = views.shape
        hidden = self.encoder.hidden(views)
        whole = torch.full((count,), samples, device=views.device)
        place = F.normalize(self.project(pool(hidden, whole, samples)), dim=1)
        filled = self.fill(hidden[-1]).view(count, leads, PATCH, -1).transpose(2, 3)
        return place, filled.reshape(count, leads, -1)


def views(
    windows: np.ndarray, length: np.ndarray, settings: ContrastiveSettings, rng: np.random.Generator
) -> list[np.ndarray]:
    """One view of each window.

    Args:
        windows: `[window, lead, sample]`.
        length: `[window]`; a crop never reaches into the padding.
        settings: how much is changed and hidden.
        rng: for crops, gains, noise and what is hidden.

    Returns:
        float32 `[window, lead, crop]` each: what the encoder sees, the crop as it was, and 1 where it is shown.
    """
    count, leads, _ = windows.shape
    start = rng.integers(0, length - settings.crop + 1)
    within = start[:, None] + np.arange(settings.crop)
    crop = np.take_along_axis(windows, within[:, None, :], axis=2).astype(np.float32)
    gain = 1 + settings.gain * rng.standard_normal((count, leads, 1), np.float32)
    noise = settings.noise * rng.standard_normal(crop.shape, np.float32)
    spans = rng.random((count, 1, -(-settings.crop // 32))) >= settings.hide_time
    shown = spans.repeat(32, axis=2)[..., : settings.crop] & (rng.random((count, leads, 1)) >= settings.hide_lead)
    visible = shown.astype(np.float32)
    return [(crop * gain + noise) * visible, crop, visible]


def objective(
    student: Student, seen: torch.Tensor, crop: torch.Tensor, visible: torch.Tensor, settings: ContrastiveSettings
) -> torch.Tensor:
    """The loss of a batch whose second half are the second views of the first: a scalar."""
    place, filled = student(seen)
    likeness = (place @ place.T / settings.temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(place), device=place.device).roll(len(place) // 2)
    hidden = 1.1 - visible  # what was shown counts a little too
    error = ((filled - crop).square() * hidden).sum() / hidden.sum()
    loss: torch.Tensor = settings.contrast * F.cross_entropy(likeness, partner) + error
    return loss


class Run(ABC):
    """A training run whose state can be saved and resumed; a subclass says what is trained, and towards what.

    All that is drawn at random depends on the seed and the step alone: an interrupted run that is resumed takes the
    same steps as one that was not.

    Args:
        signals: what is trained on.
        settings: how.
        seed: of weights, order and all else that is drawn.
        device: where.
    """

    def __init__(self, signals: Signals, settings: TrainingSettings, seed: int, device: torch.device) -> None:
        fit = np.flatnonzero(signals.length >= settings.crop)
        if len(fit) < FEWEST:
            raise InputError(
                f"{signals.name}: {len(fit)} windows of at least {settings.crop} samples; pretraining needs {FEWEST}"
            )
        self.signals, self.settings, self.seed, self.device, self.rows = signals, settings, seed, device, fit
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.student = self.begin(signals.windows.shape[1]).to(device)
        self.optimiser = torch.optim.AdamW(self.student.parameters(), settings.rate, weight_decay=settings.decay)
        self.step = 0

    @abstractmethod
    def begin(self, leads: int) -> nn.Module:
        """The network before training."""

    @abstractmethod
    def loss(self, windows: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """The loss of a batch: a scalar.

        Args:
            windows: float16 `[window, lead, sample]`.
            length: `[window]`; samples that are not padding, at least `settings.crop`.
            rng: for all that is drawn.
        """

    @property
    def key(self) -> str:
        """sha256 of what the run is determined by."""
        text = json.dumps([self.signals.digest, len(self.rows), asdict(self.settings), self.seed])
        return hashlib.sha256(text.encode()).hexdigest()

    def advance(self) -> float:
        """Take one step, and return its loss."""
        settings, step = self.settings, self.step
        rng = np.random.default_rng([self.seed, 1, step])
        rows = self._rows_of(step)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * one_cycle(step / settings.steps, warm=0.15)
        self.student.train()
        loss = self.loss(self.signals.windows[rows], self.signals.length[rows], rng)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def _rows_of(self, step: int) -> np.ndarray:
        """The windows of a step: each epoch is another order of all of them, its incomplete last batch left out."""
        size = min(self.settings.batch, len(self.rows))
        epoch, turn = divmod(step, len(self.rows) // size)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.rows))
        return np.sort(self.rows[order[turn * size : (turn + 1) * size]])

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        state = {"key": self.key, "step": self.step, "student": self.student.state_dict()}
        buffer = io.BytesIO()
        torch.save({**state, "optimiser": self.optimiser.state_dict()}, buffer)
        with writing(path) as file:
            file.write(buffer.getvalue())

    def resume(self, path: Path) -> None:
        """Go on from a saved state, if there is one.

        Raises:
            InputError: it is that of another run.
        """
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["key"] != self.key:
            raise InputError(
                f"{path}: belongs to another run (cohort, steps or seed differ); delete it or name another --out"
            )
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


class TwoViews(Run):
    """The run that trains an encoder to recognise and to fill in.

    Args:
        signals: what is trained on.
        settings: how.
        seed: of weights, order and views.
        device: where.
    """

    student: Student
    settings: ContrastiveSettings

    @override
    def begin(self, leads: int) -> Student:
        return Student(leads)

    @override
    def loss(self, windows: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        pair = zip(views(windows, length, self.settings, rng), views(windows, length, self.settings, rng), strict=True)
        seen, crop, visible = (torch.from_numpy(np.concatenate(both)).to(self.device) for both in pair)
        return objective(self.student, seen, crop, visible, self.settings)
