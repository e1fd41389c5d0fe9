"""A small cohort of made-up embeddings: two experts that know different things, one that knows nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.fitting.recipes import Recipe
from enecg.tasks import Target, Task, parse_tasks, read_labels

SMALL = Recipe(landmarks=64, rounds=30, lora_rank=0)
INFOS = [
    ExpertInfo("measures", "a" * 64, 12, tabular=True, measurements={"rr_interval": 0}, cost_ms=1.0),
    ExpertInfo("shapes", "b" * 64, 20, cost_ms=2.0),
    ExpertInfo("noise", "c" * 64, 8, cost_ms=3.0),
]
TASKS = "rr_interval,age,sex,arrhythmia,findings:multilabel"


def make(n: int = 400, seed: int = 0) -> tuple[dict[str, np.ndarray], list[Target], np.ndarray]:
    """Embeddings, targets with gaps, and subjects of whom some have two recordings."""
    rng = np.random.default_rng(seed)
    subjects = np.array([f"s{i // 2 if i < n // 2 else i}" for i in range(n)])
    age, woman = rng.uniform(20, 90, n), rng.random(n) < 0.5
    rr = rng.normal(800, 150, n)
    rhythm = np.where(rr < 600, "STACH", np.where(rr > 1000, "SBRAD", "SR"))
    high, wide = rng.random(n) < 0.4, rng.random(n) < 0.3
    measures = rng.normal(size=(n, 12))
    measures[:, 0] = rr + rng.normal(0, 2, n)
    measures[:, 1] = age + rng.normal(0, 12, n)
    measures[:, 2] = wide + rng.normal(0, 0.6, n)
    shapes = rng.normal(size=(n, 20))
    shapes[:, 0] = age + rng.normal(0, 14, n)
    shapes[:, 1] = woman + rng.normal(0, 0.7, n)
    shapes[:, 2] = high + rng.normal(0, 0.6, n)
    embeddings = {"measures": measures, "shapes": shapes, "noise": rng.normal(size=(n, 8))}
    findings = [";".join(name for name, there in (("H", h), ("W", w), ("O", not h and not w)) if there)
                for h, w in zip(high, wide, strict=True)]  # fmt: skip
    cells: dict[str, list[object]] = {
        "rr_interval": list(rr),
        "age": [a if i % 9 else None for i, a in enumerate(age)],
        "sex": ["F" if w else "M" for w in woman],
        "arrhythmia": [r if i % 11 else "" for i, r in enumerate(rhythm)],
        "findings": list(findings),
    }
    classes = {"arrhythmia": ("SR", "SBRAD", "STACH"), "findings": ("H", "W", "O")}  # whatever their frequencies
    tasks = [replace(task, classes=classes.get(task.name, task.classes)) for task in parse_tasks(TASKS)]
    targets = [read_labels(task, cells[task.name]) for task in tasks]
    return {k: v.astype(np.float32) for k, v in embeddings.items()}, targets, subjects


def regression(n: int = 200, dim: int = 30, seed: int = 0) -> tuple[np.ndarray, Target]:
    """A linear regression problem."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)).astype(np.float32)
    y = x @ rng.normal(size=dim) + rng.normal(0, 0.5, n) + 50
    return x, Target(Task("y", "regression", "y"), y[:, None].astype(float))
