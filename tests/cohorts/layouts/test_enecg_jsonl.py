"""Manifests of JSON lines, and EnECG's cohort file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enecg.cohorts.layouts.enecg_jsonl import ARRHYTHMIA
from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.tasks import parse_tasks


def _row(**changes: object) -> dict[str, object]:
    return {"subject_id": 10001217, "ecg_path": "files/p1000/p10001217/s1/1", "rr_interval": 800.0, "age": 61,
            "gender": 1, "flag": 0.0, "report_label": 3, **changes}  # fmt: skip


def _load(tmp_path: Path, *rows: object) -> Cohort:
    path = tmp_path / "cohort.jsonl"
    path.write_text("\n".join(json.dumps(row) if not isinstance(row, str) else row for row in rows), "utf-8")
    return Cohort.load(path)


def _targets(cohort: Cohort) -> dict[str, list[object]]:
    found = {}
    for task in parse_tasks("rr_interval,age,sex,potassium,arrhythmia"):
        target = cohort.target(task)
        if task.kind == "regression":
            found[task.name] = target.y[:, 0].tolist()
        else:
            names = target.task.classes
            found[task.name] = [
                None if row[0] != row[0] else names[int(row[0]) if task.kind == "binary" else int(row.argmax())]
                for row in target.y
            ]
    return found


def test_its_codes_become_names(tmp_path: Path) -> None:
    other = _row(ecg_path="/data/mimic/files/p1001/p2/s2/2", subject_id=2, rr_interval=65535, age=None, gender=0,
                 flag=1, report_label=0)  # fmt: skip
    cohort = _load(tmp_path, _row(), other)
    assert cohort.records == ["files/p1000/p10001217/s1/1", "files/p1001/p2/s2/2"]
    assert cohort.subjects.tolist() == ["10001217", "2"]
    assert set(cohort.table["dataset"]) == {"MIMIC-IV-ECG"}
    found = _targets(cohort)
    assert found["rr_interval"][0] == 800
    assert found["rr_interval"][1] != found["rr_interval"][1]  # the sentinel of a broken field
    assert found["age"][0] == 61
    assert found["sex"] == ["F", "M"]
    assert found["potassium"] == ["normal", "abnormal"]
    assert found["arrhythmia"] == ["atrial fibrillation", "sinus rhythm"]


def test_all_fifteen_classes_are_there(tmp_path: Path) -> None:
    rows = [_row(ecg_path=str(i), subject_id=i, report_label=i) for i in range(15)]
    assert _targets(_load(tmp_path, *rows))["arrhythmia"] == list(ARRHYTHMIA)
    assert len(set(ARRHYTHMIA)) == 15


def test_what_is_no_code_is_reported_and_missing(tmp_path: Path) -> None:
    rows = [_row(ecg_path=str(i), subject_id=i, gender=i % 2, report_label=i % 3) for i in range(6)]
    cohort = _load(tmp_path, *rows, _row(ecg_path="x", gender=7, flag="", report_label=None))
    sex = cohort.target(parse_tasks("sex")[0])
    assert sex.known.tolist() == [True] * 6 + [False]
    assert "x, column sex: '7' is none of M, F" in sex.problems[0]
    assert not cohort.target(parse_tasks("arrhythmia")[0]).known[6]
    assert not cohort.target(parse_tasks("potassium")[0]).known[6]


def test_any_manifest_may_be_json_lines(tmp_path: Path) -> None:
    rows = [{"record": f"a/{i}", "subject_id": i, "sex": "FM"[i % 2], "stay": i} for i in range(4)]
    cohort = _load(tmp_path, *rows, "")
    assert cohort.records == ["a/0", "a/1", "a/2", "a/3"]
    assert cohort.table["stay"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("line", ["{", '{"record": 1', "[1, 2]", "5"])
def test_a_broken_line_is_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cohort\.jsonl: not a readable table: line 2 is no JSON"):
        _load(tmp_path, _row(), line)
