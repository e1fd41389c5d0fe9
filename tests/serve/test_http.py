"""The HTTP API: every format answers as `enecg predict` does, jobs, explanations, examples, facts, refusals."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Server, parts, waited

import enecg
from enecg.serve.examples import EXAMPLES
from enecg.serve.middleware import SECURITY
from generated import Trained

FILES = {
    "muse": ["ge_muse_909.xml"], "dicom": ["ge_muse_909.dcm"], "philips": ["philips_sierra_103.xml"],
    "edf": ["cpsc_a0001.edf"], "wfdb": ["A0001.hea", "A0001.mat"], "csv": ["twelve_lead_500hz_mv.csv"],
}  # fmt: skip


@pytest.mark.parametrize("form", FILES)
def test_every_format_answers_as_in_python(server: Server, trained: Trained, shared_data: Path, form: str) -> None:
    files = [shared_data / "formats" / name for name in FILES[form]]
    said = {"rate": "500", "unit": "mV"} if form == "csv" else {}
    answer = server.predict(*files, **said)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["skipped"] == []
    (entry,) = found["predictions"]
    given: dict[str, Any] = {"rate": 500.0, "unit": "mV"} if form == "csv" else {}
    expected = enecg.predict(trained.bundle, files[0], **given)
    assert entry["record"] == files[0].name
    assert entry["recording"]["format"] == form
    assert entry["tasks"] == expected["predictions"][0]["tasks"]
    assert (entry["usable"], entry["quality"]) == (True, expected["predictions"][0]["quality"])
    assert (found["bundle"], found["notice"], found["api"]) == (expected["bundle"], enecg.NOTICE, "1")


def test_several_at_once_and_what_could_not_be_read(server: Server, shared_data: Path) -> None:
    home = shared_data / "formats"
    names = ["ge_muse_909.dcm", "README.md", "A0001.mat", "twelve_lead_500hz_mv.csv", "A0001.hea"]
    found = server.predict(*(home / name for name in names)).json()
    assert [entry["record"] for entry in found["predictions"]] == ["ge_muse_909.dcm", "A0001.hea"]
    assert [(each["record"], each["needs"]) for each in found["skipped"]] == [
        ("README.md", []), ("twelve_lead_500hz_mv.csv", ["unit"]),
    ]  # fmt: skip
    assert all("/" not in each["reason"] for each in found["skipped"])


def test_json_is_as_its_file(server: Server, shared_data: Path) -> None:
    path = shared_data / "formats" / "ge_muse_909.xml"
    recording = enecg.read(path)
    leads = {name: recording.lead(name).astype(float).tolist() for name in recording.leads}
    sent = {"rate": 500, "unit": "mV", "leads": leads, "record": "mine", "age": 11, "sex": "M"}
    (entry,) = server.client.post("/v1/predict", json=sent).json()["predictions"]
    (expected,) = server.predict(path).json()["predictions"]
    assert entry["record"] == "mine"
    assert entry["recording"]["format"] == "json"
    for task, answer in expected["tasks"].items():  # the file states its filters, JSON does not
        assert entry["tasks"][task]["kind"] == answer["kind"]
    assert entry["recording"]["leads"] == expected["recording"]["leads"]
    assert abs(entry["tasks"]["rr_interval"]["value"] - expected["tasks"]["rr_interval"]["value"]) < 2


def test_the_signal_for_drawing(server: Server, shared_data: Path) -> None:
    path = shared_data / "formats" / "ge_muse_909.xml"
    signal = server.predict(path, signal="true").json()["predictions"][0]["signal"]
    recording = enecg.read(path)
    assert (signal["rate"], signal["unit"], signal["others"]) == (500.0, "uV", [])
    assert signal["derived"] == ["III", "aVR", "aVL", "aVF"]
    assert list(signal["leads"]) == ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    for name, samples in signal["leads"].items():
        np.testing.assert_allclose(np.array(samples) / 1e3, recording.lead(name), atol=0.000501)
    gaps = np.diff(signal["r_peaks"])
    assert len(gaps) > 12
    assert abs(gaps.mean() * 1e3 - 617) < 5  # the file's own rate is 97 a minute


def test_an_unusable_recording_is_an_answer_with_reasons(server: Server) -> None:
    content = server.client.get("/v1/examples/too-short/too-short.csv").content
    answer = server.predict(("short.csv", content), signal="true")
    (entry,) = answer.json()["predictions"]
    assert (answer.status_code, entry["usable"], entry["tasks"]) == (200, False, {})
    assert [(f["code"], f["fatal"]) for f in entry["quality"]] == [("too_short", True)]
    assert len(entry["signal"]["leads"]["II"]) == 1500


def test_fhir(server: Server, shared_data: Path) -> None:
    answer = server.predict(shared_data / "formats" / "ge_muse_909.xml", ("no.txt", b"no ECG"), format="fhir")
    assert answer.headers["content-type"] == "application/fhir+json"
    kinds = [each["resource"]["resourceType"] for each in answer.json()["entry"]]
    assert kinds == ["Device", "OperationOutcome", "Observation", *["Observation"] * 6]


def test_a_batch(server: Server, shared_data: Path) -> None:
    home = shared_data / "formats"
    names = [name for names in FILES.values() for name in names if name != "twelve_lead_500hz_mv.csv"]
    job = waited(server, server.client.post("/v1/jobs", files=parts(*(home / name for name in [*names, "README.md"]))))
    assert (job["kind"], job["state"], job["done"], job["total"]) == ("predict", "done", 6, 6)
    assert [entry["record"] for entry in job["result"]["predictions"]] == [
        "ge_muse_909.xml", "ge_muse_909.dcm", "philips_sierra_103.xml", "cpsc_a0001.edf", "A0001.hea",
    ]  # fmt: skip
    assert [each["record"] for each in job["result"]["skipped"]] == ["README.md"]
    alone = server.predict(home / "ge_muse_909.dcm").json()["predictions"][0]
    assert job["result"]["predictions"][1]["tasks"] == alone["tasks"]
    assert server.left() == []
    assert server.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert server.client.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_a_job_that_is_cancelled_leaves_nothing(server: Server, shared_data: Path) -> None:
    files = [(f"{n}.csv", (shared_data / "formats" / "twelve_lead_500hz_mv.csv").read_bytes()) for n in range(12)]
    begun = server.client.post("/v1/jobs", files=parts(*files), data={"rate": "500", "unit": "mV"})
    assert server.client.delete(begun.headers["Location"]).status_code == 204
    until = time.monotonic() + 20
    while server.left() and time.monotonic() < until:
        time.sleep(0.05)
    assert server.left() == []
    assert server.predict(shared_data / "formats" / "ge_muse_909.xml").status_code == 200


def test_an_explanation(server: Server, shared_data: Path) -> None:
    path = shared_data / "formats" / "ge_muse_909.xml"
    begun = server.client.post("/v1/explain", files=parts(path), params={"windows": 4})
    job = waited(server, begun)
    assert (job["state"], job["done"]) == ("done", 1 + 12 + 4 + 48)
    found = job["result"]
    answers = server.predict(path).json()["predictions"][0]["tasks"]
    assert len(found["leads"]) == 12
    assert found["windows"] == [[0.0, 2.5], [2.5, 5.0], [5.0, 7.5], [7.5, 10.0]]
    assert set(found["tasks"]) == set(answers)
    for name, task in found["tasks"].items():
        assert np.shape(task["effect"]) == (12, 4)
        assert (len(task["by_lead"]), len(task["by_window"])) == (12, 4)
        answer = answers[name]
        base = answer["value"] if task["kind"] == "regression" else answer["probabilities"][task["output"]]
        assert task["base"] == pytest.approx(base, rel=1e-3)
    # without 2.5 s of beats in all leads the longest gap between two beats is far longer
    assert max(found["tasks"]["rr_interval"]["by_window"]) > 50


def test_an_explanation_of_nothing(server: Server, shared_data: Path) -> None:
    short = server.client.get("/v1/examples/too-short/too-short.csv").content
    job = waited(server, server.client.post("/v1/explain", files=parts(("short.csv", short))))
    assert job["state"] == "failed"
    assert "too short" in job["detail"]
    two = parts(shared_data / "formats" / "ge_muse_909.xml", shared_data / "formats" / "ge_muse_909.dcm")
    assert server.client.post("/v1/explain", files=two).json()["code"] == "invalid"
    assert server.client.post("/v1/explain", files=parts(("a.txt", b"a"))).json()["code"] == "unreadable"


def test_examples_answer(server: Server) -> None:
    told = server.client.get("/v1/examples").json()["examples"]
    assert [each["name"] for each in told] == list(EXAMPLES)
    for each in told:
        (file,) = each["files"]
        content = server.client.get(file["url"]).content
        (entry,) = server.predict((file["name"], content)).json()["predictions"]
        assert entry["usable"] is (each["name"] != "too-short")


def test_facts(server: Server, trained: Trained) -> None:
    model = server.client.get("/v1/model").json()
    assert model["bundle"] == enecg.load(trained.bundle).digest
    assert [task["name"] for task in model["tasks"]][:2] == ["rr_interval", "age"]
    assert [expert["name"] for expert in model["experts"]][:2] == ["rhythm", "beat"]  # then what gates look at
    assert sum(model["weights"]["age"].values()) == pytest.approx(1)
    assert model["card"].startswith("# ECG ensemble")
    assert server.client.get("/v1/experts").json()["experts"][0]["input"]["rate"] == 100
    assert server.client.get("/v1/health").json() == {"status": "ok"}
    about = server.client.get("/v1/service").json()
    assert (about["token"], about["limits"]["files"], about["limits"]["bytes"]) == (False, 12, 4 * 2**20)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, 404, "not_found"),
        ("GET", "/v1/jobs/unknown", {}, 404, "not_found"),
        ("GET", "/v1/predict", {}, 405, "method_not_allowed"),
        ("POST", "/v1/predict", {"content": b"x"}, 415, "unsupported"),
        ("POST", "/v1/predict", {"json": {"rate": 500}}, 422, "invalid"),
        ("POST", "/v1/predict", {"json": {"rate": 500, "unit": "mV", "leads": {}}}, 422, "invalid"),
        ("POST", "/v1/predict", {"json": {"rate": 500, "unit": "mV", "leads": {"I": [1], "V1": []}}}, 422, "invalid"),
        ("POST", "/v1/predict", {"json": {"rate": 500, "unit": "mV", "leads": {"XV": [1]}}}, 422, "invalid"),
        ("POST", "/v1/predict", {"json": {"rate": 1, "unit": "mV", "leads": {"I": [0.0] * 200}}}, 422, "invalid"),
        ("POST", "/v1/predict", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "invalid"),
        ("POST", "/v1/predict", {"files": {"other": ("a", b"x")}}, 422, "invalid"),
        ("POST", "/v1/predict", {"files": {"files": ("a", b"x")}}, 422, "unreadable"),
        ("POST", "/v1/predict", {"files": {"files": ("a", b"x")}, "data": {"rate": "-3"}}, 422, "invalid"),
        ("POST", "/v1/predict", {"files": {"files": ("a", b"x")}, "data": {"unit": "inch"}}, 422, "invalid"),
        ("POST", "/v1/predict?format=xml", {"files": {"files": ("a", b"x")}}, 422, "invalid"),
        ("POST", "/v1/predict", {"files": parts(*[(f"a{n}", b"x") for n in range(13)])}, 413, "too_large"),
        ("POST", "/v1/predict", {"content": bytes(5 * 2**20)}, 413, "too_large"),
        ("POST", "/v1/predict",
         {"content": b"-", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
        ("POST", "/v1/jobs", {"json": {}}, 400, "bad_request"),
        ("POST", "/v1/health", {}, 405, "method_not_allowed"),
    ],
)  # fmt: skip
def test_what_is_refused(server: Server, method: str, path: str, sent: Any, status: int, code: str) -> None:
    answer = server.client.request(method, path, **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "\n" not in answer.json()["detail"]
    assert server.left() == []


def test_every_answer_is_guarded(server: Server) -> None:
    for path in ("/v1/health", "/v1/nothing", "/openapi.json", "/metrics"):
        answer = server.client.get(path, headers={"X-Request-ID": "mine-1"})
        assert {key: answer.headers[key] for key in SECURITY} == dict(SECURITY)
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert server.client.get("/v1/health", headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"] != "a b\tc"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
def test_other_sites_do_not_reach_an_open_service(server: Server, headers: dict[str, str]) -> None:
    answer = server.client.get("/v1/model", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def _log_with(server: Server, route: str) -> str:
    """The log once its last line is of a request to `route`: a line is written when its answer is on its way."""
    until = time.monotonic() + 10
    while not (log := server.log.read_text()).splitlines()[-1:] or f'"route": "{route}"' not in log.splitlines()[-1]:
        assert time.monotonic() < until, log[-500:]
        time.sleep(0.01)
    return log


def test_log_and_metrics_hold_nothing_of_the_subject(server: Server, shared_data: Path) -> None:
    secret = "Mustermann-1960"
    content = (shared_data / "formats" / "ge_muse_909.xml").read_bytes().replace(b"00000000", secret.encode())
    server.predict((f"{secret}.xml", content), signal="true")
    server.predict((f"{secret}.csv", secret.encode()))
    server.client.get(f"/v1/{secret}", params={"q": secret})
    server.client.get(f"/v1/jobs/{secret}")
    log, metrics = _log_with(server, "job"), server.client.get("/metrics").text
    assert secret not in log + metrics
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] == "request"]
    assert {"time", "request_id", "route", "status", "ms", "bytes_in"} <= set(told[-1])
    assert {line["route"] for line in told[-2:]} == {"other", "job"}
    for name in ("enecg_requests_total", "enecg_request_seconds", "enecg_predictions_total", "enecg_read_seconds",
                 'enecg_recordings_total{format="muse",outcome="answered"}'):  # fmt: skip
        assert name in metrics
