"""Real WFDB records, changed at random: what the tests and `scripts/mutated_wfdb.py` read."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Final

import numpy as np

from enecg import Recording, read
from enecg.errors import InputError

# Signal files of ordinary records: formats 16 and 212, with and without bytes before the first sample.
RECORDS: Final = (
    "formats/A0001.mat",
    "ludb/data/1.dat",
    "formats_more/wfdb/100_3chan.dat",
    "formats_more/wfdb/041s/041s01.dat",
)


def mutated_signals(signals: Path, rng: random.Random) -> bytes:
    """A signal file with one change: bits, bytes, stretches of zeros, lost, added, moved or cut bytes."""
    raw = bytearray(signals.read_bytes())
    at, size = rng.randrange(24, len(raw)), rng.choice((1, 2, 3, 4, 24, 100, 1000))
    kind = rng.choice(("bit", "byte", "zeros", "lost", "added", "cut", "tail", "moved"))
    if kind == "bit":
        raw[at] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        raw[at] = (raw[at] + rng.randrange(1, 256)) % 256
    elif kind == "zeros":
        raw[at : at + size] = bytes(len(raw[at : at + size]))
    elif kind == "lost":
        del raw[at : at + size]
    elif kind == "added":
        raw[at:at] = rng.randbytes(size)
    elif kind == "cut":
        del raw[at:]
    elif kind == "tail":
        raw[at:] = bytes(len(raw) - at)
    else:  # the length stays: a stretch is lost and found again at the end
        stretch = raw[at : at + size]
        del raw[at : at + size]
        raw += stretch
    return bytes(raw)


def mutated_header(signals: Path, rng: random.Random) -> bytes:
    """A header with one change: a digit, a byte, two numbers swapped, or a line lost or doubled."""
    raw = signals.with_suffix(".hea").read_bytes()
    kind = rng.choice(("digit", "byte", "swap", "line"))
    if kind == "line":
        lines = raw.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        lines[at : at + 1] = [lines[at]] * rng.choice((0, 2))
        return b"".join(lines)
    if kind == "swap":
        numbers = [match.span() for match in re.finditer(rb"\d+", raw)]
        (a, b), (c, d) = sorted(rng.sample(numbers, 2))
        return raw[:a] + raw[c:d] + raw[b:c] + raw[a:b] + raw[d:]
    places = [at for at, byte in enumerate(raw) if kind == "byte" or chr(byte).isdigit()]
    at = rng.choice(places)
    new = rng.randrange(32, 127) if kind == "byte" else rng.choice(b"0123456789")
    return raw[:at] + bytes([new]) + raw[at + 1 :]


def outcome(signals: Path, content: bytes, ending: str, folder: Path) -> str:
    """How a record reads with one file replaced: `refused`, `same`, `noted` (with a new note) or `silent`."""
    before = read(signals)
    for suffix in (signals.suffix, ".hea"):
        raw = content if suffix == ending else signals.with_suffix(suffix).read_bytes()
        (folder / f"{signals.stem}{suffix}").write_bytes(raw)
    try:
        found = read(folder / f"{signals.stem}.hea")
    except InputError as error:
        assert "\n" not in str(error)
        return "refused"
    return "same" if _same(found, before) else "silent" if set(found.notes) <= set(before.notes) else "noted"


def _same(one: Recording, other: Recording) -> bool:
    alike = (one.leads, one.rate, one.amplitude) == (other.leads, other.rate, other.amplitude)
    return alike and np.array_equal(one.signal, other.signal, equal_nan=True)
