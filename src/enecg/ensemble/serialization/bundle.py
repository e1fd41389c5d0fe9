"""A saved ensemble: a folder with `bundle.json`, safetensors, adapters in peft's files and a model card. No pickle."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import enecg
from enecg.ensemble.baselines import Rivals
from enecg.ensemble.budget.selection import Cheaper
from enecg.ensemble.calibration import THRESHOLD_RULE, Calibrator
from enecg.ensemble.combiner import Combiner
from enecg.ensemble.ensemble import Ensemble, Predictor, TaskModel
from enecg.ensemble.fitting.recipes import ExpertInfo
from enecg.ensemble.gates.clusters import Gate, Verdict
from enecg.ensemble.gates.perceptron import MixtureGate
from enecg.ensemble.heads.base import HeadState, restore_head
from enecg.ensemble.heads.lora import CONFIG, Adapter
from enecg.ensemble.serialization.folder import (
    DOCUMENT,
    check_target,
    hashes,
    open_document,
    replace_folder,
    restore,
    sealed,
)
from enecg.errors import InputError
from enecg.tasks import Task

FORMAT = 8
TENSORS = "tensors.safetensors"


def save(ensemble: Ensemble, folder: Path) -> str:
    """Write a bundle; an older bundle in its place is replaced as a whole, anything else is refused.

    Returns:
        The bundle's hash.

    Raises:
        InputError: `folder` is a link, a file, the current folder, or holds anything that is not part of a bundle.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    check_target(folder)
    folder = folder.resolve()
    restore(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        document, states = _document(ensemble)
        tensors, document["same"] = _once(states.tensors)
        save_file(tensors, work / TENSORS)
        (work / TENSORS).chmod(0o644)
        for name, adapter in states.adapters.items():
            adapter.save(work / "adapters" / name)
        (work / "README.md").write_text(model_card(ensemble), encoding="utf-8")
        document["files"] = hashes(work)
        (work / DOCUMENT).write_text(sealed(document), encoding="utf-8")
        work.chmod(0o755)
        digest = open_document(work)[1]
        replace_folder(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return digest


def load(folder: Path) -> tuple[Ensemble, str]:
    """Read a bundle and its hash: the same answers as before it was saved, bit for bit on one machine.

    Raises:
        InputError: not a bundle, a newer format, or a file that is missing or changed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    document, digest = open_document(folder)
    try:
        homes = sorted(path.parent for path in (folder / "adapters").rglob(CONFIG))
        adapters = {home.relative_to(folder / "adapters").as_posix(): Adapter.load(home) for home in homes}
        tensors = load_file(folder / TENSORS)
        tensors |= {name: tensors[first] for name, first in document["same"].items()}
        return _ensemble(document, HeadState(document["heads"], tensors, adapters)), digest
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise InputError(
            f"{folder}: its parts do not fit each other ({reason}); copy or fit the bundle again"
        ) from None


def _once(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Each tensor once, and the names of those equal to one that came before, with its name.

    An expert's landmarks are those of its own head and of each head that sees it among others: half of a bundle.
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
    parts = {str(i): predictor.head.state() for i, predictor in enumerate(ensemble.predictors)}
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
        "predictors": [
            {"name": p.name, "experts": p.experts, "tasks": p.tasks, "head": str(i)}
            for i, p in enumerate(ensemble.predictors)
        ],
        "recipe": ensemble.recipe,
        "training": ensemble.training,
        "cheaper": [version.as_dict() for version in ensemble.cheaper],
        "heads": states.meta,
    }
    return document, states


def _ensemble(document: dict[str, Any], states: HeadState) -> Ensemble:
    experts = [
        ExpertInfo(**{**e, "corpora": tuple(e["corpora"]), "label_corpora": tuple(e["label_corpora"])})
        for e in document["experts"]
    ]
    cheaper = [Cheaper.from_dict(version) for version in document["cheaper"]]
    models = {name: _model_from_json(name, data, states) for name, data in document["models"].items()}
    predictors = [
        Predictor(p["name"], tuple(p["experts"]), tuple(p["tasks"]), restore_head(states.part(p["head"])))
        for p in document["predictors"]
    ]
    return Ensemble(experts, models, predictors, document["recipe"], document["training"], cheaper)


def _model_to_json(model: TaskModel) -> dict[str, Any]:
    return {
        "task": model.task.as_dict(),
        "combiner": model.combiner.as_dict(),
        "gate": model.gate is not None,
        "gate_verdict": asdict(model.verdict) if model.verdict else None,
        "gate_view": model.view,
        "rivals": model.rivals.as_dict(),
        "calibrator": None if model.calibrator is None else model.calibrator.as_dict(),
        "residuals": model.residuals,
        "thresholds": None if model.thresholds is None else model.thresholds.tolist(),
        "threshold_rule": None if model.thresholds is None else THRESHOLD_RULE,
    }


def _model_from_json(name: str, data: dict[str, Any], states: HeadState) -> TaskModel:
    return TaskModel(
        Task.from_dict(data["task"]),
        Combiner.from_dict(data["combiner"]),
        _gate(states.part(f"gate.{name}")) if data["gate"] else None,
        Verdict(**data["gate_verdict"]) if data["gate_verdict"] else None,
        data["gate_view"],
        Rivals.from_dict(data["rivals"]),
        None if data["calibrator"] is None else Calibrator.from_dict(data["calibrator"]),
        tuple(data["residuals"]) if data["residuals"] else None,
        None if data["thresholds"] is None else np.array(data["thresholds"]),
    )


def _gate(state: HeadState) -> Gate | MixtureGate:
    return MixtureGate.restore(state) if state.meta.get("type") == "mixture" else Gate.restore(state)


def model_card(ensemble: Ensemble) -> str:
    """The bundle's README: what it answers, from which experts, trained on what."""
    training = ensemble.training
    lines = ["# ECG ensemble", "", f"**{enecg.NOTICE}**", "", "## Answers", ""]
    for task in ensemble.tasks:
        what = task.unit if task.kind == "regression" else ", ".join(task.classes)
        lines.append(f"- `{task.name}` ({task.kind}): {what}")
    lines += ["", "## Experts", "", "| expert | what | licence | fingerprint |", "|---|---|---|---|"]
    lines += [
        f"| {i.name} | {i.title} | {i.licence} | `{i.fingerprint[:12]}` |" for i in ensemble.experts if not i.view
    ]
    lines += ["", "## Mean weight of each expert", ""]
    for name, model in ensemble.models.items():
        shares = model.combiner.shares()
        told = ", ".join(f"{expert} {share:.2f}" for expert, share in shares.items())
        lines.append(f"- `{name}`: {told}{'; with a gate' if model.gate else ''}")
    lines += ["", "## Training", ""]
    lines += [f"- {key}: {value}" for key, value in training.items() if not isinstance(value, list | dict)]
    return "\n".join(lines) + "\n"
