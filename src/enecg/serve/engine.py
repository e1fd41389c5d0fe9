"""The work of the service without HTTP: from files to recordings to answers, in processes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np

import enecg
from enecg.documents import Decision
from enecg.errors import EnecgError
from enecg.recording import Recording
from enecg.serve import fhir
from enecg.serve.documents import ExplanationDocument, ServedModel, SkippedFile, Versions
from enecg.serve.occlusion import OcclusionPlan, Part, explanation
from enecg.serve.problems import Problem
from enecg.serve.settings import Settings
from enecg.serve.telemetry import Metrics, event
from enecg.serve.uploads import Form, Upload
from enecg.workers.framing import pack, recording_in
from enecg.workers.pool import Broken, Lost, Pool

T = TypeVar("T")

API: Final = "1"
NICE: Final = 10  # of the processes that compute: the one that talks HTTP goes first
PARTS: Final = 12  # of a signal that are taken away in one message, so that other requests come between


@dataclass(frozen=True)
class ReadRecording:
    """A recording that was read, in the form of a message to the process that answers.

    Attributes:
        facts: of `recording_out`, with `format` and `start`.
        samples: float32.
    """

    facts: dict[str, Any]
    samples: bytes | memoryview

    @property
    def recording(self) -> Recording:
        """The recording itself. Making it checks that facts and samples fit together."""
        return recording_in(self.facts, self.samples)


@dataclass(frozen=True)
class RefusedFile:
    """A file that could not be read as a recording.

    Attributes:
        record: the client's name for it.
        reason: one line.
        needs: what the client may state, so that it can be read.
        invalid: a JSON body that breaks its rules.
    """

    record: str
    reason: str
    needs: tuple[Literal["rate", "unit"], ...] = ()
    invalid: bool = False

    def as_dict(self) -> SkippedFile:
        """Return the item of `skipped`."""
        return {"record": self.record, "reason": self.reason, "needs": list(self.needs)}


class Engine:
    """The processes that read and the processes that answer."""

    def __init__(self, bundle: Path, settings: Settings, metrics: Metrics) -> None:
        limits = {name: getattr(settings, name) for name in ("read_seconds", "read_mib", "max_seconds", "max_leads")}
        self._settings, self._metrics = settings, metrics
        self._readers = Pool(
            "enecg.serve.reader_process", (json.dumps(limits),), settings.workers, nice=NICE // 2,
            restarted=lambda: self._restarted("read"),
        )  # fmt: skip
        self._models = Pool(
            "enecg.serve.model_process", (str(bundle), str(settings.answer_mib)), settings.workers, nice=NICE,
            restarted=lambda: self._restarted("answer"),
        )  # fmt: skip
        self._turns = asyncio.Semaphore(max(1, settings.workers - 1))  # steps of jobs at a time
        self._steps: set[asyncio.Task[Any]] = set()

    def _restarted(self, kind: str) -> None:
        self._metrics.restarts.labels(kind).inc()
        event("process replaced", kind=kind)

    async def start(self) -> str | None:
        """Start all processes. Returns why they could not be started, or None."""
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
    def model(self) -> ServedModel:
        """The facts about the bundle; only when `ready`."""
        hello: ServedModel = self._models.hello
        return hello

    async def in_turn(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a step of a job when its turn comes: some processes stay free for requests.

        A step that has begun goes on to its end when its job is cancelled, and keeps its turn until then. Its process
        would have to be killed otherwise, and would be missing while it starts again.
        """
        await self._turns.acquire()
        task = asyncio.create_task(step())
        self._steps.add(task)
        task.add_done_callback(self._end_turn)
        return await asyncio.shield(task)

    def _end_turn(self, task: asyncio.Task[Any]) -> None:
        self._steps.discard(task)
        self._turns.release()
        if not task.cancelled():
            task.exception()  # after a cancelled job nobody else asks for it

    async def read_all(self, form: Form, *, urgent: bool = True) -> list[ReadRecording | RefusedFile]:
        """Read a form's recordings, in their order."""
        return await asyncio.gather(*(self.read(each, form, urgent=urgent) for each in form.uploads))

    async def read(self, upload: Upload, form: Form, *, urgent: bool = True) -> ReadRecording | RefusedFile:
        """Read one recording. Whatever a file does to the process that reads it becomes a reason."""
        begun = time.perf_counter()
        asked = {"file": str(upload.path), "shown": upload.shown, "rate": form.rate, "unit": form.unit,
                 "json": upload.is_json}  # fmt: skip
        try:
            seconds = 2 * self._settings.read_seconds + 10  # the process has a clock of its own
            read, blobs = await self._readers.ask(pack(asked), seconds, urgent=urgent)
        except (Lost, Broken):
            return self._refuse(RefusedFile(upload.shown, f"{upload.shown}: it could not be read within its limits"))
        if "broken" in read:
            event("error", kind="reading", where=read["broken"])
        if not blobs:
            return self._refuse(
                RefusedFile(upload.shown, read["reason"], tuple(read.get("needs", ())), "invalid" in read)
            )
        found = ReadRecording({"start": None, **read}, blobs[0])
        try:
            _ = found.recording
        except (EnecgError, ValueError, KeyError, TypeError):
            return self._refuse(RefusedFile(upload.shown, f"{upload.shown}: what was read of it does not fit together"))
        self._metrics.read_seconds.labels(read["format"]).observe(time.perf_counter() - begun)
        return found

    def _refuse(self, refused: RefusedFile) -> RefusedFile:
        self._metrics.recordings.labels("unknown", "unreadable").inc()
        return refused

    async def predict(
        self, found: Sequence[ReadRecording], *, signal: bool = False, form: str = "json", urgent: bool = True
    ) -> list[bytes]:
        """Return one JSON text for each recording: an entry of `predictions`, or its FHIR entries as a list.

        Raises:
            Lost: no process answered.
            Problem: it needs more memory than is allowed.
        """
        header = {"do": "predict", "recordings": [each.facts for each in found], "signal": signal, "format": form}
        message = pack(header, [each.samples for each in found])
        answer, texts = await self._answer(message, urgent)
        for each, entry in zip(found, answer["outcomes"], strict=True):
            outcome = "answered" if entry["usable"] else "not usable"
            self._metrics.recordings.labels(each.facts["format"], outcome).inc()
            for task in entry["tasks"]:
                self._metrics.predictions.labels(task).inc()
        return [bytes(text) for text in texts]

    async def occlude(
        self, found: ReadRecording, windows: int, parts: Sequence[Part | None]
    ) -> tuple[Any, list[np.ndarray]]:
        """Return tasks and decisions, and the answers without each part (None: of the whole), float64 `[part, output]`.

        Raises:
            Lost: no process answered.
            Problem: it needs more memory than is allowed.
        """
        header = {"do": "occlude", "recording": found.facts, "windows": windows, "parts": parts}
        facts, blobs = await self._answer(pack(header, [found.samples]), urgent=False)
        return facts, [np.frombuffer(blob).reshape(len(parts), -1) for blob in blobs]

    async def _answer(self, message: bytes, urgent: bool) -> tuple[Any, list[memoryview]]:
        answer, blobs = await self._models.ask(message, self._settings.answer_seconds, urgent=urgent)
        if "too_large" in answer:
            raise Problem("too_large", "the answer needs more memory than is allowed; send fewer or shorter recordings")
        return answer, blobs

    def document(self, texts: Sequence[bytes], skipped: Sequence[RefusedFile], form: str) -> bytes:
        """Return the answer: the JSON of `enecg predict` with the versions, or a FHIR Bundle."""
        left = [each.as_dict() for each in skipped]
        if form == "fhir":
            parts = [text[1:-1] for text in texts]  # lists, without their brackets
            return fhir.bundle_text(self.model["bundle"], parts, left)
        head = {**self.versions, "skipped": left}
        return json.dumps(head)[:-1].encode() + b',"predictions":[' + b",".join(texts) + b"]}"

    @property
    def versions(self) -> Versions:
        """What every answer says of its origin."""
        return {"api": API, "enecg": enecg.__version__, "bundle": self.model["bundle"], "notice": enecg.NOTICE}

    def explained(
        self,
        found: ReadRecording,
        plan: OcclusionPlan,
        decisions: Mapping[str, Decision],
        values: dict[str, np.ndarray],
    ) -> bytes:
        """Return the document of an explanation."""
        what = explanation(plan, self.model["tasks"], decisions, values)
        document: ExplanationDocument = {**self.versions, "record": found.facts["source"], **what}
        return json.dumps(document).encode()
