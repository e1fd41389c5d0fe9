"""One running service: what its routes share, from its first process to the last file that it removes."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request

from enecg.errors import InputError
from enecg.serve.engine import PARTS, Engine, Read, Refused
from enecg.serve.guard import Admission
from enecg.serve.jobs import Job, Jobs, Work
from enecg.serve.occlusion import Part, Plan
from enecg.serve.problems import Problem
from enecg.serve.schemas import SignalIn
from enecg.serve.settings import Settings
from enecg.serve.telemetry import Metrics, event
from enecg.serve.uploads import Form, Upload, private_folder, read_form
from enecg.workers.pool import Broken, Lost


class Service:
    """A bundle, ready to answer requests once its processes are there.

    Attributes:
        settings: as it was told.
        metrics: of this service.
        engine: reads and answers.
        admission: who may come in.
        jobs: what takes longer than a request.
        failure: why it cannot serve; None while nothing is wrong.
        when_failed: called once when it cannot serve.
    """

    def __init__(self, bundle: Path, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.engine = Engine(bundle, settings, self.metrics)
        self.admission = Admission(settings.workers, settings.uploads, self.metrics)
        self.jobs = Jobs(settings.jobs, settings.job_minutes, self.metrics)
        self.failure: str | None = None
        self.when_failed: Callable[[], None] = lambda: None
        self._folder: Path | None = None
        self._steps: set[asyncio.Task[bytes | Refused]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Processes start in the background; at the end jobs may finish, processes end and files go."""
        with private_folder(self.settings.temp) as self._folder:
            starting = asyncio.create_task(self._start())
            try:
                yield
            finally:
                event("stopping")
                starting.cancel()
                await self.jobs.stop(self.settings.stop_seconds)
                await self.engine.stop()
        event("stopped")

    async def _start(self) -> None:
        self.failure = await self.engine.start()
        if self.failure is None:
            event("ready", bundle=self.engine.model["bundle"], workers=self.settings.workers)
        else:
            event("error", kind="start", where="the bundle could not be loaded")
            self.when_failed()

    def check_ready(self) -> None:
        """Raise `Problem` until recordings can be answered."""
        if not self.engine.ready:
            raise Problem("not_ready")

    @property
    def folder(self) -> Path:
        """The private folder."""
        assert self._folder is not None
        return self._folder

    async def predict(self, request: Request, folder: Path, form: str, signal: bool) -> bytes:
        """Answer one request's recordings.

        Raises:
            Problem: the body is wrong, nothing in it could be read, or the processes were lost.
        """
        sent = await self._receive(request, folder, self.settings.max_files)
        async with self.admission.slot(request.state.come):
            found = [sent] if isinstance(sent, Read) else await self.engine.read_all(sent)
            reads = [each for each in found if isinstance(each, Read)]
            skipped = [each for each in found if isinstance(each, Refused)]
            if not reads:
                raise _unreadable(skipped)
            try:
                texts = await self.engine.predict(reads, signal=signal, form=form)
            except Lost as error:
                raise Problem("timeout" if error.late else "worker_lost") from None
            except Broken as error:
                event("error", kind="answering", where=str(error))
                raise Problem("internal") from None
        return self.engine.document(texts, skipped, form)

    async def begin_batch(self, request: Request, owner: str, form: str) -> Job:
        """Take a batch of files and answer them in a job."""
        with _Reserved(self.jobs) as reserved:
            folder = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(dir=self.folder)))
            reserved.clean = lambda: shutil.rmtree(folder, ignore_errors=True)
            sent = await read_form(request, folder, self.settings.job_files)

            async def work(job: Job) -> bytes:
                found = await asyncio.gather(*(self._one(job, upload, sent, form) for upload in sent.uploads))
                texts = [each for each in found if isinstance(each, bytes)]
                return self.engine.document(texts, [each for each in found if isinstance(each, Refused)], form)

            return reserved.begin("predict", owner, len(sent.uploads), work)

    async def _one(self, job: Job, upload: Upload, sent: Form, form: str) -> bytes | Refused:
        """One recording of a batch. It goes on when its job is cancelled: a process in its midst would have to die."""

        async def step() -> bytes | Refused:
            async with self.engine.steps:
                if job.state != "running":
                    return Refused(upload.shown, "cancelled")
                found = await self.engine.read(upload, sent, urgent=False)
                if isinstance(found, Refused):
                    return found
                return (await self.engine.predict([found], form=form, urgent=False))[0]

        task = asyncio.create_task(step())
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        try:
            return await asyncio.shield(task)
        except Lost as error:
            return Refused(upload.shown, f"{upload.shown}: {error}")
        except Broken as error:
            event("error", kind="answering", where=str(error))
            return Refused(upload.shown, f"{upload.shown}: could not be answered (an error of enecg)")
        finally:
            job.done += 1

    async def begin_explanation(self, request: Request, folder: Path, owner: str, windows: int) -> Job:
        """Take one recording and explain its answers in a job."""
        with _Reserved(self.jobs) as reserved:
            sent = await self._receive(request, folder, self.settings.max_files)
            found = [sent] if isinstance(sent, Read) else await self.engine.read_all(sent)
            if len(found) != 1:
                raise Problem("invalid", f"one recording is explained at a time; these are {len(found)}")
            read = found[0]
            if isinstance(read, Refused):
                raise _unreadable([read])
            plan = Plan.of(read.recording, windows)
            parts: list[Part | None] = [None, *plan.parts]

            async def work(job: Job) -> bytes:
                return await self._explain(job, read, plan, parts)

            return reserved.begin("explain", owner, len(parts), work)

    async def _explain(self, job: Job, read: Read, plan: Plan, parts: list[Part | None]) -> bytes:
        entry = json.loads((await self.engine.predict([read], urgent=False))[0])
        if not entry["usable"]:
            told = "; ".join(finding["text"] for finding in entry["quality"] if finding["fatal"])
            raise Problem("invalid", f"there is no answer to explain: {told}")
        values: dict[str, list[np.ndarray]] = {}
        first = None
        for at in range(0, len(parts), PARTS):
            chunk = parts[at : at + PARTS]
            told, found = await self.engine.occlude(read, len(plan.windows), chunk)
            first = first or told
            for task, answers in zip(told["tasks"], found, strict=True):
                values.setdefault(task, []).append(answers)
            job.done += len(chunk)
        return self.engine.explained(read, plan, first, {task: np.concatenate(all_) for task, all_ in values.items()})

    async def _receive(self, request: Request, folder: Path, most: int) -> Form | Read:
        """A form's files, or the recording that a JSON body is."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await read_form(request, folder, most)
        if kind != "application/json":
            raise Problem("unsupported")
        text = await request.body()
        try:
            return await to_thread.run_sync(self._of_json, text)
        except ValidationError as error:
            raise Problem("invalid", validation_text(error.errors())) from None
        except (InputError, ValueError) as error:
            raise Problem("invalid", str(error)) from None

    def _of_json(self, text: bytes) -> Read:
        sent = SignalIn.model_validate_json(text)
        recording = sent.recording()
        if recording.seconds > self.settings.max_seconds:
            most = f"{self.settings.max_seconds:g} s"
            raise ValueError(f"{recording.seconds:.0f} s are more than the {most} that are taken")
        return Read.of(recording, "json", sent.start.isoformat() if sent.start else None)


class _Reserved:
    """Room for a job, given back unless it begins; then its files are the job's to remove."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self._begun = jobs, False
        self.clean: Callable[[], None] = lambda: None

    def __enter__(self) -> _Reserved:
        self._jobs.reserve()
        return self

    def begin(self, kind: str, owner: str, total: int, work: Work) -> Job:
        """The job."""
        self._begun = True
        return self._jobs.add(kind, owner, total, work, self.clean)

    def __exit__(self, *_: object) -> None:
        if not self._begun:
            self._jobs.release()
            self.clean()


def _unreadable(skipped: list[Refused]) -> Problem:
    return Problem("unreadable", skipped[0].reason if len(skipped) == 1 else "", skipped=[s.as_dict() for s in skipped])


def validation_text(errors: Sequence[Mapping[str, Any]]) -> str:
    """Which fields are wrong and why: nothing of what they held."""
    told = []
    for error in errors[:3]:
        place = ".".join(str(part) for part in error["loc"])
        told.append(f"{place}: {error['msg']}")
    return "; ".join(told)
