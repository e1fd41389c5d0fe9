"""What an ensemble keeps of an expert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from enecg.experts.base import Expert

UNKNOWN_COST: Final = 100.0  # milliseconds of an expert whose card states no cost: those of a large network


@dataclass(frozen=True)
class ExpertInfo:
    """The facts of an expert that a fit and a bundle need: to recognise the expert and to choose its heads.

    Attributes:
        name: of the expert.
        fingerprint: of the expert, which changes whenever its embeddings change.
        dim: numbers in an embedding.
        tabular: the numbers are measurements of different kinds.
        measurements: task name -> column of the embedding that measures it.
        title, licence, corpora, label_corpora, cost_ms: as on its card.
        gate_input: only gates and baselines read it; it is no member of the ensemble.
        network_input: kind of network that is trained on its output, if any.
        runtime: "openvino bfloat16" and the like; empty in float32, where the runtime does not matter.
    """

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
    gate_input: bool = False
    network_input: str = ""
    runtime: str = ""

    @classmethod
    def of(cls, expert: Expert) -> ExpertInfo:
        """Return the facts of an expert."""
        card = expert.card
        return cls(
            card.name, expert.fingerprint, card.dim, expert.tabular, dict(expert.measurements),
            card.title, card.licence, card.corpora, card.label_corpora, card.cost_ms, expert.gate_input,
            expert.network_input,
            "" if expert.runtime.is_exact else str(expert.runtime),
        )  # fmt: skip

    @property
    def cost(self) -> float:
        """Milliseconds per recording; `UNKNOWN_COST` where the card states none."""
        return UNKNOWN_COST if self.cost_ms is None else self.cost_ms

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExpertInfo:
        """Return the facts that `as_dict` wrote."""
        lists = {name: tuple(data[name]) for name in ("corpora", "label_corpora")}
        return cls(**{**data, **lists})
