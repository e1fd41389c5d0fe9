"""The recipe of EnECG (arXiv 2511.22935): per task, heads and gate trained together on the softmax-weighted sum.

New layers are random and stay so; what is trained are low-rank changes of their hidden layers. Made runnable, and free
of what leaked or misled in the public code: heads read whole embeddings, standardised on the training part; labels of
a regression are standardised too; every fit starts anew; one recording's views stay together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from enecg.ensemble.combine import Combiner, Platt
from enecg.ensemble.fit import checked, fit
from enecg.ensemble.heads.features import Standard
from enecg.ensemble.heads.ffn import FittedFFN
from enecg.ensemble.heads.lora import Adapter
from enecg.ensemble.heads.training import ADAPTED, Trunk, hold_out, tensors_of
from enecg.ensemble.mixture_gate import LAYERS, MixtureGate
from enecg.ensemble.model import Embeddings, Ensemble, Predictor, TaskModel
from enecg.ensemble.recipe import ExpertInfo, Mixture, Recipe
from enecg.tasks import Target

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
    """Fit an ensemble by any recipe; arguments and errors as of `enecg.ensemble.fit.fit`.

    Of a mixture, every expert alone and the baselines come from `fit` with what the recipe says besides: the mixture
    is compared with heads that know of no other expert.
    """
    recipe = recipe or Recipe()
    seen = [info for info in experts if not info.view]
    told: dict[str, Any] = {"seed": seed, "training": training, "progress": progress}
    base = fit({info.name: embeddings[info.name] for info in seen}, targets, subjects, seen, recipe=recipe, **told)
    if recipe.mixture is None:
        return base
    (view,) = recipe.views
    learned = [checked(target, np.asarray(subjects, dtype=str), recipe) for target in targets]
    members = [info.name for info in seen]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixed = _Training(embeddings, members, view, learned, np.asarray(subjects), recipe.mixture, seed)
        for i, target in enumerate(learned):
            progress(f"mixture for {target.task.name}")
            mixed.train(i)
    models = {
        target.task.name: _mixed(base.models[target.task.name], members, gate)
        for target, gate in zip(learned, mixed.gates(), strict=True)
    }
    return replace(base, experts=list(experts), models=models, predictors=[*base.predictors, *mixed.heads()], view=view)


def _mixed(model: TaskModel, members: Sequence[str], gate: MixtureGate) -> TaskModel:
    """A task's model with the mixture in place of the weights; it has no intervals and decides at 0.5, as published."""
    outputs, names = model.task.outputs, tuple(f"{name}/{HEAD}" for name in members)
    equal = np.full((len(names), outputs), 1 / len(names))
    combiner = Combiner(model.task.kind, names, [Platt.identity(outputs)] * len(names), equal, np.zeros(outputs))
    return replace(model, combiner=combiner, gate=gate, verdict=None, residuals=None, thresholds=None)


class _GateNet(nn.Module):
    def __init__(self, dim: int, hidden: int, members: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, members)

    @override
    def forward(self, view: Tensor) -> Tensor:
        logits: Tensor = self.second(torch.relu(self.first(view)))
        return logits


class _Network(nn.Module):
    """All heads and the gate: the softmax-weighted sum of the heads' outputs for one task."""

    def __init__(self, dims: Sequence[int], outputs: Sequence[int], view: int, hidden: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Trunk(dim, hidden, outputs, 0.0) for dim in dims)
        self.gate = _GateNet(view, hidden, len(dims))

    @override
    def forward(self, inputs: Sequence[Tensor], view: Tensor, silent: Tensor, task: int) -> Tensor:
        """`[row, output]`; a silent expert has no weight."""
        answers = torch.stack([head(x)[task] for head, x in zip(self.heads, inputs, strict=True)], 1)
        weights = torch.softmax(self.gate(view).masked_fill(silent, -1e9), 1)
        return (weights[..., None] * answers).sum(1)


@dataclass
class _Inputs:
    """What the network sees of the training part: tensors by row, the same rows in all of them."""

    experts: list[Tensor]
    view: Tensor
    silent: Tensor

    def take(self, rows: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        return [x[rows] for x in self.experts], self.view[rows], self.silent[rows]


class _Training:
    """One random network, and for each task its own adapters on a copy of it."""

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
        self.inputs = _Inputs(inputs, torch.from_numpy(np.nan_to_num(embeddings[view])), torch.from_numpy(silent))
        self.answered = ~silent.all(1)
        self.held = hold_out(subjects, seed) if settings.patience else torch.zeros(len(subjects), dtype=torch.bool)
        self.scales = [_scale(target) for target in targets]
        self.outputs = [target.y.shape[1] for target in targets]
        dims = [x.shape[1] for x in inputs]
        self.network = _Network(dims, self.outputs, self.inputs.view.shape[1], settings.hidden).requires_grad_(False)
        self.adapters: list[tuple[list[Adapter], Adapter]] = []

    def train(self, task: int) -> None:
        """Train one task's adapters: AdamW on squared error or log-loss, as published."""
        import peft  # brings transformers along: seconds that only fitting has to wait

        s, target = self.settings, self.targets[task]
        config = peft.LoraConfig(
            r=s.rank, lora_alpha=s.alpha, lora_dropout=s.dropout, target_modules=sorted({*ADAPTED, *LAYERS})
        )
        model = peft.get_peft_model(copy.deepcopy(self.network), config)
        mean, scale = self.scales[task]
        truth = torch.from_numpy(((target.y - mean) / scale).astype(np.float32))
        known = torch.from_numpy(target.known & self.answered)
        inside, outside = (known & ~self.held).nonzero()[:, 0], (known & self.held).nonzero()[:, 0]
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=s.rate)
        best, kept, waited = float("inf"), None, 0
        for _ in range(s.epochs):
            model.train()
            for rows in torch.split(inside[torch.randperm(len(inside))], s.batch):
                optimiser.zero_grad(set_to_none=True)
                _loss(target, model(*self.inputs.take(rows), task), truth[rows]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            model.eval()
            if not s.patience:
                continue
            with torch.no_grad():
                score = float(_loss(target, model(*self.inputs.take(outside), task), truth[outside]))
            waited = 0 if score < best else waited + 1
            if score < best:
                best, kept = score, self._adapters(model)
            if waited >= s.patience:
                break
        self.adapters.append(kept or self._adapters(model))

    def _adapters(self, model: nn.Module) -> tuple[list[Adapter], Adapter]:
        each = [Adapter.of(model, self.settings.alpha, f"heads.{i}.") for i in range(len(self.members))]
        return each, Adapter.of(model, self.settings.alpha, "gate.")

    def heads(self) -> list[Predictor]:
        """One predictor per expert, for all tasks."""
        means, scales = ([scale[i] for scale in self.scales] for i in (0, 1))
        tasks = tuple(target.task.name for target in self.targets)
        found = []
        for i, (name, standard) in enumerate(zip(self.members, self.standards, strict=True)):
            trunk = tensors_of(self.network.heads[i])
            adapters = [heads[i] for heads, _ in self.adapters]
            head = FittedFFN(standard, trunk, adapters, means, scales, frozen=True)
            found.append(Predictor(f"{name}/{HEAD}", (name,), tasks, head))
        return found

    def gates(self) -> list[MixtureGate]:
        """One gate per task."""
        layers = [getattr(self.network.gate, name) for name in LAYERS]
        weights, biases = [layer.weight.numpy() for layer in layers], [layer.bias.numpy() for layer in layers]
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
