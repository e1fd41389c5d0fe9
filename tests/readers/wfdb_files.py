"""Write small WFDB records by hand, so that a test says every byte of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_record(
    folder: Path,
    *signal_lines: str,
    first: str = "r 2 500 1000",
    comments: tuple[str, ...] = (),
    data: np.ndarray | bytes | None = None,
    encoding: str = "utf-8",
) -> Path:
    """A header `r.hea` and its `r.dat` of format 16 (two ramps unless `data` says otherwise)."""
    lines = signal_lines or ("r.dat 16 1000/mV 16 0 0 0 0 I", "r.dat 16 1000/mV 16 0 0 0 0 II")
    header = folder / "r.hea"
    header.write_text("\n".join([first, *lines, *(f"#{comment}" for comment in comments)]) + "\n", encoding=encoding)
    if data is None:
        data = np.stack([np.arange(1000), -2 * np.arange(1000)], axis=1)
    raw = data if isinstance(data, bytes) else data.astype("<i2").tobytes()
    (folder / "r.dat").write_bytes(raw)
    return header
