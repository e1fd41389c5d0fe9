"""European Data Format, EDF and EDF+: a text header, then data records of 16-bit samples."""

from __future__ import annotations

from pathlib import Path

from enecg.readers._ecgdatakit import read_with
from enecg.recording import Recording


def recognises(path: Path, head: bytes) -> bool:
    """The version `0` and header sizes where they have to stand; BDF, which is refused, by its own mark."""
    if head.startswith(b"\xffBIOSEMI"):
        return True
    sizes = head[184:192], head[236:244], head[252:256]
    return head.startswith(b"0       ") and all(size.strip().lstrip(b"-").isdigit() for size in sizes)


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the signals named after leads; annotations are left out, and a record with gaps is refused."""
    return read_with("edf.EDFParser", path, rate, unit)
