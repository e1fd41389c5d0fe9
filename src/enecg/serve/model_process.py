"""The process that holds a bundle: it answers recordings, and explains answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enecg.errors import EnecgError
from enecg.workers.framing import recording_in
from enecg.workers.pool import answering


def main() -> None:
    """Load the bundle that the command's only argument names, answer one recording to be warm, and serve."""
    import contextlib

    try:
        with contextlib.redirect_stdout(sys.stderr):
            model = Model(Path(sys.argv[1]))
    except EnecgError as error:
        answering({"error": str(error)}, lambda header, blobs: ({}, []))
        return
    answering(model.hello(), model.answer)


class Model:
    """A loaded bundle behind messages."""

    def __init__(self, folder: Path) -> None:
        from enecg.bundle import load
        from enecg.ensemble.predictions import answers
        from enecg.simulation.record import simulate

        self._bundle = load(folder)
        self._card = (folder / "README.md").read_text("utf-8")
        answers(self._bundle.ensemble, self._bundle.experts, [simulate(0).recording])

    def hello(self) -> dict[str, Any]:
        """What the service tells of the bundle."""
        ensemble = self._bundle.ensemble
        return {
            "bundle": self._bundle.digest,
            "tasks": [
                {"name": task.name, "kind": task.kind, "unit": task.unit, "classes": list(task.classes),
                 "outputs": list(task.output_names)}
                for task in ensemble.tasks
            ],
            "experts": [expert.card.as_dict() for expert in self._bundle.experts],
            "weights": {name: model.combiner.shares() for name, model in ensemble.models.items()},
            "training": {k: v for k, v in ensemble.training.items() if isinstance(v, str | int | float)},
            "card": self._card,
        }  # fmt: skip

    def answer(self, header: Any, blobs: Sequence[memoryview]) -> tuple[object, list[bytes]]:
        """The answer to one message."""
        asked: dict[str, Any] = {"predict": self._predict, "occlude": self._occlude}
        found: tuple[object, list[bytes]] = asked[header["do"]](header, blobs)
        return found

    def _predict(self, header: Any, blobs: Sequence[memoryview]) -> tuple[object, list[bytes]]:
        """One JSON text for each recording: its entry in the answer, or its FHIR resources."""
        from enecg.ensemble.predictions import answers
        from enecg.serve import fhir
        from enecg.serve.display import signal_of

        recordings = [recording_in(facts, blob) for facts, blob in zip(header["recordings"], blobs, strict=True)]
        entries = answers(self._bundle.ensemble, self._bundle.experts, recordings)
        digest, texts = str(self._bundle.digest), list[bytes]()
        for facts, recording, entry in zip(header["recordings"], recordings, entries, strict=True):
            if header["format"] == "fhir":
                told: object = fhir.entries(entry, recording, digest, self._bundle.ensemble.tasks, facts["start"])
            else:
                told = entry | {
                    "content": recording.content_hash(),
                    "recording": {
                        "format": facts["format"],
                        "seconds": round(recording.seconds, 4),
                        "rate": recording.rate,
                        "leads": list(recording.leads),
                        "amplitude": recording.amplitude,
                        "band": recording.band,
                        "age": recording.subject.age,
                        "sex": recording.subject.sex,
                    },
                }
                if header["signal"]:
                    told |= {"signal": signal_of(recording)}
            texts.append(json.dumps(told, allow_nan=False, separators=(",", ":")).encode())
        return {"told": [{"usable": e["usable"], "tasks": list(e["tasks"])} for e in entries]}, texts

    def _occlude(self, header: Any, blobs: Sequence[memoryview]) -> tuple[object, list[bytes]]:
        """What the ensemble says without each of some parts; the decisions for the first of them."""
        from enecg.ensemble.budget.routing import embed_needed
        from enecg.serve.occlusion import Plan

        plan = Plan.of(recording_in(header["recording"], blobs[0]), header["windows"])
        shown = [plan.recording if part is None else plan.without(part) for part in header["parts"]]
        ensemble = self._bundle.ensemble
        outputs = ensemble.predict(embed_needed(ensemble, self._bundle.experts, shown))
        told = {"tasks": list(outputs), "decisions": {name: out.decisions()[0] for name, out in outputs.items()}}
        return told, [out.value.astype(np.float64).tobytes() for out in outputs.values()]
