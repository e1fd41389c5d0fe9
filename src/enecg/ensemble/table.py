"""Predictions as a table: one row for each recording, every number under a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from enecg import NOTICE

if TYPE_CHECKING:
    import pyarrow as pa

    from enecg.ensemble.ensemble import Ensemble


def row(entry: Mapping[str, Any], bundle: str | None) -> dict[str, Any]:
    """One entry of `answer.answered` as a row; the reason why there is no answer stands under `quality`."""
    last = {"bundle": bundle, "notice": NOTICE}
    if "reason" in entry:
        return {"record": entry["record"], "usable": False, "quality": entry["reason"], **last}
    found = {
        "record": entry["record"],
        "usable": entry["usable"],
        "quality": "; ".join(finding["text"] for finding in entry["quality"]),
        "notes": "; ".join(entry["notes"]),
    }
    for task, answer in entry["tasks"].items():
        found |= _cells(task, answer)
    return found | last


def _cells(task: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for key in ("value", "low", "high", "decision"):
        if key in answer:
            found = answer[key]
            cells[task if key == "value" else f"{task}_{key}"] = ";".join(found) if isinstance(found, list) else found
    cells |= {f"{task}_p_{name}": p for name, p in answer.get("probabilities", {}).items()}
    return cells | {f"{task}_weight_{name}": weight for name, weight in answer["weights"].items()}


def schema(ensemble: Ensemble) -> pa.Schema:
    """The columns of an ensemble's predictions, whatever the recordings: text, truth or float64."""
    import pyarrow as pa

    from enecg.ensemble.predictions import blank

    types: dict[str, pa.DataType] = {
        "usable": pa.bool_(),
        **dict.fromkeys(("record", "quality", "notes", "bundle", "notice"), pa.string()),
    }
    decisions = {f"{task.name}_decision" for task in ensemble.tasks}
    types |= dict.fromkeys(decisions, pa.string())
    return pa.schema([(name, types.get(name, pa.float64())) for name in row(blank(ensemble), "")])


def table(rows: Iterable[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """The rows as a table with these columns; what a row has not is null."""
    import pyarrow as pa

    return pa.Table.from_pylist([dict(each) for each in rows], schema=columns)
