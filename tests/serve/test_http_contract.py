"""What the OpenAPI document promises, tried with requests that schemathesis makes up from it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from served import Server, parts

from enecg.serve.documents import JobDocument, ProblemDocument, ServedPredictions

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_made_up_request_is_answered_as_was_not_promised(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    words = [sys.executable, "-c", "from schemathesis.cli import schemathesis as run; run()",
             "run", f"{server.url}/openapi.json", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
             "--max-examples", "8", "--generation-deterministic", "--request-timeout", "30"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 13" in done.stdout
    assert server.log.read_text().count('"event": "error"') == 0


def test_the_document_has_examples_and_names_every_lead(server: Server) -> None:
    told = server.client.get("/openapi.json").json()
    leads = told["components"]["schemas"]["Leads"]["properties"]
    assert list(leads) == ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert "example" in told["components"]["schemas"]["SignalIn"]
    answer = told["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"] == {"$ref": "#/components/schemas/ServedPredictions"}
    TypeAdapter(ServedPredictions).validate_python(answer["example"], strict=True)
    assert {"/v1/predict", "/v1/jobs", "/v1/jobs/{job}", "/v1/explain", "/v1/model", "/metrics"} <= set(told["paths"])


def test_real_answers_have_the_promised_shape(server: Server, shared_data: Path) -> None:
    path = shared_data / "formats" / "ge_muse_909.xml"
    TypeAdapter(ServedPredictions).validate_json(server.predict(path, signal="true").content)
    while (begun := server.client.post("/v1/jobs", files=parts(path))).status_code == 429:
        time.sleep(float(begun.headers["Retry-After"]))  # jobs of the tests above may still run
    TypeAdapter(JobDocument).validate_json(begun.content)
    server.client.delete(begun.headers["Location"])
    TypeAdapter(ProblemDocument).validate_json(server.client.get("/v1/nothing").content)
