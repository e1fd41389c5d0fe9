"""The training of EnECG (arXiv 2511.22935): per task, heads and gate together on the softmax-weighted sum.

New layers are random and stay so; low-rank changes of their hidden layers are trained. Differences from the public
code: heads read whole embeddings, standardised on the training part; labels of a regression are standardised too;
every fit starts anew; the recordings of a subject stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from enecg.ensemble.combiner import Combiner, PlattScaling
from enecg.ensemble.ensemble import Ensemble, TaskModel
from enecg.ensemble.fitting.recipes import JointTraining
from enecg.ensemble.gates.perceptron import LAYERS, PerceptronGate
from enecg.ensemble.heads.feature_maps import Standard
from enecg.ensemble.heads.feed_forward import FittedFeedForward
from enecg.ensemble.heads.feed_forward_training import Trunk, hold_out, tensors_of
from enecg.ensemble.heads.lora import Adapter
from enecg.ensemble.heads.torch_losses import published_loss
from enecg.ensemble.losses import label_scale, scaled_labels
from enecg.ensemble.outputs import Embeddings, FittedHeadOnExperts
from enecg.tasks import Target

_KINDS: Final = ("weight", "bias")
HEAD: Final = "mixture"  # the kind of its heads: `rhythm/mixture`


def with_joint_training(
    ensemble: Ensemble,
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    settings: JointTraining,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """Return the ensemble with heads and gates that are trained together in place of its weights.

    Its baselines stay; its reduced versions do not, as they are made of other heads.

    Args:
        ensemble: fitted to the same recordings.
        embeddings: expert name -> float32 `[recording, dim]`.
        targets: labels.
        subjects: `[recording]`.
        settings: of the training.
        seed: of everything random.
        progress: called with a line before each task.
    """
    members = [info.name for info in ensemble.experts if not info.gate_input]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training = _Training(embeddings, members, targets, subjects, settings, seed)
        for i, target in enumerate(targets):
            progress(f"mixture for {target.task.name}")
            training.train(i)
    models = {
        target.task.name: _joint_model(ensemble.models[target.task.name], members, gate, settings.gate_input)
        for target, gate in zip(targets, training.gates(), strict=True)
    }
    return replace(ensemble, models=models, heads=[*ensemble.heads, *training.heads()], reduced=[])


def _joint_model(model: TaskModel, members: Sequence[str], gate: PerceptronGate, gate_input: str) -> TaskModel:
    """Return a task's model with the joint heads and gate; it has no intervals and decides at 0.5, as published."""
    outputs, names = model.task.outputs, tuple(f"{name}/{HEAD}" for name in members)
    equal = np.full((len(names), outputs), 1 / len(names))
    platt = [PlattScaling.identity(outputs)] * len(names)
    combiner = Combiner(model.task.kind, names, platt, equal, np.zeros(outputs))
    return replace(
        model, combiner=combiner, gate=gate, gate_test=None, gate_input=gate_input,
        calibrator=None, residuals=None, thresholds=None,
    )  # fmt: skip


class _Frozen:
    """The random layers, drawn once, and their outputs for the training part, which are the same in every epoch."""

    def __init__(
        self, inputs: Sequence[Tensor], gate_input: Tensor, silent: Tensor, outputs: Sequence[int], hidden: int
    ) -> None:
        self.inputs, self.gate_input, self.silent = inputs, gate_input, silent
        self.trunks = [Trunk(x.shape[1], hidden, outputs, 0.0).requires_grad_(False) for x in inputs]
        self.gate = [nn.Linear(gate_input.shape[1], hidden).requires_grad_(False), nn.Linear(hidden, len(inputs))]
        self.gate[1].requires_grad_(False)
        self.first = torch.stack([trunk.first(x) for trunk, x in zip(self.trunks, inputs, strict=True)])
        self.second = [torch.stack([getattr(trunk.second, kind) for trunk in self.trunks]) for kind in _KINDS]
        self.gate_first = self.gate[0](gate_input)

    def output(self, task: int) -> list[Tensor]:
        """Return weights and biases of the heads' last layers for one task."""
        return [torch.stack([getattr(trunk.outputs[task], kind) for trunk in self.trunks]) for kind in _KINDS]


class _Adapted:
    """One task's low-rank changes and the network with them; the layers of all heads are computed side by side."""

    def __init__(self, frozen: _Frozen, settings: JointTraining, task: int) -> None:
        self.frozen, self.settings = frozen, settings
        self.output = frozen.output(task)
        rank, hidden, count = settings.rank, settings.hidden, len(frozen.trunks)
        self.firsts = [_drawn(rank, x.shape[1]) for x in frozen.inputs]
        self.first_up = torch.zeros(count, hidden, rank)
        self.second_down, self.second_up = _drawn(count, rank, hidden), torch.zeros(count, hidden, rank)
        self.gate_down, self.gate_up = _drawn(rank, frozen.gate_input.shape[1]), torch.zeros(hidden, rank)
        self.logit_down, self.logit_up = _drawn(rank, hidden), torch.zeros(count, rank)
        for parameter in self.parameters():
            parameter.requires_grad_()

    def parameters(self) -> list[Tensor]:
        """Return all that is trained."""
        return [
            *self.firsts, self.first_up, self.second_down, self.second_up,
            self.gate_down, self.gate_up, self.logit_down, self.logit_up,
        ]  # fmt: skip

    def __call__(self, rows: Tensor, training: bool) -> Tensor:
        """Return the softmax-weighted sum of the heads' outputs, `[row, output]`, without experts that are silent."""
        frozen, scale = self.frozen, self.settings.alpha / self.settings.rank

        def low(x: Tensor, down: Tensor, up: Tensor) -> Tensor:
            seen = nn.functional.dropout(x, self.settings.dropout, training)
            return scale * (seen @ down.mT) @ up.mT

        pairs = zip(frozen.inputs, self.firsts, self.first_up, strict=True)
        hidden = torch.relu(frozen.first[:, rows] + torch.stack([low(x[rows], down, up) for x, down, up in pairs]))
        weight, bias = frozen.second
        hidden = torch.relu(hidden @ weight.mT + bias[:, None] + low(hidden, self.second_down, self.second_up))
        answers = hidden @ self.output[0].mT + self.output[1][:, None]
        gate = torch.relu(frozen.gate_first[rows] + low(frozen.gate_input[rows], self.gate_down, self.gate_up))
        logits: Tensor = frozen.gate[1](gate) + low(gate, self.logit_down, self.logit_up)
        weights = torch.softmax(logits.masked_fill(frozen.silent[rows], -1e9), 1)
        return (weights.T[..., None] * answers).sum(0)

    def adapters(self) -> tuple[list[Adapter], Adapter]:
        """Return the adapters of the heads and that of the gate."""

        def adapter(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Adapter:
            pairs = [tuple(side.detach().numpy().copy() for side in pair) for pair in (first, second)]
            return Adapter(self.settings.alpha, dict(zip(LAYERS, pairs, strict=True)))  # type: ignore[arg-type]

        heads = zip(self.firsts, self.first_up, self.second_down, self.second_up, strict=True)
        gate = adapter((self.gate_down, self.gate_up), (self.logit_down, self.logit_up))
        return [adapter((a, b), (c, d)) for a, b, c, d in heads], gate


def _drawn(*shape: int) -> Tensor:
    """Return the first half of an adapter, drawn as peft does; the second half starts at zero."""
    bound = shape[-1] ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)


class _Training:
    """One random network with the adapters of each task."""

    def __init__(
        self,
        embeddings: Embeddings,
        members: Sequence[str],
        targets: Sequence[Target],
        subjects: np.ndarray,
        settings: JointTraining,
        seed: int,
    ) -> None:
        self.members, self.targets, self.settings = members, targets, settings
        self.standards = [Standard.fit(embeddings[name]) for name in members]
        inputs = [torch.from_numpy(s(embeddings[n])) for s, n in zip(self.standards, members, strict=True)]
        silent = np.stack([~np.isfinite(embeddings[name]).any(1) for name in members], 1)
        self.answered = ~silent.all(1)
        self.held = hold_out(subjects, seed) if settings.patience else torch.zeros(len(subjects), dtype=torch.bool)
        self.scales = [label_scale(target, np.mean) for target in targets]
        self.outputs = [target.y.shape[1] for target in targets]
        gate_input = torch.from_numpy(np.nan_to_num(embeddings[settings.gate_input]))
        self.frozen = _Frozen(inputs, gate_input, torch.from_numpy(silent), self.outputs, settings.hidden)
        self.adapters: list[tuple[list[Adapter], Adapter]] = []

    def train(self, task: int) -> None:
        """Train one task's adapters: AdamW on squared error or log-loss, as published."""
        s, target = self.settings, self.targets[task]
        model = _Adapted(self.frozen, s, task)
        truth = torch.from_numpy(scaled_labels(target, self.scales[task]).astype(np.float32))
        known = torch.from_numpy(target.known & self.answered)
        inside, outside = (known & ~self.held).nonzero()[:, 0], (known & self.held).nonzero()[:, 0]
        optimiser = torch.optim.AdamW(model.parameters(), lr=s.rate)
        best, kept, waited = float("inf"), None, 0
        for _ in range(s.epochs):
            for rows in torch.split(inside[torch.randperm(len(inside))], s.batch):
                optimiser.zero_grad(set_to_none=True)
                loss = published_loss(target.task.kind, model(rows, training=True), truth[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            if not s.patience:
                continue
            with torch.no_grad():
                score = float(published_loss(target.task.kind, model(outside, training=False), truth[outside]))
            waited = 0 if score < best else waited + 1
            if score < best:
                best, kept = score, model.adapters()
            if waited >= s.patience:
                break
        self.adapters.append(kept or model.adapters())

    def heads(self) -> list[FittedHeadOnExperts]:
        """Return one head per expert, for all tasks."""
        means, scales = ([scale[i] for scale in self.scales] for i in (0, 1))
        tasks = tuple(target.task.name for target in self.targets)
        found = []
        for i, (name, standard) in enumerate(zip(self.members, self.standards, strict=True)):
            trunk = tensors_of(self.frozen.trunks[i])
            adapters = [heads[i] for heads, _ in self.adapters]
            head = FittedFeedForward(standard, trunk, adapters, means, scales, frozen=True)
            found.append(FittedHeadOnExperts(f"{name}/{HEAD}", (name,), tasks, head))
        return found

    def gates(self) -> list[PerceptronGate]:
        """Return one gate per task."""
        weights, biases = ([getattr(layer, kind).numpy() for layer in self.frozen.gate] for kind in _KINDS)
        return [PerceptronGate(weights, biases, adapter) for _, adapter in self.adapters]
