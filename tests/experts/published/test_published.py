"""Published experts from their files: what fits is loaded, and what does not is refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from enecg.errors import InputError, WeightsError
from enecg.experts import registry
from enecg.experts.base import Weights
from enecg.experts.contract import Trial
from enecg.experts.network import NetworkExpert
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import Published, PublishedExpert, find, load
from enecg.experts.published.verify import goldens, verify, verify_all
from enecg.experts.runtimes import export
from enecg.experts.runtimes.export import run_with
from enecg.experts.runtimes.runtime import LOSS, Runtime
from enecg.experts.runtimes.sessions import Session, Torch
from enecg.experts.weights import sha256_of

torch.set_num_threads(1)
PUBLISHED = [name for name in registry.names() if find(name) is not None]


def known(name: str) -> Published:
    published = find(name)
    assert published is not None
    return published


@pytest.fixture
def small() -> Published:
    """The smallest published expert, in a torch file."""
    return known("clef-small")


@pytest.fixture
def folder(small: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with its generated file."""
    monkeypatch.setenv("ENECG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ENECG_EXPERTS", str(tmp_path / "shelf"))
    generate.write(small, tmp_path / "shelf" / "clef-small")
    return tmp_path / "shelf" / "clef-small"


def test_a_restricting_licence_must_be_accepted_for_files_put_there_by_hand_too(small: Published, folder: Path) -> None:
    card = replace(small.card, licence="CC-BY-NC-4.0", licence_class="non-commercial")
    restricted = replace(small, card=card)
    with pytest.raises(WeightsError, match=r"was accepted: run .*--accept-licence 'CC-BY-NC-4\.0'"):
        load(restricted)
    note = {"licence": "MIT", "files": {}}
    (folder / "fetched.json").write_text(json.dumps(note))
    with pytest.raises(WeightsError, match="accept-licence"):
        load(restricted)
    (folder / "fetched.json").write_text(json.dumps({**note, "licence": card.licence}))
    assert load(restricted).card.licence == card.licence


def test_a_licence_that_nobody_accepted_does_not_keep_the_others_from_being_verified(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate.write(known("dlinear-enecg"), folder.parent / "dlinear-enecg")
    monkeypatch.setattr(registry, "names", lambda: ["dlinear-enecg", "rhythm"])
    refused, other = verify_all()
    assert not refused.passed
    assert "--accept-licence 'none stated'" in refused.checks[0].result
    assert other.passed


def test_comes_from_a_folder_and_once_more_from_its_converted_copy(small: Published, folder: Path) -> None:
    first = load(small)
    batch = Trial(first).batch
    embedding = first.encode(batch)
    assert embedding.shape == (2, small.card.dim)
    assert len(list((folder.parents[1] / "cache" / "converted").glob("*.safetensors"))) == 1
    again = load(small)
    np.testing.assert_array_equal(again.encode(batch), embedding)
    assert again.fingerprint == first.fingerprint


def test_the_fingerprint_tells_weights_versions_and_precisions_apart(
    small: Published, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_compare", lambda *_: 0.0)  # whatever this processor makes of it
    one = load(small)
    generate.write(small, folder, seed=1)
    other = load(small)
    later = load(replace(small, version="2"))
    rough = run_with(one, Runtime("torch", "bfloat16"))
    assert len({expert.fingerprint for expert in (one, other, later, rough)}) == 4


def test_bfloat16_is_near_or_refused(small: Published, folder: Path) -> None:
    """Kernels of some processors are far off: torch 2.13 with AMX is, on this network."""
    exact = load(small)
    batch = export.example(exact)
    one = exact.encode(batch)
    other = Torch(exact.module, exact.device, "bfloat16")(batch.signal, batch.length)
    assert other.dtype == np.float32
    away = export.difference(other, one)
    assert away > 0
    if away <= LOSS:
        assert run_with(exact, Runtime("torch", "bfloat16")).encode(batch).shape == one.shape
    else:
        with pytest.raises(InputError, match=r"torch bfloat16 .* away from those of torch.*leave --precision out"):
            run_with(exact, Runtime("torch", "bfloat16"))


def test_a_precision_that_is_too_far_off_is_refused_and_a_near_one_compared_once(
    small: Published, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Runtime] = []

    def compare(expert: NetworkExpert, session: Session, runtime: Runtime) -> float:
        asked.append(runtime)
        return 0.01

    monkeypatch.setattr(export, "_compare", compare)
    expert = load(small)
    for _ in range(2):
        run_with(expert, Runtime("torch", "bfloat16"))
    assert asked == [Runtime("torch", "bfloat16")]


def test_says_how_to_fetch_what_is_not_here(small: Published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENECG_CACHE", str(tmp_path))
    monkeypatch.delenv("ENECG_EXPERTS", raising=False)
    with pytest.raises(WeightsError, match=r"enecg experts fetch clef-small .*--to DIR.*ENECG_EXPERTS=DIR"):
        load(small)
    restricted = replace(small.card, licence="CC-BY-NC-4.0", licence_class="restricted")
    with pytest.raises(WeightsError, match=r"--accept-licence 'CC-BY-NC-4\.0'"):
        load(replace(small, card=restricted))


class _Runs:
    """A pickle of this would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def another_kind(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")


def changed(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        edit(content["state_dict"])
        torch.save(content, path)

    return spoil


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": _Runs()}, protocol=4))


SPOILT = {
    "a bare pickle with code in it": (pickled, "could run code"),
    "truncated": (truncated, "truncated"),
    "no weights at all": (another_kind, "neither safetensors nor a torch file"),
    "code in it": (changed(lambda state: state.update(hook=_Runs())), "would run code"),
    "missing key": (changed(lambda state: state.pop("backbone.first_conv.conv.weight")), "missing: first_conv"),
    "key too many": (changed(lambda state: state.update({"backbone.more": torch.ones(1)})), "left over: more"),
    "another shape": (
        changed(lambda state: state.update({"backbone.first_conv.conv.bias": torch.ones(31)})),
        "of another shape: first_conv",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_refuses_a_file_that_is_not_whole_and_right(small: Published, folder: Path, fault: str) -> None:
    spoil, said = SPOILT[fault]
    spoil(folder / small.card.weights.file)
    with pytest.raises(WeightsError, match=said) as error:
        load(small)
    assert "\n" not in str(error.value)
    assert str(folder / small.card.weights.file) in str(error.value)  # where
    assert re.search(r"fetch|get it as", str(error.value))  # what to do


@pytest.mark.parametrize("known_of", [{"sha256": "0" * 64}, {"bytes": 12}])
def test_refuses_another_file_than_the_card_names(small: Published, folder: Path, known_of: dict[str, Any]) -> None:
    strict = replace(small, card=replace(small.card, weights=replace(small.card.weights, **known_of)))
    with pytest.raises(WeightsError, match=r"(sha256|bytes).*fetch it again"):
        load(strict)


def test_refuses_a_file_that_changed_since_it_was_fetched(small: Published, folder: Path) -> None:
    path = folder / small.card.weights.file
    record = {"files": {path.name: {"sha256": sha256_of(path)}}}
    (folder / "fetched.json").write_text(str(record).replace("'", '"'))
    load(small)
    generate.write(small, folder, seed=1)
    with pytest.raises(WeightsError, match="sha256 is"):
        load(small)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ("[1]", "not a configuration"), (None, "cannot be read")]
)
def test_refuses_a_damaged_side_car(small: Published, folder: Path, text: str | None, said: str) -> None:
    if text is not None:
        (folder / "config.json").write_text(text)
    weights = Weights(file=small.card.weights.file, config="config.json")
    with pytest.raises(WeightsError, match=said):
        load(replace(small, card=replace(small.card, weights=weights)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_reads_the_published_layout_whole(name: str) -> None:
    published = known(name)
    if published.package:
        pytest.importorskip(published.package)
    module = generate.build_on_meta(published)
    assert sum(parameter.numel() for parameter in module.parameters()) == published.card.parameters


def test_a_generated_safetensors_file_is_as_large_as_the_published_one(tmp_path: Path) -> None:
    base = known("moment-base")
    shapes = generate.layout(base.layout)
    tensors = {key: torch.empty(shape) for key, shape in shapes.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    assert load_file(tmp_path / "model.safetensors").keys() == shapes.keys()
    assert (tmp_path / "model.safetensors").stat().st_size == base.card.weights.bytes


@pytest.mark.parametrize("name", ["clef-small", "dlinear-enecg", "rhythm"])
def test_verify_on_generated_weights(name: str) -> None:
    verification = verify(name, generated=True)
    assert verification.passed, [check for check in verification.checks if not check.passed]
    checked = {check.name for check in verification.checks}
    assert {"weights", "embedding", "repetition", "batch mates"} <= checked
    assert verification.generated == (name != "rhythm")


def test_verify_reports_what_is_wrong(small: Published, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify("clef-small").passed
    truncated(folder / small.card.weights.file)
    verification = verify("clef-small")
    assert not verification.passed
    assert "truncated" in verification.checks[0].result

    def forgetful(self: PublishedExpert, batch: Any) -> np.ndarray:
        return np.random.default_rng().normal(size=(len(batch), self.card.dim)).astype(np.float32)

    monkeypatch.setattr(PublishedExpert, "encode", forgetful)
    failed = {check.name for check in verify("clef-small", generated=True).checks if not check.passed}
    assert failed == {"repetition", "batch mates", "threads", "pickling", "amplitude", "golden output"}


def test_every_published_expert_has_golden_numbers() -> None:
    wanted = {name for name in PUBLISHED if not known(name).package}
    assert wanted <= goldens().keys()


def test_the_recommended_set_is_free_to_use() -> None:
    for name in registry.resolve("recommended"):
        assert registry.entry(name).card().licence_class == "permissive", name
    assert len(registry.resolve("paper")) == 5
