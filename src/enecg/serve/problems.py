"""Errors of the HTTP API: `application/problem+json` (RFC 9457) with a code for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from enecg.serve.documents import ProblemDocument, SkippedFile
from enecg.serve.telemetry import REQUEST_ID

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1
# By code: status, and what it means.
CODES: Final[Mapping[str, tuple[int, str]]] = {
    "bad_request": (400, "The request cannot be understood."),
    "unauthorised": (401, "No token, or one that is not known."),
    "forbidden": (403, "The request comes from another site."),
    "not_found": (404, "Nothing has this path or id."),
    "method_not_allowed": (405, "This path has no such method."),
    "slow": (408, "The body took too long to arrive."),
    "too_large": (413, "The body is larger, or has more files, than is taken."),
    "unsupported": (415, "Neither multipart/form-data nor application/json."),
    "invalid": (422, "A field is missing or has an impossible value."),
    "unreadable": (422, "None of the files could be read as an ECG; `skipped` says why."),
    "busy": (429, "All workers are busy; try again after Retry-After seconds."),
    "internal": (500, "An error of enecg."),
    "not_ready": (503, "The bundle is being loaded."),
    "worker_lost": (503, "The processes that worked on the request ended."),
    "timeout": (503, "The answer took longer than is allowed."),
}


class Problem(HTTPException):
    """An error that becomes an answer.

    Attributes:
        code: key of `CODES`.
        skipped: files with reasons, for `unreadable`.
    """

    def __init__(self, code: str, detail: str = "", *, skipped: Sequence[SkippedFile] = (),
                 headers: Mapping[str, str] | None = None) -> None:  # fmt: skip
        status, meaning = CODES[code]
        extra = {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else {}
        super().__init__(status, detail or meaning, headers={**extra, **(headers or {})})
        self.code, self.skipped = code, list(skipped)


def answer(problem: Problem) -> Response:
    """Return the answer to a request that failed."""
    document: ProblemDocument = {
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": REQUEST_ID.get(),
    }
    if problem.skipped:
        document["skipped"] = problem.skipped
    return Response(json.dumps(document), problem.status_code, headers=problem.headers, media_type=MEDIA_TYPE)


def of_status(status: int, detail: str) -> Problem:
    """Return the problem for a status that the web framework raised."""
    code = next((code for code, (known, _) in CODES.items() if known == status), "bad_request")
    return Problem(code, detail)
