"""Real files of hospital formats, changed at random: what the tests and `scripts/mutated_files.py` read.

Two kinds are counted apart. `structure`: header fields, lengths, elements, lost or added bytes. `samples`: one bit
within the stored samples, which a format without checksums cannot show.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from enecg import Recording, read
from enecg.errors import InputError
from enecg.quality import check

FILES: Final = {
    "DICOM": ("formats/ge_muse_909.dcm", "formats_more/dicom_ecgtoolkit_padding0_500hz.dcm"),
    "MUSE": ("formats/ge_muse_909.xml", "formats_more/muse_909_8lead_paced_statement.xml"),
    "Philips": ("formats/philips_sierra_103.xml", "formats_more/philips_104_xli.xml"),
    "EDF": ("formats/cpsc_a0001.edf",),
}
KINDS: Final = ("structure", "samples")
OUTCOMES: Final = ("refused", "same", "noted", "found", "silent")  # found: by the quality check

_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/=\r\n\t ]{400,}|(?:[A-Za-z0-9+/=\r\n\t ]\x00){400,})")
_NUMBER: Final = re.compile(rb"\d(?:\x00?[\d.])*")


@dataclass(frozen=True)
class Original:
    """A real file: its content, where its samples lie, and how it reads."""

    name: str
    content: bytes
    samples: list[tuple[int, int]]
    recording: Recording

    @classmethod
    def of(cls, path: Path) -> Original:
        content = path.read_bytes()
        return cls(path.name, content, _samples(path, content), read(path))

    def place(self, rng: random.Random, in_samples: bool) -> int:
        """A random byte, within the samples or without them."""
        if in_samples:
            begin, end = self.samples[rng.choices(range(len(self.samples)), [e - b for b, e in self.samples])[0]]
            return rng.randrange(begin, end)
        while True:
            at = rng.randrange(len(self.content))
            if not any(begin <= at < end for begin, end in self.samples):
                return at


def mutated(original: Original, kind: str, rng: random.Random) -> bytes:
    """The file with one change of a kind."""
    change = _flip if kind == "samples" else rng.choice(_STRUCTURE)
    return change(original, rng, kind == "samples")


def outcome(original: Original, content: bytes, folder: Path) -> str:
    """One of `OUTCOMES`: how the changed file reads, beside the one that was not changed."""
    path = folder / original.name
    path.write_bytes(content)
    try:
        found = read(path)
    except InputError as error:
        assert "\n" not in str(error)
        return "refused"
    before = original.recording
    if (found.leads, found.rate, found.amplitude) == (before.leads, before.rate, before.amplitude) and np.array_equal(
        found.signal, before.signal, equal_nan=True
    ):
        return "same"
    if not set(found.notes.items()) <= set(before.notes.items()):
        return "noted"
    return "silent" if set(check(found).findings) <= set(check(before).findings) else "found"


def _samples(path: Path, content: bytes) -> list[tuple[int, int]]:
    if path.suffix == ".edf":
        return [(256 * (int(content[252:256]) + 1), len(content))]
    if path.suffix == ".xml":
        return [match.span() for match in _BASE64.finditer(content)]
    import pydicom

    data = [bytes(group.WaveformData) for group in pydicom.dcmread(path).WaveformSequence]
    return [(content.index(each), content.index(each) + len(each)) for each in data]


def _flip(original: Original, rng: random.Random, in_samples: bool) -> bytes:
    at = original.place(rng, in_samples)
    changed = bytearray(original.content)
    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _digit(original: Original, rng: random.Random, in_samples: bool) -> bytes:
    """Another digit in a number of the header."""
    content = original.content
    for _ in range(1000):
        at = original.place(rng, in_samples)
        if content[at : at + 1].isdigit():
            new = rng.choice([digit for digit in b"0123456789" if digit != content[at]])
            return content[:at] + bytes([new]) + content[at + 1 :]
    return _flip(original, rng, in_samples)


def _swapped(original: Original, rng: random.Random, in_samples: bool) -> bytes:
    """Two numbers of the header, each in the place of the other."""
    outside = _outside(original)
    begin, part = rng.choice(outside)
    numbers = [match.span() for match in _NUMBER.finditer(part)]
    if len(numbers) < 2:
        return _flip(original, rng, in_samples)
    (a, b), (c, d) = sorted(rng.sample(numbers, 2))
    new = part[:a] + part[c:d] + part[b:c] + part[a:b] + part[d:]
    return original.content[:begin] + new + original.content[begin + len(part) :]


def _element(original: Original, rng: random.Random, in_samples: bool) -> bytes:
    """An XML element lost or doubled; in other files 8 bytes, which are a field of EDF."""
    content, again = original.content, rng.choice((0, 2))
    begin, part = rng.choice(_outside(original))
    leaves = [match.span() for match in re.finditer(rb"<(\w+)[^<>]*>[^<>]*</\1>", part)]
    if not leaves:
        at = 8 * (original.place(rng, in_samples) // 8)
        return content[:at] + content[at : at + 8] * again + content[at + 8 :]
    a, b = rng.choice(leaves)
    return content[: begin + a] + content[begin + a : begin + b] * again + content[begin + b :]


def _cut(original: Original, rng: random.Random, in_samples: bool) -> bytes:
    return original.content[: rng.randrange(1, len(original.content))]


def _lost_or_added(original: Original, rng: random.Random, in_samples: bool) -> bytes:
    """Some bytes lost or added, within the samples too: what follows them is moved."""
    at, size = rng.randrange(len(original.content)), rng.choice((1, 2, 3, 4, 8, 16, 24))
    if rng.random() < 0.5:
        return original.content[:at] + original.content[at + size :]
    return original.content[:at] + rng.randbytes(size) + original.content[at:]


def _outside(original: Original) -> list[tuple[int, bytes]]:
    """The stretches of the file without samples, and where each begins."""
    edges = [0, *(edge for span in original.samples for edge in span), len(original.content)]
    return [(a, original.content[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


_STRUCTURE: Final[tuple[Callable[[Original, random.Random, bool], bytes], ...]] = (
    _flip, _digit, _swapped, _element, _cut, _lost_or_added,
)  # fmt: skip
