"""GE MUSE XML: one `RestingECG` element with base64 of the leads as measured, mostly I, II and V1 to V6."""

from __future__ import annotations

import re
from pathlib import Path

from enecg.readers._ecgdatakit import check_xml, read_with
from enecg.recording import Recording


def recognises(path: Path, head: bytes) -> bool:
    """XML whose root is `RestingECG`, in UTF-8 or UTF-16."""
    return re.search(rb"<RestingECG[\s>]", head.replace(b"\x00", b"")) is not None


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the rhythm, not the median beat. `band` is what the file says of the filters before storage."""
    check_xml(path)
    return read_with("ge_muse_xml.GEMuseXMLParser", path, rate, unit)
