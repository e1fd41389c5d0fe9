"""A recording whose samples are read when they are needed: days of an ECG do not have to fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from enecg.recording import LONG_SECONDS, Recording


@dataclass(frozen=True)
class OpenedRecording:
    """A recording that is open for reading.

    Attributes:
        source: where it comes from, for messages.
        rate: Hz.
        n_samples: of each lead.
        leads: canonical names in the order of the file.
        read_span: reads the samples from a start to before a stop, as a recording.
        read_all: reads the whole recording.
        notes: what was left out of the file, as in `Recording`, as far as it is known before samples are read.
    """

    source: str
    rate: float
    n_samples: int
    leads: tuple[str, ...]
    read_span: Callable[[int, int], Recording]
    read_all: Callable[[], Recording]
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording) -> OpenedRecording:
        """Return a recording in memory as an open one."""
        return cls(
            source=recording.source,
            rate=recording.rate,
            n_samples=recording.signal.shape[1],
            leads=recording.leads,
            read_span=recording.span,
            read_all=lambda: recording,
            notes=recording.notes,
        )

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    @property
    def is_long(self) -> bool:
        """Whether it is read in blocks."""
        return bool(self.seconds > LONG_SECONDS)
