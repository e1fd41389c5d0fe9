"""Writes EDF and BDF files byte by byte, right ones and wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write(
    path: Path,
    labels: Sequence[str],
    stored: Sequence[np.ndarray],
    *,
    n_records: int = 10,
    stated: int | None = None,
    seconds: str = "1",
    units: Sequence[str] | None = None,
    physical: tuple[str, str] | None = None,
    digital: tuple[str, str] | None = None,
    version: str = "",
    person: str = "X X X X",
    onsets: Sequence[float] | None = None,
    wide: bool = False,
) -> Path:
    """Write `stored` integers `[sample]` for each label; with `onsets`, an annotation signal states record times."""
    low, high = (-8388608, 8388607) if wide else (-32768, 32767)
    physical, digital = physical or (str(low), str(high)), digital or (str(low), str(high))
    labels, units = [*labels], [*(units or ["uV"] * len(labels))]
    counts = [len(samples) // n_records for samples in stored]
    if onsets is not None:
        labels, units, counts = [*labels, ("BDF" if wide else "EDF") + " Annotations"], [*units, ""], [*counts, 30]
    n = len(labels)
    head = b"\xffBIOSEMI" if wide else b"0".ljust(8)
    texts = [(person, 80), ("Startdate 02-MAR-2020 X X X", 80), ("02.03.20", 8), ("10.00.00", 8),
             (str(256 * (n + 1)), 8), (version, 44), (str(n_records if stated is None else stated), 8), (seconds, 8),
             (str(n), 4)]  # fmt: skip
    columns = [(labels, 16), ([""] * n, 80), (units, 8), ([physical[0]] * n, 8), ([physical[1]] * n, 8),
               ([digital[0]] * n, 8), ([digital[1]] * n, 8), (["HP:0.05Hz LP:150Hz"] * n, 80), (counts, 8),
               ([""] * n, 32)]  # fmt: skip
    head += b"".join(text.encode("latin-1").ljust(size) for text, size in texts)
    head += b"".join(str(value).encode("latin-1").ljust(size) for column, size in columns for value in column)
    body = b""
    width = 3 if wide else 2
    for record in range(n_records):
        for samples, count in zip(stored, counts, strict=False):
            part = samples[record * count : (record + 1) * count].astype("<i4")
            body += part.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
        if onsets is not None:
            body += f"+{onsets[record]:g}\x14\x14\x00".encode().ljust(30 * width, b"\x00")
    path.write_bytes(head + body)
    return path
