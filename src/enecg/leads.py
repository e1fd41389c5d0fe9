"""Leads by name: the canonical twelve, their aliases, and the algebra that derives limb leads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from enecg.errors import InputError

STANDARD: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB: Final = STANDARD[:6]
CHEST: Final = STANDARD[6:]
CABRERA: Final = ("aVL", "I", "-aVR", "II", "aVF", "III", *CHEST)

# Each limb lead as (I, II) coefficients: Einthoven's and Goldberger's relations.
LIMB_ALGEBRA: Final[Mapping[str, tuple[float, float]]] = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}

_SPELLING: Final = {name.upper(): name for name in STANDARD}
_ALIASES: Final = {
    "DI": "I", "DII": "II", "DIII": "III", "D1": "I", "D2": "II", "D3": "III", "L1": "I", "L2": "II", "L3": "III",
    "VR": "aVR", "VL": "aVL", "VF": "aVF",
    "C1": "V1", "C2": "V2", "C3": "V3", "C4": "V4", "C5": "V5", "C6": "V6",
    "MLI": "I", "MLII": "II", "MLIII": "III", "ECGI": "I", "ECGII": "II",
}  # fmt: skip


# Names that two worlds share: chest leads in some countries, electrodes of the 10-10 system of the EEG (C1 to C6), and
# limb leads or the contacts of a depth electrode (D1, L1, ...).
_SHARED: Final = re.compile(r"(?P<letter>[CDL])(?P<number>\d+)", re.IGNORECASE)
# Names that only an EEG has, alone or with a reference (`F3`, `EEG Fpz-Cz`, `O2-M1`). P1, P2, T1 and T2 also stand for
# pressures and temperatures, so they are no evidence.
_EEG: Final = re.compile(
    r"EEG.*|(?:(?:FP|AF|F|FC|FT|TP|CP|PO|O)(?:\d{1,2}|Z)|[TP](?:[3-9]|10|Z)|CZ|C[1-6]-[A-Z]\w*|[AM][12]|[NI]Z)(?:-.*)?",
    re.IGNORECASE,
)
_ECG: Final = re.compile(r"\s*(ECG|EKG)", re.IGNORECASE)
_UNIT_SUFFIX: Final = re.compile(r"\s*[\[(/]\s*([muµμ]?V|Einthoven)\s*[\])]?$", re.IGNORECASE)


def canonical(name: str) -> str:
    """Return the canonical spelling of a lead (`"avr"`, `"Lead aVR"`, `"MDC_ECG_LEAD_AVR"` -> `"aVR"`).

    A name that is none of the twelve is returned stripped but otherwise as it stands.
    """
    # A hyphen belongs to a prefix only; "-aVR" is another lead, turned upside down.
    bare = re.sub(r"^((MDC|ECG|EKG|LEAD)(-|[\s_:]*))+", "", name.strip(), flags=re.IGNORECASE)
    bare = _UNIT_SUFFIX.sub("", bare)
    key = bare.upper().replace(" ", "")
    return _SPELLING.get(key) or _ALIASES.get(key) or _ALIASES.get(name.strip().upper()) or name.strip()


def is_ecg_label(name: str) -> bool:
    """Return whether a signal's label itself says ECG or EKG (`"ECG"`, `"EKG1"`, `"ECG II"`)."""
    return _ECG.match(name) is not None


def electrodes(names: Sequence[str]) -> list[int]:
    """Return the rows whose names look like leads (C3, D1, L2) but are electrodes of another measurement.

    C1 to C6 are chest leads only beside limb leads, and only where no other name belongs to an EEG and no channel is
    labelled ECG. D1 to D3 and L1 to L3 are limb leads unless such a name is there, or a contact of a higher number.

    Args:
        names: labels of all signals of one file, as the file spells them.
    """
    bare = [_UNIT_SUFFIX.sub("", name.strip()) for name in names]
    shared = {row: match for row, name in enumerate(bare) if (match := _SHARED.fullmatch(name))}
    if not shared:
        return []
    others = [name for row, name in enumerate(bare) if row not in shared]
    foreign = any(_EEG.fullmatch(name) or is_ecg_label(name) for name in others)
    highest = {"C": 6, "D": 3, "L": 3}
    found = []
    for row, match in shared.items():
        letter = match["letter"].upper()
        contacts = any(m["letter"].upper() == letter and int(m["number"]) > highest[letter] for m in shared.values())
        limb = any(canonical(name) in LIMB for name in bare)
        if foreign or contacts or (letter == "C" and not limb):
            found.append(row)
    return [row for row in found if canonical(bare[row]) in STANDARD]


def derive(name: str, have: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return limb lead `name` computed from any two other limb leads in `have`, or None.

    Only leads in one common physical unit may be combined; the caller checks that.

    Args:
        name: a canonical lead name.
        have: canonical name -> samples `[..., sample]`.

    Returns:
        Samples of the lead in the dtype of the inputs, or None when it cannot be derived.
    """
    if name not in LIMB_ALGEBRA:
        return None
    present = [lead for lead in LIMB if lead in have and lead != name]
    target = np.array(LIMB_ALGEBRA[name])
    for i, first in enumerate(present):
        for second in present[i + 1 :]:
            basis = np.array([LIMB_ALGEBRA[first], LIMB_ALGEBRA[second]])
            if abs(np.linalg.det(basis)) < 1e-9:
                continue
            a, b = np.linalg.solve(basis.T, target)
            combined: np.ndarray = a * have[first] + b * have[second]
            return combined.astype(have[first].dtype, copy=False)
    return None


def check_unique(names: Sequence[str], where: str) -> None:
    """Raise `InputError` when two of the lead `names` are the same lead."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{where}: lead {name} occurs twice; keep one of the two columns")
        seen.add(name)
