"""Feed-forward heads in torch: one trunk for all tasks of an expert, low-rank adapters (LoRA) on it per task."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from enecg.ensemble.heads.base import FittedHead, Head, HeadState
from enecg.ensemble.heads.features import Standard
from enecg.ensemble.heads.lora import Adapter
from enecg.tasks import Target

ADAPTED: Final = ("first", "second")  # the layers of a trunk that get low-rank adapters


class Trunk(nn.Module):
    """Two hidden layers and one linear output per task."""

    def __init__(self, dim: int, hidden: int, outputs: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, hidden)
        self.outputs = nn.ModuleList(nn.Linear(hidden, count) for count in outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> list[Tensor]:
        """`[recording, dim]` to one `[recording, output]` per task."""
        x = self.dropout(torch.relu(self.first(x)))
        x = self.dropout(torch.relu(self.second(x)))
        return [output(x) for output in self.outputs]


@dataclass
class FittedFFN(FittedHead):
    """A trunk, the scale of each task's labels, and each task's low-rank adapters where it was adapted.

    `frozen` says that the trunk is as it was drawn, and only the adapters were trained.
    """

    type: ClassVar[str] = "ffn"

    standard: Standard
    trunk: Trunk
    adapters: list[Adapter]  # one per task, or none
    means: list[float]
    scales: list[float]
    settings: dict[str, Any]
    frozen: bool = False

    def __post_init__(self) -> None:
        self._networks = [self._merged(adapter).eval() for adapter in self.adapters] or [self.trunk.eval()]

    def _merged(self, adapter: Adapter) -> Trunk:
        """The trunk with one task's adapter added to its hidden layers."""
        state = dict(self.trunk.state_dict())
        for layer in adapter.layers:
            state[f"{layer}.weight"] = state[f"{layer}.weight"] + torch.from_numpy(adapter.change(layer))
        merged = Trunk(**self.settings)
        merged.load_state_dict(state)
        return merged

    @torch.no_grad()
    @override
    def predict(self, x: np.ndarray) -> list[np.ndarray]:
        z = torch.from_numpy(self.standard(x))
        shared = [network(z) for network in self._networks]
        out = []
        for task, (mean, scale) in enumerate(zip(self.means, self.scales, strict=True)):
            scores = shared[task if len(shared) > 1 else 0][task]
            out.append(scores.numpy().astype(np.float64) * scale + mean)
        return out

    @property
    @override
    def trained(self) -> int:
        trunk = 0 if self.frozen else sum(parameter.numel() for parameter in self.trunk.parameters())
        return trunk + sum(adapter.parameters for adapter in self.adapters)

    @override
    def state(self) -> HeadState:
        meta = {"type": self.type, "means": self.means, "scales": self.scales, "settings": self.settings}
        state = HeadState.nested({**meta, "frozen": self.frozen}, {"standard": self.standard.state()})
        state.tensors |= {f"trunk.{key}": value.numpy() for key, value in self.trunk.state_dict().items()}
        state.adapters = {str(task): adapter for task, adapter in enumerate(self.adapters)}
        return state

    @override
    @classmethod
    def restore(cls, state: HeadState) -> FittedFFN:
        meta, inside = state.meta, "trunk."
        found = {key.removeprefix(inside): value for key, value in state.tensors.items() if key.startswith(inside)}
        trunk = Trunk(**meta["settings"])
        trunk.load_state_dict({key: torch.tensor(value) for key, value in found.items()})
        adapters = [state.adapters[str(task)] for task in range(len(state.adapters))]
        standard = Standard.restore(state.part("standard"))
        return cls(standard, trunk, adapters, meta["means"], meta["scales"], meta["settings"], meta["frozen"])


@dataclass
class FFN(Head):
    """A feed-forward head trained on all tasks at once; each task's loss counts only where it is labelled.

    Attributes:
        hidden: width of both hidden layers.
        dropout: in training.
        epochs: at most; early stopping on a tenth of the subjects.
        rate: learning rate of AdamW with a cosine schedule.
        batch: recordings per step.
        decay: weight decay.
        lora_rank: rank of the adapters trained per task on the frozen trunk afterwards; 0 for none.
        lora_epochs: epochs for each task's adapters.
    """

    hidden: int = 256
    dropout: float = 0.3
    epochs: int = 40
    rate: float = 1e-3
    batch: int = 128
    decay: float = 0.05
    lora_rank: int = 0
    lora_epochs: int = 15
    kind: ClassVar[str] = "ffn"
    bag: ClassVar[bool] = True

    @override
    def fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedFFN:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._fit(x, targets, subjects, seed)

    def _fit(self, x: np.ndarray, targets: Sequence[Target], subjects: np.ndarray, seed: int) -> FittedFFN:
        standard = Standard.fit(x)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        inputs = torch.from_numpy(standard(x)).to(device)
        means, scales = zip(*(_label_scale(target) for target in targets), strict=True)
        labels = [
            torch.from_numpy(((t.y - mean) / scale).astype(np.float32)).to(device)
            for t, mean, scale in zip(targets, means, scales, strict=True)
        ]
        outputs = [target.y.shape[1] for target in targets]
        settings = {"dim": x.shape[1], "hidden": self.hidden, "outputs": outputs, "dropout": self.dropout}
        trunk = Trunk(**settings).to(device)
        held = hold_out(subjects, seed)
        losses = [_loss(target) for target in targets]

        def total(found: list[Tensor], rows: Tensor) -> Tensor:
            pairs = zip(losses, found, labels, strict=True)
            return torch.stack([loss(scores, truth[rows]) for loss, scores, truth in pairs]).sum()

        self._train(trunk, trunk.parameters(), inputs, held, total, self.epochs, self.rate)
        adapters: list[Adapter] = []
        if self.lora_rank:
            adapters = [
                self._adapt(trunk, inputs, held, lambda f, rows, i=i: losses[i](f[i], labels[i][rows]))
                for i in range(len(targets))
            ]
        return FittedFFN(standard, trunk.cpu(), adapters, list(means), list(scales), settings)

    def _adapt(self, trunk: Trunk, inputs: Tensor, held: Tensor, loss: Any) -> Adapter:
        """LoRA (Hu et al. 2021) on the hidden layers for one task; the trunk itself stays as it is."""
        import peft  # brings transformers along: seconds that only fitting has to wait

        config = peft.LoraConfig(r=self.lora_rank, lora_alpha=self.lora_rank, target_modules=list(ADAPTED))
        adapted = peft.get_peft_model(copy.deepcopy(trunk), config)
        trainable = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        self._train(adapted, iter(trainable), inputs, held, loss, self.lora_epochs, self.rate / 2)
        return Adapter.of(adapted, self.lora_rank)

    def _train(
        self,
        model: nn.Module,
        parameters: Iterator[nn.Parameter],
        inputs: Tensor,
        held: Tensor,
        loss: Any,
        epochs: int,
        rate: float,
    ) -> None:
        """AdamW; the weights of the epoch that is best on the held-out subjects are kept."""
        optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        train_rows, held_rows = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
        best, kept, waited = float("inf"), None, 0
        for _ in range(epochs):
            model.train()
            order = train_rows[torch.randperm(len(train_rows))]
            for rows in torch.split(order, self.batch):
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

    def describe(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return asdict(self)


def _label_scale(target: Target) -> tuple[float, float]:
    if target.task.kind != "regression":
        return 0.0, 1.0
    known = target.y[target.known]
    return float(np.median(known)), float(known.std()) or 1.0


def hold_out(subjects: np.ndarray, seed: int, share: float = 0.1) -> Tensor:
    """bool `[recording]`: a tenth of the subjects, for early stopping."""
    unique, index = np.unique(subjects, return_inverse=True)
    held = np.zeros(len(unique), bool)
    held[np.random.default_rng(seed).permutation(len(unique))[: max(1, round(share * len(unique)))]] = True
    return torch.from_numpy(held[index])


def _loss(target: Target) -> Any:
    """Masked loss of one task: smooth L1 for regressions, cross-entropy per class otherwise."""
    regression = target.task.kind == "regression"

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        known = torch.isfinite(truth)
        truth = torch.where(known, truth, 0.0)
        if regression:
            each = nn.functional.smooth_l1_loss(scores, truth, reduction="none", beta=0.2)
        else:
            each = nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    return loss
