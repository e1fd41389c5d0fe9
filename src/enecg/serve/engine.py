"""The service's own work, apart from HTTP: files to recordings, recordings to answers, in processes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

import enecg
from enecg.errors import EnecgError
from enecg.recording import Recording
from enecg.serve import fhir
from enecg.serve.occlusion import Part, Plan, explanation
from enecg.serve.settings import Settings
from enecg.serve.telemetry import Metrics, event
from enecg.serve.uploads import Form, Upload
from enecg.workers.framing import pack, recording_in, recording_out
from enecg.workers.pool import Broken, Lost, Pool

API: Final = "1"
NICE: Final = 10  # of the processes that compute, so that the one that answers is never kept waiting
PARTS: Final = 12  # of a signal that are taken away in one message: other requests come between


@dataclass(frozen=True)
class Read:
    """A recording that was read, as a message to the process that answers.

    Attributes:
        facts: of `recording_out`, with `format` and `start`.
        samples: float32.
    """

    facts: dict[str, Any]
    samples: bytes | memoryview

    @classmethod
    def of(cls, recording: Recording, form: str, start: str | None) -> Read:
        """From a recording at hand."""
        facts, samples = recording_out(recording)
        return cls({**facts, "format": form, "start": start}, samples)

    @property
    def recording(self) -> Recording:
        """The recording itself; it checks that all fits together."""
        return recording_in(self.facts, self.samples)


@dataclass(frozen=True)
class Refused:
    """A file that is no recording, and why.

    Attributes:
        record: the client's name for it.
        reason: one line.
        needs: `rate`, `unit`: what the client may say of it so that it can be read.
    """

    record: str
    reason: str
    needs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """An item of `skipped`."""
        return {"record": self.record, "reason": self.reason, "needs": list(self.needs)}


class Engine:
    """Processes that read and processes that answer."""

    def __init__(self, bundle: Path, settings: Settings, metrics: Metrics) -> None:
        limits = {name: getattr(settings, name) for name in ("read_seconds", "read_mib", "max_seconds", "max_leads")}
        self._settings, self._metrics = settings, metrics
        self._readers = Pool(
            "enecg.serve.reader_process", (json.dumps(limits),), settings.workers, nice=NICE // 2,
            restarted=lambda: self._restarted("read"),
        )  # fmt: skip
        self._models = Pool(
            "enecg.serve.model_process", (str(bundle),), settings.workers, nice=NICE,
            restarted=lambda: self._restarted("answer"),
        )  # fmt: skip
        self.steps = asyncio.Semaphore(max(1, settings.workers - 1))  # of jobs, at a time

    def _restarted(self, kind: str) -> None:
        self._metrics.restarts.labels(kind).inc()
        event("process replaced", kind=kind)

    async def start(self) -> str | None:
        """Start all processes; why they could not be, or None."""
        await asyncio.gather(self._readers.start(), self._models.start())
        return self._models.failure or self._readers.failure

    async def stop(self) -> None:
        """End all processes."""
        await asyncio.gather(self._readers.stop(), self._models.stop())

    @property
    def ready(self) -> bool:
        """Whether recordings can be answered."""
        return self._readers.ready and self._models.ready

    @property
    def pids(self) -> dict[str, list[int]]:
        """Process ids, by what they do."""
        return {"read": self._readers.pids, "answer": self._models.pids}

    @property
    def model(self) -> dict[str, Any]:
        """What the processes say of the bundle; only when `ready`."""
        hello: dict[str, Any] = self._models.hello
        return hello

    async def read_all(self, form: Form, *, urgent: bool = True) -> list[Read | Refused]:
        """Read a form's recordings, in their order."""
        return await asyncio.gather(*(self.read(each, form, urgent=urgent) for each in form.uploads))

    async def read(self, upload: Upload, form: Form, *, urgent: bool = True) -> Read | Refused:
        """Read one recording; whatever a file does to the process that reads it is a reason."""
        begun = time.perf_counter()
        asked = {"file": str(upload.path), "shown": upload.shown, "rate": form.rate, "unit": form.unit}
        try:
            seconds = 2 * self._settings.read_seconds + 10  # the process has a clock of its own
            told, blobs = await self._readers.ask(pack(asked), seconds, urgent=urgent)
        except (Lost, Broken):
            return self._refuse(Refused(upload.shown, f"{upload.shown}: it could not be read within its limits"))
        if "broken" in told:
            event("error", kind="reading", where=told["broken"])
        if not blobs:
            return self._refuse(Refused(upload.shown, told["reason"], tuple(told.get("needs", ()))))
        found = Read({**told, "start": None}, blobs[0])
        try:
            _ = found.recording
        except (EnecgError, ValueError, KeyError, TypeError):
            return self._refuse(Refused(upload.shown, f"{upload.shown}: what was read of it does not fit together"))
        self._metrics.read_seconds.labels(told["format"]).observe(time.perf_counter() - begun)
        return found

    def _refuse(self, refused: Refused) -> Refused:
        self._metrics.recordings.labels("unknown", "unreadable").inc()
        return refused

    async def predict(
        self, found: Sequence[Read], *, signal: bool = False, form: str = "json", urgent: bool = True
    ) -> list[bytes]:
        """One JSON text for each recording: an entry of `predictions`, or its FHIR entries as a list.

        Raises:
            Lost: no process answered.
        """
        header = {"do": "predict", "recordings": [each.facts for each in found], "signal": signal, "format": form}
        message = pack(header, [each.samples for each in found])
        told, texts = await self._models.ask(message, self._settings.answer_seconds, urgent=urgent)
        for each, entry in zip(found, told["told"], strict=True):
            outcome = "answered" if entry["usable"] else "not usable"
            self._metrics.recordings.labels(each.facts["format"], outcome).inc()
            for task in entry["tasks"]:
                self._metrics.predictions.labels(task).inc()
        return [bytes(text) for text in texts]

    async def occlude(self, found: Read, windows: int, parts: Sequence[Part | None]) -> tuple[Any, list[np.ndarray]]:
        """What the ensemble says without each part (None: of the whole); float64 `[part, output]` by task."""
        header = {"do": "occlude", "recording": found.facts, "windows": windows, "parts": parts}
        async with self.steps:
            message = pack(header, [found.samples])
            told, blobs = await self._models.ask(message, self._settings.answer_seconds, urgent=False)
        return told, [np.frombuffer(blob).reshape(len(parts), -1) for blob in blobs]

    def document(self, texts: Sequence[bytes], skipped: Sequence[Refused], form: str) -> bytes:
        """The answer: the JSON of `enecg predict` with the version of the API, or a FHIR Bundle."""
        left = [each.as_dict() for each in skipped]
        if form == "fhir":
            parts = [text[1:-1] for text in texts]  # lists, without their brackets
            return fhir.bundle_text(self.model["bundle"], parts, left)
        head = {**self.versions, "skipped": left}
        return json.dumps(head)[:-1].encode() + b',"predictions":[' + b",".join(texts) + b"]}"

    @property
    def versions(self) -> dict[str, str]:
        """What every answer says of its origin."""
        return {"api": API, "enecg": enecg.__version__, "bundle": self.model["bundle"], "notice": enecg.NOTICE}

    def explained(self, found: Read, plan: Plan, told: Any, values: dict[str, np.ndarray]) -> bytes:
        """The document of an explanation."""
        what = explanation(plan, self.model["tasks"], told["decisions"], values)
        return json.dumps({**self.versions, "record": found.facts["source"], **what}).encode()
