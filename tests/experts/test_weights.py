"""Files of weights: what is read, what is refused and how, and that no key is lost."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes
from safetensors.torch import save_file
from torch import nn

from enecg.errors import WeightsError
from enecg.experts.weights import (
    LoadReport,
    check_sha256,
    fold_weight_norm,
    load_state,
    load_strict,
    save_state,
    sha256_of,
)


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv1d(2, 3, 5), nn.BatchNorm1d(3), nn.Linear(4, 2))


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def refusal(path: Path, **how: object) -> str:
    """The message of a refused load: one line that names the file."""
    with pytest.raises(WeightsError) as caught:
        load_state(path, **how)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_is_read_at_its_inner_place_without_its_prefix(tmp_path: Path, zipped: bool) -> None:
    state = network().state_dict()
    inner = {f"module.{key}": tensor for key, tensor in state.items()}
    path = tmp_path / "all.pt"
    torch.save({"net": {"ema": inner}, "epoch": 3}, path, _use_new_zipfile_serialization=zipped)
    assert equal(load_state(path, inside="net.ema", strip="module."), dict(state))


def test_a_place_that_is_not_there_names_what_is(tmp_path: Path) -> None:
    path = tmp_path / "all.pt"
    torch.save({"state_dict": network().state_dict(), "epoch": 3}, path)
    assert "it holds state_dict, epoch" in refusal(path, inside="model")
    assert "not only tensors: state_dict, epoch" in refusal(path)


def test_two_keys_that_become_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.pt"
    torch.save({"module.a": torch.zeros(1), "a": torch.ones(1)}, path)
    assert "two keys become one" in refusal(path, strip="module.")


def test_safetensors_are_read_back_exactly(tmp_path: Path) -> None:
    state = network().state_dict()
    save_state(state, tmp_path / "deep" / "w.safetensors")
    assert equal(load_state(tmp_path / "deep" / "w.safetensors"), dict(state))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


def test_a_large_file_is_converted_once(tmp_path: Path) -> None:
    path, cache = tmp_path / "all.pt", tmp_path / "cache"
    state = network().state_dict()
    torch.save({"model": state, "optimiser": [state] * 5}, path)
    how = {"sha256": sha256_of(path), "inside": "model", "cache": cache}
    first = load_state(path, **how)
    (converted,) = (cache / "converted").iterdir()
    assert converted.stat().st_size < path.stat().st_size
    path.write_bytes(b"no longer read")
    assert equal(load_state(path, **how), first)
    assert "neither safetensors nor a torch file" in refusal(path, inside="model")


def test_a_wrong_hash_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(dict(network().state_dict()), path)
    check_sha256(path, sha256_of(path))
    message = refusal(path, sha256="0" * 64)
    assert sha256_of(path)[:12] in message
    assert "fetch it again" in message
    assert "no such file" in refusal(tmp_path / "absent.pt")


@pytest.mark.parametrize("kind", ["w.safetensors", "zipped.pt", "plain.pt"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / kind
    state = dict(network().state_dict())
    if kind == "w.safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zipped.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "fetch it again" in refusal(path)


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "neither safetensors nor a torch file" in refusal(path)
    path.write_bytes(b"")
    assert "neither safetensors nor a torch file" in refusal(path)
    torch.save([torch.zeros(2)], path)
    assert "holds list, not tensors by name" in refusal(path)


class Trap:
    """Unpickled, it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.zeros(1), "b": Trap(tmp_path / "run")}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "would run code" in message
    assert "mkdir" in message
    assert not (tmp_path / "run").exists()


def test_classes_beside_tensors_are_read_when_they_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"model": {"a": torch.ones(1)}, "args": argparse.Namespace(lr=0.1)}, path)
    assert "argparse.Namespace" in refusal(path, inside="model")
    assert load_state(path, inside="model", allow=[argparse.Namespace])["a"] == 1
    refusal(path, inside="model")  # allowed that once


def test_a_strict_load_fills_the_module_and_reports(tmp_path: Path) -> None:
    wanted, module = network(1).state_dict(), network(2)
    state = {key: each.half() if each.is_floating_point() else each for key, each in wanted.items()}
    state |= {"head.weight": torch.zeros(3), "quantizer.vars": torch.zeros(1)}
    report = load_strict(module, state, ignore=("head.*", "quantizer.*", "0.*"))
    assert report == LoadReport(tuple(wanted), ("head.weight", "quantizer.vars"))
    assert module.state_dict()["0.weight"].dtype == torch.float32
    torch.testing.assert_close(module.state_dict()["0.weight"], wanted["0.weight"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("0.bias"), "missing: 0.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "left over: extra"),
        (lambda state: state.update({"2.bias": torch.zeros(3)}), "of another shape: 2.bias [3] instead of [2]"),
    ],
)
def test_every_key_must_fit(change: object, says: str) -> None:
    module, state = network(), dict(network(1).state_dict())
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    change(state)  # type: ignore[operator]
    with pytest.raises(WeightsError) as caught:
        load_strict(module, state)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert equal(dict(module.state_dict()), before)


@given(
    shape=array_shapes(min_dims=1, max_dims=3, max_side=4),
    axis=st.integers(0, 2),
    spelling=st.sampled_from(["weight_", "parametrizations.weight.original"]),
    seed=st.integers(0, 99),
)
def test_both_spellings_of_weight_norm_fold_as_torch_computes_it(
    shape: tuple[int, ...], axis: int, spelling: str, seed: int
) -> None:
    axis %= len(shape)
    make = torch.Generator().manual_seed(seed)
    v = torch.randn(shape, generator=make) + 3
    g = torch.randn([size if i == axis else 1 for i, size in enumerate(shape)], generator=make)
    names = ("g", "v") if spelling == "weight_" else ("0", "1")
    state = {"a.bias": v, f"a.b.{spelling}{names[0]}": g, f"a.b.{spelling}{names[1]}": v}
    folded = fold_weight_norm(state)
    assert set(folded) == {"a.bias", "a.b.weight"}
    torch.testing.assert_close(folded["a.b.weight"], torch._weight_norm(v, g, axis))


def test_weight_norm_of_a_module_folds_into_the_plain_module() -> None:
    module = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, groups=2), dim=2)
    with torch.no_grad():
        module.parametrizations.weight.original0.mul_(1.7)
    plain = nn.Conv1d(4, 4, 3, groups=2)
    load_strict(plain, fold_weight_norm(module.state_dict()))
    torch.testing.assert_close(plain.weight, module.weight)


def test_an_official_checkpoint_with_its_optimiser_is_read(shared_data: Path) -> None:
    path = shared_data.parent / "checkpoints" / "fixtures" / "ecgfm_tiny_ckpt.pt"
    if not path.is_file():
        pytest.skip("the fixtures of official checkpoints are not here")
    state = load_state(path, inside="model")
    published = torch.load(path, weights_only=True)["model"]
    g, v = (published[f"conv_pos.pos_conv.0.{name}"] for name in ("weight_g", "weight_v"))
    torch.testing.assert_close(state["conv_pos.pos_conv.0.weight"], torch._weight_norm(v, g, 2))
    assert len(state) == len(published) - 1
