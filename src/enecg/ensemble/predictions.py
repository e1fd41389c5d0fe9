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
    QualityFinding,
    RegressionAnswer,
    SecondsSeen,
    SkippedRecord,
    TaskAnswer,
    is_skipped,
    significant,
)
from enecg.ensemble.budget.cascade import embed_needed
from enecg.ensemble.outputs import Answering, TaskOutput
from enecg.ensemble.over_time import answer_long, with_name
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import InputSpec, seconds_seen
from enecg.files import place
from enecg.quality import Quality, check
from enecg.readers import opened
from enecg.readers.opened import OpenedRecording
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
    every: float | None = None,
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
        every: seconds of a period; each entry then has `over_time`, one answer for each period.
        group: recordings held in memory at a time.
    """
    predictions: list[Prediction] = []
    skipped: list[SkippedRecord] = []
    options: dict[str, Any] = {"rate": rate, "unit": unit, "ignore_checksums": ignore_checksums, "group": group}
    for entry in answered(ensemble, experts, recordings, every=every, **options):
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
    every: float | None = None,
    group: int = GROUP,
) -> Iterator[Prediction | SkippedRecord]:
    """Yield the entries of `predict_files` one after the other, in the order of the recordings.

    The entry of a file that cannot be read has only `record` and `reason`.
    """
    given = {"rate": rate, "unit": unit, "ignore_checksums": ignore_checksums}
    waiting = iter(recordings)
    while some := list(islice(waiting, group)):
        held: list[Recording | Prediction | SkippedRecord] = []
        for one in some:
            try:
                held.append(one if isinstance(one, Recording) else _read(ensemble, experts, one, given, every))
            except InputError as error:
                name = one.record if isinstance(one, Item) else str(one)
                held.append({"record": name, "reason": str(error)})
        found = iter(answers(ensemble, experts, [each for each in held if isinstance(each, Recording)], every))
        yield from (next(found) if isinstance(each, Recording) else each for each in held)


def _read(
    ensemble: Answering,
    experts: Sequence[Expert],
    one: str | Path | Item,
    given: Mapping[str, Any],
    every: float | None,
) -> Recording | Prediction:
    """Read a recording under the name that the caller has for it, not under that in its header; answer a long one."""
    item = one if isinstance(one, Item) else Item(str(one), place(one))
    if item.at is None:
        raise InputError(item.reason)
    with opened(item.at, **given) as found:
        if found.is_long:
            return _long_entry(ensemble, experts, with_name(found, item.record), every)
        return replace(found.read_all(), source=item.record)


def answers(
    ensemble: Answering, experts: Sequence[Expert], recordings: Sequence[Recording], every: float | None = None
) -> list[Prediction]:
    """Return one entry per recording: the findings of the quality check and, where it is usable, all answers."""
    entries: list[Prediction] = []
    usable = []
    inputs = [expert.card.input for expert in experts]
    for i, recording in enumerate(recordings):
        whole = OpenedRecording.of(recording)
        if whole.is_long:
            entries.append(_long_entry(ensemble, experts, whole, every))
            continue
        verdict = check(recording)
        entries.append(_entry(recording, verdict, inputs))
        if verdict.usable:
            usable.append(i)
    if usable:
        outputs = ensemble.predict(embed_needed(ensemble, experts, [recordings[i] for i in usable]))
        for row, i in enumerate(usable):
            entries[i]["tasks"] = {name: _answer(output, row) for name, output in outputs.items()}
            if every is not None:
                parts = answer_long(ensemble, experts, OpenedRecording.of(recordings[i]), _answer, every)
                entries[i]["over_time"] = parts.periods
    return entries


def _long_entry(
    ensemble: Answering, experts: Sequence[Expert], found: OpenedRecording, every: float | None
) -> Prediction:
    """The entry of a recording that is read block by block."""
    answer = answer_long(ensemble, experts, found, _answer, every)
    entry: Prediction = {
        "record": found.source,
        "usable": bool(answer.tasks),
        "quality": _findings(answer.quality),
        "seconds": answer.seconds,
        "leads": list(found.leads),
        "notes": answer.notes,
        "tasks": answer.tasks,
    }
    if every is not None:
        entry["over_time"] = answer.periods
    return entry


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
        "quality": _findings(verdict),
        "seconds": {"seen": round(seen, 3), "of": round(recording.seconds, 3)},
        "leads": list(recording.leads),
        "notes": notes,
        "tasks": {},
    }


def _findings(verdict: Quality) -> list[QualityFinding]:
    return [{"code": f.code, "text": f.text, "leads": list(f.leads), "fatal": f.fatal} for f in verdict.findings]


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


def rows(entry: Prediction | SkippedRecord, bundle: str | None) -> list[dict[str, Any]]:
    """Return the rows of one entry: one, or one for each period with its `start` in seconds."""
    if is_skipped(entry) or "over_time" not in entry:
        return [row(entry, bundle)]
    found = []
    for part in entry["over_time"]:
        of_part: Prediction = {
            **entry, "usable": part["usable"], "seconds": part["seconds"], "tasks": part["tasks"],
        }  # fmt: skip
        found.append(_with_start(row(of_part, bundle), part["start"]))
    return found


def _with_start(cells: dict[str, Any], start: float) -> dict[str, Any]:
    """A row with the start of its period behind the record."""
    return {"record": cells["record"], "start": start, **cells}


def schema(ensemble: Answering, every: float | None = None) -> pa.Schema:
    """Return the columns of an ensemble's predictions, which do not depend on the recordings."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "usable": pa.bool_(),
        **dict.fromkeys(("record", "quality", "notes", "bundle", "notice"), pa.string()),
    }
    decisions = {f"{task.name}_decision" for task in ensemble.tasks}
    types |= dict.fromkeys(decisions, pa.string())
    cells = row(blank(ensemble), "")
    names = cells if every is None else _with_start(cells, 0.0)
    return pa.schema([(name, types.get(name, pa.float64())) for name in names])


def table(rows: Iterable[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """Return the rows as a table with these columns; a value that a row does not have is null."""
    import pyarrow as pa

    return pa.Table.from_pylist([dict(each) for each in rows], schema=columns)
