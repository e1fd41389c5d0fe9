"""One ECG as it came from its file: samples by named lead, rate, amplitude unit, facts about the subject."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from enecg.errors import InputError
from enecg.leads import canonical, check_unique, derive, electrodes

Amplitude = Literal["mV", "normalised"]

RATES: Final = (20.0, 100_000.0)  # Hz; below lies a trend, and no device samples an ECG faster
LONG_SECONDS: Final = 120.0  # a longer recording is read, judged and encoded in blocks of this length
WINDOW_SECONDS: Final = 10.0  # the shortest block; experts look at windows of this length or shorter
LONGEST: Final = 15.0  # days; patches record for 14
_TINY: Final = 1e-12  # mV, or standard deviations; squares of less vanish in float32
_ABSURD: Final = 1e15  # mV, or standard deviations; more comes from a wrong scale, and its square spoils float32

_TO_MV: Final = {"mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "microvolt": 1e-3,
                 "microvolts": 1e-3, "v": 1e3, "volt": 1e3, "volts": 1e3}  # fmt: skip
_NORMALISED: Final = {"sd", "z", "zscore", "z-score", "normalised", "normalized", "nu", "unitless", "1", "none"}


def amplitude_of(unit: str | None, where: str) -> tuple[float, Amplitude]:
    """Read a unit: the factor that brings samples to mV, and what the samples then are.

    Args:
        unit: as the file states it: mV, µV/uV, V; or `sd`, `unitless` and the like for normalised samples.
        where: file (and lead) for the error message.

    Raises:
        InputError: the unit is missing or unknown. It is never guessed from the values.
    """
    key = (unit or "").strip().lower().split("(")[0].strip()
    if key in _TO_MV:
        return _TO_MV[key], "mV"
    if key in _NORMALISED:
        return 1.0, "normalised"
    said = f"unit {unit!r} is not known" if key else "no amplitude unit is stated"
    raise InputError(f"{where}: {said}; state mV, uV or V, or 'unitless' for normalised samples")


def block_edges(n_samples: int, rate: float, seconds: float = LONG_SECONDS) -> list[int]:
    """Return the samples at which the blocks of a recording start, and its end, ascending.

    The blocks cover the whole recording without overlap. The last one is shorter, or longer where less than
    `WINDOW_SECONDS` is left for a block of its own.

    Args:
        n_samples: of the recording, in each lead.
        rate: Hz.
        seconds: length of a block.
    """
    size = max(round(seconds * rate), 1)
    edges = [*range(0, n_samples, size), n_samples]
    if len(edges) > 2 and edges[-1] - edges[-2] < WINDOW_SECONDS * rate:
        del edges[-2]
    return edges


@dataclass(frozen=True)
class Subject:
    """What a file says of the person. Nothing here is required, and none of it enters a store or a log."""

    id: str | None = None
    age: float | None = None  # years
    sex: Literal["F", "M"] | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """One ECG: samples by named lead, sampling rate, amplitude unit, and what the file says of the subject.

    Attributes:
        signal: float32 `[lead, sample]`, in mV, or unitless when `amplitude` is "normalised".
        rate: sampling rate in Hz.
        leads: canonical lead names in the file's order.
        amplitude: "mV" or "normalised" (a z-scored file is not millivolts).
        subject: what the file says of the person.
        source: where it came from, for messages; a path or a name, never a subject's name.
        band: (low, high) in Hz of a band-pass that the file says was already applied, if it says so.
        notes: what was left out of the file or could not be used: a short code and one plain sentence each,
            such as `skipped_signals`: `left out: RESP, ABP (no ECG leads)`. Every answer shows them.
        facts: what else the file says, such as its comments, diagnosis codes and the date of the recording.
    """

    signal: np.ndarray
    rate: float
    leads: tuple[str, ...]
    amplitude: Amplitude = "mV"
    subject: Subject = field(default_factory=Subject)
    source: str = ""
    band: tuple[float, float] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = self.source or "recording"
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite; `implausible` says so
            signal = np.ascontiguousarray(self.signal, dtype=np.float32)
        names = tuple(canonical(name) for name in self.leads)
        if signal.ndim != 2 or signal.shape[0] != len(names):
            raise InputError(f"{where}: signal of shape {signal.shape} does not fit {len(names)} leads [lead, sample]")
        if signal.shape[1] == 0 or not names:
            raise InputError(f"{where}: the recording is empty")
        if not (np.isfinite(self.rate) and self.rate > 0):
            raise InputError(f"{where}: sampling rate {self.rate} Hz is impossible")
        if self.amplitude not in ("mV", "normalised"):
            raise InputError(f"{where}: amplitude must be 'mV' or 'normalised', not {self.amplitude!r}")
        check_unique(names, where)
        if foreign := electrodes(self.leads):
            raise InputError(
                f"{where}: {', '.join(self.leads[row] for row in foreign)} may be electrodes of an EEG; "
                "name chest leads V1 to V6, or leave these signals out"
            )
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "leads", names)
        object.__setattr__(self, "rate", float(self.rate))  # 500 and 500.0 are one rate, and give one hash
        if self.band is not None:
            object.__setattr__(self, "band", (float(self.band[0]), float(self.band[1])))

    def __repr__(self) -> str:
        """What it is, without samples and without anything about the person."""
        size = f"{len(self.leads)} leads, {self.seconds:g} s at {self.rate:g} Hz, {self.amplitude}"
        return f"Recording({self.source or 'unnamed'}: {size})"

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return float(self.signal.shape[1] / self.rate)

    def lead(self, name: str) -> np.ndarray:
        """Samples of one lead by name, float32 `[sample]`; limb leads are derived from two others when absent.

        Raises:
            InputError: the lead is not there and cannot be derived.
        """
        found = self.get(name)
        if found is None:
            raise InputError(f"{self.source or 'recording'}: no lead {name}; it has {', '.join(self.leads)}")
        return found

    def get(self, name: str) -> np.ndarray | None:
        """As `lead`, with None for a lead that is not there and cannot be derived.

        Normalised leads are never combined: each was divided by a factor of its own.
        """
        name = canonical(name)
        if name in self.leads:
            row: np.ndarray = self.signal[self.leads.index(name)]
            return row
        if self.amplitude == "normalised":
            return None
        return derive(name, dict(zip(self.leads, self.signal, strict=True)))

    def select(self, names: Sequence[str]) -> Recording:
        """A recording with exactly the leads `names`, in that order, derived where needed (`InputError` if not)."""
        return replace(self, signal=np.stack([self.lead(name) for name in names]), leads=tuple(map(canonical, names)))

    def span(self, start: int, stop: int) -> Recording:
        """Return the samples from `start` to before `stop` as a recording."""
        return replace(self, signal=self.signal[:, start:stop])

    def content_hash(self) -> str:
        """Return the sha256 of samples, rate, leads and amplitude; nothing of the subject is in it.

        Of a recording longer than `LONG_SECONDS` it is made from the hashes of its blocks, as it may not fit in memory.
        """
        if self.seconds > LONG_SECONDS:
            edges = block_edges(self.signal.shape[1], self.rate)
            if len(edges) > 2:
                return joined_hash(self.span(*ends).content_hash() for ends in pairwise(edges))
        digest = hashlib.sha256()
        digest.update(f"{self.rate!r}|{','.join(self.leads)}|{self.amplitude}|{self.band}".encode())
        digest.update(self.signal.tobytes())
        return digest.hexdigest()


def joined_hash(blocks: Iterable[str]) -> str:
    """Return the content hash of a long recording from the hashes of its blocks, in their order."""
    return hashlib.sha256("|".join(blocks).encode()).hexdigest()


def implausible_length(rate: float, samples: int) -> str | None:
    """Return why `samples` at `rate` Hz can be no ECG, in one line; None when nothing says so."""
    low, high = RATES
    if not low <= rate <= high:
        return f"a rate of {rate:g} Hz is no ECG's; it must lie between {low:g} and {high:,.0f} Hz"
    days = samples / rate / 86400
    if days > LONGEST:
        return (
            f"{days:.4g} days at {rate:g} Hz are no ECG; at most {LONGEST:g} days are read, so check the rate or cut "
            "the recording"
        )
    return None


def implausible(recording: Recording) -> str | None:
    """Return why a recording can be no ECG by its rate, length or scale, in one line; None when nothing says so.

    Readers refuse such a file, and the quality check such a recording: time and memory grow with the rate, and samples
    beyond any scale spoil what is computed from them.
    """
    if reason := implausible_length(recording.rate, recording.signal.shape[1]):
        return reason
    with np.errstate(invalid="ignore"):
        top = np.fmax.reduce(np.abs(recording.signal), axis=1, initial=0)
    if (top > _ABSURD).any():
        lead = int(np.argmax(top))
        return (
            f"lead {recording.leads[lead]} holds a sample of {top[lead]:.3g}, which no unit explains; "
            "correct the scale, and leave missing samples blank (NaN)"
        )
    if 0 < top.max() < _TINY:
        return f"no sample is larger than {top.max():.3g}, which no unit explains; correct the scale"
    return None
