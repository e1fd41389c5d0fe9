"""What every expert owes: the one suite that a new one has to pass. It finds them in the registry."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch

from enecg.cohort.simulated import simulate
from enecg.errors import InputError
from enecg.experts import generate, registry
from enecg.experts.base import Card, Expert, LicenceClass
from enecg.experts.inputs import Batch, prepare
from enecg.experts.published import PublishedExpert, find, installed
from enecg.recording import Recording

torch.set_num_threads(1)  # of several, those that wait take the time of the others

# A batch mate may change the order in which a matrix product is summed, and no more: share of the largest number.
MATES = 1e-5
NAMES = registry.names(views=True)
PRESENT = [name for name in NAMES if registry.entry(name).available()]


def light(name: str) -> bool:
    """Whether a published model that is not here is cheap enough to be held to all of this with generated weights.

    The others are held to the most of it by `enecg experts verify --all --generated`, and small ones of their structure
    in test_layouts_own.py and test_official.py.
    """
    card, published = registry.entry(name).card(), find(name)
    cheap = card.parameters < 1e7 and (card.cost_ms or np.inf) < 30
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


@cache
def recording(seed: int, seconds: float = 10.0, rhythm: str = "SR") -> Recording:
    return simulate(seed, seconds=seconds, rhythm=rhythm).recording


def seen_by(expert: Expert, *recordings: Recording) -> Batch:
    return Batch.join([prepare(each, expert.card.input) for each in recordings])


@pytest.fixture(scope="module")
def batch(expert: Expert) -> Batch:
    return seen_by(expert, recording(1), recording(2, rhythm="AFIB"), recording(3))


@pytest.fixture(scope="module")
def embedding(expert: Expert, batch: Batch) -> np.ndarray:
    return expert.encode(batch)


def close(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    np.testing.assert_allclose(one, other, rtol=0, atol=MATES * np.nanmax(np.abs(other)))


def test_an_embedding_has_the_shape_that_the_card_promises(expert: Expert, batch: Batch, embedding: np.ndarray) -> None:
    assert embedding.shape == (len(batch), expert.card.dim)
    assert embedding.dtype == np.float32
    assert not np.isinf(embedding).any()
    assert np.isfinite(embedding).mean() > 0.9  # of twelve clean leads in mV nearly everything is known


def test_different_recordings_have_different_embeddings(embedding: np.ndarray) -> None:
    for one, other in pairwise(embedding):
        assert not np.array_equal(one, other, equal_nan=True)


def test_the_same_batch_gives_the_same_bits_and_is_left_alone(
    expert: Expert, batch: Batch, embedding: np.ndarray
) -> None:
    before = batch.signal.copy()
    np.testing.assert_array_equal(expert.encode(batch), embedding)
    np.testing.assert_array_equal(batch.signal, before)


def test_batch_mates_do_not_matter(expert: Expert, batch: Batch, embedding: np.ndarray) -> None:
    close(np.concatenate([expert.encode(batch[i : i + 1]) for i in range(len(batch))]), embedding)
    close(expert.encode(batch[np.arange(len(batch))[::-1]])[::-1], embedding)


def test_training_mode_and_gradients_change_nothing(expert: Expert, batch: Batch, embedding: np.ndarray) -> None:
    modules = [value for value in vars(expert).values() if isinstance(value, torch.nn.Module)]
    for module in modules:
        module.train()
        assert not any(parameter.requires_grad for parameter in module.parameters())
    with torch.enable_grad():
        np.testing.assert_array_equal(expert.encode(batch), embedding)


def test_absent_leads_are_zeros_or_refused(expert: Expert, embedding: np.ndarray) -> None:
    bare = recording(1).select(("II", "V1", "V5"))
    spec = expert.card.input
    if spec.missing == "error":
        if not set(spec.leads) <= set(bare.leads):
            with pytest.raises(InputError, match="leads missing"):
                seen_by(expert, bare)
        return
    windows = seen_by(expert, bare)
    found = expert.encode(windows)
    assert found.shape == (len(windows), expert.card.dim)
    assert not np.isinf(found).any()
    assert np.isfinite(found).any()


def test_a_short_recording_is_padded(expert: Expert) -> None:
    spec = expert.card.input
    short = recording(4, seconds=0.7 * spec.seconds)
    windows = seen_by(expert, short)
    assert windows.length[0] < spec.samples
    found = expert.encode(windows)
    assert found.shape == (1, expert.card.dim)
    assert not np.isinf(found).any()
    assert np.isfinite(found).mean() > 0.5
    close(expert.encode(Batch.join([windows, seen_by(expert, recording(1))]))[:1], found)


def test_a_long_recording_is_pooled_from_its_windows(expert: Expert) -> None:
    windows = expert.encode(seen_by(expert, recording(5, seconds=3 * expert.card.input.seconds)))
    assert (len(windows) > 1) == (expert.card.input.max_windows > 1)
    pooled = expert.pool(windows)
    assert pooled.shape == (expert.card.dim,)
    assert pooled.dtype == np.float32
    known = np.isfinite(windows).any(0)
    np.testing.assert_array_equal(np.isfinite(pooled), known)
    np.testing.assert_allclose(expert.pool(windows[:1]), windows[0], rtol=1e-6)


def test_a_normalised_recording_is_seen_or_refused(expert: Expert) -> None:
    normalised = replace(recording(1), amplitude="normalised")
    if expert.card.input.amplitude == "mV":
        with pytest.raises(InputError, match="needs amplitudes in mV"):
            seen_by(expert, normalised)
        return
    found = expert.encode(seen_by(expert, normalised))
    assert not np.isinf(found).any()
    assert np.isfinite(found).any()


def test_the_fingerprint_changes_with_weights_contract_and_version(expert: Expert) -> None:
    assert re.fullmatch("[0-9a-f]{64}", expert.fingerprint)
    spec = expert.card.input
    other = copy.copy(expert)
    other.card = replace(expert.card, input=replace(spec, max_windows=spec.max_windows + 1))
    assert other.fingerprint != expert.fingerprint
    other = copy.copy(expert)
    other.state_hash = lambda: "others"  # type: ignore[method-assign]
    assert other.fingerprint != expert.fingerprint
    other = copy.copy(expert)
    other.version = expert.version + "x"  # type: ignore[misc]
    assert other.fingerprint != expert.fingerprint
    if expert.card.parameters:
        assert expert.state_hash()


def test_columns_and_measurements_fit_the_embedding(expert: Expert) -> None:
    if expert.columns is not None:
        assert len(expert.columns) == len(set(expert.columns)) == expert.card.dim
    assert all(0 <= column < expert.card.dim for column in expert.measurements.values())
    if expert.tabular:
        assert expert.columns is not None


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
