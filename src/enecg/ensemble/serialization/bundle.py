"""A saved ensemble: a folder with `bundle.json`, safetensors, adapters in peft's files and a model card. No pickle."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

import enecg
from enecg.ensemble.baselines import Baselines
from enecg.ensemble.calibration import THRESHOLD_RULE, Calibrator
from enecg.ensemble.combiner import Combiner
from enecg.ensemble.ensemble import Ensemble, TaskModel
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.gates.base import GateTest, restore_gate
from enecg.ensemble.heads.base import HeadState
from enecg.ensemble.heads.lora import CONFIG, Adapter
from enecg.ensemble.heads.registry import restore_head
from enecg.ensemble.outputs import FittedHeadOnExperts
from enecg.ensemble.serialization.card import model_card
from enecg.ensemble.serialization.folder import (
    DOCUMENT,
    check_target,
    hashes,
    open_document,
    replace_folder,
    restore,
    sealed,
)
from enecg.ensemble.serialization.migrations import FORMAT, migrated
from enecg.ensemble.versions import ReducedEnsemble
from enecg.errors import InputError
from enecg.tasks import Task

TENSORS: Final = "tensors.safetensors"
_ADAPTERS: Final = "adapters"
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]*")  # of an expert
_MALFORMED: Final = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, RuntimeError,
)  # fmt: skip


def save(ensemble: Ensemble, folder: Path) -> str:
    """Write a bundle, and return its hash; a bundle in its place is replaced as a whole, anything else is refused.

    Raises:
        InputError: `folder` is a link, a file, the current folder, or holds anything that is not part of a bundle.
    """
    folder = Path(folder)
    check_target(folder)
    folder = folder.resolve()
    restore(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(ensemble, work)
        digest = open_document(work)[1]
        replace_folder(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return digest


def _write(ensemble: Ensemble, folder: Path) -> None:
    from safetensors.numpy import save_file

    document, states = _document(ensemble)
    tensors, document["same"] = _without_copies(states.tensors)
    save_file(tensors, folder / TENSORS)
    (folder / TENSORS).chmod(0o644)
    for name, adapter in states.adapters.items():
        adapter.save(folder / _ADAPTERS / name)
    (folder / "README.md").write_text(model_card(ensemble), encoding="utf-8")
    document["files"] = hashes(folder)
    (folder / DOCUMENT).write_text(sealed(document), encoding="utf-8")
    folder.chmod(0o755)


def load(folder: Path) -> tuple[Ensemble, str]:
    """Return a saved ensemble and its hash: the same answers as before it was saved, bit for bit on one machine.

    A bundle of an older format is migrated in memory; its folder stays as it is.

    Raises:
        InputError: not a bundle, a format that is not known, or a file that is missing or changed.
    """
    folder = Path(folder)
    document, digest = open_document(folder)
    try:
        document = migrated(document)
        ensemble = _ensemble(document, _states(folder, document))
        _check_answers(ensemble)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    except _MALFORMED as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise InputError(
            f"{folder}: its parts do not fit each other ({reason}); copy or fit the bundle again"
        ) from None
    return ensemble, digest


def _states(folder: Path, document: Mapping[str, Any]) -> HeadState:
    """Return the fitted parts as data: only what the document lists is read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if TENSORS not in document["files"]:
        raise ValueError(f"{TENSORS} is not among its files")
    listed = (Path(name) for name in document["files"])
    homes = sorted(path.parent for path in listed if path.name == CONFIG and path.parts[0] == _ADAPTERS)
    adapters = {home.relative_to(_ADAPTERS).as_posix(): Adapter.load(folder / home) for home in homes}
    try:
        tensors = load_file(folder / TENSORS)
    except SafetensorError as error:
        raise ValueError(f"{TENSORS}: {error}") from None
    tensors |= {name: tensors[first] for name, first in document["same"].items()}
    return HeadState(document["states"], tensors, adapters)


def _without_copies(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return each tensor once, and the names of the others with the name of the equal one.

    The landmarks of an expert occur in its own head and in each head that reads it among others: half of a bundle.
    """
    kept: dict[str, np.ndarray] = {}
    same: dict[str, str] = {}
    seen: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for name, tensor in tensors.items():
        whole = np.ascontiguousarray(tensor)
        first = seen.setdefault((whole.dtype.str, tensor.shape, hashlib.sha256(whole.tobytes()).digest()), name)
        if first == name:
            kept[name] = whole
        else:
            same[name] = first
    return kept, same


def _document(ensemble: Ensemble) -> tuple[dict[str, Any], HeadState]:
    parts = {str(i): one.head.state() for i, one in enumerate(ensemble.heads)}
    for name, model in ensemble.models.items():
        if model.gate is not None:
            parts[f"gate.{name}"] = model.gate.state()
    states = HeadState.nested({}, parts)
    document = {
        "format": FORMAT,
        "enecg": enecg.__version__,
        "notice": enecg.NOTICE,
        "experts": [info.as_dict() for info in ensemble.experts],
        "models": {name: _model_to_json(model) for name, model in ensemble.models.items()},
        "heads": [
            {"name": one.name, "experts": one.experts, "tasks": one.tasks, "state": str(i)}
            for i, one in enumerate(ensemble.heads)
        ],
        "recipe": ensemble.recipe,
        "training": ensemble.training,
        "reduced": [version.as_dict() for version in ensemble.reduced],
        "states": states.meta,
    }
    return document, states


def _ensemble(document: Mapping[str, Any], states: HeadState) -> Ensemble:
    return Ensemble(
        [ExpertInfo.from_dict(data) for data in document["experts"]],
        {name: _model_from_json(name, data, states) for name, data in document["models"].items()},
        [
            FittedHeadOnExperts(
                one["name"], tuple(one["experts"]), tuple(one["tasks"]), restore_head(states.part(one["state"]))
            )
            for one in document["heads"]
        ],
        document["recipe"],
        document["training"],
        [ReducedEnsemble.from_dict(version) for version in document["reduced"]],
    )


def _model_to_json(model: TaskModel) -> dict[str, Any]:
    return {
        "task": model.task.as_dict(),
        "combiner": model.combiner.as_dict(),
        "gate": model.gate is not None,
        "gate_test": asdict(model.gate_test) if model.gate_test else None,
        "gate_input": model.gate_input,
        "baselines": model.baselines.as_dict(),
        "calibrator": None if model.calibrator is None else model.calibrator.as_dict(),
        "residuals": model.residuals,
        "thresholds": None if model.thresholds is None else model.thresholds.tolist(),
        "threshold_rule": None if model.thresholds is None else THRESHOLD_RULE,
    }


def _model_from_json(name: str, data: Mapping[str, Any], states: HeadState) -> TaskModel:
    return TaskModel(
        Task.from_dict(data["task"]),
        Combiner.from_dict(data["combiner"]),
        restore_gate(states.part(f"gate.{name}")) if data["gate"] else None,
        GateTest(**data["gate_test"]) if data["gate_test"] else None,
        data["gate_input"],
        Baselines.from_dict(data["baselines"]),
        None if data["calibrator"] is None else Calibrator.from_dict(data["calibrator"]),
        tuple(data["residuals"]) if data["residuals"] else None,
        None if data["thresholds"] is None else np.array(data["thresholds"], float),
    )


def _check_answers(ensemble: Ensemble) -> None:
    """Raise an error unless the parts fit together: every task has finite answers to embeddings of zeros."""
    for info in ensemble.experts:
        if not _NAME.fullmatch(info.name):
            raise ValueError(f"{info.name!r} is no name of an expert")
    names = [one.name for one in ensemble.heads]
    for task, model in ensemble.models.items():
        missing = {m for one in (model.combiner, *model.baselines.combiners) for m in one.members} - {*names}
        if missing or model.task.name != task:
            raise ValueError(f"task {task}: {min(missing, default='its name')} does not fit")
        if model.residuals is not None and not model.residuals[0] <= model.residuals[1]:
            raise ValueError(f"task {task}: the bounds of the interval are reversed")
        if model.thresholds is not None and not ((model.thresholds >= 0) & (model.thresholds <= 1)).all():
            raise ValueError(f"task {task}: a threshold is no probability")
    zeros = {info.name: np.zeros((1, info.dim), np.float32) for info in ensemble.experts}
    with np.errstate(all="ignore"):
        outputs = ensemble.predict(zeros, compare=True)
    for task, output in outputs.items():
        bounds = [part for part in (output.low, output.high) if part is not None]
        standard = output.baselines.standard.values()
        arrays = [output.value, *bounds, *output.baselines.single_experts.values(), *standard]
        if output.value.shape != (1, output.task.outputs) or not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"task {task}: the answer is not finite")
