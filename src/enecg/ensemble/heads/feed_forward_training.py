"""Training of feed-forward heads, in torch; LoRA by peft, which takes seconds to import, so only a fit does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from enecg.ensemble.heads.base import TORCH_GENERATOR, Tensors
from enecg.ensemble.heads.lora import Adapter
from enecg.ensemble.heads.torch_losses import robust_loss
from enecg.tasks import Target

if TYPE_CHECKING:
    from enecg.ensemble.heads.feed_forward import FeedForward

ADAPTED: Final = ("first", "second")  # the layers of a trunk that get low-rank adapters
Loss = Callable[[Tensor, Tensor], Tensor]


class Trunk(nn.Module):
    """A network of two hidden layers and one linear output per task."""

    def __init__(self, dim: int, hidden: int, outputs: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, hidden)
        self.outputs = nn.ModuleList(nn.Linear(hidden, count) for count in outputs)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def of(cls, tensors: Tensors) -> Trunk:
        """Return the trunk of a fitted head, to be evaluated or adapted."""
        weights = {key: torch.from_numpy(value) for key, value in tensors.items()}
        hidden, dim = weights["first.weight"].shape
        outputs = [len(value) for key, value in weights.items() if key.startswith("outputs.") and value.ndim == 1]
        trunk = cls(dim, hidden, outputs, dropout=0.0)
        trunk.load_state_dict(weights)
        return trunk.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one `[recording, output]` per task for inputs `[recording, dim]`."""
        x = self.dropout(torch.relu(self.first(x)))
        x = self.dropout(torch.relu(self.second(x)))
        return [output(x) for output in self.outputs]


def tensors_of(module: nn.Module) -> Tensors:
    """Return copies of a module's tensors by name."""
    return {key: value.detach().cpu().numpy().copy() for key, value in module.state_dict().items()}


def train(
    head: FeedForward, z: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int
) -> tuple[Tensors, list[Adapter]]:
    """Train a trunk on all tasks at once, then each task's adapters on it.

    Args:
        head: the settings.
        z: float32 `[recording, dim]`, standardised.
        targets: with scaled labels.
        subjects: `[recording]`; a tenth of them is held out for early stopping.
        seed: of everything random.

    Returns:
        Tensors of the trunk, and each task's adapter (none where `lora_rank` is 0).
    """
    with TORCH_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _train(head, z, targets, subjects, seed)


def _train(
    head: FeedForward, z: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int
) -> tuple[Tensors, list[Adapter]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs = torch.from_numpy(z).to(device)
    labels = [torch.from_numpy(target.y.astype(np.float32)).to(device) for target in targets]
    trunk = Trunk(z.shape[1], head.hidden, [target.y.shape[1] for target in targets], head.dropout).to(device)
    held = hold_out(subjects, seed)
    losses = [_loss(target) for target in targets]

    def total(found: list[Tensor], rows: Tensor) -> Tensor:
        pairs = zip(losses, found, labels, strict=True)
        return torch.stack([loss(scores, truth[rows]) for loss, scores, truth in pairs]).sum()

    _descend(head, trunk, trunk.parameters(), inputs, held, total, head.epochs, head.rate)
    adapters: list[Adapter] = []
    if head.lora_rank:
        adapters = [
            _adapt(head, trunk, inputs, held, lambda f, rows, i=i: losses[i](f[i], labels[i][rows]))
            for i in range(len(targets))
        ]
    return tensors_of(trunk), adapters


def _adapt(head: FeedForward, trunk: Trunk, inputs: Tensor, held: Tensor, loss: Any) -> Adapter:
    """Train LoRA (Hu et al. 2021) on the hidden layers for one task; the trunk itself does not change."""
    import peft

    config = peft.LoraConfig(r=head.lora_rank, lora_alpha=head.lora_rank, target_modules=list(ADAPTED))
    adapted = peft.get_peft_model(copy.deepcopy(trunk), config)
    trainable = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    _descend(head, adapted, iter(trainable), inputs, held, loss, head.lora_epochs, head.rate / 2)
    return Adapter.of(adapted, head.lora_rank)


def _descend(
    head: FeedForward,
    model: nn.Module,
    parameters: Iterator[nn.Parameter],
    inputs: Tensor,
    held: Tensor,
    loss: Any,
    epochs: int,
    rate: float,
) -> None:
    """Train with AdamW, and keep the weights of the epoch that is best on the held-out subjects."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=head.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    train_rows, held_rows = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
    best, kept, waited = float("inf"), None, 0
    for _ in range(epochs):
        model.train()
        order = train_rows[torch.randperm(len(train_rows))]
        for rows in torch.split(order, head.batch):
            optimiser.zero_grad(set_to_none=True)
            loss(model(inputs[rows]), rows).backward()
            optimiser.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            score = float(loss(model(inputs[held_rows]), held_rows))
        waited = 0 if score < best else waited + 1
        if score < best:
            best, kept = score, {key: value.clone() for key, value in model.state_dict().items()}
        if waited >= 8:
            break
    if kept is not None:
        model.load_state_dict(kept)


def hold_out(subjects: np.ndarray, seed: int, share: float = 0.1) -> Tensor:
    """Return bool `[recording]`: those of a tenth of the subjects, for early stopping."""
    unique, index = np.unique(subjects, return_inverse=True)
    held = np.zeros(len(unique), bool)
    held[np.random.default_rng(seed).permutation(len(unique))[: max(1, round(share * len(unique)))]] = True
    return torch.from_numpy(held[index])


def _loss(target: Target) -> Loss:
    """Return the masked loss of one task."""
    regression = target.task.kind == "regression"

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        known = torch.isfinite(truth)
        truth = torch.where(known, truth, 0.0)
        return (robust_loss(regression, scores, truth) * known).sum() / known.sum().clamp(min=1)

    return loss
