"""The input contract of an expert, and the function that prepares a recording by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from enecg import signal as dsp
from enecg.errors import InputError
from enecg.leads import STANDARD
from enecg.recording import Recording

Step = Literal["filter", "resample", "window", "scale"]


@dataclass(frozen=True)
class InputSpec:
    """The input that an expert needs. It is part of the key of the embeddings: another spec gives other embeddings.

    Attributes:
        rate: Hz.
        seconds: length of one window. A shorter recording is padded with zeros behind.
        hop_seconds: distance between window starts; None means windows that touch.
        max_windows: of a long recording, at most this many windows from its start.
        leads: lead names in the order of the rows.
        missing: an absent lead is zeros, or the recording is refused.
        band: (low, high) Hz of the zero-phase band-pass, or None.
        design: of the band-pass; see `enecg.signal.bandpass` and `enecg.signal.fir_bandpass`.
        order: of a Butterworth band-pass.
        notch: Hz of a narrow band-stop (quality 30) before the band-pass, or None.
        baseline: seconds of a running median that is taken off after the band-pass, or None.
        scaling: see `enecg.signal.scale`.
        eps: added to the divisor of the scaling.
        ddof: 0 for population, 1 for sample standard deviation.
        resampler: see `enecg.signal.resample`.
        steps: the order in which the steps are taken. "scale" after "window" scales each window by itself.
        amplitude: "any", or "mV" when normalised recordings must be refused.
    """

    rate: float = 100.0
    seconds: float = 10.0
    hop_seconds: float | None = None
    max_windows: int = 12
    leads: tuple[str, ...] = STANDARD
    missing: Literal["zero", "error"] = "zero"
    band: tuple[float, float] | None = None
    design: Literal["butterworth", "fir"] = "butterworth"
    order: int = 4
    notch: float | None = None
    baseline: float | None = None
    scaling: dsp.Scaling = "lead_zscore"
    eps: float = 1e-6
    ddof: int = 0
    resampler: dsp.Resampler = "polyphase"
    steps: tuple[Step, ...] = ("filter", "resample", "window", "scale")
    amplitude: Literal["any", "mV"] = "any"

    def __post_init__(self) -> None:
        if sorted(self.steps) != ["filter", "resample", "scale", "window"]:
            raise ValueError(f"steps must name each of filter, resample, window, scale once: {self.steps}")
        if abs(self.samples - self.rate * self.seconds) > 1e-6:
            raise ValueError(f"{self.seconds} s at {self.rate} Hz is not a whole number of samples")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InputSpec:
        """The spec from its fields as JSON gives them; unknown fields raise `TypeError`."""
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists})

    @property
    def samples(self) -> int:
        """Samples in one window."""
        return round(self.rate * self.seconds)

    @cached_property
    def key(self) -> str:
        """sha256 of the spec: equal keys, equal input."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(eq=False)
class Batch:
    """Windows ready for an expert.

    Attributes:
        signal: float32 `[window, lead, sample]`, scaled as the spec says; absent leads are zero.
        present: bool `[window, lead]`; False for a lead that is missing or flat.
        scale: float32 `[window, lead]`; mV per unit of `signal`, NaN where the recording was normalised.
        length: int `[window]`; samples that come from the recording, the rest is padding.
        rate: Hz.
    """

    signal: np.ndarray
    present: np.ndarray
    scale: np.ndarray
    length: np.ndarray
    rate: float
    _memo: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.signal)

    def once(self, name: str, compute: Callable[[Batch], Any]) -> Any:
        """`compute(self)`, computed once: experts that share a batch share R peaks and similar results."""
        if name not in self._memo:
            self._memo[name] = compute(self)
        return self._memo[name]

    def __getitem__(self, rows: slice | np.ndarray) -> Batch:
        return Batch(self.signal[rows], self.present[rows], self.scale[rows], self.length[rows], self.rate)

    @classmethod
    def join(cls, parts: Sequence[Batch]) -> Batch:
        """One batch from several of the same spec."""
        if len(parts) == 1:
            return parts[0]

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(joined("signal"), joined("present"), joined("scale"), joined("length"), parts[0].rate)


def _skips_filter(recording: Recording, spec: InputSpec) -> bool:
    """A band-pass that the file says was applied, and that is as narrow as ours, is not applied twice."""
    if spec.band is None:
        return True
    done = recording.band
    return done is not None and done[0] >= spec.band[0] and done[1] <= spec.band[1]


def prepare(recording: Recording, spec: InputSpec) -> Batch:
    """Prepare a recording as `spec` says: leads by name, then the steps in their order.

    Returns:
        A batch of the recording's windows.

    Raises:
        InputError: a lead is missing that the spec does not allow to miss, or the amplitude is unknown
            where the spec needs millivolts.
    """
    where = recording.source or "recording"
    if spec.amplitude == "mV" and recording.amplitude != "mV":
        raise InputError(f"{where}: needs amplitudes in mV; this recording is normalised")
    found = [recording.get(name) for name in spec.leads]
    absent = [name for name, lead in zip(spec.leads, found, strict=True) if lead is None]
    if absent and (spec.missing == "error" or len(absent) == len(spec.leads)):
        raise InputError(f"{where}: leads missing: {', '.join(absent)}; it has {', '.join(recording.leads)}")
    empty = np.zeros(recording.signal.shape[1], np.float32)
    signal = dsp.fill_gaps(np.stack([empty if lead is None else lead for lead in found]))
    present = np.ptp(signal, axis=1) > 0

    rate, divisor = recording.rate, np.ones(len(spec.leads), np.float32)
    length = min(round(signal.shape[-1] * spec.rate / rate), spec.samples)
    for step in spec.steps:
        if step == "filter":
            signal = _filter(signal, rate, recording, spec)
        elif step == "resample":
            signal, rate = dsp.resample(signal, rate, spec.rate, spec.resampler), spec.rate
        elif step == "window":
            signal = _cut(signal, rate, spec)
        elif step == "scale":
            padded = length < spec.samples and signal.ndim == 3
            body = signal[..., : round(length * rate / spec.rate)] if padded else signal
            scaled, divisor = dsp.scale(body, spec.scaling, spec.eps, spec.ddof)
            signal = np.pad(scaled, [(0, 0)] * (signal.ndim - 1) + [(0, signal.shape[-1] - scaled.shape[-1])])
    count = len(signal)
    signal = np.where(present[None, :, None], signal, np.float32(0))
    signal[..., length:] = 0  # a filter or resampler behind the padding rings into it
    in_mv = np.broadcast_to(divisor, (count, len(spec.leads))).astype(np.float32)
    if recording.amplitude != "mV":
        in_mv = np.full_like(in_mv, np.nan)
    return Batch(np.ascontiguousarray(signal), np.tile(present, (count, 1)), in_mv, np.full(count, length), spec.rate)


def _filter(signal: np.ndarray, rate: float, recording: Recording, spec: InputSpec) -> np.ndarray:
    """Notch, band-pass and running median, as far as the spec has them."""
    if spec.notch is not None:
        signal = dsp.notch(signal, rate, spec.notch)
    if spec.band is not None and not _skips_filter(recording, spec):
        if spec.design == "fir":
            signal = dsp.fir_bandpass(signal, rate, *spec.band)
        else:
            signal = dsp.bandpass(signal, rate, *spec.band, spec.order)
    if spec.baseline is not None:
        signal = signal - dsp.running_median(signal, 2 * round(spec.baseline * rate / 2) + 1)
    return signal


def seconds_seen(spec: InputSpec, seconds: float) -> float:
    """Return how many seconds of a recording of this length lie in a window, from its start."""
    starts = _starts(round(seconds * spec.rate), spec)
    hop = (spec.hop_seconds or spec.seconds) * spec.rate
    covered = (len(starts) - 1) * min(hop, spec.seconds * spec.rate) + spec.seconds * spec.rate
    return min(seconds, covered / spec.rate)


def _starts(samples: int, spec: InputSpec) -> list[int]:
    """Return the first sample of each window of a signal at the rate of the input contract."""
    hop = round((spec.hop_seconds or spec.seconds) * spec.rate)
    return dsp.windows(samples, round(spec.seconds * spec.rate), hop, spec.max_windows)


def _cut(signal: np.ndarray, rate: float, spec: InputSpec) -> np.ndarray:
    """`[lead, sample]` to `[window, lead, sample]`, padded with zeros behind when shorter than one window."""
    size = round(spec.seconds * rate)
    hop = round((spec.hop_seconds or spec.seconds) * rate)
    starts = dsp.windows(signal.shape[1], size, hop, spec.max_windows)
    if signal.shape[1] < size:
        signal = np.pad(signal, ((0, 0), (0, size - signal.shape[1])))
    return np.stack([signal[:, start : start + size] for start in starts])
