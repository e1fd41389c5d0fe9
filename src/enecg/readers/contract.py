"""The contract of a reader: what every format must keep, checked on a sample file of it.

The tests run it over all formats of `enecg.readers.registry`, and over readers with deliberate mistakes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np

from enecg import files, readers
from enecg.errors import InputError, ReadError
from enecg.leads import canonical
from enecg.readers import registry
from enecg.recording import Recording

CUTS: Final = 24  # places at which a file is cut off, and at which bytes of it are changed
RANGE_MV: Final = (0.1, 20.0)  # of the largest lead of an ECG


@dataclass(frozen=True)
class Sample:
    """A file of a format, with what is known about it.

    Attributes:
        key: of the format.
        path: the file, in a folder that holds its other files and nothing else.
        rate: Hz.
        leads: names in the order of the file.
        highest: largest sample of the first lead, in mV.
        silent_rate: the same without a rate, where the format can leave it out; None otherwise.
        silent_unit: the same without an amplitude unit, where the format can leave it out; None otherwise.
    """

    key: str
    path: Path
    rate: float
    leads: tuple[str, ...]
    highest: float
    silent_rate: Path | None = None
    silent_unit: Path | None = None


@dataclass(frozen=True)
class Breach:
    """A rule that a reader breaks."""

    rule: str
    text: str


def breaches(sample: Sample) -> list[Breach]:
    """Check a format by a sample of it. Returns the rules that its reader breaks; none is a reader that may be used."""
    found = []
    for rule in RULES:
        try:
            texts = list(rule(sample))
        except Exception as error:  # a reader that raises here breaks the rule, too
            texts = [f"{type(error).__name__}: {error}"]
        found += [Breach(rule.__name__, text) for text in texts]
    return found


def recognised(sample: Sample) -> Iterator[str]:
    """The sample is recognised as its format; a format that is known by content is so under every name."""
    found = readers.format_of(sample.path)
    if found is None or found.key != sample.key:
        yield f"is read as {found.key if found else 'nothing'}"
        return
    if found.reader.RECOGNISED_BY == "content" and not registry.holds_recording(sample.path.read_bytes()[:4096]):
        yield "is not recognised without its name"
    if sample.path.suffix.lower() not in found.reader.ENDINGS:
        yield f"its ending {sample.path.suffix} is not among ENDINGS {found.reader.ENDINGS}, so folders do not find it"
    if any(ending != ending.lower() or not ending.startswith(".") for ending in found.reader.ENDINGS):
        yield f"ENDINGS {found.reader.ENDINGS} are not small letters behind a dot"


def content(sample: Sample) -> Iterator[str]:
    """Rate, lead names and millivolts are those that are known of the sample."""
    recording = readers.read(sample.path)
    if recording.rate != sample.rate:
        yield f"rate {recording.rate:g} Hz instead of {sample.rate:g}"
    if recording.leads != sample.leads:
        yield f"leads {recording.leads} instead of {sample.leads}"
    if any(name != canonical(name) for name in recording.leads):
        yield f"leads {recording.leads} do not have their usual names"
    highest = float(np.nanmax(recording.signal[0]))
    if not np.isclose(highest, sample.highest, rtol=1e-4):
        yield f"the highest sample of lead {recording.leads[0]} is {highest:g} instead of {sample.highest:g} mV"
    largest = float(np.nanmax(np.ptp(np.nan_to_num(recording.signal), axis=1)))
    if recording.amplitude == "mV" and not RANGE_MV[0] < largest < RANGE_MV[1]:
        yield f"a range of {largest:g} mV is not that of an ECG"
    if not all(text and "\n" not in text for text in recording.notes.values()):
        yield "a note is empty or has several lines"


def url(sample: Sample) -> Iterator[str]:
    """By URL the recording is the same, and goes by the URL."""
    home = f"memory://{uuid4().hex}"
    for path in sample.path.parent.iterdir():
        with files.writing(f"{home}/{path.name}") as file:
            file.write(path.read_bytes())
    at = f"{home}/{sample.path.name}"
    recording = readers.read(at)
    if recording.content_hash() != readers.read(sample.path).content_hash():
        yield "is another recording by URL"
    if recording.source != at:
        yield f"goes by {recording.source} instead of its URL"


def nothing_written(sample: Sample) -> Iterator[str]:
    """Reading changes no file."""
    before = _listing(sample.path.parent)
    readers.read(sample.path)
    if _listing(sample.path.parent) != before:
        yield "reading wrote or changed a file"


def threads(sample: Sample) -> Iterator[str]:
    """Two threads that read different files at one time do not disturb each other."""
    with tempfile.TemporaryDirectory(prefix="enecg-") as folder:
        other = _changed_copy(sample, Path(folder))
        paths = [sample.path, other] * 8
        expected = [_outcome(path) for path in paths]
        with ThreadPoolExecutor(4) as pool:
            if list(pool.map(_outcome, paths)) != expected:
                yield "threads that read at one time disturb each other"


def damage(sample: Sample) -> Iterator[str]:
    """A file that is cut off or changed is read, or refused in one line that names it; nothing else happens."""
    raw = sample.path.read_bytes()
    rng = np.random.default_rng(0)
    changed = [raw[:end] for end in np.linspace(0, len(raw) - 1, CUTS).astype(int)]
    places = rng.integers(0, len(raw), CUTS)
    changed += [raw[:at] + bytes([raw[at] ^ int(rng.integers(1, 256))]) + raw[at + 1 :] for at in places]
    with tempfile.TemporaryDirectory(prefix="enecg-") as folder:
        home = Path(shutil.copytree(sample.path.parent, Path(folder, "copy")))
        path = home / sample.path.name
        for content in changed:
            path.write_bytes(content)
            try:
                readers.read(path, rate=500.0, unit="mV")
            except ReadError as error:
                if "\n" in str(error) or path.stem not in str(error):
                    yield f"a damaged file is refused with {str(error)!r}: not one line that names the file"
            except Exception as error:
                yield f"a damaged file raises {type(error).__name__}: {error}"


def stated_rate(sample: Sample) -> Iterator[str]:
    """A stated rate is not overruled; a missing one is asked for, and then taken from the caller."""
    if not _refuses(sample.path, rate=2 * sample.rate):
        yield "a rate of the caller overrules the rate in the file"
    if sample.silent_rate is not None:
        if not _refuses(sample.silent_rate):
            yield "a file without a rate is read"
        elif readers.read(sample.silent_rate, rate=sample.rate).rate != sample.rate:
            yield "a file without a rate does not get the caller's"


def stated_unit(sample: Sample) -> Iterator[str]:
    """A stated unit is not overruled; a missing one is asked for, and then taken from the caller."""
    stated = readers.read(sample.path)
    with suppress(InputError):
        if readers.read(sample.path, unit="unitless").amplitude != stated.amplitude:
            yield "a unit of the caller overrules the unit in the file"
    if sample.silent_unit is not None:
        if not _refuses(sample.silent_unit):
            yield "a file without an amplitude unit is read"
            return
        with suppress(InputError):  # some formats need a step per bit, too, which no caller can give
            large, small = (readers.read(sample.silent_unit, unit=unit).signal for unit in ("mV", "uV"))
            if not np.allclose(large, 1000 * small, equal_nan=True):
                yield "a file without an amplitude unit does not get the caller's"


RULES: Final[tuple[Callable[[Sample], Iterator[str]], ...]] = (
    recognised, content, url, nothing_written, threads, damage, stated_rate, stated_unit,
)  # fmt: skip


def _refuses(path: Path, rate: float | None = None) -> bool:
    """Return whether reading a file is refused."""
    try:
        readers.read(path, rate=rate)
    except ReadError:
        return True
    return False


def _outcome(path: Path) -> str:
    """Return the hash of a recording, or the reason why it cannot be read."""
    try:
        found: Recording = readers.read(path)
    except ReadError as error:
        return str(error)
    return found.content_hash()


def _changed_copy(sample: Sample, folder: Path) -> Path:
    """Copy a sample under another name of its folder, with its end cut off."""
    home = Path(shutil.copytree(sample.path.parent, folder / "other"))
    path = home / sample.path.name
    path.write_bytes(sample.path.read_bytes()[: -max(1, sample.path.stat().st_size // 3)])
    return path


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of each file of a folder."""
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}
