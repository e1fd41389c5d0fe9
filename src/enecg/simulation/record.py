"""One recording from the model, with its truth: `simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from enecg.errors import InputError
from enecg.leads import LIMB, LIMB_ALGEBRA, STANDARD
from enecg.recording import Recording, Subject
from enecg.simulation.noise import noise_of
from enecg.simulation.person import ATRIA, Heart, Sex, heart_of
from enecg.simulation.rhythm import RHYTHMS, beats_of, heart_rate_of
from enecg.simulation.waves import Beats, Ventricle, atrial_vector, qt_of, ventricular_vector

CONDUCTIONS: Final = ("normal", "RBBB", "LBBB")
GAIN: Final = 2048  # steps per mV: I, II and V are whole multiples of two steps, so that every relation is exact
_SYMBOL: Final = {"normal": "N", "RBBB": "R", "LBBB": "L", "paced": "/", "ventricular": "V"}
_LIMITS: Final = {"age": (18, 100), "potassium": (1.5, 9.5), "heart_rate": (25, 200), "seconds": (2, 3600),
                  "rate": (100, 4000), "noise": (0, 20)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a generated recording. Arrays have one entry for each beat whose R peak lies in it.

    Attributes:
        rhythm: key of `RHYTHMS`.
        conduction: one of `CONDUCTIONS`.
        potassium: serum potassium in mmol/l.
        r_peaks: s from the start, at the largest heart vector of the QRS.
        symbols: kind of each beat as in WFDB annotations: N, R, L, A, V or /.
        p_onset: s; NaN where no P wave brought the beat about.
        qrs_onset: s.
        qrs_offset: s.
        t_offset: s.
        axis: frontal QRS axis in degrees, from net areas in I and aVF.
    """

    rhythm: str
    conduction: str
    potassium: float
    r_peaks: np.ndarray
    symbols: tuple[str, ...]
    p_onset: np.ndarray
    qrs_onset: np.ndarray
    qrs_offset: np.ndarray
    t_offset: np.ndarray
    axis: float

    @property
    def rr_interval(self) -> float:
        """Mean RR interval in ms."""
        return float(np.diff(self.r_peaks).mean() * 1e3)

    @property
    def pr(self) -> float:
        """Median PR interval in ms, NaN without P waves."""
        known = np.isfinite(self.p_onset)
        return float(np.median((self.qrs_onset - self.p_onset)[known]) * 1e3) if known.any() else float("nan")

    @property
    def qrs(self) -> float:
        """Median QRS duration in ms."""
        return float(np.median(self.qrs_offset - self.qrs_onset) * 1e3)

    @property
    def qt(self) -> float:
        """Median QT interval in ms."""
        return float(np.median(self.t_offset - self.qrs_onset) * 1e3)


@dataclass(frozen=True, eq=False)
class Simulated:
    """A generated recording and what is known of it."""

    recording: Recording
    truth: Truth


def simulate(
    seed: int,
    *,
    rhythm: str = "SR",
    conduction: str = "normal",
    age: float = 50.0,
    sex: Sex = "F",
    potassium: float = 4.2,
    heart_rate: float | None = None,
    subject: int | None = None,
    seconds: float = 10.0,
    rate: float = 500.0,
    noise: float = 1.0,
) -> Simulated:
    """Generate one 12-lead electrocardiogram.

    The heart is a moving dipole, the leads are Dower's; limb leads obey the lead algebra exactly, in float32.
    Calls with the same seed share their chance: differing in one argument they differ by its effect.

    Args:
        seed: of all chance.
        rhythm: key of `RHYTHMS`.
        conduction: one of `CONDUCTIONS`; paced and ventricular beats go their own way.
        age: years, 18 to 100.
        sex: F or M.
        potassium: serum potassium in mmol/l; 3.5 to 5.0 is normal.
        heart_rate: average per minute; drawn for the rhythm when not given. Atrial flutter stays at 60 to 170,
            since two to four of its waves make a beat.
        subject: who it is: the same number gives the same heart and chest. `seed` when not given.
        seconds: length.
        rate: Hz.
        noise: 1 as in an ordinary resting recording, 0 for none.

    Returns:
        The recording in mV and the truth about it.

    Raises:
        InputError: an unknown rhythm, conduction or sex, or a number outside what the model covers.
    """
    for what, name, known in (
        ("rhythm", rhythm, tuple(RHYTHMS)),
        ("conduction", conduction, CONDUCTIONS),
        ("sex", sex, ("F", "M")),
    ):
        if name not in known:
            raise InputError(f"simulate: {what} {name!r} is not known; take one of {', '.join(known)}")
    given = {"age": age, "potassium": potassium, "heart_rate": heart_rate, "seconds": seconds, "rate": rate,
             "noise": noise}  # fmt: skip
    for what, number in given.items():
        low, high = _LIMITS[what]
        if number is not None and not low <= number <= high:
            raise InputError(f"simulate: {what} {number:g} is outside {low:g} to {high:g}")

    heart = heart_of(seed if subject is None else subject, age, sex, potassium)
    rng = np.random.default_rng([seed, 1])
    drawn = heart_rate_of(rng, rhythm, heart)
    beats = beats_of(rng, rhythm, conduction, heart, drawn if heart_rate is None else heart_rate, seconds)
    times = round(seconds * rate)
    chance = np.random.default_rng([seed, 2])
    vector, kinds = ventricular_vector(beats, heart, times, rate)
    leads = heart.torso @ vector
    leads += ATRIA * heart.torso @ atrial_vector(beats, heart, chance.standard_normal(12), times, rate)
    if noise:
        leads += noise * noise_of(chance, times, rate)

    who = Subject(f"generated-{seed if subject is None else subject}", float(age), sex)
    facts = {"generated": "enecg.simulation", "rhythm": rhythm, "conduction": conduction,
             "potassium_mmol_l": f"{potassium:.2f}"}  # fmt: skip
    recording = Recording(_twelve(leads), rate, STANDARD, subject=who, source=f"generated-{seed}", facts=facts)
    return Simulated(recording, _truth(rhythm, conduction, potassium, beats, heart, kinds, seconds))


def _twelve(leads: np.ndarray) -> np.ndarray:
    """Twelve leads as an electrocardiograph stores them, float32 `[12, sample]` in mV, from I, II, V1 to V6.

    I and II are rounded to 1/1024 mV. Every limb lead is then a whole multiple of 1/2048 mV, which float32 holds
    without error: the relations between the leads are exact, and stay so in a file of 2048 steps per mV.
    """
    leads = np.clip(np.rint(leads * (GAIN / 2)) / (GAIN / 2), -7.9, 7.9)
    limb = np.array([LIMB_ALGEBRA[name] for name in LIMB]) @ leads[:2]
    return np.vstack([limb, leads[2:]]).astype(np.float32)


def _truth(
    rhythm: str,
    conduction: str,
    potassium: float,
    beats: Beats,
    heart: Heart,
    kinds: dict[str, Ventricle],
    seconds: float,
) -> Truth:
    count = len(beats.onset)
    peak, offset, t_offset = np.empty(count), np.empty(count), np.empty(count)
    for kind, ventricle in kinds.items():
        chosen = beats.kind == kind
        onset = beats.onset[chosen]
        peak[chosen] = onset + ventricle.peak / 1e3
        offset[chosen] = onset + ventricle.duration / 1e3
        t_offset[chosen] = onset + qt_of(beats, heart, ventricle, chosen) / 1e3
    inside = (peak >= 0) & (peak < seconds)
    symbols = np.where(beats.early, "A", [_SYMBOL[kind] for kind in beats.kind.tolist()])
    first = kinds["paced" if rhythm == "PACE" else conduction]
    i, ii = heart.torso[:2] @ first.area
    return Truth(
        rhythm=rhythm,
        conduction=conduction,
        potassium=potassium,
        r_peaks=peak[inside],
        symbols=tuple(symbols[inside].tolist()),
        p_onset=(beats.onset - beats.pr / 1e3)[inside],
        qrs_onset=beats.onset[inside],
        qrs_offset=offset[inside],
        t_offset=t_offset[inside],
        axis=float(np.degrees(np.arctan2((ii - i / 2) * 2 / np.sqrt(3), i))),
    )
