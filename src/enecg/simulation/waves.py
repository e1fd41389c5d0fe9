"""From beats to a heart vector: sums of Gaussian kernels, as in McSharry et al. and Sameni et al.

McSharry et al., IEEE Trans Biomed Eng 2003;50:289-294 write each wave of a beat as a Gaussian kernel; Sameni et al.,
EURASIP J Adv Signal Process 2007:043407 do so for each component of the heart vector. Here kernels may rise slower
than they fall (the T wave does). The normal heart's kernels follow the median vectorcardiogram of the normal
recordings at hand from PTB-XL (Wagner et al., Sci Data 2020;7:154, CC BY 4.0). Bundle branch blocks follow the criteria
of AHA/ACCF/HRS (Surawicz et al., J Am Coll Cardiol 2009;53:976-981), the left one with a mid-QRS notch (Strauss et al.,
Am J Cardiol 2011;107:927-934), ST and T opposite to the QRS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from enecg.simulation.person import Heart, turn

# Rows: centre and width as fractions of the QRS duration, then the vector x, y, z in mV.
QRS: Final = {
    "normal": np.array([
        [0.22, 0.080, -0.06, 0.01, -0.17],  # septum
        [0.43, 0.108, 0.90, 0.27, -0.34],  # apex and front wall
        [0.52, 0.082, 0.50, 0.58, 0.72],  # left free wall
        [0.68, 0.075, -0.28, 0.15, 0.78],  # its base
        [0.82, 0.070, -0.10, 0.00, 0.28],
    ]),
    "RBBB": np.array([
        [0.15, 0.055, -0.06, 0.01, -0.18],
        [0.28, 0.070, 0.80, 0.27, -0.24],
        [0.34, 0.055, 0.45, 0.42, 0.44],
        [0.45, 0.055, -0.12, 0.10, 0.12],
        [0.63, 0.095, -0.36, -0.02, -0.42],  # right ventricle, late
        [0.81, 0.080, -0.26, 0.00, -0.30],
    ]),
    "LBBB": np.array([
        [0.14, 0.070, 0.20, 0.10, -0.09],
        [0.35, 0.100, 0.90, 0.28, 0.62],
        [0.63, 0.104, 0.88, 0.02, 0.96],
        [0.82, 0.075, 0.16, -0.08, 0.34],
    ]),
    "paced": np.array([
        [0.17, 0.080, 0.12, -0.36, 0.03],
        [0.40, 0.105, 0.42, -0.84, 0.42],
        [0.65, 0.110, 0.36, -0.74, 0.72],
        [0.83, 0.070, 0.08, -0.26, 0.32],
    ]),
    "ventricular": np.array([  # of a focus to which the vector points away along x
        [0.20, 0.090, 0.45, 0.10, 0.00],
        [0.45, 0.120, 1.35, 0.15, 0.15],
        [0.72, 0.110, 0.80, -0.10, 0.25],
    ]),
}  # fmt: skip
STRETCH: Final = {"normal": 1.0, "RBBB": 1.5, "LBBB": 1.66, "paced": 1.8, "ventricular": 1.7}  # of the QRS duration
WIDE: Final = 122.0  # ms; a block is complete from 120 ms on
_P: Final = np.array([[0.37, 0.19, 0.040, 0.045, -0.030], [0.62, 0.19, 0.080, 0.035, 0.035]])  # of the P duration
_T: Final = np.array([[0.62, 0.195, 0.100, 0.16, 0.045, -0.16], [0.72, 0.150, 0.115, 0.18, 0.100, -0.10]])  # of JT
_U: Final = np.array([0.012, 0.008, -0.016])
_REACH: Final = 4.0  # a kernel ends this many widths from its centre


@dataclass(frozen=True)
class Beats:
    """A rhythm: when the ventricles and the atria are activated.

    Attributes:
        onset: QRS onsets in s, float64 `[beat]`, from before the recording's start to after its end.
        kind: key of `QRS` for each beat.
        pr: PR interval in ms, NaN for a beat that no P wave brought about.
        rr: the RR interval in s that governs its QT interval.
        p_other: onsets in s of P waves that brought about no beat.
        early: bool `[beat]`: the P wave comes from an ectopic focus.
        gain: amplitude of each beat; breathing moves it around 1.
        atrial: `"f"` for fibrillatory, `"F"` for flutter waves, else empty.
        atrial_rate: of those, in Hz.
    """

    onset: np.ndarray
    kind: np.ndarray
    pr: np.ndarray
    rr: np.ndarray
    p_other: np.ndarray
    early: np.ndarray
    gain: np.ndarray
    atrial: str = ""
    atrial_rate: float = 0.0


@dataclass(frozen=True)
class Ventricle:
    """QRS and the T wave that belongs to it, for one kind of beat of one heart.

    Attributes:
        kernels: float64 `[kernel, 5]`, as in `QRS`, turned and scaled to this heart.
        duration: QRS duration in ms.
        peak: ms from its onset to its largest vector.
        area: net area of the QRS in mV times its duration, float64 `[3]`.
        t: the vectors of the T wave's two kernels in mV, float64 `[2, 3]`.
        st: the vector of the ST segment in mV.
    """

    kernels: np.ndarray
    duration: float
    peak: float
    area: np.ndarray
    t: np.ndarray
    st: np.ndarray


def ventricle_of(heart: Heart, kind: str) -> Ventricle:
    """How the ventricles of a heart are activated and recover in a beat of `kind`."""
    table = QRS[kind]
    direction = _focus(heart) if kind == "ventricular" else heart.turn_qrs
    vectors = (table[:, 2:] + heart.uneven[: len(table)] * (0.6 + np.abs(table[:, 2:]))) @ direction.T * heart.qrs_gain
    u = np.linspace(0, 1, 201)
    loop = np.exp(-0.5 * ((u - table[:, :1]) / table[:, 1:2]) ** 2).T @ vectors
    duration = max(heart.qrs * STRETCH[kind], 0.0 if kind == "normal" else WIDE)
    peak = duration * float(u[np.square(loop).sum(1).argmax()])
    area = (table[:, 1:2] * vectors).sum(0) * np.sqrt(2 * np.pi)

    t, st = _T[:, 3:] @ heart.turn_t.T * heart.t_gain, heart.st
    if kind != "normal":
        # Secondary changes: where conduction is abnormal, recovery turns away from the late part of the QRS.
        late = 0.25 * vectors[4:].sum(0) if kind == "RBBB" else 0.9 * area
        opposite = -late * abs(heart.t_gain) ** 0.5
        t = (0.75 if kind == "RBBB" else 0.25) * t + np.array([[0.55], [0.5]]) * opposite
        st = 0.3 * (st + opposite)
    return Ventricle(np.column_stack([table[:, :2], vectors]), duration, peak, area, t, st)


def _focus(heart: Heart) -> np.ndarray:
    """Rotation that brings x to where an ectopic ventricular beat of this heart points."""
    side, height = heart.ectopic
    if side < 0.5:  # right ventricle, mostly its outflow tract: left bundle branch block shape
        return turn(np.radians(60 + 25 * height), np.radians(35.0), 0.0)
    return turn(np.radians(-70 + 50 * height), np.radians(-130.0), 0.0)  # left ventricle


def ventricular_vector(beats: Beats, heart: Heart, times: int, rate: float) -> tuple[np.ndarray, dict[str, Ventricle]]:
    """The ventricles' heart vector, without noise.

    Args:
        beats: when.
        heart: whose.
        times: number of samples.
        rate: Hz.

    Returns:
        float64 `[3, sample]` in mV, and the kinds of ventricular activation that occur.
    """
    kinds = {kind: ventricle_of(heart, kind) for kind in dict.fromkeys(beats.kind.tolist())}
    rows = []
    for kind, ventricle in kinds.items():
        rows.append(_qrst(beats, heart, ventricle, beats.kind == kind))
        if kind == "paced":
            rows.append(_spikes(beats.onset[beats.kind == kind], heart))
    return _sum(np.vstack(rows), times, rate), kinds


def qt_of(beats: Beats, heart: Heart, ventricle: Ventricle, chosen: np.ndarray) -> np.ndarray:
    """QT intervals in ms of the chosen beats: Hodges' formula, longer by what a wide QRS adds."""
    qt = heart.qtc - 1.75 * (60 / beats.rr[chosen] - 60)
    widened = qt + 0.85 * (ventricle.duration - heart.qrs)
    return np.asarray(np.maximum(widened, ventricle.duration + 130))


def _qrst(beats: Beats, heart: Heart, ventricle: Ventricle, chosen: np.ndarray) -> np.ndarray:
    """Kernels of QRS, ST, T and U: rows of centre (s), width before and after it (s), vector (mV)."""
    onset, gain, qt = beats.onset[chosen], beats.gain[chosen], qt_of(beats, heart, ventricle, chosen)
    rows = []

    def add(centre: np.ndarray, before: np.ndarray | float, after: np.ndarray | float, vector: np.ndarray) -> None:
        widths = [np.broadcast_to(np.asarray(width) / 1e3, onset.shape) for width in (before, after)]
        rows.append(np.column_stack([onset + centre / 1e3, *widths, gain[:, None] * vector]))

    duration = np.full_like(onset, ventricle.duration)
    for centre, width, *vector in ventricle.kernels:
        add(centre * duration, width * ventricle.duration, width * ventricle.duration, np.array(vector))
    jt = qt - duration
    for (centre, before, after, *_), vector in zip(_T, ventricle.t, strict=True):
        rise = after + (before - after) * heart.t_skew
        add(duration + centre * jt, rise * jt * heart.t_width, after * jt * heart.t_width, vector)
    add(duration + 0.15 * jt, 0.08 * jt, 0.25 * jt, ventricle.st)
    room = np.clip((beats.rr[chosen] - 0.55) / 0.3, 0, 1)  # at high rates the U wave is hidden
    add(qt + 70, 32, 40, _U @ heart.turn_t.T * heart.u_gain * room[:, None])
    return np.vstack(rows)


def atrial_vector(beats: Beats, heart: Heart, z: np.ndarray, times: int, rate: float) -> np.ndarray:
    """The atria's heart vector, float64 `[3, sample]` in mV: P, fibrillatory or flutter waves.

    Args:
        beats: when.
        heart: whose.
        z: 12 standard normal numbers, for the shape of fibrillatory and flutter waves.
        times: number of samples.
        rate: Hz.
    """
    vector = _sum(_p_waves(beats, heart), times, rate)
    return vector + _sawtooth_waves(beats, heart, z, times, rate) if beats.atrial else vector


def _p_waves(beats: Beats, heart: Heart) -> np.ndarray:
    with_p = np.isfinite(beats.pr)
    onset = np.concatenate([beats.onset[with_p] - beats.pr[with_p] / 1e3, beats.p_other])
    early = np.concatenate([beats.early[with_p], np.zeros(len(beats.p_other), bool)])
    rows = []
    for centre, width, *vector in _P:
        sinus = heart.turn_p @ np.array(vector) * heart.p_gain
        other = turn(np.radians(-55 - 20 * heart.ectopic[1]), np.radians(40.0), 0.0) @ sinus
        widths = np.full((len(onset), 2), width * heart.p / 1e3)
        rows.append(np.column_stack([onset + centre * heart.p / 1e3, widths, np.where(early[:, None], other, sinus)]))
    return np.vstack(rows)


def _spikes(onset: np.ndarray, heart: Heart) -> np.ndarray:
    """Pacing spikes, as a 150-Hz electrocardiograph shows them, with the small after-potential of the electrode."""
    size = 0.45 * np.exp(0.6 * heart.ectopic[0])
    vector = np.array([0.5, -0.8, 0.2]) * min(size, 1.6)
    shape = np.array([[-0.004, 0.0012, 0.0012, 1.0], [0.001, 0.0015, 0.006, -0.12]])
    rows = [
        np.column_stack(
            [onset + at, np.full((len(onset), 2), (before, after)), np.tile(part * vector, (len(onset), 1))]
        )
        for at, before, after, part in shape
    ]
    return np.vstack(rows)


def _sawtooth_waves(beats: Beats, heart: Heart, z: np.ndarray, times: int, rate: float) -> np.ndarray:
    """Fibrillatory or flutter waves.

    Sawtooth of a few harmonics whose rate and size drift (Stridh and Sörnmo, IEEE Trans Biomed Eng 2001;48:105-111).
    Peak-to-peak 0.06 to 0.35 mV at 4.6 to 8 Hz in fibrillation (J Cardiovasc Electrophysiol 2004;15:911-917, 20
    patients); flutter waves are negative in II, III and aVF, positive in V1.
    """
    t = np.arange(times) / rate
    if beats.atrial == "F":
        wave = _sawtooth(t, beats.atrial_rate, 0.0, z[:3], harmonics=5)
        return np.asarray(np.array([[-0.02], [0.12], [-0.06]]) * heart.p_gain * wave)
    # Two regions of the atria, which do not keep step: the right one is near V1.
    size = 0.06 * np.exp(0.4 * z[0])
    right = _sawtooth(t, beats.atrial_rate, 0.35, z[1:4], harmonics=3)
    left = _sawtooth(t, beats.atrial_rate * (1 + 0.08 * z[4]), 0.35, z[5:8], harmonics=2)
    both = np.array([[-0.2], [0.45], [-0.75]]) * right + np.array([[0.35], [0.5], [0.25]]) * left
    return np.asarray(size * both)


def _sawtooth(t: np.ndarray, rate: float, drift: float, z: np.ndarray, harmonics: int) -> np.ndarray:
    """Sum of sin(k phase) / k, about 1 in amplitude; `drift` is the swing of its rate in Hz and of its size."""
    slow = 0.25 + 0.05 * z[0]
    phase = 2 * np.pi * rate * t + drift / slow * np.sin(2 * np.pi * slow * t + z[1]) + 2 * np.pi * z[2]
    size = 1 + drift * np.sin(2 * np.pi * 0.37 * t + 3 * z[1])
    return np.asarray(size * sum(np.sin(k * phase) / k for k in range(1, harmonics + 1)))


def _sum(rows: np.ndarray, times: int, rate: float) -> np.ndarray:
    """Add up kernels (centre, width before, width after, x, y, z) on a grid of samples."""
    total = np.zeros((3, times))
    wide = rows[:, 1] > 0.02
    for part in (rows[wide], rows[~wide]):
        if len(part) == 0:
            continue
        first = np.ceil((part[:, 0] - _REACH * part[:, 1]) * rate).astype(int)
        width = int(np.max(np.ceil((part[:, 0] + _REACH * part[:, 2]) * rate) - first)) + 1
        at = first[:, None] + np.arange(width)
        away = at / rate - part[:, :1]
        value = np.exp(-0.5 * np.square(away / np.where(away < 0, part[:, 1:2], part[:, 2:3])))
        inside = (at >= 0) & (at < times)
        where = at[inside]
        for axis in range(3):
            total[axis] += np.bincount(where, weights=(part[:, 3 + axis, None] * value)[inside], minlength=times)
    return total
