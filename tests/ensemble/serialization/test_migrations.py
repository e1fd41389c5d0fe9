"""A bundle that version 0.1 saved still answers as it did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import enecg
from enecg.ensemble.gates.clusters import ClusterGate
from enecg.ensemble.gates.perceptron import PerceptronGate
from enecg.errors import InputError
from enecg.simulation import simulate

DATA = Path(__file__).parents[2] / "data"


def numbers(value: Any) -> list[float]:
    """Return all numbers of a document, in the order of their sorted names."""
    if isinstance(value, dict):
        return [number for name in sorted(value) for number in numbers(value[name])]
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.fixture(scope="module")
def bundle() -> Any:
    return enecg.load(DATA / "bundle-7")


def test_format_7_answers_as_it_did(bundle: Any) -> None:
    expected = json.loads((DATA / "bundle-7-answers.json").read_text())
    found = enecg.predict(bundle, [simulate(1000 + number).recording for number in range(3)])
    assert found["bundle"] == expected["bundle"]
    for now, then in zip(found["predictions"], expected["predictions"], strict=True):
        for name, answer in then["tasks"].items():
            assert now["tasks"][name].get("decision") == answer.get("decision")
            # Documents have six digits; other processors add up in another order.
            assert numbers(now["tasks"][name]) == pytest.approx(numbers(answer), rel=1e-4)


def test_format_7_is_saved_as_the_newest_format(bundle: Any, tmp_path: Path) -> None:
    bundle.save(tmp_path / "b")
    document = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert document["format"] > 7 and len(document["sha256"]) == 64
    recording = simulate(1000).recording
    again = enecg.predict(tmp_path / "b", recording)["predictions"]
    assert again == enecg.predict(bundle, recording)["predictions"]


@pytest.mark.parametrize("version", ["whole", "budget 0.6"])
def test_heads_gates_and_versions_of_format_7_answer_as_they_did(version: str) -> None:
    expected = json.loads((DATA / "bundle-7-gated-answers.json").read_text())[version]
    loaded = enecg.load(DATA / "bundle-7-gated")
    assert {type(one.head).__name__ for one in loaded.ensemble.heads} == {"FittedLinear", "Bag"}
    assert all(isinstance(model.gate, ClusterGate) for model in loaded.ensemble.models.values())
    bundle = loaded if version == "whole" else loaded.within(budget=0.6)
    found = enecg.predict(bundle, [simulate(1000 + number).recording for number in range(3)])
    assert found["bundle"] == expected["bundle"]
    for now, then in zip(found["predictions"], expected["predictions"], strict=True):
        assert now["tasks"]["sex"]["decision"] == then["tasks"]["sex"]["decision"]
        assert numbers(now["tasks"]) == pytest.approx(numbers(then["tasks"]), rel=1e-4)


def test_a_jointly_trained_ensemble_of_format_7_answers_as_it_did() -> None:
    expected = json.loads((DATA / "bundle-7-paper-answers.json").read_text())["values"]
    bundle = enecg.load(DATA / "bundle-7-paper")
    assert all(isinstance(model.gate, PerceptronGate) for model in bundle.ensemble.models.values())
    found = enecg.predict(bundle, [simulate(1000 + number).recording for number in range(3)])["predictions"]
    assert [one["tasks"]["age"]["value"] for one in found] == pytest.approx(
        [value for [value] in expected["age"]], rel=1e-4
    )
    women = [one["tasks"]["sex"]["probabilities"]["F"] for one in found]
    assert women == pytest.approx([value for [value] in expected["sex"]], rel=1e-4)
    assert [one["tasks"]["sex"]["decision"] for one in found] == ["F" if p >= 0.5 else "M" for p in women]


def test_a_gate_that_read_the_outputs_of_heads_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(DATA / "bundle-7-gated", tmp_path / "b")
    document = json.loads((folder / "bundle.json").read_text())
    document["models"]["sex"]["gate_view"] = "outputs"
    (folder / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="gate of task sex reads the heads' outputs"):
        enecg.load(folder)


def _edited(folder: Path, edit: Callable[[Any], object]) -> Path:
    copied = shutil.copytree(DATA / "bundle-7", folder)
    document = json.loads((copied / "bundle.json").read_text())
    edit(document)
    (copied / "bundle.json").write_text(json.dumps(document))
    return copied


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["models"]["sex"].update(thresholds=[-1.0]), "no probability"),
        (lambda d: d["models"]["sex"].update(thresholds=[float("nan")]), "no probability"),
        (lambda d: d["models"]["age"].update(residuals=[9, -9]), "reversed"),
        (lambda d: d["models"]["age"]["combiner"].update(weights=[[1e308]] * 5), "do not fit|not finite"),
        (lambda d: d["models"]["age"]["combiner"].update(members=["no/kernel"]), "do not fit"),
        (lambda d: d["experts"][0].update(name="../../x"), "no name of an expert"),
        (lambda d: d["experts"][0].update(dim=7), "do not fit"),
        (lambda d: d["experts"][0].update(strange=1), "do not fit"),
        (lambda d: d["files"].pop("tensors.safetensors"), "not among its files"),
        (lambda d: d["heads"]["parts"]["0"].update(type="os.system"), "does not know"),
        (lambda d: d["same"].update(zz="nope"), "do not fit"),
        (lambda d: d.pop("predictors"), "do not fit"),
    ],
)
def test_what_does_not_fit_in_a_document_without_hash_is_refused_in_one_line(
    tmp_path: Path, edit: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        enecg.load(_edited(tmp_path / "b", edit))
    assert "\n" not in str(refusal.value)
