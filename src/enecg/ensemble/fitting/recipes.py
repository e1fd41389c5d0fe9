"""Recipes: which heads an expert gets for which tasks, and how they are combined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.heads.base import Head
from enecg.errors import InputError
from enecg.tasks import Task

WIDE: Final = 4096  # embeddings with more numbers than this are as good under a plain ridge as under a kernel


@dataclass(frozen=True)
class JointTraining:
    """How EnECG (arXiv 2511.22935) trains: per task, heads and gate together, as low-rank changes of random layers.

    Attributes:
        rate: learning rate of AdamW.
        epochs: at most.
        patience: epochs without gain on a held-out tenth of the subjects after which training stops and returns to the
            best epoch; 0 holds out nobody and keeps the last epoch.
        batch: recordings per step.
        hidden: width of both hidden layers of a head, and of the gate's one.
        rank: of the adapters.
        alpha: they count alpha / rank times.
        dropout: of the adapters' inputs, in training.
        gate_input: name of the embedding that the gate reads.
    """

    rate: float = 1e-4
    epochs: int = 5
    patience: int = 0
    batch: int = 16
    hidden: int = 256
    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    gate_input: str = "lead-ii"


@dataclass(frozen=True)
class Recipe:
    """How an ensemble is made.

    Attributes:
        name: in commands and bundles.
        folds: of the cross-fit of heads, by subject.
        landmarks: of kernel heads.
        rounds: trees per output.
        lora_rank: of the feed-forward heads' adapters; 0 trains none.
        gate_input: name of the embedding that a gate per recording is tried on; it is kept where it helps. Empty for
            no gate.
        n_joint_experts: experts that a joint head reads together, those that are best alone (all experts of
            measurements count as one), and another joint head without the costliest expert; 0 or 1 for no such heads.
        closed_form: only heads that are solved, not trained: no trees, feed-forward heads and networks.
        joint_training: train heads and gate together as EnECG does; the other settings then make the baselines.
        auxiliary: registered inputs of its gate and its control, which are embedded besides the experts.
    """

    name: str = "default"
    folds: int = 5
    landmarks: int = 1024
    rounds: int = 300
    lora_rank: int = 16
    gate_input: str = "quality"
    n_joint_experts: int = 3
    closed_form: bool = False
    joint_training: JointTraining | None = None
    auxiliary: tuple[str, ...] = ("quality", "random")

    def heads(
        self, expert: ExpertInfo, tasks: Sequence[Task], measured: Collection[str] = (), *, side_by_side: bool = False
    ) -> list[tuple[Head, list[int]]]:
        """Return the heads of one expert by `HEAD_RULES`, each with the positions of its tasks.

        Args:
            expert: whose heads.
            tasks: all tasks.
            measured: names of quantities that some expert measures, which no network has to learn.
            side_by_side: its measurements also get heads beside those of another expert, so that its own feed-forward
                head, which takes longest, is left out.
        """
        case = HeadCase(self, expert, tasks, measured, side_by_side)
        each = ((rule, rule.tasks(case)) for rule in HEAD_RULES if rule.when(case))
        return [(rule.head(case), its_tasks) for rule, its_tasks in each if its_tasks]

    def tabular_heads(self, tasks: Sequence[Task]) -> list[tuple[Head, list[int]]]:
        """Return the heads on named measurements of several experts side by side, with the positions of their tasks."""
        table = ExpertInfo("", "", 0, tabular=True)
        case = HeadCase(self, table, tasks, (), False)
        rules = [rule for rule in HEAD_RULES if rule.tabular and rule.when(case)]
        return [(rule.head(case), rule.tasks(case)) for rule in rules if rule.tasks(case)]

    def joint_head(self, experts: Sequence[ExpertInfo]) -> Head:
        """Return the head on several experts together: a ridge on the sum of their kernels."""
        from enecg.ensemble.heads.ridge import KernelSum

        return KernelSum([info.dim for info in experts], self.landmarks, WIDE)


@dataclass(frozen=True)
class HeadCase:
    """What a rule decides on; see `Recipe.heads`."""

    recipe: Recipe
    expert: ExpertInfo
    all_tasks: Sequence[Task]
    measured: Collection[str]
    side_by_side: bool

    def tasks(self, chosen: Callable[[Task], bool] = lambda task: True) -> list[int]:
        """Return the positions of the tasks that are chosen."""
        return [i for i, task in enumerate(self.all_tasks) if chosen(task)]


@dataclass(frozen=True)
class HeadRule:
    """When an expert gets a head, for which tasks, and with which settings.

    Attributes:
        when: whether the expert gets it.
        head: makes it.
        tasks: positions of the tasks that it learns; none means no head.
        tabular: it also reads the measurements of several experts side by side.
    """

    when: Callable[[HeadCase], bool]
    head: Callable[[HeadCase], Head]
    tasks: Callable[[HeadCase], list[int]] = lambda case: case.tasks()
    tabular: bool = False


def _measured_here(case: HeadCase) -> list[int]:
    return case.tasks(lambda task: task.name in case.expert.measurements)


def _direct(case: HeadCase) -> Head:
    from enecg.ensemble.heads.direct import Direct

    return Direct([case.expert.measurements[case.all_tasks[i].name] for i in _measured_here(case)])


def _linear(case: HeadCase) -> Head:
    from enecg.ensemble.heads.ridge import Kernel, Ridge

    return Ridge() if case.expert.dim > WIDE else Kernel(case.recipe.landmarks)


def _trees(case: HeadCase) -> Head:
    from enecg.ensemble.heads.trees import Trees

    return Trees(rounds=case.recipe.rounds)


def _feed_forward(case: HeadCase) -> Head:
    from enecg.ensemble.heads.feed_forward import FeedForward

    return FeedForward(lora_rank=case.recipe.lora_rank)


def _network(case: HeadCase) -> Head:
    from enecg.ensemble.heads.network import NETWORK_HEADS

    return NETWORK_HEADS[case.expert.network_input]


# In this order: a measured quantity is passed on; an embedding gets a kernel, a wide one a ridge (samples of a signal
# mean nothing one by one); measurements of different kinds get trees for classes and a feed-forward head; an expert
# that keeps the signal gets a network.
HEAD_RULES: Final = (
    HeadRule(lambda case: True, _direct, _measured_here),
    HeadRule(lambda case: case.expert.network_input != "signal", _linear),
    HeadRule(
        lambda case: case.expert.tabular and not case.recipe.closed_form,
        _trees,
        lambda case: case.tasks(lambda task: task.kind != "regression"),
        tabular=True,
    ),
    HeadRule(
        lambda case: case.expert.tabular and not case.recipe.closed_form and not case.side_by_side,
        _feed_forward,
        tabular=True,
    ),
    HeadRule(
        lambda case: bool(case.expert.network_input) and not case.recipe.closed_form,
        _network,
        lambda case: case.tasks(lambda task: task.name not in case.measured),
    ),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(),
        Recipe("light", gate_input="", n_joint_experts=0, closed_form=True),  # seconds instead of minutes
        Recipe(
            "paper",
            gate_input="",
            n_joint_experts=0,
            closed_form=True,
            joint_training=JointTraining(),
            auxiliary=("lead-ii", "random"),
        ),
        Recipe(
            "paper-tuned",  # the same with a schedule that works
            gate_input="",
            n_joint_experts=0,
            closed_form=True,
            joint_training=JointTraining(rate=1e-3, epochs=30, patience=8),
            auxiliary=("lead-ii", "random"),
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        InputError: there is no such recipe; the message names those that there are.
    """
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: there is no such recipe; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
