"""Philips (Sierra) ECG XML 1.03 and 1.04: one `restingecgdata` element, plain or compressed (XLI, an LZW)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from enecg.errors import ReadError
from enecg.readers._ecgdatakit import check_xml, read_with
from enecg.recording import Recording


def recognises(path: Path, head: bytes) -> bool:
    """XML whose root is `restingecgdata`, in UTF-8 or UTF-16."""
    return b"<restingecgdata" in head.replace(b"\x00", b"")


def read(path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read the rhythm, not the representative beats; limb leads that are stored as differences are made whole.

    The calibration pulse that a monitor may add at the end is left out (`notes` says so).
    """
    check_xml(path)
    return _without_pulse(read_with("sierra_xml.SierraXMLParser", path, rate, unit))


def _without_pulse(recording: Recording) -> Recording:
    """Cut off an end at which all leads are one, as no heart can give it (aVR + aVL + aVF = 0)."""
    if len(recording.leads) < 3:
        return recording
    apart = np.flatnonzero(np.ptp(recording.signal, axis=0) > 0)
    if len(apart) == 0:
        raise ReadError(f"{recording.source}: all leads are one and the same; this is no ECG")
    kept = int(apart[-1]) + 1
    cut = (recording.signal.shape[1] - kept) / recording.rate
    if cut == 0:
        return recording
    notes = {**recording.notes, "calibration_pulse": f"left out: the calibration pulse in the last {cut:g} s"}
    return replace(recording, signal=recording.signal[:, :kept], notes=notes)
