"""Comment lines of WFDB headers: the subject's age and sex, and other facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from enecg.readers.common import age_in_years, sex_of
from enecg.recording import Subject

T = TypeVar("T")

_ABOUT: Final = {"age": "age", "sex": "sex", "gender": "sex", "patient_id": "id", "patient id": "id",
                 "subject_id": "id", "subject id": "id", "name": "name", "patient": "name",
                 "patient name": "name"}  # fmt: skip


def person_and_facts(comments: Sequence[str], notes: dict[str, str]) -> tuple[Subject, dict[str, str]]:
    """Read the subject and the other facts out of comment lines.

    Comments are `Age: 85`, `Age: 62  Sex: M` (European ST-T Database), `<age>: 67 <sex>: M`, `69 M 1085 1629 x1`
    (MIT-BIH Arrhythmia Database) or `Dx: 426783006`; free lines become the fact `comment`. Two ages or two sexes
    contradict each other: none is taken, and `notes` names them.
    """
    facts: dict[str, list[str]] = {}
    person: dict[str, list[str]] = {"age": [], "sex": [], "id": [], "name": []}
    for comment in comments:
        line = comment
        short = re.fullmatch(r"(-?\d{1,3})\s+([MF])\b\s*(.*)", comment, re.ASCII)
        if short is not None:
            person["age"].append(short[1])
            person["sex"].append(short[2])
            line = short[3]
        for key, value in _pairs(line):
            about = _ABOUT.get(key.lower())
            if about is None:
                facts.setdefault(key, []).append(value)
                continue
            both = re.fullmatch(r"(.*\d.*?)\s+(m|f|male|female)", value, re.IGNORECASE) if about == "age" else None
            person[about].append(both[1] if both else value)
            if both is not None:
                person["sex"].append(both[2])
    joined = {key: "; ".join(filter(None, values)) for key, values in facts.items()}
    subject = Subject(
        id=_only(person["id"], lambda text: text.strip() or None, "subject ids", notes),
        age=_only(person["age"], age_in_years, "ages", notes),
        sex=_only(person["sex"], sex_of, "sexes", notes),
    )
    return subject, {key: value for key, value in joined.items() if value}


def _pairs(line: str) -> list[tuple[str, str]]:
    """Keys and values of a comment line; a line without any has the key `comment`."""
    tagged = re.findall(r"<([\w ]+)>\s*:?\s*([^<]*)", line)
    if tagged:
        return [(key.strip(), value.strip()) for key, value in tagged]
    parts = re.split(r"\s{2,}|\s+(?=(?:age|sex|gender)\s*:)", line, flags=re.IGNORECASE)
    pairs = [re.fullmatch(r"([\w /.-]{1,40}?)\s*:\s*(.*)", part) for part in parts]
    if None in pairs:
        pairs = [re.fullmatch(r"([\w /.-]{1,40}?)\s*:\s*(.*)", line)]
    return [(pair[1].strip(), pair[2].strip()) if pair else ("comment", line.strip()) for pair in pairs]


def _only(values: Sequence[str], read: Callable[[str], T | None], what: str, notes: dict[str, str]) -> T | None:
    """The one value that all statements give; None and a note where they contradict each other."""
    found = list(dict.fromkeys(value for value in map(read, values) if value is not None))
    if len(found) > 1:
        notes[f"contrary_{what.replace(' ', '_')}"] = f"left out: the file states {len(found)} different {what}"
        return None
    return found[0] if found else None
