"""Record numbers of experts: of published ones with generated weights, and of those that the package holds.

Run it only after a network was shown to agree with its authors' code (docs/experts): what it writes is what
`enecg experts verify --generated` expects from then on. The packaged experts are recorded by fingerprint: an expert
whose numbers change needs a new version first.

    python scripts/expert_goldens.py [NAME ...]
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from enecg.experts import registry
from enecg.experts.contract import RECORD, Trial, as_json, recorded_numbers
from enecg.experts.published import synthetic_weights as generate
from enecg.experts.published.catalogue import PublishedExpert, find, installed
from enecg.experts.published.verify import GOLDENS, goldens, numbers

TARGET = Path(__file__).parents[1] / "src" / "enecg" / "experts" / "data" / GOLDENS


def record_packaged() -> None:
    """Record the experts that come with the package, by fingerprint."""
    packaged = [name for name in registry.names(gate_inputs=True) if find(name) is None]
    trials = [Trial(registry.create(name)) for name in packaged]
    lines = [f'"{each.expert.fingerprint}": {json.dumps(as_json(recorded_numbers(each.embedding)))}' for each in trials]
    (TARGET.parent / RECORD).write_text("{\n" + ",\n".join(sorted(lines)) + "\n}\n", encoding="utf-8")


def main(names: list[str]) -> None:
    """Record for `names`, or for all published experts; without `names` also for the packaged ones."""
    torch.set_num_threads(1)
    if not names:
        record_packaged()
    recorded = goldens() if TARGET.exists() else {}
    for name in names or registry.names():
        published = find(name)
        if published is None or not installed(published):
            continue
        with tempfile.TemporaryDirectory(prefix="enecg-") as folder:
            generate.write(published, Path(folder))
            unknown = replace(published.card.weights, sha256=None, bytes=None)
            card = replace(published.card, weights=unknown)
            expert = PublishedExpert(replace(published, card=card), Path(folder), cache=Path(folder))
            recorded[name] = [float(f"{number:.7g}") for number in numbers(expert)]
    lines = [f"{json.dumps(name)}: {json.dumps(recorded[name])}" for name in sorted(recorded)]
    TARGET.write_text("{\n " + ",\n ".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
