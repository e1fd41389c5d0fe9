"""The signals of a cohort as one array on disk: read once, then drawn from at random, for cohorts of any size."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enecg.cohorts.manifest import Cohort
from enecg.embedding.blocks import judged_blocks, prepare_piece, usable_pieces
from enecg.embedding.progress import bar
from enecg.embedding.reading import Unusable, prepared_recordings
from enecg.errors import InputError
from enecg.experts.inputs import Batch, InputSpec
from enecg.files import Place, writing
from enecg.readers import opened


@dataclass(frozen=True, eq=False)
class Signals:
    """Windows to pretrain on.

    Attributes:
        windows: float16 `[window, lead, sample]`, prepared; on disk when they come from `gather`.
        length: int `[window]`; samples that are not padding.
        name: of the cohort.
        digest: of the cohort.
        recordings: how many the windows come from.
        skipped: how many could not be read or interpreted.
    """

    windows: np.ndarray
    length: np.ndarray
    name: str
    digest: str
    recordings: int
    skipped: int


def gather(cohort: Cohort, spec: InputSpec, folder: Path, progress: bool = True, workers: int | None = None) -> Signals:
    """Read and prepare all recordings of a cohort into `folder`, or find there what was read before.

    Args:
        cohort: the recordings; labels are not used.
        spec: how the windows are prepared.
        folder: for the array, 24 kB a window of 12 leads and 1,000 samples.
        progress: show a bar on standard error.
        workers: as for `enecg.embedding.reading.prepared_recordings`.

    Raises:
        InputError: no recording can be read.
    """
    key = hashlib.sha256(f"{cohort.digest()}|{spec.key}".encode()).hexdigest()[:16]
    array, facts = folder / f"signals-{key}.f16", folder / f"signals-{key}.json"
    if not facts.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        skipped: list[str] = []
        lengths: list[int] = []
        with array.open("wb") as file:
            for windows, length in _prepared(cohort, spec, skipped, progress, workers):
                file.write(windows.astype("<f2").tobytes())
                lengths.append(length)
        if not lengths:
            raise InputError(f"{cohort.name}: no recording to pretrain on; the first says: {skipped[0]}")
        with writing(facts) as file:
            file.write(json.dumps({"lengths": lengths, "skipped": len(skipped)}).encode())
    known = json.loads(facts.read_text())
    shape = (-1, len(spec.leads), spec.samples)
    windows = np.memmap(array, "<f2", "r").reshape(shape)
    count = len(cohort) - known["skipped"]
    return Signals(windows, np.array(known["lengths"]), cohort.name, cohort.digest(), count, known["skipped"])


def _prepared(
    cohort: Cohort, spec: InputSpec, skipped: list[str], progress: bool, workers: int | None
) -> Iterator[tuple[np.ndarray, int]]:
    """Each window of each recording with its length; reasons of recordings that have none go into `skipped`."""

    asked: deque[Place] = deque()

    def paths() -> Iterator[Place]:
        for row in range(len(cohort)):
            try:
                asked.append(cohort.path(row))
            except InputError as error:
                skipped.append(str(error))
            else:
                yield asked[-1]

    with (
        prepared_recordings(paths(), {spec.key: spec}, workers) as answers,
        closing(bar(answers, len(cohort), skipped, progress, "Reading")) as counted,
    ):
        for found in counted:
            path = asked.popleft()
            if isinstance(found, Unusable):
                skipped.append(found.reason)
            elif spec.key in found.refused:
                skipped.append(found.refused[spec.key])
            else:
                batches = _of_blocks(path, spec) if found.in_blocks else [found.batches[spec.key]]
                for batch in batches:
                    yield from zip(batch.signal, batch.length.tolist(), strict=True)


def _of_blocks(path: Place, spec: InputSpec) -> Iterator[Batch]:
    """The windows of a long recording, which is read block by block."""
    with opened(path) as recording:
        for _, found in usable_pieces(judged_blocks(recording)):
            yield from (prepare_piece(piece, spec) for piece in found)
