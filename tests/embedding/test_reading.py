from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np
import pytest
from small_experts import beats, write_record

from enecg.embedding import reading
from enecg.embedding.reading import (
    AHEAD,
    Prepared,
    Specs,
    Unusable,
    _Reader,
    prepare_all,
    prepared_recordings,
    read_and_prepare,
)
from enecg.embedding.store.source import file_stamp
from enecg.errors import EnecgError
from enecg.experts.inputs import InputSpec, prepare
from enecg.files import Place
from enecg.readers import read
from enecg.recording import Recording

SPECS = {spec.key: spec for spec in (InputSpec(), InputSpec(rate=250.0, leads=("II",)))}


@pytest.fixture
def records(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"r{i}" for i in range(6)]
    for i, path in enumerate(paths):
        write_record(path, beats(i))
    paths[2].with_name("r2.dat").write_bytes(b"short")
    write_record(paths[4], np.zeros((12, 2500)))
    return paths


def same(a: Prepared | Unusable, b: Prepared | Unusable) -> bool:
    if isinstance(a, Unusable) or isinstance(b, Unusable):
        return a == b
    return (
        (a.content, a.refused, a.batches.keys()) == (b.content, b.refused, b.batches.keys())
        and all(a.batches[key].signal.tobytes() == b.batches[key].signal.tobytes() for key in a.batches)
        and all(a.batches[key].scale.tobytes() == b.batches[key].scale.tobytes() for key in a.batches)
    )


def test_a_recording_is_prepared_for_each_contract(records: list[Path]) -> None:
    found = read_and_prepare(records[0], SPECS)
    assert isinstance(found, Prepared) and found.refused == {}
    recording = read(records[0])
    assert found.content == recording.content_hash()
    for key, spec in SPECS.items():
        np.testing.assert_array_equal(found.batches[key].signal, prepare(recording, spec).signal)


def test_what_one_contract_refuses_the_others_still_get() -> None:
    found = prepare_all(Recording(beats(0)[:1], 250.0, ("V1",)), SPECS)
    assert len(found.batches) == len(found.refused) == 1
    (reason,) = found.refused.values()
    assert "leads missing: II" in reason


@pytest.mark.parametrize("row", [2, 4])
def test_unreadable_and_uninterpretable_recordings_have_a_reason_of_one_line(records: list[Path], row: int) -> None:
    found = read_and_prepare(records[row], SPECS)
    assert isinstance(found, Unusable)
    assert found.reason and "\n" not in found.reason


def test_threads_and_processes_give_the_same_in_the_same_order(records: list[Path]) -> None:
    asked = records * 7  # more than are held at a time
    here = [read_and_prepare(path, SPECS) for path in records] * 7
    for workers, paths in ((0, asked), (2, asked), (2, _left_to_processes(asked))):
        with prepared_recordings(paths, SPECS, workers) as answers:
            there = list(answers)
        assert len(there) == len(here)
        assert all(same(a, b) for a, b in zip(there, here, strict=True))


def _left_to_processes(paths: Iterable[Path]) -> Iterator[Place]:
    """Text, as URLs are."""
    return map(str, paths)


class Clock:
    """A clock on which an eighth of a second goes into each recording, and `seconds` pass from one to the next."""

    def __init__(self, seconds: float) -> None:
        self._passed, self._spent = count(0, seconds), count(0, 0.125)

    def perf_counter(self) -> float:
        return next(self._passed)

    def thread_time(self) -> float:
        return next(self._spent)


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 4), (0.45, 4), (0.55, None), (5.0, None)])
def test_processes_take_over_where_reading_takes_more_than_a_quarter_of_the_time(
    records: list[Path], started: list[_Reader], monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int | None
) -> None:
    monkeypatch.setattr(reading, "time", Clock(seconds))
    with prepared_recordings(records * 3, SPECS, 1) as answers:
        begun = next((taken for taken, _ in enumerate(answers, start=1) if started), None)
    assert begun == expected


def test_threads_read_until_a_process_is_ready(records: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    expected, here = [read_and_prepare(path, SPECS) for path in records], 0

    def counted(path: Place, specs: Specs) -> Prepared | Unusable:
        nonlocal here
        here += 1
        return read_and_prepare(path, specs)

    monkeypatch.setattr(reading, "read_and_prepare", counted)
    monkeypatch.setattr(reading, "START_SECONDS", 0.0)
    monkeypatch.setattr(reading, "SHARE", 0.0)
    with prepared_recordings(cycle(records), SPECS, 1) as answers:
        for taken, (found, wanted) in enumerate(zip(islice(answers, 20_000), cycle(expected), strict=False), start=1):
            assert same(found, wanted)
            if taken > here:
                break
    assert 0 < here < taken


@pytest.mark.parametrize("kind", [Path, str])
def test_no_more_than_a_few_are_read_ahead(records: list[Path], kind: Callable[[Path], Place]) -> None:
    asked = 0

    def paths() -> Iterator[Place]:
        nonlocal asked
        while True:
            asked += 1
            yield kind(records[0])

    with prepared_recordings(paths(), SPECS, 2) as answers:
        for taken in range(1, 50):
            next(answers)
            assert asked <= taken + AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("enecg-reader")]


def test_a_reading_process_has_no_torch_and_nothing_it_prints_comes_between(records: list[Path]) -> None:
    code = (
        "import sys, os; from enecg.embedding import reading; read_and_prepare = reading.read_and_prepare\n"
        "def chatty(*a):\n    print('chatter'); os.write(1, b'noise'); return read_and_prepare(*a)\n"
        "reading.read_and_prepare = chatty; reading.serve(); assert 'torch' not in sys.modules"
    )
    asked = b"".join(pickle.dumps(each) for each in (SPECS, records[0]))
    done = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, check=True)
    answers = BytesIO(done.stdout)
    assert pickle.load(answers) is None  # ready
    assert same(pickle.load(answers), read_and_prepare(records[0], SPECS))
    assert b"noise" in done.stderr


def test_a_bug_is_raised_as_it_is(records: list[Path]) -> None:
    broken = {"key": "not a spec"}
    for workers, path in ((0, records[0]), (1, records[0]), (1, str(records[0]))):
        with pytest.raises(AttributeError), prepared_recordings([path], broken, workers) as answers:  # type: ignore[arg-type]
            next(answers)


def test_a_process_that_dies_is_named_with_its_file(records: list[Path], started: list[_Reader]) -> None:
    told = pytest.raises(EnecgError, match=r"r\d: the process that read it ended with code -9")
    with told, prepared_recordings(_left_to_processes(records * 100), SPECS, 1) as answers:
        next(answers)
        started[0].kill()
        list(answers)
    assert started[0]._process.returncode == -9


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[_Reader]:
    """The processes that the test starts."""
    found: list[_Reader] = []

    def start(specs: Specs) -> _Reader:
        found.append(_Reader(specs))
        return found[-1]

    monkeypatch.setattr(reading, "_Reader", start)
    return found


def test_leaving_early_ends_the_processes(records: list[Path], started: list[_Reader]) -> None:
    with pytest.raises(KeyboardInterrupt), prepared_recordings(_left_to_processes(records * 100), SPECS, 2) as answers:
        list(islice(answers, 3))
        raise KeyboardInterrupt
    assert [reader._process.poll() for reader in started] == [-9, -9]


def test_every_readable_file_has_a_stamp(shared_data: Path) -> None:
    for path in (shared_data / "formats").iterdir():
        if not isinstance(read_and_prepare(path, {}), Unusable):
            assert file_stamp(path), path
