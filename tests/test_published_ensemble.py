"""An ensemble of published models: files carried in a folder, generated in the true layouts, and the usual commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import find
from enecg.experts.trained import dlinear
from enecg.experts.weights import save_state
from enecg.simulation import make_cohort

# Files that are known by hash or size refuse a generated one in their place: not these.
PUBLISHED = ("moment-small", "ecg-fm-17", "ecgfounder", "timesnet-enecg")
EXPERTS = (*PUBLISHED, "dlinear")
SUBJECTS = 20
SHAPES = {"weight": [dlinear.SIZES["ahead"], dlinear.SIZES["samples"]], "bias": [dlinear.SIZES["ahead"]]}


def own_dlinear(folder: Path) -> None:
    """What `enecg pretrain dlinear` makes, with drawn weights."""
    parts = {f"Linear_{part}.{kind}": shape for part in ("Seasonal", "Trend") for kind, shape in SHAPES.items()}
    save_state(generate.draw(parts), folder / dlinear.OWN.weights.file)
    card = {"kind": dlinear.KIND, "card": dlinear.OWN.as_dict()}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


def test_fits_and_predicts_through_the_same_commands(tmp_path: Path) -> None:
    for name in PUBLISHED:
        published = find(name)
        assert published is not None
        generate.write(published, tmp_path / "carried" / name)
    own_dlinear(tmp_path / "carried" / "dlinear")
    environment = {
        **os.environ,
        "ENECG_EXPERTS": str(tmp_path / "carried"),
        "ENECG_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "2",
    }
    manifest = make_cohort(tmp_path / "cohort", SUBJECTS, seed=5)

    def enecg(*arguments: str | Path) -> str:
        program = "from enecg.cli import main; main()"
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # What is there is checked and recorded, with the licence; nothing is fetched.
    enecg("experts", "fetch", "timesnet-enecg", "--to", tmp_path / "carried", "--accept-licence", "none stated")
    bundle = tmp_path / "bundle"
    enecg("fit", manifest, "--tasks", "age,sex", "--experts", ",".join(EXPERTS), "--out", bundle)
    first = next((tmp_path / "cohort").rglob("*.hea"))
    answer = json.loads(enecg("predict", bundle, first, "--format", "json"))
    assert answer["skipped"] == []
    prediction = answer["predictions"][0]["tasks"]
    assert set(prediction["age"]["weights"]) <= set(EXPERTS)
    assert 0 <= prediction["sex"]["probabilities"]["F"] <= 1
