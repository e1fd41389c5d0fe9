"""Runtimes and precisions: which there are, and what they mean for the fingerprint."""

from __future__ import annotations

import numpy as np
import pytest

from enecg.errors import InputError
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch
from enecg.experts.runtimes.export import run_with
from enecg.experts.runtimes.runtime import TORCH, Runtime


@pytest.mark.parametrize(
    ("name", "precision", "told"),
    [
        ("tensorrt", "float32", "--runtime tensorrt: there is no such runtime; choose one of torch, onnx, openvino"),
        ("torch", "float8", "--precision float8: there is no such precision; choose one of float32, bfloat16, int8"),
        ("torch", "int8", "--precision int8: not with --runtime torch; choose --runtime onnx"),
        ("onnx", "bfloat16", "--precision bfloat16: not with --runtime onnx; choose --runtime torch or openvino"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(name: str, precision: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Runtime(name, precision)
    assert str(caught.value) == told


def test_goes_by_its_text() -> None:
    for runtime in Runtime.every():
        assert Runtime.parse(str(runtime)) == Runtime.parse(runtime) == runtime
    assert Runtime.parse("openvino") == Runtime("openvino", "float32")


def test_only_a_lower_precision_makes_another_expert() -> None:
    tiny = registry.create("tiny")
    rough = run_with(tiny, Runtime("torch", "bfloat16"))
    assert rough.fingerprint != tiny.fingerprint
    assert run_with(rough, TORCH).fingerprint == tiny.fingerprint
    assert tiny.fingerprints() >= {tiny.fingerprint, rough.fingerprint}
    assert len(tiny.fingerprints()) == 4  # torch and OpenVINO in bfloat16, ONNX Runtime in int8
    assert registry.create("tiny", TORCH) is tiny


def test_an_expert_without_a_network_stays_as_it_is() -> None:
    rhythm = registry.create("rhythm")
    assert run_with(rhythm, Runtime("torch", "bfloat16")) is rhythm
    assert rhythm.runtime == TORCH


class OldForeign(Expert):
    """An expert of a third party that still says itself how it is run."""

    card = registry.entry("rhythm").card()

    def encode(self, batch: Batch) -> np.ndarray:
        return np.zeros((len(batch), self.card.dim), np.float32)

    def using(self, runtime: Runtime) -> OldForeign:
        other = OldForeign()
        other.runtime = runtime
        return other


def test_a_foreign_expert_that_overrides_using_works_for_one_more_version() -> None:
    runtime = Runtime("torch", "bfloat16")
    with pytest.warns(DeprecationWarning, match=r"rhythm: Expert\.using is replaced"):
        assert run_with(OldForeign(), runtime).runtime == runtime
