"""An expert is a frozen encoder with a card, which declares its origin and its input."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from enecg.experts.inputs import Batch, InputSpec
from enecg.experts.runtimes.runtime import TORCH, Runtime

LicenceClass = Literal["permissive", "attribution", "non-commercial", "restricted"]


@dataclass(frozen=True)
class Weights:
    """A file of weights: where it is published and how it is recognised. Empty for an analytic expert."""

    file: str = ""
    sha256: str | None = None
    bytes: int | None = None
    hub: str | None = None  # repository id on the Hugging Face hub
    revision: str | None = None
    url: str | None = None  # a link that gives the file itself
    page: str | None = None  # where a person fetches it by hand, when no such link exists
    config: str = ""  # a file beside it with the network's configuration


@dataclass(frozen=True)
class Card:
    """What an expert declares.

    Attributes:
        name: the name in commands.
        title: one line for people.
        source: paper, repository or package, with its authors.
        licence: SPDX id or the licence's own name.
        licence_class: whether it may be used freely.
        dim: numbers in an embedding.
        parameters: of the frozen encoder; 0 for an analytic one.
        input: the input contract.
        corpora: data sets whose signals it has seen (`enecg.cohorts` names), without labels.
        label_corpora: data sets whose labels it has seen; evaluating on these is leakage.
        weights: its file.
        padding: "ignored": the embedding of a short recording does not depend on what stands behind it; "zeros": the
            zeros behind it are part of the input, as in the training of many networks.
        cost_ms: milliseconds per 10-s recording on one CPU core, measured as the docs say.
        notes: what a user should know, in sentences.
    """

    name: str
    title: str
    source: str
    licence: str
    dim: int
    input: InputSpec
    licence_class: LicenceClass = "permissive"
    parameters: int = 0
    corpora: tuple[str, ...] = ()
    label_corpora: tuple[str, ...] = ()
    weights: Weights = field(default_factory=Weights)
    cost_ms: float | None = None
    notes: str = ""
    padding: Literal["ignored", "zeros"] = "ignored"

    def as_dict(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Card:
        """Return the card that `as_dict` gave; unknown or missing fields raise `TypeError`.

        A card of a version before 0.2 does not name the padding; its network may read the zeros.
        """
        own = {"input": InputSpec.from_dict(data["input"]), "weights": Weights(**data["weights"])}
        fields = {"padding": "zeros", **data, **own}
        return cls(**{**fields, **{name: tuple(data[name]) for name in ("corpora", "label_corpora")}})


class Expert(ABC):
    """A frozen encoder.

    Subclasses set `card`, and `version` (raised whenever the same input would give other numbers).

    Attributes:
        card: what it declares.
        version: code version, part of the fingerprint.
        columns: names of the embedding's numbers, where they have a meaning of their own.
        measurements: native outputs: name of a quantity -> column of the embedding, in the task's unit
            (`{"rr_interval": 0}`); a `direct` head passes them through.
        tabular: the numbers are measurements of different kinds (trees like them), not coordinates.
        gate_input: only gates and the reports' baselines read it; it gets no head and no weight in the ensemble.
        network_input: kind of network (of `enecg.experts.networks.supervised.NETS`) that is trained on its output, if
            any.
        runtime: how its network is run, if it has one; a lower precision is part of the fingerprint.
    """

    card: Card
    version: ClassVar[str] = "1"
    columns: Sequence[str] | None = None
    measurements: Mapping[str, int] = {}
    tabular: ClassVar[bool] = False
    gate_input: ClassVar[bool] = False
    network_input: str = ""
    runtime: Runtime = TORCH

    @abstractmethod
    def encode(self, batch: Batch) -> np.ndarray:
        """Embed windows: float32 `[window, dim]`.

        Deterministic, without gradient or I/O, and independent of the batch mates. NaN marks a number that
        cannot be known for a window (an amplitude of a normalised recording); it is masked later, not guessed.
        """

    def pool(self, windows: np.ndarray) -> np.ndarray:
        """One embedding `[dim]` from those of a recording's windows `[window, dim]`: the mean over known values."""
        if len(windows) == 1:
            only: np.ndarray = windows[0]
            return only
        known = np.isfinite(windows)
        total = np.where(known, windows, 0).sum(0, dtype=np.float64)
        count = known.sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)

    def state_hash(self) -> str:
        """Return the sha256 of what was learned or drawn (weights, random kernels); empty for a pure formula."""
        return self.card.weights.sha256 or ""

    def fingerprints(self) -> frozenset[str]:
        """Its fingerprints in all runtimes and precisions that there are; they need not be installed."""
        return frozenset({self.fingerprint})

    @property
    def rounding(self) -> str:
        """What decides on the rounding in a lower precision, part of the fingerprint."""
        return str(self.runtime)

    @property
    def fingerprint(self) -> str:
        """sha256 over weights, input contract, code version and precision: the key of this expert's embeddings."""
        text = f"{self.card.name}|{self.version}|{self.card.dim}|{self.card.input.key}|{self.state_hash()}"
        if not self.runtime.is_exact:
            text = f"{text}|{self.rounding}"
        return hashlib.sha256(text.encode()).hexdigest()
