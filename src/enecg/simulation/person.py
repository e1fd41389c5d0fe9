"""Who is simulated: how age, sex, potassium and chance set the intervals, amplitudes and directions of one heart.

Sources of the effects (the numbers follow them in direction and, where they give figures, in size):

- Intervals, heart rate and axes by sex: Arq Bras Cardiol 2017;109:416-424 (ELSA-Brasil, 11,094 adults without
  heart disease: men against women PR 164/158, QRS 92/86, QTc 410/421, P 112/108 ms, R axis 35/39, T axis 39/45
  degrees). Ranges: Mason et al., J Electrocardiol 2007;40:228-234 (79,743 subjects).
- Age: the axis turns left and QRS voltage falls, in men more than in women: Levy et al., J Electrocardiol 1987
  (Framingham), Simonson, Am J Cardiol 1972;29:64-73; axis, PR and QTc are linear in age: J Clin Med 2022;11:3737
  (130,471 patients). Sex differences in voltage and ST are largest under 40: Macfarlane, Adv Exp Med Biol
  2018;1065:93-106; chest leads: Simonson et al., Circulation 1960;22:598-601.
- T wave: a quarter higher in men, 10 % lower from 18-39 to 40-59 years and 15 % from there to 60-79: Gambill et al.,
  J Electrocardiol 1995;28:191-197. Its width: Haarmark et al., J Electrocardiol 2010;43:31-39. J point and ST higher
  in men: Bidoggia et al., Am Heart J 2000;140:430-436.
- Heart rate variability falls with age: Umetani et al., J Am Coll Cardiol 1998;31:593-601.
- QT and heart rate: Hodges' formula, the one least tied to heart rate in 10,303 normal recordings: Luo et al.,
  J Electrocardiol 2004;37 suppl:81-90.
- Potassium: Webster, Brady and Morris, Emerg Med J 2002;19:74-77 (T tall, narrow and peaked from 5.5 mmol/l; P low, PR
  long, QRS wide from 6.5; no P, sine wave above 8; hypokalaemia: flat T, ST depression, U wave). The T wave's slope
  over its amplitude goes with potassium through the normal range: Corsi et al., Sci Rep 2017;7:42492. How strongly
  differs from person to person; many with high potassium show nothing: doi 10.1186/s12873-019-0247-0.
- Displaced chest electrodes: Kania et al., Med Biol Eng Comput 2014;52:109-119.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

Sex = Literal["F", "M"]

# Dower's lead vectors (Clin Cardiol 1980;3:87-95) for Frank's axes: x to the left, y to the feet, z to the back.
DOWER: Final = np.array([
    [0.632, -0.235, 0.059],  # I
    [0.235, 1.066, -0.132],  # II
    [-0.515, 0.157, -0.917],  # V1
    [0.044, 0.164, -1.387],
    [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601],
    [1.125, 0.127, -0.086],
    [0.831, 0.076, 0.230],  # V6
])  # fmt: skip


# The atria lie higher and further from the electrodes of V2 to V6 than the ventricles that Dower's vectors are for.
ATRIA: Final = np.array([[1.0], [1.0], [1.0], [0.7], [0.5], [0.45], [0.45], [0.5]])


@dataclass(frozen=True)
class Heart:
    """One person's heart and chest, as far as the electrocardiogram shows them.

    Attributes:
        faster: how far the resting heart rate lies from the average of its rhythm, in standard deviations.
        variability: standard deviation of the RR interval in sinus rhythm, as a fraction of its mean.
        p: P duration in ms.
        pr: PR interval in ms at 60/min.
        qrs: QRS duration in ms without bundle branch block.
        qtc: QT interval in ms at 60/min (Hodges).
        p_gain: amplitude of P, as are `qrs_gain`, `t_gain` and `u_gain` of theirs; 1 is average.
        t_width: width of the T wave; 1 is average.
        t_skew: how much slower it rises than it falls; 1 is average, 0 symmetrical.
        st: heart vector of the ST segment in mV, float64 `[3]`.
        turn_p: rotation of the P vector, float64 `[3, 3]`, as are `turn_qrs` and `turn_t` of theirs.
        uneven: deviation of each QRS kernel's vector from the average, in mV, float64 `[6, 3]`.
        torso: lead vectors of I, II, V1 to V6, float64 `[8, 3]`.
        ectopic: two numbers that say from where an ectopic focus fires.
    """

    faster: float
    variability: float
    p: float
    pr: float
    qrs: float
    qtc: float
    p_gain: float
    qrs_gain: float
    t_gain: float
    u_gain: float
    t_width: float
    t_skew: float
    st: np.ndarray
    turn_p: np.ndarray
    turn_qrs: np.ndarray
    turn_t: np.ndarray
    uneven: np.ndarray
    torso: np.ndarray
    ectopic: tuple[float, float]


def heart_of(seed: int, age: float, sex: Sex, potassium: float) -> Heart:
    """The heart of the person that `seed` names, at an age and a serum potassium.

    The same chance numbers are drawn whatever the age, sex and potassium, so that two calls that differ in one of
    them differ by its effect alone.
    """
    z = np.random.default_rng([seed, 0]).standard_normal(80).clip(-2.6, 2.6)  # nobody is odder than that
    woman = sex == "F"
    decades = (age - 50) / 10
    young = np.clip((70 - age) / 40, 0, 1.2)  # sex differences of voltage fade with age

    axis = 31 - 4.5 * decades + (2.5 if woman else 0) + 14 * z[0]
    frontal = np.radians(np.clip(axis, -30, 75) - 45)
    voltage = 1 - (0.02 if woman else 0.045) * np.clip(decades, -3, 2)
    qrs_gain = voltage * (1 - 0.16 * young if woman else 1) * np.exp(0.2 * z[1])
    t_gain = (0.92 if woman else 1.16) * (1 - 0.06 * np.clip(decades, -3, 4)) * np.exp(0.26 * z[2])
    st = np.array([0.03, 0.01, -0.075]) * ((0.35 if woman else 1 + 0.25 * young) + 0.35 * z[3])

    heart = Heart(
        faster=0.7 * z[4] + (0.25 if woman else 0),
        variability=float(0.026 * np.exp(-0.13 * decades + 0.45 * z[5])),
        p=float(np.clip((108 if woman else 112) + 1.2 * decades + 9 * z[6], 80, 140)),
        pr=float(np.clip((156 if woman else 162) + 3.2 * decades + 17 * z[7], 118, 202)),
        qrs=float(np.clip((86 if woman else 93) + 7 * z[8], 70, 112)),
        qtc=float((418 if woman else 408) + 2.0 * decades + 13 * z[9]),
        p_gain=float(np.exp(0.22 * np.clip(z[10], -2, 2))),
        qrs_gain=float(qrs_gain),
        t_gain=float(t_gain),
        u_gain=float(np.exp(0.4 * z[11])),
        t_width=float(np.exp(0.08 * z[12])),
        t_skew=1.0,
        st=st,
        turn_p=turn(0.3 * frontal + np.radians(12 * z[13]), np.radians(15 * z[14]), 0.0),
        turn_qrs=turn(frontal, np.radians(12 * z[15] - 4 * decades), np.radians(8 * z[16])),
        turn_t=turn(0.45 * frontal + np.radians(11 * z[17]), np.radians(14 * z[18]), np.radians(8 * z[19])),
        uneven=0.07 * z[20:38].reshape(6, 3),
        torso=_torso(z[40:60]),
        ectopic=(float(z[60]), float(z[61])),
    )
    return _at_potassium(heart, potassium, float(np.exp(0.35 * z[62])))


def turn(frontal: float, horizontal: float, sagittal: float) -> np.ndarray:
    """Rotation by angles in radians; a positive frontal one turns from the left to the feet, as the axis is counted."""
    c, s = np.cos([frontal, horizontal, sagittal]), np.sin([frontal, horizontal, sagittal])
    z_axis = np.array([[c[0], -s[0], 0], [s[0], c[0], 0], [0, 0, 1]])
    y_axis = np.array([[c[1], 0, -s[1]], [0, 1, 0], [s[1], 0, c[1]]])
    x_axis = np.array([[1, 0, 0], [0, c[2], -s[2]], [0, s[2], c[2]]])
    return np.asarray(z_axis @ y_axis @ x_axis)


def _torso(z: np.ndarray) -> np.ndarray:
    """Dower's lead vectors for a person's build, with chest electrodes placed as precisely as in practice."""
    limb, chest = DOWER[:2], DOWER[2:]
    neighbours = np.vstack([2 * chest[0] - chest[1], chest, 2 * chest[-1] - chest[-2]])
    along = (0.1 * z[0] + 0.12 * z[1:7])[:, None]  # in distances between neighbouring electrodes
    moved = chest + along * (neighbours[2:] - neighbours[:-2]) / 2
    moved[:, 1] += 0.06 * z[7] + 0.05 * z[8:14]  # higher or lower
    build = np.exp(0.12 * z[14])
    return np.vstack(
        [limb * build, moved * build * np.exp(0.1 * z[15]) * np.exp(0.06 * z[[16, 16, 17, 17, 18, 18], None])]
    )


def _at_potassium(heart: Heart, potassium: float, sensitivity: float) -> Heart:
    """The heart at a serum potassium in mmol/l; 4.2 changes nothing."""
    above, below = max(potassium - 4.2, 0.0) * sensitivity, max(4.2 - potassium, 0.0) * sensitivity
    high, low = max(above - 1.0, 0.0), max(below - 0.5, 0.0)  # where most people begin to show it
    conduction, toxic = max(above - 2.0, 0.0), max(above - 3.8, 0.0)
    return replace(
        heart,
        p=heart.p * (1 + 0.06 * conduction),
        pr=heart.pr + 18 * conduction + 6 * low,
        qrs=heart.qrs * (1 + 0.1 * conduction + 0.25 * toxic),
        qtc=heart.qtc - 5 * high + 8 * low + 15 * conduction + 40 * toxic,
        p_gain=heart.p_gain * float(np.clip(1 - 0.25 * conduction, 0, 1)) * (1 + 0.08 * low),
        t_gain=heart.t_gain * float(np.clip((1 + 0.15 * above + 0.4 * min(high, 2.0)) * (1 - 0.5 * low), -0.15, 2.5)),
        u_gain=heart.u_gain * (1 + 4.0 * low),
        t_width=heart.t_width * (1 + 0.06 * below) / (1 + 0.12 * above) * (1 + 0.6 * toxic),
        t_skew=float(np.clip(1 - 0.35 * high, 0, 1)),
        st=heart.st - 0.06 * low * heart.turn_qrs @ np.array([0.8, 0.4, -0.4]),
    )
