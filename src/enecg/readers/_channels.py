"""From the channels of a file, with their scale, to a `Recording`: the step that the hospital formats share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from enecg.errors import ReadError
from enecg.readers.common import common_amplitude, stated_or_given
from enecg.recording import Recording

_PORTION: Final = 1 << 20  # samples that are scaled at once: a day of ECG is held in float64 by parts


@dataclass(frozen=True)
class Channel:
    """One channel as it is stored.

    Attributes:
        name: the lead, as the file writes it.
        stored: samples `[sample]`, integers, or floats where some are missing (NaN).
        step: how much of `unit` one step of `stored` is.
        offset: what is added after scaling, in `unit`.
        unit: of the amplitude; None when the file does not state it.
    """

    name: str
    stored: np.ndarray
    step: float
    unit: str | None
    offset: float = 0.0


def step_of(value: float | None, field: str, where: str) -> float:
    """Return a step per bit that is a positive number.

    Args:
        value: what the file states; None when it states nothing that is a number.
        field: the name of the field.
        where: file and lead for the error message.

    Raises:
        ReadError: there is none. A unit from the user cannot stand in for it: counts would become volts.
    """
    if value is None:
        raise ReadError(
            f"{where}: the step per bit is not stated ({field}); a unit cannot stand in for it; "
            "export the file again with its scale"
        )
    if not (math.isfinite(value) and value > 0):
        raise ReadError(f"{where}: a step per bit of {value:g} is impossible ({field}); export the file again")
    return value


def recording_of(
    channels: Sequence[Channel], *, rate: float, unit: str | None, where: str, notes: dict[str, str], **facts: Any
) -> Recording:
    """Return the recording of `channels`, with a note where they are scaled unlike each other.

    Args:
        channels: the leads, all of one length and rate.
        rate: Hz.
        unit: what the user says of a file that states no unit.
        where: the file, for messages.
        notes: what was left out so far.
        facts: further fields of `Recording`.
    """
    if len({len(channel.stored) for channel in channels}) > 1:
        lengths = ", ".join(f"{channel.name} {len(channel.stored)}" for channel in channels)
        raise ReadError(f"{where}: its leads differ in their number of samples ({lengths}); export it again")
    units = [stated_or_given(c.unit or None, unit, "unit", f"{where}, lead {c.name}") for c in channels]
    names = [channel.name for channel in channels]
    factors, amplitude = common_amplitude(units, names, where)
    signal = np.empty((len(channels), len(channels[0].stored)), np.float32)
    for row, (channel, factor) in enumerate(zip(channels, factors, strict=True)):
        for begin in range(0, signal.shape[1], _PORTION):
            part = channel.stored[begin : begin + _PORTION]
            signal[row, begin : begin + _PORTION] = (part * channel.step + channel.offset) * factor
    return Recording(
        signal=signal,
        rate=rate,
        leads=tuple(names),
        amplitude=amplitude,
        source=where,
        notes={**notes, **_doubtful_scales(channels)},
        **facts,
    )


def _doubtful_scales(channels: Sequence[Channel]) -> dict[str, str]:
    """A note on leads that are scaled unlike most of the others: one device has one converter."""
    scales = [(channel.step, channel.offset, channel.unit) for channel in channels]
    (usual, count), *_ = Counter(scales).most_common(1)
    odd = [channel.name for channel, scale in zip(channels, scales, strict=True) if scale != usual]
    if not odd or count <= len(channels) / 2:
        return {}
    return {"scales": f"the step or offset of {', '.join(odd)} is not that of the other leads; check these leads"}
