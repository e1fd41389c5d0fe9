"""The process that holds a bundle: it answers recordings, and explains answers."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from enecg.documents import ExpertCard, Prediction
from enecg.errors import EnecgError
from enecg.recording import Recording
from enecg.serve.documents import ServedModel, ServedPrediction
from enecg.serve.limits import limit_memory
from enecg.workers.framing import recording_in
from enecg.workers.pool import answering

_NO_MEMORY: Final = "allocate memory"  # in the RuntimeError that torch raises then


def main() -> None:
    """Load the bundle that the first argument names, and answer. The second argument is the memory for that, in MiB."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model = BundleModel(Path(sys.argv[1]))
    except EnecgError as error:
        answering({"error": str(error)}, lambda header, blobs: ({}, []))
        return
    limit_memory(float(sys.argv[2]))
    answering(model.hello(), model.answer)


class BundleModel:
    """A loaded bundle that answers messages. It has answered one recording, so that the first request is not slow."""

    def __init__(self, folder: Path) -> None:
        from enecg.bundle import load
        from enecg.ensemble.predictions import answers
        from enecg.simulation.record import simulate

        self._bundle = load(folder)
        self._card = (folder / "README.md").read_text("utf-8")
        answers(self._bundle.ensemble, self._bundle.experts, [simulate(0).recording])

    def hello(self) -> ServedModel:
        """Return the facts about the bundle."""
        ensemble = self._bundle.ensemble
        return {
            "bundle": str(self._bundle.digest),
            "tasks": [
                {"name": task.name, "kind": task.kind, "unit": task.unit, "classes": list(task.classes),
                 "outputs": list(task.output_names)}
                for task in ensemble.tasks
            ],
            "experts": [cast(ExpertCard, expert.card.as_dict()) for expert in self._bundle.experts],
            "weights": {name: model.combiner.shares() for name, model in ensemble.models.items()},
            "training": {k: v for k, v in ensemble.training.items() if isinstance(v, str | int | float)},
            "card": self._card,
        }  # fmt: skip

    def answer(self, header: Any, blobs: Sequence[memoryview]) -> tuple[object, list[bytes]]:
        """Return the answer to one message; `{"too_large": true}` when it needs more memory than is allowed."""
        actions = {"predict": self._predict, "occlude": self._occlude}
        try:
            return actions[header["do"]](header, blobs)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
                return {"too_large": True}, []
            raise

    def _predict(self, header: Any, blobs: Sequence[memoryview]) -> tuple[object, list[bytes]]:
        """Return one JSON text for each recording: its entry in the answer, or its FHIR resources."""
        from enecg.ensemble.predictions import answers
        from enecg.serve import fhir

        recordings = [recording_in(facts, blob) for facts, blob in zip(header["recordings"], blobs, strict=True)]
        entries = answers(self._bundle.ensemble, self._bundle.experts, recordings)
        digest, texts = str(self._bundle.digest), list[bytes]()
        for facts, recording, entry in zip(header["recordings"], recordings, entries, strict=True):
            if header["format"] == "fhir":
                answer: object = fhir.entries(entry, recording, digest, self._bundle.ensemble.tasks, facts["start"])
            else:
                answer = _served(entry, recording, facts["format"], header["signal"])
            texts.append(json.dumps(answer, allow_nan=False, separators=(",", ":")).encode())
        return {"outcomes": [{"usable": e["usable"], "tasks": list(e["tasks"])} for e in entries]}, texts

    def _occlude(self, header: Any, blobs: Sequence[memoryview]) -> tuple[object, list[bytes]]:
        """Return the answers without each of some parts, and the decisions for the first of them."""
        from enecg.ensemble.budget.cascade import embed_needed
        from enecg.serve.occlusion import OcclusionPlan

        plan = OcclusionPlan.of(recording_in(header["recording"], blobs[0]), header["windows"])
        shown = [plan.recording if part is None else plan.without(part) for part in header["parts"]]
        ensemble = self._bundle.ensemble
        outputs = ensemble.predict(embed_needed(ensemble, self._bundle.experts, shown))
        facts = {"tasks": list(outputs), "decisions": {name: out.decisions()[0] for name, out in outputs.items()}}
        return facts, [out.value.astype(np.float64).tobytes() for out in outputs.values()]


def _served(entry: Prediction, recording: Recording, form: str, signal: bool) -> ServedPrediction:
    """Return the entry of a recording as the service gives it."""
    from enecg.serve.display import signal_of

    served = cast(ServedPrediction, {
        **entry,
        "content": recording.content_hash(),
        "recording": {
            "format": form,
            "seconds": round(recording.seconds, 4),
            "rate": recording.rate,
            "leads": list(recording.leads),
            "amplitude": recording.amplitude,
            "band": None if recording.band is None else list(recording.band),
            "age": recording.subject.age,
            "sex": recording.subject.sex,
        },
    })  # fmt: skip
    if signal:
        served["signal"] = signal_of(recording)
    return served
