"""A running service: what its routes share, from its first process to the last file that it removes."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
from anyio import to_thread
from starlette.requests import Request

from enecg.serve.admission import Admission
from enecg.serve.engine import PARTS, Engine, ReadRecording, RefusedFile
from enecg.serve.jobs import Job, Jobs, Work
from enecg.serve.occlusion import OcclusionPlan, Part
from enecg.serve.problems import Problem
from enecg.serve.settings import Settings
from enecg.serve.telemetry import Metrics, event
from enecg.serve.uploads import Form, Upload, private_folder, read_form, receive
from enecg.workers.pool import Broken, Lost


class Service:
    """A bundle, ready to answer requests once its processes are there.

    Attributes:
        settings: how it runs.
        metrics: of this service.
        engine: its processes, which read and answer.
        admission: turns away what is too many.
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

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start the processes in the background. At the end jobs may finish, processes end and files are removed."""
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
        sent = await receive(request, folder, self.settings.max_files)
        async with self.admission.slot(request.state.release):
            found = await self.engine.read_all(sent)
            reads = [each for each in found if isinstance(each, ReadRecording)]
            skipped = [each for each in found if isinstance(each, RefusedFile)]
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
                return self.engine.document(texts, [each for each in found if isinstance(each, RefusedFile)], form)

            return reserved.begin("predict", owner, len(sent.uploads), work)

    async def _one(self, job: Job, upload: Upload, sent: Form, form: str) -> bytes | RefusedFile:
        """Read and answer one recording of a batch. Whatever happens to it costs the others nothing."""

        async def step() -> bytes | RefusedFile:
            found = await self.engine.read(upload, sent, urgent=False)
            if isinstance(found, RefusedFile):
                return found
            return (await self.engine.predict([found], form=form, urgent=False))[0]

        try:
            return await self.engine.in_turn(step)
        except Lost as error:
            return RefusedFile(upload.shown, f"{upload.shown}: {error}")
        except Problem as problem:
            return RefusedFile(upload.shown, f"{upload.shown}: {problem.detail}")
        except Broken as error:
            event("error", kind="answering", where=str(error))
            return RefusedFile(upload.shown, f"{upload.shown}: could not be answered (an error of enecg)")
        finally:
            job.done += 1

    async def begin_explanation(self, request: Request, folder: Path, owner: str, windows: int) -> Job:
        """Take one recording and explain its answers in a job."""
        with _Reserved(self.jobs) as reserved:
            found = await self.engine.read_all(await receive(request, folder, self.settings.max_files))
            if len(found) != 1:
                raise Problem("invalid", f"one recording is explained at a time; these are {len(found)}")
            read = found[0]
            if isinstance(read, RefusedFile):
                raise _unreadable([read])
            plan = OcclusionPlan.of(read.recording, windows)
            parts: list[Part | None] = [None, *plan.parts]

            async def work(job: Job) -> bytes:
                return await self._explain(job, read, plan, parts)

            return reserved.begin("explain", owner, len(parts), work)

    async def _explain(self, job: Job, read: ReadRecording, plan: OcclusionPlan, parts: list[Part | None]) -> bytes:
        engine = self.engine
        entry = json.loads((await engine.in_turn(lambda: engine.predict([read], urgent=False)))[0])
        if not entry["usable"]:
            reasons = "; ".join(finding["text"] for finding in entry["quality"] if finding["fatal"])
            raise Problem("invalid", f"there is no answer to explain: {reasons}")
        values: dict[str, list[np.ndarray]] = {}
        decisions = None
        for at in range(0, len(parts), PARTS):
            chunk = parts[at : at + PARTS]
            facts, found = await engine.in_turn(partial(engine.occlude, read, len(plan.windows), chunk))
            decisions = decisions or facts["decisions"]
            for task, answers in zip(facts["tasks"], found, strict=True):
                values.setdefault(task, []).append(answers)
            job.done += len(chunk)
        return engine.explained(read, plan, decisions or {}, {t: np.concatenate(each) for t, each in values.items()})


class _Reserved:
    """Room for a job. It is given back unless the job begins; a job that began removes its files itself."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self._begun = jobs, False
        self.clean: Callable[[], None] = lambda: None

    def __enter__(self) -> _Reserved:
        self._jobs.reserve()
        return self

    def begin(self, kind: str, owner: str, total: int, work: Work) -> Job:
        """Begin the job."""
        self._begun = True
        return self._jobs.add(kind, owner, total, work, self.clean)

    def __exit__(self, *_: object) -> None:
        if not self._begun:
            self._jobs.release()
            self.clean()


def _unreadable(skipped: list[RefusedFile]) -> Problem:
    if skipped[0].invalid:
        return Problem("invalid", skipped[0].reason)
    return Problem("unreadable", skipped[0].reason if len(skipped) == 1 else "", skipped=[s.as_dict() for s in skipped])
