"""Recipes: which heads an expert gets for which tasks, and how they are combined."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from enecg.ensemble.combiner import Rule
from enecg.ensemble.heads.base import Head
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.tasks import Task

WIDE = 4096  # embeddings with more numbers than this are as good under a plain ridge as under a kernel


@dataclass(frozen=True)
class ExpertInfo:
    """What an ensemble keeps of an expert: enough to know it again and to choose heads for it."""

    name: str
    fingerprint: str
    dim: int
    tabular: bool = False
    measurements: Mapping[str, int] = field(default_factory=dict)
    title: str = ""
    licence: str = ""
    corpora: tuple[str, ...] = ()
    label_corpora: tuple[str, ...] = ()
    cost_ms: float | None = None
    view: bool = False
    examples: str = ""
    runtime: str = ""  # "openvino bfloat16" and the like; empty in float32, where it does not matter

    @classmethod
    def of(cls, expert: Expert) -> ExpertInfo:
        """The facts of an expert."""
        card = expert.card
        return cls(
            card.name, expert.fingerprint, card.dim, expert.tabular, dict(expert.measurements),
            card.title, card.licence, card.corpora, card.label_corpora, card.cost_ms, expert.gate_input,
            expert.network_input,
            "" if expert.runtime.is_exact else str(expert.runtime),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `ExpertInfo(**...)` reads them back."""
        return asdict(self)


@dataclass(frozen=True)
class Mixture:
    """How EnECG (arXiv 2511.22935) trains: per task, heads and gate together, as low-rank changes of random layers.

    Attributes:
        rate: learning rate of AdamW.
        epochs: at most.
        patience: epochs without gain on a tenth of the subjects, held out, after which training stops and goes back to
            the best; 0 holds nobody out and keeps the last epoch.
        batch: recordings per step.
        hidden: width of both hidden layers of a head, and of the gate's one.
        rank: of the adapters.
        alpha: they count alpha / rank times.
        dropout: of what the adapters see, in training.
        view: what its gate looks at.
    """

    rate: float = 1e-4
    epochs: int = 5
    patience: int = 0
    batch: int = 16
    hidden: int = 256
    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    view: str = "lead-ii"


@dataclass(frozen=True)
class Recipe:
    """How an ensemble is made.

    Attributes:
        name: in commands and bundles.
        folds: of the cross-fit of heads, by subject.
        landmarks: of kernel heads.
        rounds: trees per output.
        lora_rank: of the feed-forward heads' adapters; 0 trains none.
        gates: views that a recording-dependent gate is tried on: names of embeddings, or `outputs` for those of the
            heads; the best is kept where it helps. A name that is not at hand is passed over.
        common: experts that one more head sees together, those that are best alone, where all experts of measurements
            count as one, and yet another those that are so without the dearest expert; 0 or 1 for no such heads.
        closed_form: only heads that are solved, not trained: no trees, feed-forward heads and networks.
        mixture: train heads and gate together as EnECG does; what the recipe says besides makes the baselines.
        views: registered views that its gate or its control looks at.
        charge: what running all experts costs, as a share of a constant answer's loss. Weights are worth less by each
            one's part of it; one that comes out without weight in all tasks is not run. The pull towards equal weights
            stands against it, and outweighs a small charge in a small cohort.
    """

    name: str = "default"
    folds: int = 5
    landmarks: int = 1024
    rounds: int = 300
    lora_rank: int = 16
    gates: tuple[str, ...] = ("quality", "rhythm", "outputs")
    common: int = 3
    closed_form: bool = False
    mixture: Mixture | None = None
    views: tuple[str, ...] = ("quality", "random")
    charge: float = 0.0

    def heads(
        self, expert: ExpertInfo, tasks: Sequence[Task], known: Collection[str] = (), *, beside: bool = False
    ) -> list[tuple[Head, list[int]]]:
        """The heads of one expert, each with the positions of its tasks.

        A measured quantity is passed through (`direct`). Wide embeddings get a ridge, compact ones a kernel.
        Measurements of different kinds get what `measured` says, examples a network.

        Args:
            expert: whose.
            tasks: all there are.
            known: names of quantities that some expert measures, which no network has to learn.
            beside: its measurements are seen beside those of another expert as well, and one feed-forward head on both
                is enough: it takes the longest.
        """
        from enecg.ensemble.heads.direct import Direct
        from enecg.ensemble.heads.network import HEADS
        from enecg.ensemble.heads.ridge import Kernel, Ridge

        everything = list(range(len(tasks)))
        measured = [i for i in everything if tasks[i].name in expert.measurements]
        chosen: list[tuple[Head, list[int]]] = []
        if measured:
            chosen.append((Direct([expert.measurements[tasks[i].name] for i in measured]), measured))
        if expert.examples != "signal":  # samples of a signal mean nothing one by one
            chosen.append((Ridge() if expert.dim > WIDE else Kernel(self.landmarks), everything))
        if expert.tabular:
            chosen += [(head, its) for head, its in self.measured(tasks) if head.kind == "trees" or not beside]
        if expert.examples and not self.closed_form:
            chosen.append((HEADS[expert.examples], [i for i in everything if tasks[i].name not in known]))
        return [(head, its_tasks) for head, its_tasks in chosen if its_tasks]

    def measured(self, tasks: Sequence[Task]) -> list[tuple[Head, list[int]]]:
        """The heads on named measurements, of one expert or of several side by side, with the positions of their tasks.

        Trees for classes, and a feed-forward head; none in a recipe that solves all heads.
        """
        from enecg.ensemble.heads.feed_forward import FFN
        from enecg.ensemble.heads.trees import Trees

        if self.closed_form:
            return []
        classes = [i for i, task in enumerate(tasks) if task.kind != "regression"]
        trees: list[tuple[Head, list[int]]] = [(Trees(rounds=self.rounds), classes)] if classes else []
        return [*trees, (FFN(lora_rank=self.lora_rank), list(range(len(tasks))))]

    def charging(self, charge: float) -> Recipe:
        """The same, with experts that must be worth their cost.

        Raises:
            InputError: a negative charge, or a recipe whose weights are those of a gate that is trained with the heads.
        """
        if charge and self.mixture:
            raise InputError(
                f"--charge: the recipe {self.name} trains its own gate; use it with --recipe default or light"
            )
        if not 0 <= charge < float("inf"):
            raise InputError(
                f"--charge {charge:g}: what all experts cost is 0 or more, as a share of the loss; try 0.01"
            )
        return replace(self, charge=charge)

    @property
    def rule(self) -> Rule:
        """Of weights: where experts must be worth their cost no head corrects another, so that some weigh nothing."""
        return "heads" if self.charge else "shares"

    def together(self, experts: Sequence[ExpertInfo]) -> Head:
        """The head on several experts at once: a ridge on the sum of their kernels."""
        from enecg.ensemble.heads.ridge import Kernels

        return Kernels([info.dim for info in experts], self.landmarks, WIDE)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(),
        Recipe("light", gates=(), common=0, closed_form=True),  # seconds instead of minutes, for a first look
        Recipe("paper", gates=(), common=0, closed_form=True, mixture=Mixture(), views=("lead-ii", "random")),
        Recipe(
            "paper-tuned",  # the same with a schedule that works
            gates=(),
            common=0,
            closed_form=True,
            mixture=Mixture(rate=1e-3, epochs=30, patience=8),
            views=("lead-ii", "random"),
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """A recipe by name; `InputError` names what there is."""
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: there is no such recipe; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
