"""From files to answers: the document of `enecg predict`, and the same as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enecg import NOTICE
from enecg.cohorts.listing import Item
from enecg.documents import (
    ClassAnswer,
    Prediction,
    PredictionsDocument,
    RegressionAnswer,
    SecondsSeen,
    SkippedRecord,
    TaskAnswer,
    is_skipped,
    significant,
)
from enecg.ensemble.budget.cascade import embed_needed
from enecg.ensemble.outputs import Answering, TaskOutput
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import InputSpec, seconds_seen
from enecg.files import place
from enecg.quality import Quality, check
from enecg.readers import read
from enecg.recording import Recording

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 64  # recordings held at a time
UNSEEN_SECONDS = 0.05  # at the end of a recording that need no note


def predict_files(
    ensemble: Answering,
    bundle: str | None,
    experts: Sequence[Expert],
    recordings: Iterable[str | Path | Recording | Item],
    *,
    rate: float | None = None,
    unit: str | None = None,
    ignore_checksums: bool = False,
    group: int = GROUP,
) -> PredictionsDocument:
    """Answer all tasks for files or recordings, and return the JSON of `enecg predict`.

    A file that cannot be read is under `skipped` with its reason; one that cannot be interpreted is an entry with
    `usable` false and no answers.

    Args:
        ensemble: fitted, or a cascade.
        bundle: its hash, None while it is not saved.
        experts: those that it names.
        recordings: files by path or URL, recordings at hand, or what `enecg.cohorts.listing` found.
        rate: Hz, for files that do not state it.
        unit: of the amplitude, for files that do not state it.
        ignore_checksums: read WFDB samples that do not fit the checksums of their header, with a note.
        group: recordings held in memory at a time.
    """
    predictions: list[Prediction] = []
    skipped: list[SkippedRecord] = []
    options: dict[str, Any] = {"rate": rate, "unit": unit, "ignore_checksums": ignore_checksums, "group": group}
    for entry in answered(ensemble, experts, recordings, **options):
        if is_skipped(entry):
            skipped.append(entry)
        else:
            predictions.append(entry)
    return {"predictions": predictions, "skipped": skipped, "bundle": bundle, "notice": NOTICE}


def answered(
    ensemble: Answering,
    experts: Sequence[Expert],
    recordings: Iterable[str | Path | Recording | Item],
    *,
    rate: float | None = None,
    unit: str | None = None,
    ignore_checksums: bool = False,
    group: int = GROUP,
) -> Iterator[Prediction | SkippedRecord]:
    """Yield the entries of `predict_files` one after the other, in the order of the recordings.

    The entry of a file that cannot be read has only `record` and `reason`.
    """
    waiting = iter(recordings)
    while some := list(islice(waiting, group)):
        held: list[Recording | SkippedRecord] = []
        for one in some:
            try:
                held.append(one if isinstance(one, Recording) else _read(one, rate, unit, ignore_checksums))
            except InputError as error:
                name = one.record if isinstance(one, Item) else str(one)
                held.append({"record": name, "reason": str(error)})
        found = iter(answers(ensemble, experts, [each for each in held if isinstance(each, Recording)]))
        yield from (next(found) if isinstance(each, Recording) else each for each in held)


def _read(one: str | Path | Item, rate: float | None, unit: str | None, ignore_checksums: bool) -> Recording:
    """Read a recording under the name that the caller has for it, not under that in its header."""
    item = one if isinstance(one, Item) else Item(str(one), place(one))
    if item.at is None:
        raise InputError(item.reason)
    return replace(read(item.at, rate=rate, unit=unit, ignore_checksums=ignore_checksums), source=item.record)


def answers(ensemble: Answering, experts: Sequence[Expert], recordings: Sequence[Recording]) -> list[Prediction]:
    """Return one entry per recording: the findings of the quality check and, where it is usable, all answers."""
    verdicts = [check(recording) for recording in recordings]
    usable = [i for i, verdict in enumerate(verdicts) if verdict.usable]
    inputs = [expert.card.input for expert in experts]
    entries = [_entry(recording, verdict, inputs) for recording, verdict in zip(recordings, verdicts, strict=True)]
    if usable:
        outputs = ensemble.predict(embed_needed(ensemble, experts, [recordings[i] for i in usable]))
        for row, i in enumerate(usable):
            entries[i]["tasks"] = {name: _answer(output, row) for name, output in outputs.items()}
    return entries


def blank(ensemble: Answering) -> Prediction:
    """Return an entry with the names of all answers; its values mean nothing."""
    outputs = ensemble.predict({info.name: np.zeros((1, info.dim), np.float32) for info in ensemble.experts})
    tasks = {name: _answer(output, 0) for name, output in outputs.items()}
    seconds: SecondsSeen = {"seen": 0.0, "of": 0.0}
    return {"record": "", "usable": False, "quality": [], "seconds": seconds, "leads": [], "notes": [], "tasks": tasks}


def _entry(recording: Recording, verdict: Quality, inputs: Sequence[InputSpec]) -> Prediction:
    seen = min((seconds_seen(each, recording.seconds) for each in inputs), default=0.0) if verdict.usable else 0.0
    notes = list(recording.notes.values())
    if verdict.usable and recording.seconds - seen > UNSEEN_SECONDS:
        notes.append(f"only the first {seen:g} of {recording.seconds:g} s are seen by every expert")
    return {
        "record": recording.source,
        "usable": verdict.usable,
        "quality": [
            {"code": each.code, "text": each.text, "leads": list(each.leads), "fatal": each.fatal}
            for each in verdict.findings
        ],
        "seconds": {"seen": round(seen, 3), "of": round(recording.seconds, 3)},
        "leads": list(recording.leads),
        "notes": notes,
        "tasks": {},
    }


def _answer(output: TaskOutput, row: int) -> TaskAnswer:
    """Return one task's answer for one recording; value or probabilities are null where no expert has an answer."""
    task, value = output.task, output.value[row]
    weights = {name: round(float(share[row]), 4) for name, share in output.weights.items()}
    if task.kind == "regression":
        number: RegressionAnswer = {"kind": task.kind, "value": significant(value[0]), "unit": task.unit,
                                    "weights": weights}  # fmt: skip
        if output.low is not None and output.high is not None:
            number["low"], number["high"] = significant(output.low[row]), significant(output.high[row])
        return number
    shown = [1 - value[0], value[0]] if task.kind == "binary" else value
    probabilities = {name: significant(p) for name, p in zip(task.classes, shown, strict=True)}
    answer: ClassAnswer = {"kind": task.kind, "probabilities": probabilities, "decision": output.decisions()[row],
                           "weights": weights}  # fmt: skip
    if output.thresholds is not None:
        limits = np.broadcast_to(output.thresholds, output.value.shape)[row]
        answer["thresholds"] = dict(zip(task.output_names, limits.tolist(), strict=True))
    return answer


def row(entry: Prediction | SkippedRecord, bundle: str | None) -> dict[str, Any]:
    """Return one entry of `answered` as a row of a table; the reason for a missing answer is under `quality`."""
    last = {"bundle": bundle, "notice": NOTICE}
    if is_skipped(entry):
        return {"record": entry["record"], "usable": False, "quality": entry["reason"], **last}
    found: dict[str, Any] = {
        "record": entry["record"],
        "usable": entry["usable"],
        "seconds_seen": entry["seconds"]["seen"],
        "seconds": entry["seconds"]["of"],
        "quality": "; ".join(finding["text"] for finding in entry["quality"]),
        "notes": "; ".join(entry["notes"]),
    }
    for task, answer in entry["tasks"].items():
        found |= _cells(task, answer)
    return found | last


def _cells(task: str, answer: TaskAnswer) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    if answer["kind"] == "regression":
        cells[task] = answer["value"]
        cells |= {f"{task}_{end}": answer[end] for end in ("low", "high") if end in answer}
    else:
        decision = answer["decision"]
        cells[f"{task}_decision"] = ";".join(decision) if isinstance(decision, list) else decision
        cells |= {f"{task}_p_{name}": p for name, p in answer["probabilities"].items()}
    return cells | {f"{task}_weight_{name}": weight for name, weight in answer["weights"].items()}


def schema(ensemble: Answering) -> pa.Schema:
    """Return the columns of an ensemble's predictions, which do not depend on the recordings."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "usable": pa.bool_(),
        **dict.fromkeys(("record", "quality", "notes", "bundle", "notice"), pa.string()),
    }
    decisions = {f"{task.name}_decision" for task in ensemble.tasks}
    types |= dict.fromkeys(decisions, pa.string())
    return pa.schema([(name, types.get(name, pa.float64())) for name in row(blank(ensemble), "")])


def table(rows: Iterable[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """Return the rows as a table with these columns; a value that a row does not have is null."""
    import pyarrow as pa

    return pa.Table.from_pylist([dict(each) for each in rows], schema=columns)
