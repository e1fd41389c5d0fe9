"""What every expert owes: the one suite that a new one has to pass. It finds them in the registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import numpy as np
import pytest
import torch

from enecg.experts import contract, registry
from enecg.experts.base import Card, Expert, LicenceClass
from enecg.experts.contract import CHECKS, RECORD, ExpertCheck, Trial
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
def trial(expert: Expert) -> Trial:
    return Trial(expert)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_is_kept(trial: Trial, check: Callable[[Trial], ExpertCheck]) -> None:
    found = check(trial)
    assert found.passed, found.result


@pytest.mark.parametrize("name", [name for name in PRESENT if find(name) is None])
def test_packaged_experts_are_recorded_under_their_fingerprint(name: str) -> None:
    path = Path(str(files("enecg.experts") / "data" / RECORD))
    fingerprint = registry.create(name).fingerprint
    assert fingerprint in json.loads(path.read_text()), "run scripts/expert_goldens.py after raising a version"


class Sound(Expert):
    """Means of the leads: keeps the contract."""

    card = replace(
        registry.entry("rhythm").card(), name="sound", dim=12, input=InputSpec(max_windows=3), padding="ignored"
    )

    def encode(self, batch: Batch) -> np.ndarray:
        inside = np.arange(batch.signal.shape[-1]) < batch.length[:, None, None]
        return np.float32((np.abs(batch.signal) * inside).sum(-1) / batch.length[:, None])


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


class Rescaled(Sound):
    """Numbers in mV, for normalised recordings too: the unknown scale becomes a number."""

    def encode(self, batch: Batch) -> np.ndarray:
        return super().encode(batch) * np.nan_to_num(batch.scale, nan=1.0)


class Unscaled(Sound):
    """Reads what it calls millivolts where nobody knows the unit."""

    card = replace(Sound.card, input=InputSpec(max_windows=3, scaling="none"))


class Shared(Sound):
    """Keeps the batch in the expert while it works: another thread changes it."""

    def encode(self, batch: Batch) -> np.ndarray:
        self.now = batch
        found = np.abs(self.now.signal)
        return np.float32(found.sum(-1) / self.now.length[:, None])


class Locked(Sound):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Seconds(Sound):
    """An RR interval in seconds, where the task is in milliseconds."""

    measurements = MappingProxyType({"rr_interval": 0})

    def encode(self, batch: Batch) -> np.ndarray:
        found = super().encode(batch)
        found[:, 0] = 0.8
        return found


class Padded(Sound):
    def encode(self, batch: Batch) -> np.ndarray:
        return np.float32(np.abs(batch.signal).mean(-1))


class Writing(Sound):
    folder: Path

    def encode(self, batch: Batch) -> np.ndarray:
        (self.folder / "seen.txt").write_text(str(len(batch)))
        return super().encode(batch)


class Fixed(Sound):
    fingerprint = "0" * 64  # type: ignore[assignment]


BROKEN = [
    (Infinite, contract.shape), (Blind, contract.shape), (Forgetful, contract.repetition),
    (Careless, contract.repetition), (Sociable, contract.batch_mates), (Infinite, contract.absent_leads),
    (Greedy, contract.long), (Infinite, contract.short), (Infinite, contract.normalised), (Fixed, contract.fingerprint),
    (Nameless, contract.columns), (Rescaled, contract.amplitude), (Unscaled, contract.amplitude),
    (Shared, contract.threads), (Locked, contract.pickling), (Seconds, contract.measurements),
    (Padded, contract.padding), (Writing, contract.files),
]  # fmt: skip


def test_a_sound_expert_passes() -> None:
    assert [check.name for check in contract.run_checks(Sound()) if not check.passed] == []


@pytest.mark.parametrize(("kind", "check"), BROKEN, ids=lambda each: each.__name__)
def test_a_broken_expert_does_not(
    kind: type[Sound], check: Callable[[Trial], ExpertCheck], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writing, "folder", tmp_path, raising=False)
    found = check(Trial(kind()))
    assert not found.passed, found.result


@pytest.mark.parametrize(
    ("kind", "check"),
    [(Padded, contract.padding), (Sound, contract.padding), (Sound, contract.amplitude), (Sound, contract.threads)],
    ids=lambda each: each.__name__,
)
def test_what_the_card_declares_passes(kind: type[Sound], check: Callable[[Trial], ExpertCheck]) -> None:
    expert = kind()
    expert.card = replace(expert.card, padding="zeros" if kind is Padded else "ignored")
    assert check(Trial(expert)).passed


class Changed(Sound):
    """Other numbers under the fingerprint of Sound: its version was forgotten."""

    def encode(self, batch: Batch) -> np.ndarray:
        return 1.02 * super().encode(batch)


class Raised(Changed):
    version = "2"


def test_a_forgotten_version_is_found(tmp_path: Path) -> None:
    record = tmp_path / "sound.json"
    assert "recorded in sound.json" in contract.version(Trial(Sound(), record)).result
    assert contract.version(Trial(Sound(), record)).passed
    found = contract.version(Trial(Changed(), record))
    assert not found.passed
    assert "raise the version" in found.result
    assert contract.version(Trial(Raised(), record)).passed
    assert contract.version(Trial(Sound(), record)).passed  # still known beside the new one
    blocked = contract.version(Trial(Sound(), record / "below.json"))
    assert blocked.passed and "cannot be recorded" in blocked.result
    record.write_text("damaged")
    assert contract.version(Trial(Sound(), record)).passed


def test_what_the_card_refuses_must_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(Greedy())
    assert contract.absent_leads(trial).passed
    assert contract.normalised(trial).passed
    monkeypatch.setattr(contract, "prepared_batch", lambda _, *recordings: prepare(recordings[0], InputSpec()))
    assert not contract.absent_leads(trial).passed
    assert not contract.normalised(trial).passed


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
