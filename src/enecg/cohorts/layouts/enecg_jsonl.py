"""Manifests with one JSON object a line, and among them EnECG's own cohort file (arXiv 2511.22935).

A line of the latter has `subject_id`, `ecg_path`, `rr_interval`, `age`, `gender`, `flag` and `report_label`: labels of
MIMIC-IV and of its ECG module, as numbers. They become the columns of a manifest: `record`, `subject_id`,
`rr_interval`, `age`, `sex` (M, F), `potassium` (normal, abnormal), `arrhythmia` (the names of its 15 classes), and
`dataset` where the path is one of MIMIC-IV-ECG. What is no code stays as it is, and is reported when labels are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

import pandas as pd

from enecg.files import Place
from enecg.tasks import cell_text

NAME: Final = "JSON lines"

SEX: Final = ("M", "F")  # gender: 0 = male, 1 = female
POTASSIUM: Final = ("normal", "abnormal")  # flag: 0 = normal, 1 = abnormal, too low and too high alike
ARRHYTHMIA: Final = (  # report_label: from the first line of the machine's report
    "sinus rhythm",
    "sinus bradycardia",
    "sinus tachycardia",
    "atrial fibrillation",
    "sinus rhythm with borderline 1st degree AV block",
    "sinus rhythm with 1st degree AV block",
    "atrial fibrillation with rapid ventricular response",
    "sinus arrhythmia",
    "sinus rhythm with PAC(s)",
    "ventricular pacing",
    "consider acute ST elevation MI",
    "data quality may affect interpretation",
    "sinus rhythm with PVC(s)",
    "possible ectopic atrial rhythm",
    "other",
)
_MIMIC: Final = re.compile(r"(?:^|/)(files/p\d{4}/.+)$")  # how MIMIC-IV-ECG lays its records out


def recognises(at: Place, head: bytes) -> bool:
    """Return whether a file starts as a JSON object does."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def table(at: Place, content: bytes) -> pd.DataFrame:
    """Return one row a line.

    Raises:
        ValueError: a line is no JSON object; which one.
    """
    rows = []
    for number, line in enumerate(content.decode("utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        rows.append(_of_enecg(row) if "ecg_path" in row and "record" not in row else row)
    return pd.DataFrame(rows)


def _of_enecg(row: Mapping[str, object]) -> dict[str, object]:
    """A line of EnECG's cohort file as a row of a manifest."""
    found = {key: value for key, value in row.items() if key not in ("ecg_path", "gender", "flag", "report_label")}
    path = str(row["ecg_path"])
    within = _MIMIC.search(path)  # an absolute path of somebody's machine: what lies in the data set is the same here
    found["record"] = within[1] if within and path.startswith("/") else path
    if within:
        found["dataset"] = "MIMIC-IV-ECG"  # for the warning about experts that have seen it
    for key, column, names in (
        ("gender", "sex", SEX), ("flag", "potassium", POTASSIUM), ("report_label", "arrhythmia", ARRHYTHMIA),
    ):  # fmt: skip
        if key in row:
            code = cell_text(row[key])
            found[column] = names[int(code)] if code.isdigit() and int(code) < len(names) else code or None
    return found
