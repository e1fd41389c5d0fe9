"""Multiplex groups of DICOM waveforms (PS3.3, section C.10.9): which are one recording; their channels."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from enecg.errors import ReadError
from enecg.leads import STANDARD, canonical
from enecg.readers._channels import Channel, step_of

# Last part of a channel source code, the same in SCP-ECG (5.6.3-9-n) and MDC (2:n): PS3.16, context group 3001.
_LEAD_NUMBERS: Final = {1: "I", 2: "II", **{n: f"V{n - 2}" for n in range(3, 9)}, 61: "III", 62: "aVR", 63: "aVL",
                        64: "aVF"}  # fmt: skip
_COMPANDED: Final = ("MB", "AB")  # mu-law and A-law bytes
_TYPES: Final = {"SB": "<i1", "UB": "<u1", "SS": "<i2", "US": "<u2", "SL": "<i4", "UL": "<u4"}
_BEAT: Final = re.compile("median|average|template|representative|beat", re.IGNORECASE)
_SHORT_BEAT: Final = 2.0  # seconds; a derived group below that is an average beat
_PAGE_COLUMN: Final = 5.0  # seconds; leads that are spread over groups no longer are the columns of a printed page
_PADDED: Final = 0.1  # seconds that all channels must hold the padding value, where it is also the value of samples
_NO_VOLTAGE: Final = ("DISCONNECTED", "INVALID", "TEST DATA", "UNCALIBRATED")
_DOUBTFUL: Final = ("QUESTIONABLE", "UNZEROED")


@dataclass(eq=False)
class Group:
    """One multiplex group, with what it states compared with what it holds."""

    item: Any  # of the Waveform Sequence
    where: str
    rate: float = field(init=False)
    n_samples: int = field(init=False)

    def __post_init__(self) -> None:
        self.rate, self.n_samples = float(self.item.SamplingFrequency), int(self.item.NumberOfWaveformSamples)
        channels, stated = self.item.ChannelDefinitionSequence, int(self.item.NumberOfWaveformChannels)
        if len(channels) != stated:
            raise ReadError(f"{self.where}: damaged DICOM file: a group of {stated} channels has "
                            f"{len(channels)} channel definitions; export it again")  # fmt: skip
        if not (self.rate > 0 and math.isfinite(self.rate) and self.n_samples > 0 and stated):
            raise ReadError(f"{self.where}: damaged DICOM file: a group of {stated} channels, {self.n_samples} samples "
                            f"at {self.rate:g} Hz")  # fmt: skip

    @cached_property
    def names(self) -> list[str]:
        """Its channels' leads, or what else they are called."""
        return [_lead(channel, self.where) for channel in self.item.ChannelDefinitionSequence]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    @property
    def start(self) -> float:
        """Milliseconds from the start of the acquisition."""
        return float(self.item.get("MultiplexGroupTimeOffset") or 0)

    @property
    def leads(self) -> set[str]:
        """Those of its channels that are standard leads."""
        return {canonical(name) for name in self.names} & set(STANDARD)

    @property
    def is_beat(self) -> bool:
        """An average beat, which was made from a rhythm and is none."""
        label = str(self.item.get("MultiplexGroupLabel") or "")
        derived = self.item.get("WaveformOriginality") == "DERIVED" and self.seconds < _SHORT_BEAT
        return derived or bool(_BEAT.search(label))

    def __str__(self) -> str:
        """Its leads and time, for messages."""
        return f"{', '.join(self.names)} ({self.seconds:g} s at {self.rate:g} Hz from {self.start / 1000:g} s)"


def simultaneous(groups: Sequence[Group], where: str) -> tuple[list[Group], dict[str, str]]:
    """Return the groups that are one recording, and a note on those left out.

    Groups are joined when start, rate and number of samples agree and no lead is in two of them; of several such
    recordings the one with ECG leads that lasts longest is taken.

    Raises:
        ReadError: there is no rhythm, or its leads lie in short groups, as on a printed page.
    """
    rhythms = [group for group in groups if not group.is_beat]
    if not rhythms:
        raise ReadError(f"{where}: it holds average beats and no rhythm; export it with its rhythm")
    with_leads = [group for group in rhythms if group.leads] or rhythms
    together: dict[tuple[float, float, int], list[Group]] = {}
    for group in sorted(with_leads, key=lambda group: group.item.get("WaveformOriginality") == "DERIVED"):
        joined = together.setdefault((group.start, group.rate, group.n_samples), [])
        if not any(set(group.names) & set(other.names) for other in joined):
            joined.append(group)
    chosen = max(together.values(), key=lambda joined: (joined[0].seconds, sum(len(g.names) for g in joined)))
    left = [group for group in rhythms if group not in chosen]
    leads = set().union(*(group.leads for group in chosen))
    others = set().union(*(group.leads for group in left)) - leads
    is_page = len(chosen) > 1 and chosen[0].seconds <= _PAGE_COLUMN
    if is_page or len(others) > len(leads):
        raise ReadError(f"{where}: its leads lie in groups that are not one recording, as on a printed page: "
                        f"{'; '.join(map(str, rhythms))}; export it with all leads at one time")  # fmt: skip
    notes = {"groups": f"left out: other multiplex groups: {'; '.join(map(str, left))}"} if left else {}
    order = {id(group): row for row, group in enumerate(groups)}
    return sorted(chosen, key=lambda group: order[id(group)]), notes


def channels_of(group: Group, wanted: Collection[str], notes: dict[str, str]) -> list[Channel]:
    """Return the `wanted` channels of a group that hold voltages; `notes` gets what is left out or moved."""
    stored = _without_padding(_stored(group), group, notes)
    found = []
    for name, item, samples in zip(group.names, group.item.ChannelDefinitionSequence, stored, strict=True):
        if name not in wanted or not _holds_voltages(item, name, notes):
            continue
        lead = f"{group.where}, lead {name}"
        unit = item.get("ChannelSensitivityUnitsSequence")
        found.append(
            Channel(
                name,
                _shifted(samples, _skew(item, group, lead), name, group, notes),
                _step(item, lead),
                str(unit[0].CodeValue) if unit else None,
                _finite(item.get("ChannelBaseline"), "Channel Baseline", lead),
            )
        )
    return found


def _holds_voltages(item: Any, name: str, notes: dict[str, str]) -> bool:
    """Whether the file calls a channel sound enough to be read."""
    status = item.get("ChannelStatus") or []
    states = [str(each).strip().upper() for each in ([status] if isinstance(status, str) else status)]
    bad = [state for state in states if state in _NO_VOLTAGE]
    if bad:
        notes[f"status_{name}"] = f"left out: {name}; the file says that the channel is {', '.join(bad)}"
    elif doubts := [state for state in states if state in _DOUBTFUL]:
        notes[f"status_{name}"] = f"the file says that channel {name} is {', '.join(doubts)}"
    return not bad


def _stored(group: Group) -> np.ndarray:
    """The samples as stored, `[channel, sample]`."""
    item, where = group.item, group.where
    kind, bits = str(item.WaveformSampleInterpretation), int(item.WaveformBitsAllocated)
    if kind in _COMPANDED:
        raise ReadError(f"{where}: samples are companded ({kind}); store them linearly")
    if kind not in _TYPES or np.dtype(_TYPES[kind]).itemsize * 8 != bits:
        raise ReadError(f"{where}: damaged DICOM file: samples of kind {kind} in {bits} bits do not exist")
    dtype = np.dtype(_TYPES[kind])
    needed, size = dtype.itemsize * len(group.names) * group.n_samples, len(item.WaveformData)
    if size < needed:
        raise ReadError(f"{where}: waveform is truncated: {size} bytes of the {needed} that its header promises")
    if size > needed + needed % 2:  # DICOM fills up to an even length
        raise ReadError(f"{where}: damaged DICOM file: a waveform of {size} bytes, its header promises {needed}; "
                        "export it again")  # fmt: skip
    values = np.frombuffer(item.WaveformData, dtype, len(group.names) * group.n_samples)
    return values.reshape(group.n_samples, len(group.names)).T


def _without_padding(stored: np.ndarray, group: Group, notes: dict[str, str]) -> np.ndarray:
    """Samples with the padding value as NaN.

    Some writers state 0, which is a voltage too. A padding value that the samples pass through is therefore taken for
    padding only where all channels hold it for `_PADDED` seconds.
    """
    padding = group.item.get("WaveformPaddingValue")
    if padding is None:
        return stored
    if isinstance(padding, bytes):
        if len(padding) < stored.itemsize:
            raise ReadError(f"{group.where}: damaged DICOM file: a padding value of {len(padding)} bytes")
        padding = np.frombuffer(padding[: stored.itemsize], stored.dtype)[0]
    held = stored == padding
    others = stored[~held]
    if others.size and others.min() < padding < others.max():
        held = np.broadcast_to(_runs(held.all(axis=0), math.ceil(_PADDED * group.rate)), stored.shape)
    if not held.any():
        return stored
    channels = f"{group.names[0]} to {group.names[-1]}"
    notes[f"padding_{group.names[0]}"] = (
        f"not used: {held.sum()} samples of {channels} with the padding value {padding}"
    )
    return np.where(held, np.nan, stored)


def _runs(mask: np.ndarray, shortest: int) -> np.ndarray:
    """The stretches of a bool `[sample]` that are at least `shortest` samples long."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    kept = np.zeros_like(mask)
    for begin, end in edges.reshape(-1, 2):
        kept[begin:end] = end - begin >= shortest
    return kept


def _lead(channel: Any, where: str) -> str:
    """The lead by its code, else by the code's meaning or the channel's label; these may not contradict each other."""
    source = channel.ChannelSourceSequence[0]
    code, meaning, label = (" ".join(str(text or "").split()) for text in
                            (source.CodeValue, source.get("CodeMeaning"), channel.get("ChannelLabel")))  # fmt: skip
    number = re.fullmatch(r"(?:2:|5\.6\.3-9-)(\d+)", code)
    coded = _LEAD_NUMBERS.get(int(number[1])) if number else None
    stated = [coded or code, meaning, label]
    standard = [canonical(text) for text in stated if canonical(text) in STANDARD]
    if len(set(standard)) > 1:
        raise ReadError(f"{where}: damaged DICOM file: a channel is lead {standard[0]} by code {code} and lead "
                        f"{standard[1]} by its text; export it again")  # fmt: skip
    return standard[0] if standard else meaning or code


def _step(channel: Any, where: str) -> float:
    sensitivity = channel.get("ChannelSensitivity")
    step = step_of(None if sensitivity is None else float(sensitivity), "Channel Sensitivity", where)
    factor = channel.get("ChannelSensitivityCorrectionFactor")
    name = "Channel Sensitivity Correction Factor"
    return step if factor is None else step * step_of(float(factor), name, where)


def _skew(channel: Any, group: Group, where: str) -> int:
    """Samples by which a channel starts later than the group; parts of a sample are the turns of a multiplexer."""
    seconds = _finite(channel.get("ChannelTimeSkew"), "Channel Time Skew", where)
    samples = _finite(channel.get("ChannelSampleSkew"), "Channel Sample Skew", where)
    if seconds and samples and abs(seconds * group.rate - samples) > 0.5:
        raise ReadError(f"{where}: a skew of {seconds:g} s and one of {samples:g} samples contradict each other")
    skew = round(seconds * group.rate if seconds else samples)
    if abs(skew) >= group.n_samples:
        raise ReadError(f"{where}: a skew of {skew} samples is longer than the recording")
    return skew


def _shifted(samples: np.ndarray, skew: int, name: str, group: Group, notes: dict[str, str]) -> np.ndarray:
    """A channel at the time of the group: NaN where it has not begun, without what lies behind the end."""
    if skew == 0:
        return samples
    notes[f"skew_{name}"] = (f"lead {name} was moved by its skew of {skew / group.rate:g} s; "
                             f"{abs(skew)} of its samples are left out")  # fmt: skip
    moved = np.full(len(samples), np.nan)
    moved[max(skew, 0) : len(samples) + min(skew, 0)] = samples[max(-skew, 0) : len(samples) - max(skew, 0)]
    return moved


def _finite(value: Any, what: str, where: str) -> float:
    number = 0.0 if value is None else float(value)
    if not math.isfinite(number):
        raise ReadError(f"{where}: {what} is {value}; export the file again")
    return number
