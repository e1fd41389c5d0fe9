"""Long recordings: every sample is seen, memory holds one block, and short recordings stay as they were."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from edf_files import write
from hypothesis import given
from hypothesis import strategies as st
from small_experts import Summary, beats, write_record

from enecg import readers
from enecg.cohorts.manifest import Cohort
from enecg.embedding.blocks import PooledPieces, QualitySummary, duration, judged_blocks, pieces
from enecg.embedding.dataset import gather
from enecg.embedding.pipeline import embed, embed_recordings
from enecg.embedding.store.store import Store
from enecg.experts.inputs import InputSpec
from enecg.leads import STANDARD
from enecg.readers import opened, read
from enecg.readers.opened import OpenedRecording
from enecg.recording import LONG_SECONDS, WINDOW_SECONDS, Recording, block_edges

EXPERTS = [Summary("wide"), Summary("five", InputSpec(rate=50.0, seconds=5.0, leads=("II", "V2"), scaling="none"))]


def recording(seconds: float, rate: float = 100.0) -> Recording:
    return Recording(beats(1, seconds, rate), rate, STANDARD, source="made")


@given(st.integers(1, 400_000), st.sampled_from([100.0, 128.5, 250.0, 500.0]), st.sampled_from([10.0, 50.0, 120.0]))
def test_blocks_cover_a_recording_without_overlap(count: int, rate: float, seconds: float) -> None:
    edges = block_edges(count, rate, seconds)
    assert edges[0] == 0 and edges[-1] == count
    lengths = np.diff(edges)
    assert (lengths[:-1] == round(seconds * rate)).all()
    assert len(lengths) == 1 or lengths[-1] >= WINDOW_SECONDS * rate


@pytest.mark.parametrize("seconds", [10.0, 65.0, 120.0, 129.99])
def test_pieces_are_whole_windows_and_cover_a_block(seconds: float) -> None:
    block = recording(seconds)
    found = pieces(block)
    assert all(piece.signal.shape[1] % (WINDOW_SECONDS * block.rate) == 0 for piece in found)
    assert np.array_equal(found[0].signal, block.signal[:, : found[0].signal.shape[1]])
    assert np.array_equal(found[-1].signal[:, -5:], block.signal[:, -5:])


def test_a_block_that_cannot_be_interpreted_is_left_out_and_said() -> None:
    whole = recording(360)
    signal = whole.signal.copy()
    signal[:, 12_000:24_000] = np.nan
    spoilt = OpenedRecording.of(Recording(signal, 100.0, STANDARD))
    summary = QualitySummary()
    for block in judged_blocks(spoilt):
        summary.add(block)
    assert (summary.seen, summary.seconds) == (240.0, 360.0)
    quality = summary.quality()
    assert quality.usable
    assert "in 33% of the time" in next(each.text for each in quality.findings if each.code == "too_few_leads")
    assert summary.all_notes()["long_recording"].startswith("4 min of 6 min were interpreted")


def test_the_mean_over_pieces_counts_seconds_and_only_what_is_known() -> None:
    pooled = PooledPieces(Summary("one", InputSpec(leads=("II",))))
    assert np.isnan(pooled.result()).all()
    pooled.add(np.array([1, np.nan, 3], np.float32), 10)
    pooled.add(np.array([4, np.nan, np.nan], np.float32), 20)
    np.testing.assert_array_equal(pooled.result(), np.array([3, np.nan, 3], np.float32))


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (45, "45 s"), (3605, "1 h 5 s"), (86340, "23 h 59 min")])
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """A short recording, and a long one whose second half has another amplitude."""
    write_record(tmp_path / "short", beats(3, 20))
    signal = beats(4, 400)
    signal[:, 50_000:] *= 2
    write_record(tmp_path / "long", signal)
    (tmp_path / "manifest.csv").write_text("record,age\nshort,40\nlong,50\n")
    return Cohort.load(tmp_path / "manifest.csv")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_long_recording_is_seen_to_its_end(cohort: Cohort, tmp_path: Path, workers: int) -> None:
    store = Store(tmp_path / "store")
    report = embed(cohort, EXPERTS, store, progress=False, workers=workers)
    assert (report.computed, report.skipped) == (2, [])
    matrix, _ = store.load(EXPERTS[1], cohort)
    start = embed_recordings([read(cohort.path(1)).span(0, 15_000)], EXPERTS)["five"][0]
    assert matrix[1, 2] == pytest.approx(1.5 * start[2], rel=0.02)
    assert embed(cohort, EXPERTS, store, progress=False, workers=0).reused == 2


def test_content_is_the_same_in_memory_and_in_blocks(cohort: Cohort) -> None:
    whole = read(cohort.path(1))
    with opened(cohort.path(1)) as found:
        assert found.is_long and found.seconds == 400 and found.n_samples == whole.signal.shape[1]
        parts = [found.read_span(*ends) for ends in pairwise(block_edges(found.n_samples, found.rate))]
    assert np.array_equal(np.concatenate([part.signal for part in parts], axis=1), whole.signal)
    assert [part.seconds for part in parts] == [LONG_SECONDS] * 3 + [40.0]
    from enecg.embedding.reading import Prepared, read_and_prepare

    seen = read_and_prepare(cohort.path(1), {})
    assert isinstance(seen, Prepared) and seen.in_blocks and seen.content == whole.content_hash()


def test_what_is_stored_is_not_opened_again(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quality and notes come from the store: a second gathering opens no recording."""
    first = gather(cohort, EXPERTS, Store(tmp_path / "store"), progress=False, workers=0)
    openings = []
    for name in ("format_of", "_open_path", "_read_path"):
        original = getattr(readers, name)
        monkeypatch.setattr(readers, name, lambda *a, f=original: (openings.append(a), f(*a))[1])
    again = gather(cohort, EXPERTS, Store(tmp_path / "store"), progress=False, workers=0)
    assert not openings
    assert again.quality == first.quality and again.notes == first.notes
    assert again.notes[0][-1] == "6 min 40 s of 6 min 40 s were interpreted; the answers are means over them"
    other = Cohort.from_table(cohort.table.assign(record=["short", "long.hea"]), cohort.root, "other")
    gather(other, EXPERTS, Store(tmp_path / "store"), progress=False, workers=0)
    assert openings  # the count counts


@pytest.mark.parametrize("wide", [False, True])
def test_edf_is_read_in_parts(tmp_path: Path, wide: bool) -> None:
    stored = np.round(beats(5, 300, 100.0)[:3] * 1000).astype(int)
    path = write(tmp_path / "a.edf", ["I", "II", "V1"], list(stored), n_records=300, wide=wide)
    whole = read(path)
    with opened(path) as found:
        assert found.is_long and (found.n_samples, found.leads, found.rate) == (30_000, whole.leads, whole.rate)
        for start, stop in pairwise([0, 1, 12_000, 12_345, 30_000]):
            part = found.read_span(start, stop)
            assert np.array_equal(part.signal, whole.signal[:, start:stop]) and part.band == whole.band


@pytest.mark.parametrize("format_", ["16", "212", "24", "61", "80", "160", "310", "311", "32"])
def test_wfdb_formats_are_read_in_parts(tmp_path: Path, format_: str) -> None:
    """Bytes of any value, in two files, with several samples a frame and a skew: parts are those of the whole."""
    frames, rng = 13_001, np.random.default_rng(int(format_))
    lines = [f"r 3 100 {frames}"]
    sizes = {"212": 1.5, "310": 4 / 3, "311": 4 / 3, "24": 3, "32": 4, "80": 1}
    for file, names, skew in (("a.dat", ("I", "II"), ":3"), ("b.dat", ("V1",), "")):
        count = int(np.ceil(frames * len(names) * sizes.get(format_, 2)))
        (tmp_path / file).write_bytes(rng.integers(0, 256, count + 4, np.uint8).tobytes()[: count + count % 2])
        lines += [f"{file} {format_}{skew} 1000/mV 12 0 0 0 0 {name}" for name in names]
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    whole = read(tmp_path / "r", ignore_checksums=True)
    with opened(tmp_path / "r", ignore_checksums=True) as found:
        assert found.is_long
        for start, stop in pairwise([0, 5, 6_000, 6_001, frames]):
            assert np.array_equal(found.read_span(start, stop).signal, whole.signal[:, start:stop], equal_nan=True)
