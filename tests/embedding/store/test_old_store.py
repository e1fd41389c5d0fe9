"""An embedding store that version 0.1 wrote is read: nothing is embedded again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import enecg
from enecg.experts import registry
from enecg.experts.inputs import prepare
from enecg.simulation import make_cohort

DATA = Path(__file__).parents[2] / "data"


def test_a_store_of_version_0_1_is_used(tmp_path: Path) -> None:
    store = shutil.copytree(DATA / "store-0.1", tmp_path / "store")
    manifest = make_cohort(tmp_path / "cohort", 6, seed=12)
    report = enecg.embed(manifest, "rhythm,beat", store)
    assert report.computed == 0 and not report.skipped


def test_its_embeddings_are_those_of_today(tmp_path: Path) -> None:
    from enecg.embedding.store.store import Store

    manifest = make_cohort(tmp_path / "cohort", 6, seed=12)
    cohort = enecg.Cohort.load(manifest)
    for name in ("rhythm", "beat"):
        expert = registry.create(name)
        stored, rows = Store(DATA / "store-0.1").load(expert, cohort.records)
        assert rows.tolist() == list(range(len(cohort.records)))
        recording = enecg.read(manifest.parent / f"{cohort.records[0]}.hea")
        now = expert.encode(prepare(recording, expert.card.input)).mean(axis=0)
        np.testing.assert_allclose(stored[0], now, rtol=1e-4, atol=1e-4)
