"""Supervised networks as heads: trained on what an expert keeps of the signal (typical beats), on all tasks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import cos, pi
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from enecg.ensemble.heads.base import TORCH_GENERATOR, Bag, FittedHead, Head, HeadState
from enecg.ensemble.heads.registry import register_head
from enecg.ensemble.heads.torch_losses import robust_loss
from enecg.ensemble.losses import label_scale, scaled_labels
from enecg.experts.networks.supervised import LEADS, NETS, SupervisedNet
from enecg.tasks import Target
from enecg.workers.threads import cpus

# Share of each task's loss, by kind. The classes of a rhythm count little: a network that sees one beat could only
# memorise them.
SHARE: Final = {"regression": 2.0, "binary": 1.0, "multilabel": 1.5, "multiclass": 0.6}
CHUNK: Final = 256  # recordings per step of a prediction


@register_head
@dataclass
class FittedNetwork(FittedHead):
    """A trained network and the scale of each task's labels."""

    type: ClassVar[str] = "network"

    kind: str  # of `NETS`
    net: SupervisedNet
    outputs: list[int]  # per task
    means: list[float]
    scales: list[float]

    @torch.inference_mode()
    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        device = next(self.net.parameters()).device
        parts = [self.net(_examples(x[i : i + CHUNK]).to(device)).cpu() for i in range(0, len(x), CHUNK)]
        scores = torch.cat(parts).double().numpy() if parts else np.empty((0, sum(self.outputs)))
        each = np.split(scores, np.cumsum(self.outputs)[:-1], axis=1)
        return [part * scale + mean for part, mean, scale in zip(each, self.means, self.scales, strict=True)]

    @override
    def state(self) -> HeadState:
        """Return the weights in half precision, to which they were rounded at the end of the training."""
        meta = {"type": self.type, "kind": self.kind, "outputs": self.outputs}
        tensors = {name: _halved(value).numpy() for name, value in self.net.cpu().state_dict().items()}
        return HeadState({**meta, "means": self.means, "scales": self.scales}, tensors)

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedNetwork:
        meta = state.meta
        net = NETS[meta["kind"]](sum(meta["outputs"]))
        net.load_state_dict({name: torch.tensor(value) for name, value in state.tensors.items()})
        return cls(meta["kind"], net.eval(), meta["outputs"], meta["means"], meta["scales"])


@register_head
@dataclass
class Network(Head):
    """A network trained on all tasks at once; each task's loss counts only where it is labelled.

    AdamW (Loshchilov and Hutter 2019) with one cycle of the learning rate (Smith 2018) and mixup (Zhang et al. 2018);
    gains, noise, small shifts and lost leads are drawn anew at every step. The number of steps is fixed, so nothing
    is held out.

    Attributes:
        net: of `NETS`.
        epochs: passes over the recordings.
        steps: at most so many, whatever the number of recordings.
        rate: highest learning rate.
        decay: weight decay.
        batch: recordings per step.
        mix: of the beta distribution of mixup.
        crop: samples of the random part of an example that a step uses; 0 for all of it.
    """

    net: str = "beat"
    epochs: int = 40
    steps: int = 4000
    rate: float = 2e-3
    decay: float = 0.05
    batch: int = 64
    mix: float = 0.3
    crop: int = 0
    kind: ClassVar[str] = "network"
    bag: ClassVar[bool] = True
    contract_sizes: ClassVar[tuple[int, ...]] = (LEADS * 100,)

    @override
    @classmethod
    def example(cls, sizes: Sequence[int]) -> Network:
        return cls(epochs=4, batch=32)

    @override
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedNetwork:
        return train(self, x, targets, seed)

    @override
    def cross_fit(
        self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, folds: np.ndarray, seed: int
    ) -> tuple[list[np.ndarray], FittedHead]:
        def one(fold: int) -> FittedNetwork:
            inside = np.flatnonzero(folds != fold)
            return train(self, x[inside], [target.take(inside) for target in targets], seed + fold)

        names = [int(fold) for fold in np.unique(folds)]
        with ThreadPoolExecutor(cpus()) as pool:
            fitted = list(pool.map(one, names))
        oof = [np.full((len(x), target.y.shape[1]), np.nan) for target in targets]
        for fold, part in zip(names, fitted, strict=True):
            outside = np.flatnonzero(folds == fold)
            for scores, found in zip(oof, part.predict(x[outside]), strict=True):
                scores[outside] = found
        return oof, Bag(fitted)

    def count(self, recordings: int) -> int:
        """Return the number of steps of a training on so many recordings."""
        return min(self.epochs * max(recordings // self.batch, 1), self.steps)


NETWORK_HEADS: Final = {
    "beat": Network(),
    "signal": Network("signal", epochs=18, crop=640),
}  # by `ExpertInfo.network_input`


def one_cycle(done: float, warm: float) -> float:
    """Return the share of the highest learning rate: it rises over the part `warm` of a run, then falls to zero."""
    return 0.5 * (1 - cos(pi * done / warm)) if done < warm else 0.5 * (1 + cos(pi * (done - warm) / (1 - warm)))


def train(
    head: Network,
    x: np.ndarray,
    targets: Sequence[Target],
    seed: int,
    tell: Callable[[int, float], object] = lambda step, loss: None,
) -> FittedNetwork:
    """Train one network.

    Args:
        head: how.
        x: examples, float32 `[recording, lead * sample]`; recordings that are all NaN are left out.
        targets: labels.
        seed: of everything random.
        tell: called with each step and its loss.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    labels = _AllLabels.of(targets)
    with TORCH_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = NETS[head.net](labels.y.shape[1]).to(device).train()
    rows = np.flatnonzero(np.isfinite(x).any(1) & labels.known.any(1))
    size = min(head.batch, len(rows))
    per_epoch = max(len(rows) // size, 1)
    steps = head.count(len(rows))
    optimiser = torch.optim.AdamW(net.parameters(), head.rate, weight_decay=head.decay)
    generator = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    share, regression = labels.share.to(device), labels.regression.to(device)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = head.rate * one_cycle((step + 0.5) / steps, warm=0.2)
        turn = step % per_epoch
        if turn == 0:
            order = rng.permutation(rows)
        chosen = np.sort(order[turn * size : (turn + 1) * size])
        signal = _augmented(_cropped(_examples(x[chosen]), head.crop, rng).to(device), generator)
        truth = torch.from_numpy(labels.y[chosen]).to(device)
        known = torch.from_numpy(labels.known[chosen]).float().to(device)
        drawn = rng.beta(head.mix, head.mix, (size, 1)).astype(np.float32)
        part = torch.from_numpy(np.maximum(drawn, 1 - drawn)).to(device)
        other = torch.from_numpy(rng.permutation(size)).to(device)
        signal = part[..., None] * signal + (1 - part[..., None]) * signal[other]
        truth, known = part * truth + (1 - part) * truth[other], known * known[other]
        scores = net(signal, generator)
        each = robust_loss(regression, scores, truth)
        loss = ((each * known).sum(0) / known.sum(0).clamp(min=1) * share).sum()
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        tell(step, float(loss.detach()))
    net.load_state_dict({name: _halved(value).to(value.dtype) for name, value in net.state_dict().items()})
    return FittedNetwork(head.net, net.cpu().eval(), labels.outputs, labels.means, labels.scales)


@dataclass
class _AllLabels:
    """The labels of all tasks side by side, regressions in units of their deviation."""

    y: np.ndarray  # float32 `[recording, output]`, 0 where not known
    known: np.ndarray  # bool `[recording, output]`
    share: Tensor  # `[output]`
    regression: Tensor  # bool `[output]`
    outputs: list[int]
    means: list[float]
    scales: list[float]

    @classmethod
    def of(cls, targets: Sequence[Target]) -> _AllLabels:
        outputs = [target.y.shape[1] for target in targets]
        units = [label_scale(target) for target in targets]
        y = np.concatenate([scaled_labels(target, unit) for target, unit in zip(targets, units, strict=True)], 1)
        means, scales = map(list, zip(*units, strict=True))
        each = [(target.task.kind, count) for target, count in zip(targets, outputs, strict=True) for _ in range(count)]
        share = torch.tensor([SHARE[kind] / count for kind, count in each])
        regression = torch.tensor([kind == "regression" for kind, _ in each])
        known = np.isfinite(y)
        return cls(np.where(known, y, 0).astype(np.float32), known, share, regression, outputs, means, scales)


def _examples(x: np.ndarray) -> Tensor:
    """Return `[recording, lead, sample]`; an absent lead is zero."""
    return torch.from_numpy(np.nan_to_num(np.asarray(x, np.float32)).reshape(len(x), LEADS, -1))


def _cropped(signal: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Return a part of each example, from a random place."""
    spare = signal.shape[-1] - size
    if not size or spare <= 0:
        return signal
    starts = rng.integers(0, spare + 1, len(signal))
    return torch.stack([each[:, start : start + size] for each, start in zip(signal, starts.tolist(), strict=True)])


def _augmented(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Return examples with random gains, lost leads, noise and small shifts."""
    count, leads, _ = signal.shape
    device = signal.device
    gain = 1 + 0.1 * torch.randn((count, leads, 1), generator=generator, device=device)
    there = torch.rand((count, leads, 1), generator=generator, device=device) > 0.08
    shift = int(torch.randint(-2, 3, (1,), generator=generator, device=device))
    noise = 0.02 * torch.randn(signal.shape, generator=generator, device=device)
    return torch.roll(signal, shift, -1) * gain * there + noise


def _halved(value: Tensor) -> Tensor:
    """Return the tensor in half precision, if it is of floating point."""
    return value.half() if value.is_floating_point() else value
