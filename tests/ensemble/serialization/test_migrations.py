"""A bundle that version 0.1 saved still answers as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import enecg
from enecg.simulation import simulate

DATA = Path(__file__).parents[2] / "data"


def numbers(value: Any) -> list[float]:
    """Return all numbers of a document, in order."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
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
