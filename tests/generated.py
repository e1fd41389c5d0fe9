"""A small generated cohort and a bundle fitted on a part of it: what the tests of whole commands share."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import enecg
from enecg.simulation import make_cohort

SUBJECTS = 100
TASKS = "rr_interval,age,sex,potassium,arrhythmia,findings:multilabel"
EXPERTS = "rhythm,beat"
TRAINING, HELD_OUT = "fold <= 7", "fold > 7"


@dataclass(frozen=True)
class Trained:
    """Where it all lies: recordings with their manifest, the store with all their embeddings, the bundle."""

    manifest: Path
    store: Path
    bundle: Path


def train(folder: Path) -> Trained:
    """Generate, embed, and fit folds 1 to 7 with the light recipe."""
    manifest = make_cohort(folder / "cohort", SUBJECTS, seed=3)
    rows = read_rows(manifest)
    for row in rows:
        row["rhythm"] = row["arrhythmia"] if row["arrhythmia"] in ("SR", "AFIB") else "other"
        row["findings"] = ";".join(part for part in (row["arrhythmia"], row["conduction"]) if part != "normal")
    write_rows(manifest, rows)
    enecg.embed(manifest, EXPERTS, folder / "store")
    enecg.fit(manifest, TASKS, EXPERTS, folder / "store", where=TRAINING, recipe="light").save(folder / "bundle")
    return Trained(manifest, folder / "store", folder / "bundle")


def read_rows(manifest: Path) -> list[dict[str, str]]:
    """The rows of a manifest."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(manifest: Path, rows: list[dict[str, str]]) -> None:
    """Write a manifest."""
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
