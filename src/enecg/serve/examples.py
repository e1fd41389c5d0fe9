"""Recordings to try the service with. They are generated; none is from a person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np


@dataclass(frozen=True)
class ServedExample:
    """How an example is generated.

    Attributes:
        title: a few words.
        text: one sentence.
        arguments: of `enecg.simulation.record.simulate`.
    """

    title: str
    text: str
    arguments: dict[str, Any]


EXAMPLES: Final = {
    "sinus": ServedExample(
        "Sinus rhythm", "Generated: sinus rhythm of a woman of 50.", {"seed": 11, "age": 50.0, "sex": "F"}
    ),
    "fibrillation": ServedExample(
        "Atrial fibrillation", "Generated: atrial fibrillation of a man of 74.",
        {"seed": 12, "rhythm": "AFIB", "age": 74.0, "sex": "M"},
    ),
    "bundle-branch": ServedExample(
        "Left bundle branch block", "Generated: left bundle branch block of a man of 68, wide QRS complexes.",
        {"seed": 13, "conduction": "LBBB", "age": 68.0, "sex": "M"},
    ),
    "too-short": ServedExample(
        "Too short", "Generated: three seconds, too short to be interpreted, to see how that is refused.",
        {"seed": 14, "seconds": 3.0},
    ),
}  # fmt: skip


@cache
def example(name: str) -> bytes:
    """Return an example as a CSV file in microvolts; `KeyError` when none has that name."""
    from enecg.simulation.record import simulate

    recording = simulate(**EXAMPLES[name].arguments).recording
    person = recording.subject
    head = [f"# rate: {recording.rate:g}", "# unit: uV", f"# age: {person.age:g}", f"# sex: {person.sex}",
            "# generated, not recorded from a person", ",".join(recording.leads)]  # fmt: skip
    rows = np.rint(recording.signal.T * 1e3).astype(int).tolist()
    return "\n".join([*head, *(",".join(map(str, row)) for row in rows), ""]).encode()
