"""Messages between the service and its processes: JSON and arrays, never pickles: a reader may have been taken over."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from enecg.recording import Recording, Subject

LENGTH: Final = struct.Struct(">Q")  # in front of every message: its bytes
LARGEST: Final = 2**30  # bytes of a message; more is an error of whoever sends it


def pack(header: object, blobs: Sequence[bytes | memoryview] = ()) -> bytes:
    """A message with its length in front."""
    text = json.dumps([header, [len(blob) for blob in blobs]], allow_nan=False).encode()
    body = LENGTH.pack(len(text)) + text + b"".join(blobs)
    return LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> tuple[Any, list[memoryview]]:
    """Header and blobs of a message without its length.

    Raises:
        ValueError: the message is not whole.
    """
    view = memoryview(body)
    if len(view) < LENGTH.size:
        raise ValueError("message cut short")
    end = LENGTH.size + LENGTH.unpack_from(view)[0]
    header, sizes = json.loads(bytes(view[LENGTH.size : end]))
    blobs = []
    for size in sizes:
        blobs.append(view[end : end + size])
        end += size
    if end != len(view):
        raise ValueError("message of another length than it says")
    return header, blobs


def recording_out(recording: Recording) -> tuple[dict[str, Any], bytes]:
    """A recording as JSON and bytes. The subject's id stays behind: nothing in the service needs it."""
    subject = recording.subject
    facts = {
        "shape": recording.signal.shape,
        "rate": recording.rate,
        "leads": recording.leads,
        "amplitude": recording.amplitude,
        "age": subject.age,
        "sex": subject.sex,
        "source": recording.source,
        "band": recording.band,
        "notes": dict(recording.notes),
        "facts": dict(recording.facts),
    }
    return facts, recording.signal.tobytes()


def recording_in(facts: dict[str, Any], blob: bytes | memoryview) -> Recording:
    """A recording from `recording_out`; it checks itself."""
    leads, samples = facts["shape"]
    return Recording(
        signal=np.frombuffer(blob, np.float32).reshape(leads, samples),
        rate=facts["rate"],
        leads=tuple(facts["leads"]),
        amplitude=facts["amplitude"],
        subject=Subject(age=facts["age"], sex=facts["sex"]),
        source=facts["source"],
        band=None if facts["band"] is None else tuple(facts["band"]),
        notes=facts["notes"],
        facts=facts["facts"],
    )
