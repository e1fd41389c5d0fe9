"""The folder of a pretrained expert: the facts that its maker states, its weights, and its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from enecg import __version__
from enecg.errors import InputError
from enecg.experts.base import Card, Weights
from enecg.experts.registry import CARD_FILE
from enecg.experts.trained.tiny import WEIGHTS_FILE
from enecg.experts.weights import save_state, sha256_of
from enecg.files import writing

WORK: Final = "work"  # folder that holds what is needed to resume, until the expert is complete
MADE_BY: Final = f"enecg pretrain (enecg {__version__})"


@dataclass(frozen=True)
class CardFacts:
    """What the maker of an expert states about it, for its card.

    Attributes:
        name: of the expert; by default that of its folder.
        licence: of the weights.
        corpora: data sets that the recordings come from; reports warn where a cohort is one of them.
        data_licence: of the recordings.
    """

    name: str | None = None
    licence: str = "not stated"
    corpora: tuple[str, ...] = ()
    data_licence: str = ""

    def origin(self, cohort: str) -> str:
        """Return the names of the corpora, else of the cohort, with the licence of the recordings."""
        licence = f" ({self.data_licence})" if self.data_licence else ""
        return f"{', '.join(self.corpora) or cohort}{licence}"


def work_folder(out: Path) -> Path:
    """Return the folder in which an expert is prepared.

    Raises:
        InputError: `out` holds an expert already.
    """
    if (out / CARD_FILE).exists():
        raise InputError(f"{out}: holds an expert already; name another --out")
    return out / WORK


def write_expert(
    out: Path, kind: str, card: Card, facts: CardFacts, state: Mapping[str, torch.Tensor], training: Mapping[str, Any]
) -> dict[str, Any]:
    """Write weights and card of an expert, and remove its work folder.

    Args:
        out: folder of the expert.
        kind: how it is loaded; see `enecg.experts.registry.register_kind`.
        card: its card; name, licence, corpora and weights are filled in here.
        facts: what its maker states.
        state: its tensors by key.
        training: facts of the training, kept beside the card.

    Returns:
        The content of `card.json`.
    """
    file = out / WEIGHTS_FILE
    save_state(state, file)
    card = replace(
        card,
        name=facts.name or out.resolve().name,
        licence=facts.licence,
        corpora=facts.corpora,
        weights=Weights(file=WEIGHTS_FILE, sha256=sha256_of(file), bytes=file.stat().st_size),
    )
    kept = {"data_licence": facts.data_licence, **training, "torch": torch.__version__}
    content = {"kind": kind, "card": card.as_dict(), "pretraining": kept}
    with writing(out / CARD_FILE) as written:
        written.write((json.dumps(content, indent=2) + "\n").encode())
    shutil.rmtree(out / WORK, ignore_errors=True)
    return content
