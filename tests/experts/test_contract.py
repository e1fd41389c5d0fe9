"""What every expert owes: the one suite that a new one has to pass. It finds them in the registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from enecg.experts import contract, registry
from enecg.experts.base import Card, Expert, LicenceClass
from enecg.experts.contract import CHECKS, Check, Seen
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import PublishedExpert, find, installed

torch.set_num_threads(1)  # of several, those that wait take the time of the others

NAMES = registry.names(gate_inputs=True)
PRESENT = [name for name in NAMES if registry.entry(name).available()]


def light(name: str) -> bool:
    """Whether a published model that is not here is cheap enough to be held to all of this with generated weights.

    The others are held to the same by `enecg experts verify --all --generated`, which takes minutes (here too, with
    ENECG_ALL_EXPERTS=1), and small ones of their structure in test_layouts_own.py and test_official.py.
    """
    card, published = registry.entry(name).card(), find(name)
    cheap = (card.parameters < 1e7 and (card.cost_ms or np.inf) < 30) or os.environ.get("ENECG_ALL_EXPERTS") == "1"
    return name not in PRESENT and published is not None and installed(published) and cheap


LIGHT = [name for name in NAMES if light(name)]


@pytest.fixture(scope="module", params=[*PRESENT, *LIGHT])
def expert(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Expert]:
    name = request.param
    if name in PRESENT:
        yield registry.create(name)
        return
    published = find(name)
    assert published is not None
    folder = tmp_path_factory.mktemp(name)
    generate.write(published, folder)
    unknown = replace(published.card.weights, sha256=None, bytes=None)
    yield PublishedExpert(
        replace(published, card=replace(published.card, weights=unknown)), folder, device="cpu", cache=folder
    )


@pytest.fixture(scope="module")
def seen(expert: Expert) -> Seen:
    return Seen(expert)


@pytest.mark.parametrize("look", CHECKS, ids=lambda look: look.__name__)
def test_the_contract_is_kept(seen: Seen, look: Callable[[Seen], Check]) -> None:
    check = look(seen)
    assert check.passed, check.said


class Sound(Expert):
    """Means of the leads: keeps the contract."""

    card = replace(registry.entry("rhythm").card(), name="sound", dim=12, input=InputSpec(max_windows=3))

    def encode(self, batch: Batch) -> np.ndarray:
        return np.float32(np.abs(batch.signal).mean(-1) + 0.01 * batch.length[:, None])


class Infinite(Sound):
    def encode(self, batch: Batch) -> np.ndarray:
        return np.full((len(batch), 12), np.inf, np.float32)


class Blind(Sound):
    def encode(self, batch: Batch) -> np.ndarray:
        return np.ones((len(batch), 12), np.float32)


class Forgetful(Sound):
    def __init__(self) -> None:
        self.calls = 0

    def encode(self, batch: Batch) -> np.ndarray:
        self.calls += 1
        return super().encode(batch) + np.float32(self.calls)


class Careless(Sound):
    def encode(self, batch: Batch) -> np.ndarray:
        found = super().encode(batch)
        batch.signal[:] = 0
        return found


class Sociable(Sound):
    def encode(self, batch: Batch) -> np.ndarray:
        found = super().encode(batch)
        return found - found.mean(0)


class Greedy(Sound):
    card = replace(Sound.card, input=InputSpec(max_windows=3, missing="error", amplitude="mV"))

    def pool(self, windows: np.ndarray) -> np.ndarray:
        return windows


class Nameless(Sound):
    tabular = True


class Fixed(Sound):
    fingerprint = "0" * 64  # type: ignore[assignment]


BROKEN = [
    (Infinite, contract.shape), (Blind, contract.shape), (Forgetful, contract.repetition),
    (Careless, contract.repetition), (Sociable, contract.mates), (Infinite, contract.absent_leads),
    (Greedy, contract.long), (Infinite, contract.short), (Infinite, contract.normalised), (Fixed, contract.fingerprint),
    (Nameless, contract.columns),
]  # fmt: skip


def test_a_sound_expert_passes() -> None:
    assert [check.what for check in contract.behaviour(Sound()) if not check.passed] == []


@pytest.mark.parametrize(("kind", "look"), BROKEN, ids=lambda each: each.__name__)
def test_a_broken_expert_does_not(kind: type[Sound], look: Callable[[Seen], Check]) -> None:
    assert not look(Seen(kind())).passed


def test_what_the_card_refuses_must_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(Greedy())
    assert contract.absent_leads(seen).passed
    assert contract.normalised(seen).passed
    monkeypatch.setattr(contract, "prepared_batch", lambda _, *recordings: prepare(recordings[0], InputSpec()))
    assert not contract.absent_leads(seen).passed
    assert not contract.normalised(seen).passed


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete(name: str) -> None:
    card = registry.entry(name).card()
    assert card.name == name
    assert re.fullmatch("[a-z0-9_-]+", name)
    for text in (card.title, card.source, card.licence, card.notes):
        assert text.strip()
        assert "\n" not in text
    assert card.licence_class in get_args(LicenceClass)
    assert card.dim > 0
    assert card.parameters >= 0
    assert isinstance(card.corpora, tuple)
    assert isinstance(card.label_corpora, tuple)
    if card.weights.sha256:
        assert re.fullmatch("[0-9a-f]{64}", card.weights.sha256)
        assert card.weights.file
    assert Card.from_dict(json.loads(json.dumps(card.as_dict()))) == card


@pytest.mark.parametrize("name", registry.SETS["offline"])
def test_the_offline_experts_are_there_and_checked(name: str) -> None:
    assert registry.entry(name).available()
    card = registry.entry(name).card()
    assert card.cost_ms
    assert bool(card.parameters) == bool(card.weights.sha256)


def test_listing_experts_imports_no_torch() -> None:
    code = (
        "import sys; from enecg.experts import registry; "
        "[(registry.entry(n).card(), registry.entry(n).available()) for n in registry.names()]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
