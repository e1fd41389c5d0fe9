from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_experts import Summary, beats, write_cohort, write_record

from enecg.cohorts.manifest import Cohort
from enecg.embedding import reading
from enecg.embedding.encoding import BATCH
from enecg.embedding.pipeline import EmbedReport, embed, embed_recordings
from enecg.embedding.reading import Prepared, Specs, Unusable
from enecg.embedding.store.store import Store
from enecg.errors import InputError
from enecg.experts.base import Expert
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.leads import STANDARD
from enecg.readers import read
from enecg.recording import Recording

COUNT = 30
WIDE, NARROW = InputSpec(hop_seconds=5.0), InputSpec(rate=250.0, seconds=2.0, leads=("II",), scaling="none")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 good recordings of 10, 20 and 30 s."""
    return write_cohort(tmp_path_factory.mktemp("cohort"), COUNT)


@pytest.fixture
def cohort(manifest: Path) -> Cohort:
    return Cohort.load(manifest)


@pytest.fixture
def own(manifest: Path, tmp_path: Path) -> Path:
    """A copy of the cohort that a test may change."""
    shutil.copytree(manifest.parent, tmp_path / "cohort")
    return tmp_path / "cohort" / manifest.name


def experts() -> list[Summary]:
    return [Summary("wide", WIDE), Summary("also", WIDE), Summary("narrow", NARROW)]


def one_by_one(cohort: Cohort, expert: Expert) -> np.ndarray:
    found = [expert.encode(prepare(read(cohort.path(row)), expert.card.input)) for row in range(len(cohort))]
    return np.stack([expert.pool(windows) for windows in found])


@pytest.mark.parametrize(("workers", "batch"), [(0, 1), (2, 7), (0, BATCH)])
def test_embeddings_equal_those_of_one_recording_at_a_time(
    cohort: Cohort, tmp_path: Path, workers: int, batch: int
) -> None:
    store, wanted = Store(tmp_path, shard_rows=7), experts()
    report = embed(cohort, wanted, store, progress=False, workers=workers, batch=batch)
    assert (report.n, report.computed, report.reused, report.skipped) == (COUNT, COUNT, 0, [])
    for expert in wanted:
        matrix, rows = store.load(expert, cohort)
        assert rows.tolist() == list(range(COUNT))
        assert matrix.tobytes() == one_by_one(cohort, expert).tobytes()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read in this process."""
    found: list[Path] = []
    original = reading.read_and_prepare

    def read_and_prepare(path: Path, specs: Specs) -> Prepared | Unusable:
        found.append(path)
        return original(path, specs)

    monkeypatch.setattr(reading, "read_and_prepare", read_and_prepare)
    return found


def run(cohort: Cohort, wanted: Sequence[Expert], store: Store) -> EmbedReport:
    return embed(cohort, wanted, store, progress=False, workers=0)


def test_each_recording_is_read_once_and_a_second_run_reads_none(
    cohort: Cohort, tmp_path: Path, seen: list[Path]
) -> None:
    store, wanted = Store(tmp_path), experts()
    run(cohort, wanted, store)
    assert seen == [cohort.path(row) for row in range(COUNT)]
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    report = run(cohort, wanted, store)
    assert (report.computed, report.reused) == (0, COUNT)
    assert len(seen) == COUNT
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_only_what_is_missing_is_computed(cohort: Cohort, tmp_path: Path, seen: list[Path]) -> None:
    store, (wide, also, narrow) = Store(tmp_path), experts()
    run(cohort.take(np.arange(10)), [wide], store)
    seen.clear()
    assert run(cohort.take(np.arange(5, 15)), [wide, narrow], store).computed == 10
    assert 5 * (1 + 3 + 5) <= sum(wide.seen) < 5 * (1 + 3 + 5) + 2 * BATCH  # of recordings of 10, 20 and 30 s
    assert len(seen) == 10
    assert store.missing(wide, cohort).tolist() == list(range(15, COUNT))
    assert store.missing(narrow, cohort).tolist() == [*range(5), *range(15, COUNT)]
    run(cohort, [wide, also, narrow], store)
    whole = Store(tmp_path / "whole")
    run(cohort, experts(), whole)
    for expert in (wide, also, narrow):
        assert store.load(expert, cohort)[0].tobytes() == whole.load(expert, cohort)[0].tobytes()


def test_a_changed_recording_is_embedded_again_and_a_touched_one_is_not(own: Path, tmp_path: Path) -> None:
    cohort, store, expert = Cohort.load(own), Store(tmp_path / "store"), Summary()
    run(cohort, [expert], store)
    write_record(cohort.path(3), beats(99))
    os.utime(cohort.path(4).with_suffix(".dat"), (1, 1))
    assert store.missing(expert, cohort).tolist() == [3, 4]
    expert.seen.clear()
    report = run(cohort, [expert], store)
    assert (report.computed, report.reused) == (1, COUNT - 1)
    assert expert.seen == [BATCH]  # one window, in a full batch
    by_file, by_name = store.load(expert, cohort)[0], store.load(expert, cohort.records)[0]
    assert by_file.tobytes() == by_name.tobytes() == one_by_one(cohort, expert).tobytes()


def test_a_moved_cohort_is_read_and_not_embedded_again(own: Path, tmp_path: Path) -> None:
    store, expert = Store(tmp_path / "store"), Summary()
    run(Cohort.load(own), [expert], store)
    moved = Cohort.load(own.parent.rename(tmp_path / "moved") / own.name)
    assert len(store.missing(expert, moved)) == COUNT
    expert.seen.clear()
    assert run(moved, [expert], store).reused == COUNT
    assert expert.seen == []
    assert store.load(expert, moved)[0].tobytes() == one_by_one(moved, expert).tobytes()


def test_two_cohorts_with_the_same_names_and_times_do_not_mix(own: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for row in range(3):
        write_record(other / f"p {row % 3}" / f"r{row:03d}", beats(50 + row, 10.0 * (1 + row)))
    (other / "manifest.csv").write_text("".join(own.read_text().splitlines(keepends=True)[:4]))
    for path in (*own.parent.rglob("*.*"), *other.rglob("*.*")):
        os.utime(path, (0, 0))
    store, expert = Store(tmp_path / "store"), Summary()
    cohorts = [Cohort.load(own), Cohort.load(other / "manifest.csv")]
    for _ in range(2):
        for cohort in cohorts:
            run(cohort, [expert], store)
    assert sum(expert.seen) < (COUNT // 3 + 1) * (1 + 2 + 3) + 2 * BATCH
    for cohort in cohorts:
        assert store.load(expert, cohort)[0].tobytes() == one_by_one(cohort, expert).tobytes()


def test_bad_recordings_are_skipped_with_their_reasons_in_order(own: Path, tmp_path: Path) -> None:
    cohort = Cohort.load(own)
    cohort.path(1).with_suffix(".dat").write_bytes(b"short")
    cohort.path(8).with_suffix(".hea").unlink()
    write_record(cohort.path(5), np.zeros((12, 2500)))
    with own.open("a") as file:
        file.write("../outside,1\n")
    cohort, store = Cohort.load(own), Store(tmp_path / "store")
    for workers in (0, 2):
        wanted = experts()
        report = embed(cohort, wanted, store, progress=False, workers=workers)
        assert [skipped.record for skipped in report.skipped] == [cohort.records[row] for row in (1, 5, 8, COUNT)]
        assert all(skipped.reason and "\n" not in skipped.reason for skipped in report.skipped)
        assert all(skipped.experts == ("wide", "also", "narrow") for skipped in report.skipped)
        assert report.n == COUNT + 1 == report.computed + report.reused + len(report.skipped)
        good = [row for row in range(COUNT) if row not in (1, 5, 8)]
        assert all(store.load(expert, cohort)[1].tolist() == good for expert in wanted)
        assert report.computed == (0 if workers else len(good))


def test_what_one_expert_refuses_the_others_see(own: Path, tmp_path: Path) -> None:
    cohort, store = Cohort.load(own), Store(tmp_path / "store")
    header = cohort.path(2).with_suffix(".hea")
    header.write_text(header.read_text().replace(" V3\n", " Vx\n"))
    any_lead, strict = Summary("any"), Summary("strict", InputSpec(leads=("V3",), missing="error"))
    (skipped,) = run(cohort, [any_lead, strict], store).skipped
    assert (skipped.record, skipped.experts) == (cohort.records[2], ("strict",))
    assert skipped.reason.startswith("strict: ") and "leads missing: V3" in skipped.reason
    assert store.missing(any_lead, cohort).tolist() == []
    assert store.missing(strict, cohort).tolist() == [2]
    assert run(cohort, [any_lead, strict], store).reused == COUNT


def test_a_bug_in_an_expert_stops_the_run_and_keeps_what_is_done(cohort: Cohort, tmp_path: Path) -> None:
    class Fragile(Summary):
        def encode(self, batch: Batch) -> np.ndarray:
            if len(self.seen) == 2:
                raise ZeroDivisionError
            return super().encode(batch)

    store, fragile = Store(tmp_path), Fragile()
    with pytest.raises(ZeroDivisionError):
        run(cohort, [fragile], store)
    assert 0 < len(store.missing(fragile, cohort)) < COUNT


def test_prediction_takes_the_same_way(cohort: Cohort, tmp_path: Path) -> None:
    store, wanted = Store(tmp_path), experts()
    run(cohort, wanted, store)
    found = embed_recordings([read(cohort.path(row)) for row in range(COUNT)], wanted)
    assert list(found) == ["wide", "also", "narrow"]
    for expert in wanted:
        assert found[expert.card.name].tobytes() == store.load(expert, cohort)[0].tobytes()
    assert embed_recordings([], wanted)["wide"].shape == (0, 36)


def test_a_prediction_that_an_expert_refuses_is_unknown() -> None:
    strict = Summary("strict", InputSpec(leads=("II",), missing="error"))
    good, chest = Recording(beats(0), 250.0, STANDARD), Recording(beats(1)[6:], 250.0, STANDARD[6:])
    found = embed_recordings([chest, good], [Summary("any"), strict])
    assert np.isnan(found["strict"][0]).all() and np.isfinite(found["strict"][1]).all()
    assert np.isfinite(found["any"][0]).any()


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background run is deaf to it, its children too
sys.path.insert(0, sys.argv[1])
from test_pipeline import Cohort, Store, Summary, embed

class Slow(Summary):
    def encode(self, batch):
        time.sleep(float(sys.argv[4]))
        return super().encode(batch)

try:
    embed(Cohort.load(sys.argv[2]), [Slow()], Store(sys.argv[3], shard_rows=3), workers=1, batch=1)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    cohort: Cohort, manifest: Path, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    folder = tmp_path / "store"
    command = [sys.executable, "-c", SLOW, str(Path(__file__).parent), str(manifest), str(folder), "0.2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while len(list(folder.glob("*/shard-*.parquet"))) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(how)
        _, told = process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in told
    store, expert = Store(folder, shard_rows=3), Summary()
    done = COUNT - len(store.missing(expert, cohort))
    assert 6 <= done < COUNT
    report = run(cohort, [expert], store)
    assert (report.computed, report.reused) == (COUNT - done, done)
    assert store.load(expert, cohort)[0].tobytes() == one_by_one(cohort, expert).tobytes()


def test_a_store_that_cannot_be_written_is_the_users_to_mend(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        run(cohort, [Summary()], Store(tmp_path))
    assert not list(tmp_path.rglob("*.parquet*"))


def test_the_bar_counts_and_can_be_silent(own: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cohort = Cohort.load(own)
    cohort.path(1).with_suffix(".dat").write_bytes(b"short")
    with own.open("a") as file:
        file.write("../outside,1\n")
    cohort = Cohort.load(own)
    embed(cohort, [Summary()], Store(tmp_path / "a"), progress=False, workers=0)
    assert capfd.readouterr() == ("", "")
    embed(cohort, [Summary()], Store(tmp_path / "b"), workers=0)
    told = capfd.readouterr()
    assert told.out == "" and "31/31" in told.err and "2 skipped" in told.err


def test_real_recordings_of_all_sources(shared_data: Path, tmp_path: Path) -> None:
    """100 to 1000 Hz, 10 to 115 s, millivolts and normalised: the same from two processes as one by one."""
    whole = Cohort.load(shared_data / "manifest.csv")
    folders = [record.split("/")[0] for record in whole.records]
    rows = np.sort([row for folder in set(folders) for row in np.flatnonzero(np.array(folders) == folder)[:3]])
    cohort, store, wanted = whole.take(rows), Store(tmp_path), experts()
    report = embed(cohort, wanted, store, progress=False, workers=2)
    assert report.skipped == [] and report.computed == len(rows) >= 20
    for expert in wanted:
        assert store.load(expert, cohort)[0].tobytes() == one_by_one(cohort, expert).tobytes()
