"""Real files of every format, damaged at random: what the tests and `scripts/mutated_uploads.py` send."""

from __future__ import annotations

import random
from pathlib import Path

Files = list[tuple[str, bytes]]

FAMILIES = (
    ("ge_muse_909.xml",), ("ge_muse_909.dcm",), ("philips_sierra_103.xml",), ("cpsc_a0001.edf",),
    ("A0001.hea", "A0001.mat"), ("twelve_lead_500hz_mv.csv",),
)  # fmt: skip


def real_files(folder: Path) -> list[Files]:
    """The files of each format."""
    return [[(name, (folder / name).read_bytes()) for name in names] for names in FAMILIES]


def said_of(files: Files) -> dict[str, str]:
    """What has to be said of files that do not state it."""
    return {"rate": "500", "unit": "mV"} if files[0][0].endswith(".csv") else {}


def mutated(files: Files, rng: random.Random) -> Files:
    """The same files with one of them damaged in one to four places."""
    chosen = rng.randrange(len(files))
    name, content = files[chosen]
    for _ in range(rng.randint(1, 4)):
        content = _damaged(content, rng)
    return [*files[:chosen], (name, content), *files[chosen + 1 :]]


def _damaged(content: bytes, rng: random.Random) -> bytes:
    # Headers decide on more than samples do: half of the damage is done there.
    reach = min(len(content), 4096) if rng.random() < 0.5 else len(content)
    at = rng.randrange(max(reach, 1))
    kind = rng.choice(("flip", "overwrite", "insert", "delete", "cut", "repeat", "digits"))
    if kind == "flip" and content:
        return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
    if kind == "overwrite":
        size = rng.randint(1, 64)
        return content[:at] + rng.randbytes(size) + content[at + size :]
    if kind == "insert":
        return content[:at] + rng.randbytes(rng.randint(1, 64)) + content[at:]
    if kind == "delete":
        return content[:at] + content[at + rng.randint(1, 512) :]
    if kind == "cut":
        return content[:at]
    if kind == "repeat":
        return content[:at] + content[at : at + rng.randint(1, 256)] * rng.randint(2, 20) + content[at:]
    digits = [i for i in range(at, min(at + 200, len(content))) if content[i : i + 1].isdigit()]
    if not digits:
        return content[:at]
    where = rng.choice(digits)
    return content[:where] + rng.choice((b"9", b"0", b"-1", b"99999999", b"1e99", b"nan")) + content[where + 1 :]
