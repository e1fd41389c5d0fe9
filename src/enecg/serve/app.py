"""The HTTP API and the page, as an ASGI application."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

import enecg
from enecg.serve import fhir
from enecg.serve.documents import (
    ExamplesDocument,
    ExpertsDocument,
    JobDocument,
    Limits,
    ModelDocument,
    ServedPredictions,
    ServiceDocument,
    ShortCard,
)
from enecg.serve.engine import API
from enecg.serve.examples import EXAMPLES, example
from enecg.serve.jobs import Job
from enecg.serve.middleware import RequestGuard
from enecg.serve.problems import Problem, answer, of_status
from enecg.serve.schemas import PREDICTIONS_EXAMPLE, body, problems, request_schemas, response, validation_text
from enecg.serve.service import Service
from enecg.serve.settings import MIB, Settings
from enecg.serve.static import PageFiles
from enecg.serve.uploads import request_folder

Form = Annotated[Literal["json", "fhir"], Query(description="The answer as JSON or as a FHIR R4 Bundle.")]
_ALWAYS: Final = (
    "bad_request",
    "unauthorised",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "slow",
    "too_large",
    "internal",
)
_WORK: Final = (*_ALWAYS, "unsupported", "invalid", "busy", "not_ready", "worker_lost")


def create_app(bundle: str | Path, settings: Settings | None = None) -> FastAPI:
    """Return the application for one bundle; `app.state.service` is its `Service`.

    Args:
        bundle: folder that `enecg fit --out` wrote.
        settings: how it runs; by default those of the environment.
    """
    settings = settings or Settings.read()
    service = Service(Path(bundle), settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="EnECG", version=enecg.__version__, summary="Ensembles of frozen ECG experts.",
        description=enecg.NOTICE, docs_url=None, redoc_url=None, lifespan=lifespan,
    )  # fmt: skip
    app.state.service = service
    app.add_middleware(RequestGuard, settings=settings, admission=service.admission, metrics=service.metrics)
    _add_errors(app)
    _add_work(app, service)
    _add_facts(app, service)
    _add_page(app)
    app.openapi = lambda: _openapi(app, settings)  # type: ignore[method-assign]
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        if isinstance(error, Problem):
            return answer(error)
        problem = of_status(error.status_code, str(error.detail))
        problem.headers = {**(problem.headers or {}), **(error.headers or {})}
        return answer(problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return answer(Problem("invalid", validation_text(list(error.errors()))))


def _add_work(app: FastAPI, service: Service) -> None:
    """Routes that answer recordings, at once or in a job."""
    settings = service.settings

    @app.post(
        "/v1/predict", summary="Answer all tasks for recordings",
        responses={
            200: response(ServedPredictions, "At least one file could be read.",
                          content={"application/json": {"example": PREDICTIONS_EXAMPLE}, fhir.MEDIA_TYPE: {}}),
            **problems(*_WORK, "unreadable", "timeout"),
        },
        openapi_extra=body("SignalIn", settings.max_files),
    )  # fmt: skip
    async def predict(
        request: Request,
        format: Form = "json",
        signal: Annotated[bool, Query(description="Also the samples for drawing, and R peaks.")] = False,
    ) -> Response:
        service.check_ready()
        async with request_folder(service.folder) as folder:
            text = await service.predict(request, folder, format, signal)
        return Response(text, media_type=fhir.MEDIA_TYPE if format == "fhir" else "application/json")

    @app.post(
        "/v1/jobs", status_code=202, summary="Answer many recordings in the background",
        responses={202: response(JobDocument, "The job has begun."), **problems(*_WORK)},
        openapi_extra=body(None, settings.job_files),
    )  # fmt: skip
    async def begin(request: Request, format: Form = "json") -> Response:
        service.check_ready()
        return _begun(await service.begin_batch(request, request.state.owner, format))

    @app.post(
        "/v1/explain", status_code=202, summary="Where in the signal one recording's answers come from",
        responses={202: response(JobDocument, "The job has begun."), **problems(*_WORK, "unreadable")},
        openapi_extra=body("SignalIn", settings.max_files),
    )  # fmt: skip
    async def explain(
        request: Request,
        windows: Annotated[int, Query(ge=1, le=60, description="Stretches that the time is cut into.")] = 10,
    ) -> Response:
        service.check_ready()
        async with request_folder(service.folder) as folder:
            return _begun(await service.begin_explanation(request, folder, request.state.owner, windows))

    @app.get("/v1/jobs/{job}", summary="A job's progress and result",
             responses={200: response(JobDocument, "The job."), **problems(*_ALWAYS)})  # fmt: skip
    async def look(request: Request, job: str) -> Response:
        return Response(service.jobs.find(job, request.state.owner).text(), media_type="application/json")

    @app.delete("/v1/jobs/{job}", status_code=204, summary="Cancel and forget a job", responses=problems(*_ALWAYS))
    async def cancel(request: Request, job: str) -> Response:
        service.jobs.cancel(service.jobs.find(job, request.state.owner))
        return Response(status_code=204)


def _begun(job: Job) -> Response:
    return Response(job.text(), 202, {"Location": f"/v1/jobs/{job.id}"}, "application/json")


def _add_facts(app: FastAPI, service: Service) -> None:
    """Routes that give facts about the bundle and the service."""
    engine, settings = service.engine, service.settings

    def facts(model: Any, description: str, *codes: str) -> dict[int | str, dict[str, Any]]:
        return {200: response(model, description), **problems(*codes)}

    @app.get("/v1/model", summary="The bundle: tasks, experts, weights, training, model card", response_model=None,
             responses=facts(ModelDocument, "The bundle.", *_ALWAYS, "not_ready"))  # fmt: skip
    async def model() -> ModelDocument:
        service.check_ready()
        short = ShortCard.__annotations__
        experts = [cast(ShortCard, {k: v for k, v in card.items() if k in short}) for card in engine.model["experts"]]
        return {**engine.versions, **engine.model, "experts": experts}

    @app.get("/v1/experts", summary="The cards of the bundle's experts", response_model=None,
             responses=facts(ExpertsDocument, "The cards.", *_ALWAYS, "not_ready"))  # fmt: skip
    async def experts() -> ExpertsDocument:
        service.check_ready()
        return {"experts": engine.model["experts"]}

    @app.get("/v1/service", summary="Limits of the service, and whether it needs a token", response_model=None,
             responses=facts(ServiceDocument, "The service.", "bad_request", "forbidden"))  # fmt: skip
    async def about() -> ServiceDocument:
        limits: Limits = {"files": settings.max_files, "bytes": settings.max_mib * MIB,
                          "job_files": settings.job_files, "job_bytes": settings.job_mib * MIB,
                          "seconds": settings.max_seconds}  # fmt: skip
        return {"api": API, "enecg": enecg.__version__, "notice": enecg.NOTICE, "token": not settings.open,
                "limits": limits}  # fmt: skip

    @app.get("/v1/health", summary="The service runs", responses=problems("bad_request"))
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/v1/ready", summary="Recordings can be answered", responses=problems("bad_request", "forbidden", "not_ready")
    )
    async def is_ready() -> dict[str, bool]:
        service.check_ready()
        return {"ready": True}

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=Response, responses=problems(*_ALWAYS))
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/examples", summary="Generated recordings to try", response_model=None,
             responses=facts(ExamplesDocument, "The examples.", *_ALWAYS))  # fmt: skip
    async def examples() -> ExamplesDocument:
        return {"examples": [
            {"name": name, "title": each.title, "text": each.text,
             "files": [{"name": f"{name}.csv", "url": f"/v1/examples/{name}/{name}.csv"}]}
            for name, each in EXAMPLES.items()
        ]}  # fmt: skip

    @app.get("/v1/examples/{name}/{file}", summary="A generated recording's file", response_class=Response,
             responses={200: {"content": {"text/csv": {}}}, **problems(*_ALWAYS)})  # fmt: skip
    def one_example(name: str, file: str) -> Response:
        if name not in EXAMPLES or file != f"{name}.csv":
            raise Problem("not_found")
        return Response(example(name), media_type="text/csv; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    pages = PageFiles()

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        return pages.answer("index.html", request)

    @app.get("/page/{name:path}", include_in_schema=False)
    async def page(name: str, request: Request) -> Response:
        return pages.answer(name, request)


def _openapi(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document, with the shapes of bodies that the routes read by themselves."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, description=app.description,
                               routes=app.routes)  # fmt: skip
        document.setdefault("components", {}).setdefault("schemas", {}).update(request_schemas())
        if not settings.open:
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
        app.openapi_schema = json.loads(json.dumps(document))
    return app.openapi_schema
