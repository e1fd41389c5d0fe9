"""Verifying experts: is it the right file, does all of it fit, and does the network do what an expert must?

With generated weights it needs no file: it writes one in the authors' layout, at full size, and reads it as a user's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import WeightsError
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.contract import ExpertCheck, distance, run_checks
from enecg.experts.inputs import prepare
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import Published, PublishedExpert, expected, find, here, installed
from enecg.experts.sample import sample_recording
from enecg.experts.weights import cache_folder

GOLDENS: Final = "goldens.json"  # first numbers of each expert's embedding, made by scripts/expert_goldens.py
TOLERANCE: Final = 1e-3  # of the embedding's largest number


@dataclass(frozen=True)
class Verification:
    """The checks of one expert."""

    name: str
    generated: bool
    checks: tuple[ExpertCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def verify(name: str, generated: bool = False) -> Verification:
    """Check one expert.

    Args:
        name: of the expert.
        generated: with generated weights in the layout of the published file, rather than with the file itself. An
            expert that comes with the package has its weights, so that it is the same for it.

    Raises:
        WeightsError: its weights are not here (and not to be generated).
    """
    published = find(name)
    if published is None:
        expert = registry.create(name)
        checks = [ExpertCheck("weights", f"state {expert.state_hash()[:12] or 'of no file: computed by a formula'}")]
        return Verification(expert.card.name, False, (*checks, *run_checks(expert, _record(expert))))
    if not generated:
        return Verification(published.card.name, False, tuple(_with_file(published)))
    with tempfile.TemporaryDirectory(prefix="enecg-") as folder:
        return Verification(published.card.name, True, tuple(_with_generated(published, Path(folder))))


def verify_all(generated: bool = False) -> Iterator[Verification]:
    """Check every registered expert, one after the other; without `generated`, those whose weights are here."""
    for name in registry.names():
        published = find(name) if generated else None
        if registry.entry(name).available() or (published is not None and installed(published)):
            try:
                yield verify(name, generated)
            except WeightsError as error:  # such as a licence that is not accepted: the other experts are still checked
                yield Verification(name, False, (ExpertCheck("weights", str(error), False),))


def _record(expert: Expert) -> Path:
    """Where the numbers of an expert are kept from one verification to the next."""
    return cache_folder() / "verified" / f"{expert.card.name}.json"


def _with_file(published: Published) -> list[ExpertCheck]:
    folder = here(published.card)
    try:
        expert = PublishedExpert(published, folder)
    except WeightsError as error:
        return [ExpertCheck("weights", str(error), False)]
    wanted = expected(published.card, folder)
    known = "as expected" if wanted else "nothing to compare it with; run enecg experts fetch to record it"
    checks = [ExpertCheck("weights", f"{folder / published.card.weights.file}: sha256 {expert.sha256[:12]}…, {known}")]
    return [*checks, _fits(expert), *run_checks(expert, _record(expert))]


def _with_generated(published: Published, folder: Path) -> list[ExpertCheck]:
    try:
        generate.build_on_meta(published)
        generate.write(published, folder)
        unknown = replace(published.card.weights, sha256=None, bytes=None)
        card = replace(published.card, weights=unknown)
        expert = PublishedExpert(replace(published, card=card), folder, cache=folder)
    except WeightsError as error:
        return [ExpertCheck("weights", str(error), False)]
    size = (folder / card.weights.file).stat().st_size
    made = f"{card.weights.file} generated in the layout {published.layout}: {size:,} bytes"
    return [ExpertCheck("weights", made), _fits(expert), *run_checks(expert), _golden(expert)]


def _fits(expert: PublishedExpert) -> ExpertCheck:
    found = sum(parameter.numel() for parameter in expert.module.parameters())
    card = expert.card
    result = f"every tensor is used or known not to be needed; {found:,} parameters"
    return ExpertCheck("strict load", result, found == card.parameters)


def _golden(expert: Expert) -> ExpertCheck:
    """Against numbers that were recorded when the network agreed with its authors' code."""
    recorded = goldens().get(expert.card.name)
    if recorded is None:
        return ExpertCheck("golden output", "none is recorded for this expert: not compared")
    away = distance(np.array(recorded), numbers(expert))
    return ExpertCheck(
        "golden output", f"{away:.1e} of the largest number away from the recorded one", away <= TOLERANCE
    )


def goldens() -> dict[str, list[float]]:
    """The recorded numbers of each expert with generated weights."""
    text = (files("enecg.experts") / "data" / GOLDENS).read_text(encoding="utf-8")
    recorded: dict[str, list[float]] = json.loads(text)
    return recorded


def numbers(expert: Expert, count: int = 8) -> np.ndarray:
    """The first numbers of an expert's embedding of the first made recording."""
    embedding: np.ndarray = expert.encode(prepare(sample_recording(), expert.card.input))[0, :count]
    return embedding
