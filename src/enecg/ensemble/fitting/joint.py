"""The recipe of EnECG (arXiv 2511.22935): per task, heads and gate trained together on the softmax-weighted sum.

New layers are random and stay so; what is trained are low-rank changes of their hidden layers. Made runnable, and free
of what leaked or misled in the public code: heads read whole embeddings, standardised on the training part; labels of
a regression are standardised too; every fit starts anew; one recording's views stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from enecg.ensemble.combiner import Combiner, Platt
from enecg.ensemble.ensemble import Embeddings, Ensemble, Predictor, TaskModel
from enecg.ensemble.fitting.fit import checked, fit
from enecg.ensemble.fitting.recipes import ExpertInfo, Mixture, Recipe
from enecg.ensemble.gates.perceptron import LAYERS, MixtureGate
from enecg.ensemble.heads.feature_maps import Standard
from enecg.ensemble.heads.feed_forward import FittedFFN
from enecg.ensemble.heads.feed_forward_training import Trunk, hold_out, tensors_of
from enecg.ensemble.heads.lora import Adapter
from enecg.tasks import Target

_KINDS: Final = ("weight", "bias")
HEAD: Final = "mixture"  # the kind of its heads: `rhythm/mixture`


def fit_by_recipe(
    embeddings: Embeddings,
    targets: Sequence[Target],
    subjects: np.ndarray,
    experts: Sequence[ExpertInfo],
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    training: dict[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Ensemble:
    """Fit an ensemble by any recipe; arguments and errors as of `enecg.ensemble.fitting.fit.fit`.

    Of a mixture, every expert alone and the baselines come from `fit` with what the recipe says besides: the mixture
    is compared with heads that know of no other expert.
    """
    recipe = recipe or Recipe()
    told: dict[str, Any] = {"seed": seed, "training": training, "progress": progress}
    base = fit(embeddings, targets, subjects, experts, recipe=recipe, **told)
    if recipe.mixture is None:
        return base
    view = recipe.mixture.view
    learned = [checked(target, np.asarray(subjects, dtype=str), recipe) for target in targets]
    members = [info.name for info in experts if not info.view]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixed = _Training(embeddings, members, view, learned, np.asarray(subjects), recipe.mixture, seed)
        for i, target in enumerate(learned):
            progress(f"mixture for {target.task.name}")
            mixed.train(i)
    models = {
        target.task.name: _mixed(base.models[target.task.name], members, gate, view)
        for target, gate in zip(learned, mixed.gates(), strict=True)
    }
    return replace(base, models=models, predictors=[*base.predictors, *mixed.heads()], cheaper=[])


def _mixed(model: TaskModel, members: Sequence[str], gate: MixtureGate, view: str) -> TaskModel:
    """A task's model with the mixture in place of the weights; it has no intervals and decides at 0.5, as published."""
    outputs, names = model.task.outputs, tuple(f"{name}/{HEAD}" for name in members)
    equal = np.full((len(names), outputs), 1 / len(names))
    combiner = Combiner(model.task.kind, names, [Platt.identity(outputs)] * len(names), equal, np.zeros(outputs))
    return replace(
        model, combiner=combiner, gate=gate, verdict=None, view=view, calibrator=None, residuals=None, thresholds=None
    )


class _Frozen:
    """The random layers, drawn once, and what they make of the training part: it is the same in every epoch."""

    def __init__(
        self, inputs: Sequence[Tensor], view: Tensor, silent: Tensor, outputs: Sequence[int], hidden: int
    ) -> None:
        self.inputs, self.view, self.silent = inputs, view, silent
        self.trunks = [Trunk(x.shape[1], hidden, outputs, 0.0).requires_grad_(False) for x in inputs]
        self.gate = [nn.Linear(view.shape[1], hidden).requires_grad_(False), nn.Linear(hidden, len(inputs))]
        self.gate[1].requires_grad_(False)
        self.first = torch.stack([trunk.first(x) for trunk, x in zip(self.trunks, inputs, strict=True)])
        self.second = [torch.stack([getattr(trunk.second, kind) for trunk in self.trunks]) for kind in _KINDS]
        self.gate_first = self.gate[0](view)

    def output(self, task: int) -> list[Tensor]:
        """Weights and biases of the heads' last layers for one task."""
        return [torch.stack([getattr(trunk.outputs[task], kind) for trunk in self.trunks]) for kind in _KINDS]


class _Adapted:
    """One task's low-rank changes, and the network with them. Layers of all heads are computed side by side."""

    def __init__(self, frozen: _Frozen, settings: Mixture, task: int) -> None:
        self.frozen, self.settings = frozen, settings
        self.output = frozen.output(task)
        rank, hidden, count = settings.rank, settings.hidden, len(frozen.trunks)
        self.firsts = [_drawn(rank, x.shape[1]) for x in frozen.inputs]
        self.first_up = torch.zeros(count, hidden, rank)
        self.second_down, self.second_up = _drawn(count, rank, hidden), torch.zeros(count, hidden, rank)
        self.gate_down, self.gate_up = _drawn(rank, frozen.view.shape[1]), torch.zeros(hidden, rank)
        self.logit_down, self.logit_up = _drawn(rank, hidden), torch.zeros(count, rank)
        for parameter in self.parameters():
            parameter.requires_grad_()

    def parameters(self) -> list[Tensor]:
        """All that is trained."""
        return [
            *self.firsts, self.first_up, self.second_down, self.second_up,
            self.gate_down, self.gate_up, self.logit_down, self.logit_up,
        ]  # fmt: skip

    def __call__(self, rows: Tensor, training: bool) -> Tensor:
        """The softmax-weighted sum of the heads' outputs `[row, output]`; a silent expert has no weight."""
        frozen, scale = self.frozen, self.settings.alpha / self.settings.rank

        def low(x: Tensor, down: Tensor, up: Tensor) -> Tensor:
            seen = nn.functional.dropout(x, self.settings.dropout, training)
            return scale * (seen @ down.mT) @ up.mT

        pairs = zip(frozen.inputs, self.firsts, self.first_up, strict=True)
        hidden = torch.relu(frozen.first[:, rows] + torch.stack([low(x[rows], down, up) for x, down, up in pairs]))
        weight, bias = frozen.second
        hidden = torch.relu(hidden @ weight.mT + bias[:, None] + low(hidden, self.second_down, self.second_up))
        answers = hidden @ self.output[0].mT + self.output[1][:, None]
        gate = torch.relu(frozen.gate_first[rows] + low(frozen.view[rows], self.gate_down, self.gate_up))
        logits: Tensor = frozen.gate[1](gate) + low(gate, self.logit_down, self.logit_up)
        weights = torch.softmax(logits.masked_fill(frozen.silent[rows], -1e9), 1)
        return (weights.T[..., None] * answers).sum(0)

    def adapters(self) -> tuple[list[Adapter], Adapter]:
        """Those of the heads, and of the gate."""

        def adapter(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Adapter:
            pairs = [tuple(side.detach().numpy().copy() for side in pair) for pair in (first, second)]
            return Adapter(self.settings.alpha, dict(zip(LAYERS, pairs, strict=True)))  # type: ignore[arg-type]

        heads = zip(self.firsts, self.first_up, self.second_down, self.second_up, strict=True)
        gate = adapter((self.gate_down, self.gate_up), (self.logit_down, self.logit_up))
        return [adapter((a, b), (c, d)) for a, b, c, d in heads], gate


def _drawn(*shape: int) -> Tensor:
    """As peft draws the first half of an adapter; the second half starts at zero."""
    bound = shape[-1] ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)


class _Training:
    """One random network, and for each task its own adapters."""

    def __init__(
        self,
        embeddings: Embeddings,
        members: Sequence[str],
        view: str,
        targets: Sequence[Target],
        subjects: np.ndarray,
        settings: Mixture,
        seed: int,
    ) -> None:
        self.members, self.targets, self.settings = members, targets, settings
        self.standards = [Standard.fit(embeddings[name]) for name in members]
        inputs = [torch.from_numpy(s(embeddings[n])) for s, n in zip(self.standards, members, strict=True)]
        silent = np.stack([~np.isfinite(embeddings[name]).any(1) for name in members], 1)
        self.answered = ~silent.all(1)
        self.held = hold_out(subjects, seed) if settings.patience else torch.zeros(len(subjects), dtype=torch.bool)
        self.scales = [_scale(target) for target in targets]
        self.outputs = [target.y.shape[1] for target in targets]
        seen = torch.from_numpy(np.nan_to_num(embeddings[view]))
        self.frozen = _Frozen(inputs, seen, torch.from_numpy(silent), self.outputs, settings.hidden)
        self.adapters: list[tuple[list[Adapter], Adapter]] = []

    def train(self, task: int) -> None:
        """Train one task's adapters: AdamW on squared error or log-loss, as published."""
        s, target = self.settings, self.targets[task]
        model = _Adapted(self.frozen, s, task)
        mean, scale = self.scales[task]
        truth = torch.from_numpy(((target.y - mean) / scale).astype(np.float32))
        known = torch.from_numpy(target.known & self.answered)
        inside, outside = (known & ~self.held).nonzero()[:, 0], (known & self.held).nonzero()[:, 0]
        optimiser = torch.optim.AdamW(model.parameters(), lr=s.rate)
        best, kept, waited = float("inf"), None, 0
        for _ in range(s.epochs):
            for rows in torch.split(inside[torch.randperm(len(inside))], s.batch):
                optimiser.zero_grad(set_to_none=True)
                _loss(target, model(rows, training=True), truth[rows]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            if not s.patience:
                continue
            with torch.no_grad():
                score = float(_loss(target, model(outside, training=False), truth[outside]))
            waited = 0 if score < best else waited + 1
            if score < best:
                best, kept = score, model.adapters()
            if waited >= s.patience:
                break
        self.adapters.append(kept or model.adapters())

    def heads(self) -> list[Predictor]:
        """One predictor per expert, for all tasks."""
        means, scales = ([scale[i] for scale in self.scales] for i in (0, 1))
        tasks = tuple(target.task.name for target in self.targets)
        found = []
        for i, (name, standard) in enumerate(zip(self.members, self.standards, strict=True)):
            trunk = tensors_of(self.frozen.trunks[i])
            adapters = [heads[i] for heads, _ in self.adapters]
            head = FittedFFN(standard, trunk, adapters, means, scales, frozen=True)
            found.append(Predictor(f"{name}/{HEAD}", (name,), tasks, head))
        return found

    def gates(self) -> list[MixtureGate]:
        """One gate per task."""
        weights, biases = ([getattr(layer, kind).numpy() for layer in self.frozen.gate] for kind in _KINDS)
        return [MixtureGate(weights, biases, adapter) for _, adapter in self.adapters]


def _scale(target: Target) -> tuple[float, float]:
    """Mean and deviation of the labels of a regression."""
    if target.task.kind != "regression":
        return 0.0, 1.0
    known = target.y[target.known]
    return float(known.mean()), float(known.std()) or 1.0


def _loss(target: Target, scores: Tensor, truth: Tensor) -> Tensor:
    """Squared error, cross-entropy, or cross-entropy per output."""
    if target.task.kind == "regression":
        return nn.functional.mse_loss(scores, truth)
    if target.task.kind == "multiclass":
        return nn.functional.cross_entropy(scores, truth)
    return nn.functional.binary_cross_entropy_with_logits(scores, truth)
