"""When a heart beats: the rhythms, each as times of atrial and ventricular activation.

Sinus rhythm varies with breathing and with the Mayer waves of blood pressure, as in McSharry et al. (IEEE Trans Biomed
Eng 2003;50:289-294). In atrial fibrillation successive RR intervals are unrelated, and no shorter than the conduction
system allows (compare Lian et al., Biomed Eng Online 2007;6:9). Atrial flutter has 240 to 340 waves a minute, of which
every second to fourth is conducted. A premature atrial beat resets the sinus node; after a premature ventricular beat
the pause is compensatory, for the sinus node goes on.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from enecg.simulation.person import Heart
from enecg.simulation.waves import Beats

# Title, and the ventricular rate at rest: lowest, average, highest per minute. Names as in PTB-XL's SCP codes.
RHYTHMS: Final = {
    "SR": ("sinus rhythm", 60, 73, 99),
    "SBRAD": ("sinus bradycardia", 38, 52, 59),
    "STACH": ("sinus tachycardia", 101, 114, 150),
    "SARRH": ("sinus arrhythmia", 52, 68, 92),
    "AFIB": ("atrial fibrillation", 48, 90, 165),
    "AFLT": ("atrial flutter", 60, 105, 165),
    "1AVB": ("sinus rhythm with first-degree AV block", 50, 68, 92),
    "PAC": ("sinus rhythm with premature atrial complexes", 55, 72, 96),
    "PVC": ("sinus rhythm with premature ventricular complexes", 55, 74, 96),
    "PACE": ("ventricular pacing", 60, 68, 90),
}
LEAD_IN: Final = 1.6  # s before the recording's start: a beat from there can still reach into it


def heart_rate_of(rng: np.random.Generator, rhythm: str, heart: Heart) -> float:
    """A heart rate per minute that belongs to the rhythm."""
    _, lowest, average, highest = RHYTHMS[rhythm]
    z = heart.faster + 0.6 * rng.standard_normal()
    return float(np.clip(average + z * (highest - lowest) / 4.5, lowest, highest))


def beats_of(
    rng: np.random.Generator, rhythm: str, conduction: str, heart: Heart, heart_rate: float, seconds: float
) -> Beats:
    """The beats of a recording.

    Args:
        rng: chance.
        rhythm: key of `RHYTHMS`.
        conduction: `normal`, `RBBB` or `LBBB`.
        heart: whose.
        heart_rate: average per minute.
        seconds: length of the recording.
    """
    mean = 60 / heart_rate
    count = int(np.ceil((seconds + LEAD_IN + 1.0) / mean * 1.6)) + 6
    breath = rng.uniform(0.18, 0.33)
    kind = np.full(count, conduction, dtype="<U11")
    early = np.zeros(count, bool)
    pr = heart.pr - 0.3 * (heart_rate - 65) + rng.normal(0, 2.0, count)
    start = -LEAD_IN - rng.uniform(0, mean)
    other, atrial, atrial_rate = np.empty(0), "", 0.0

    if rhythm == "AFIB":
        shape = 1 / rng.uniform(0.19, 0.28) ** 2
        rr = np.maximum(rng.gamma(shape, mean / shape, count), 0.3)
        pr[:], atrial, atrial_rate = np.nan, "f", rng.uniform(4.8, 7.6)
    elif rhythm == "AFLT":
        rr, atrial_rate = _flutter(rng, heart_rate, count)
        pr[:], atrial = np.nan, "F"
    elif rhythm == "PACE":
        kind[:] = "paced"
        if rng.random() < 0.5:  # the pacemaker follows the atria
            rr, pr = _sinus(rng, count, mean, heart.variability, breath), rng.normal(165, 1, count)
        else:  # the atria fibrillate
            rr = rng.normal(mean, 0.002, count)
            pr[:], atrial, atrial_rate = np.nan, "f", rng.uniform(4.8, 7.6)
    else:
        varies = np.clip(4 * heart.variability, 0.07, 0.13) if rhythm == "SARRH" else min(heart.variability, 0.05)
        rr = _sinus(rng, count, mean, varies, breath, calm=rhythm != "SARRH")
        if rhythm == "1AVB":
            pr = np.clip(pr + 45 + rng.gamma(2.0, 17.0), 206, 320)

    onset = start + np.concatenate([[0.0], np.cumsum(rr[1:])])
    if rhythm in ("PAC", "PVC"):
        for i in _premature(rng, onset, seconds):
            rr[i] *= rng.uniform(0.56, 0.74)
            if rhythm == "PAC":
                early[i], kind[i], pr[i] = True, conduction, pr[i] * rng.uniform(0.85, 1.05)
                rr[i + 1] *= rng.uniform(1.02, 1.18)
            else:
                kind[i], rr[i + 1] = "ventricular", 2 * mean - rr[i]
        onset = start + np.concatenate([[0.0], np.cumsum(rr[1:])])
        ectopic = kind == "ventricular"
        # The sinus node fires on time; its P wave falls into the premature beat's ST segment or T wave.
        other = onset[np.roll(ectopic, -1)] + mean - pr[ectopic] / 1e3
        pr[ectopic] = np.nan

    # QT follows the heart rate slowly, the last interval only in part.
    settled = 0.7 * np.mean(rr) + 0.3 * rr
    breathing = 1 + rng.uniform(0.01, 0.05) * np.sin(2 * np.pi * breath * onset + rng.uniform(0, 2 * np.pi))
    gain = breathing * (1 + 0.01 * rng.standard_normal(count))
    return Beats(onset, kind, pr, settled, other, early, gain, atrial, atrial_rate)


def _sinus(
    rng: np.random.Generator, count: int, mean: float, varies: float, breath: float, calm: bool = True
) -> np.ndarray:
    """RR intervals in s: slow drift, Mayer waves near 0.1 Hz, breathing, and a little that is random."""
    at = np.arange(count) * mean
    frequency = np.concatenate([[0.03], rng.normal(0.1, 0.015, 3), rng.normal(breath, 0.01, 3)])
    weight = np.array([0.5, 0.5, 0.35, 0.25, 0.7, 0.5, 0.3] if calm else [0.2, 0.2, 0.1, 0.1, 1.0, 0.7, 0.3])
    wave = weight @ np.cos(2 * np.pi * (frequency[:, None] * at + rng.random((7, 1))))
    wave += 0.25 * rng.standard_normal(count)
    return np.asarray(mean * (1 + varies * np.clip(wave, -2.8, 2.8) / np.sqrt(np.square(weight).sum() / 2)))


def _flutter(rng: np.random.Generator, heart_rate: float, count: int) -> tuple[np.ndarray, float]:
    """RR intervals in s as whole numbers of flutter waves, and the flutter waves' rate in Hz."""
    per_beat = int(np.clip(round(285 / heart_rate), 2, 4))
    flutter = float(np.clip(heart_rate * per_beat, 240, 340)) / 60
    ratio = np.full(count, per_beat)
    if per_beat > 2 and rng.random() < 0.6:  # conduction that varies
        ratio = rng.choice([2, 3, 4], count, p=[0.3, 0.25, 0.45] if per_beat == 4 else [0.35, 0.35, 0.3])
    return ratio / flutter + rng.normal(0, 0.003, count), flutter


def _premature(rng: np.random.Generator, onset: np.ndarray, seconds: float) -> list[int]:
    """Which beats come early: one to three inside the recording, never two in a row."""
    inside = np.flatnonzero((onset > 0.8) & (onset < seconds - 1.2))
    chosen: list[int] = []
    for i in rng.permutation(inside)[: 3 * 3].tolist():
        if all(abs(i - j) > 1 for j in chosen) and len(chosen) < 3 and (not chosen or rng.random() < 0.6):
            chosen.append(i)
    return sorted(chosen)
