"""Networks in ONNX Runtime and OpenVINO: exported once, compared with torch, and refused where they differ."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toys import TOYS

from commands import done, refused
from enecg import api
from enecg.embedding.store.store import Store
from enecg.errors import InputError, MissingExtra
from enecg.experts import registry
from enecg.experts.base import Card
from enecg.experts.contract import Trial
from enecg.experts.inputs import Batch, InputSpec
from enecg.experts.network import NetworkExpert
from enecg.experts.runtimes import export
from enecg.experts.runtimes.export import difference, example, run_with
from enecg.experts.runtimes.runtime import NOISE, Runtime
from generated import Trained

# Convolutions; attention; a first stage that is no network, and attention again; leads averaged; a part that is called
# as its output is.
NAMES = ("tiny", "st-mem", "hubert-ecg-small", "chronos-bolt-tiny")
FAST = tuple(Runtime(name) for name in ("onnx", "openvino"))


def toy(name: str) -> NetworkExpert:
    """A toy with a card, or the packaged expert."""
    if name == "tiny":
        expert = registry.create("tiny")
        assert isinstance(expert, NetworkExpert)
        return expert
    found = next(each for each in TOYS if each.name == name)
    leads = found.published.card.input.leads[: found.shape[0]]
    spec = InputSpec(rate=20.0, seconds=found.shape[1] / 20, leads=leads, max_windows=2)
    card = Card(name, "a toy", "made here", "none", found.dim, spec)
    return NetworkExpert(card, found.build(found.state()), "cpu")


@pytest.fixture(scope="module", autouse=True)
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this module: each network is exported once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENECG_CACHE", str(folder))
        yield folder


@pytest.mark.parametrize("runtime", FAST, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_gives_the_numbers_of_torch_in_batches_of_any_size(name: str, runtime: Runtime) -> None:
    expert = toy(name)
    batch = Batch.join([example(expert), Trial(expert).batch])
    fast = run_with(expert, runtime)
    exact = expert.encode(batch)
    assert difference(fast.encode(batch), exact) < NOISE
    alone = np.concatenate([fast.encode(batch[row : row + 1]) for row in range(len(batch))])
    assert difference(alone, exact) < NOISE
    assert fast.fingerprint == expert.fingerprint
    assert not hasattr(fast, "module")  # its weights are not held twice


def test_is_exported_and_compared_once(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expert = toy("st-mem")
    run_with(expert, FAST[0])
    monkeypatch.setattr(torch.onnx, "export", None)
    monkeypatch.setattr(export, "_compare", None)
    run_with(expert, FAST[0])
    folder = exports / "exports" / export.key_of(expert)
    assert json.loads((folder / "onnx-float32.json").read_text())["difference"] < NOISE
    assert not [path for path in folder.iterdir() if path.is_dir()]  # nothing is left of the work


@pytest.mark.parametrize("runtime", FAST, ids=str)
def test_is_refused_with_the_difference_where_it_answers_otherwise(runtime: Runtime, exports: Path) -> None:
    expert = toy("st-mem")
    run_with(expert, runtime)
    (exports / "exports" / export.key_of(expert) / f"{runtime.name}-float32.json").write_text("{}")
    with torch.no_grad():
        expert.module.get_parameter("norm.weight")[0] += 0.01  # the card, and so the fingerprint, stay as they are
    with pytest.raises(InputError, match=r"st-mem: in \w+ float32 its embeddings are \d.\de-0\d away from"):
        run_with(expert, runtime)


@pytest.mark.parametrize("runtime", [*FAST, Runtime("onnx", "int8")], ids=str)
def test_goes_to_another_process_that_has_no_export(runtime: Runtime) -> None:
    fast = run_with(toy("hubert-ecg-small"), runtime)
    moved = pickle.loads(pickle.dumps(fast))
    batch = Trial(fast).batch
    np.testing.assert_array_equal(moved.encode(batch), fast.encode(batch))
    assert moved.fingerprint == fast.fingerprint


def test_in_int8_a_window_does_not_depend_on_its_mates() -> None:
    expert = toy("st-mem")
    rough = run_with(expert, Runtime("onnx", "int8"))
    batch = Trial(expert).batch
    found = rough.encode(batch)
    assert 0 < difference(found, expert.encode(batch)) < 0.1
    loud = Batch.join([batch[:1], batch[1:]])
    loud.signal[1:] *= 1000
    np.testing.assert_array_equal(rough.encode(loud)[0], found[0])
    assert rough.fingerprint != expert.fingerprint


def test_in_bfloat16_openvino_makes_other_embeddings() -> None:
    expert = toy("tiny")
    try:
        rough = run_with(expert, Runtime("openvino", "bfloat16"))
    except InputError as error:
        pytest.skip(str(error))  # there is no hardware for it
    batch = Trial(expert).batch
    away = difference(rough.encode(batch), expert.encode(batch))
    assert NOISE < away < 0.05
    torch_rough = run_with(expert, Runtime("torch", "bfloat16"))
    assert len({each.fingerprint for each in (expert, rough, torch_rough)}) == 3


def test_says_what_cannot_be_run_so() -> None:
    with pytest.raises(InputError, match="tiny: its network has no matrix products to compute in int8"):
        run_with(toy("tiny"), Runtime("onnx", "int8"))
    with pytest.raises(InputError, match=r"timesnet-enecg: .* exported to ONNX \(its shape follows the periods"):
        run_with(toy("timesnet-enecg"), Runtime("openvino"))
    with pytest.raises(InputError, match=r"tirex: .* exported to ONNX \(its cells step through time"):
        run_with(toy("tirex"), Runtime("onnx"))
    wilful = NetworkExpert(replace(toy("st-mem").card, name="wilful"), Wilful(), "cpu")
    with pytest.raises(InputError, match=r"wilful: .* exported to ONNX \(Could not guard on data.*run it with"):
        run_with(wilful, Runtime("openvino"))


class Wilful(nn.Module):
    """A network that decides by what it sees."""

    def forward(self, signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        if bool(signal.sum() > 0):
            return signal.mean(2)
        return signal[:, :, 0]


@pytest.mark.parametrize(("package", "runtime"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_names_the_extra_that_is_missing(package: str, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    told = f"--runtime {runtime} needs the package {package}: install it with  pip install 'enecg[{runtime}]'"
    with pytest.raises(MissingExtra) as caught:
        run_with(toy("st-mem"), Runtime(runtime))
    assert str(caught.value) == told


@pytest.fixture
def words(trained: Trained, tmp_path: Path) -> tuple[object, ...]:
    """Of embedding a few recordings by `tiny` into a store of its own."""
    return ("embed", trained.manifest, "--where", "fold == 8", "--store", tmp_path / "store", "--experts", "tiny")


def test_one_store_for_all_runtimes_in_float32_and_another_for_bfloat16(
    words: tuple[object, ...], tmp_path: Path
) -> None:
    first = done(*words).out
    assert ", 0 in the store before" in first
    for name in ("onnx", "openvino"):
        assert ": 0 computed" in done(*words, "--runtime", name).out
    assert ", 0 in the store before" in done(*words, "--precision", "bfloat16").out
    assert len(Store(tmp_path / "store").info()) == 2


def test_a_bundle_keeps_its_lower_precision_and_leaves_the_runtime_free_in_float32(
    trained: Trained, tmp_path: Path
) -> None:
    fit = ("fit", trained.manifest, "--tasks", "age", "--experts", "tiny,rhythm", "--recipe", "light", "--where",
           "fold <= 3", "--store", tmp_path / "store")  # fmt: skip
    rough, exact = tmp_path / "rough", tmp_path / "exact"
    done(*fit, "--out", rough, "--precision", "bfloat16")
    done(*fit, "--out", exact, "--runtime", "openvino")
    assert [str(expert.runtime) for expert in api.load(rough).experts if not expert.gate_input] == [
        "torch bfloat16",
        "torch float32",
    ]
    assert [str(expert.runtime) for expert in api.load(exact).experts if not expert.gate_input] == ["torch float32"] * 2
    file = next(trained.manifest.parent.rglob("*.hea"))
    ages = [
        api.predict(api.load(exact, runtime), file)["predictions"][0]["tasks"]["age"]["value"]
        for runtime in ("torch", "onnx", "openvino")
    ]
    np.testing.assert_allclose(ages, ages[0], rtol=1e-4)
    assert "the bundle was fitted in torch bfloat16; leave --runtime out" in refused(
        "predict", rough, file, "--runtime", "openvino"
    )
    with pytest.raises(InputError, match="the bundle was fitted in float32; fit another one with --precision"):
        api.load(exact, "torch bfloat16")
