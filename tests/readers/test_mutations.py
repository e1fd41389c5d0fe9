"""Real files changed at random: what is read is what it was, or a note says so. `scripts/mutated_files.py` has more."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from mutations import FILES, Original, mutated, outcome

pytest.importorskip("pydicom")
pytest.importorskip("ecgdatakit")

COUNTS = {"DICOM": 100, "MUSE": 100, "Philips": 30, "EDF": 100}


def changed(name: str, kind: str, data: Path, folder: Path) -> list[tuple[str, Original, bytes]]:
    """Outcome, file and content of each change of a kind, the same in every run."""
    originals, found = [Original.of(data / file) for file in FILES[name]], []
    for number in range(COUNTS[name]):
        original = originals[number % len(originals)]
        content = mutated(original, kind, random.Random(f"{name} {kind} {number}"))
        found.append((outcome(original, content, folder), original, content))
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [("DICOM", "structure"), ("MUSE", "structure"), ("MUSE", "samples"), ("Philips", "structure"),
     ("Philips", "samples")],
)  # fmt: skip
def test_no_change_goes_unseen(shared_data: Path, tmp_path: Path, name: str, kind: str) -> None:
    counts = Counter(result for result, *_ in changed(name, kind, shared_data, tmp_path))
    assert counts["silent"] == 0
    assert counts["refused"] > 0.2 * COUNTS[name]


def test_in_edf_labels_and_ranges_of_one_lead_are_all_that_can_change_unseen(shared_data: Path, tmp_path: Path) -> None:
    """Nothing in the file repeats them; they are 56 of the 256 bytes that a signal has in the header."""
    silent = 0
    for result, original, content in changed("EDF", "structure", shared_data, tmp_path):
        if result == "silent":
            silent += 1
            before = original.content
            at = next(number for number, byte in enumerate(content) if byte != before[number])
            signals = int(before[252:256])
            offset = (at - 256) / signals
            assert 0 <= offset < 16 or 16 + 80 <= offset < 16 + 80 + 5 * 8
    assert silent < 0.1 * COUNTS["EDF"]
