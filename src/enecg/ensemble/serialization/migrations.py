"""Older formats of `bundle.json`, step by step to the newest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from enecg.errors import InputError

FORMAT: Final = 8
_HEAD_TYPES: Final[dict[Any, str]] = {"linear": "ridge", "ffn": "feed_forward"}
_GATE_TYPES: Final[dict[Any, str]] = {None: "clusters", "mixture": "perceptron"}


def migrated(document: dict[str, Any]) -> dict[str, Any]:
    """Return a bundle's document in the newest format.

    Raises:
        InputError: the format is too old, or newer than this version of enecg.
    """
    found = document.get("format")
    while document.get("format") != FORMAT:
        step = _STEPS.get(document.get("format")) if isinstance(document.get("format"), int) else None
        if step is None:
            readable = f"{min(_STEPS)} to {FORMAT}"
            raise InputError(f"format {found!r}: this version of enecg reads {readable}; fit the bundle again")
        document = step(document)
    return document


def _renamed(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}


def _from_7(document: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of format 7 (enecg 0.1), and add the type of its gates."""
    models = {name: _model_from_7(name, model) for name, model in document["models"].items()}
    states = {"parts": {name: _state_from_7(name, part) for name, part in document["heads"]["parts"].items()}}
    recipe = _renamed(
        document["recipe"], {"common": "n_joint_experts", "views": "auxiliary", "mixture": "joint_training"}
    )
    recipe["gate_input"] = next(iter(recipe.pop("gates", ())), "")
    recipe.pop("charge", None)
    if recipe.get("joint_training"):
        recipe["joint_training"] = _renamed(recipe["joint_training"], {"view": "gate_input"})
    return {
        **{key: value for key, value in document.items() if key not in ("predictors", "cheaper")},
        "format": 8,
        "experts": [_renamed(e, {"view": "gate_input", "examples": "network_input"}) for e in document["experts"]],
        "models": models,
        "heads": [_renamed(head, {"head": "state"}) for head in document["predictors"]],
        "states": states,
        "recipe": recipe,
        "reduced": [_renamed(one, {"lost": "loss_increase", "doubt": "threshold"}) for one in document["cheaper"]],
    }


def _model_from_7(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    if model["gate"] and model["gate_view"] == "outputs":
        raise InputError(f"the gate of task {name} reads the heads' outputs, which enecg 0.2 cannot do; fit it again")
    new = _renamed(model, {"gate_verdict": "gate_test", "gate_view": "gate_input", "rivals": "baselines"})
    new["baselines"] = _renamed(new["baselines"], {"alone": "single_experts", "without": "leave_one_out"})
    return new


def _state_from_7(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    types: dict[Any, str] = _GATE_TYPES if name.startswith("gate.") else _HEAD_TYPES
    new = dict(state)
    if name.startswith("gate.") or "type" in state:
        new["type"] = types.get(state.get("type"), state.get("type"))
    if "parts" in state:
        new["parts"] = {key: _part_from_7(part) for key, part in state["parts"].items()}
    return new


def _part_from_7(state: Mapping[str, Any]) -> dict[str, Any]:
    return _state_from_7("", state)


_STEPS: Final[dict[Any, Callable[[dict[str, Any]], dict[str, Any]]]] = {7: _from_7}
