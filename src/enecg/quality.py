"""May this recording be interpreted? What speaks against it, in words, and whether that is fatal.

Thresholds were set on 2,033 clinical recordings (PTB-XL, LUDB, CinC 2020/21) and on the noise tracks of the MIT-BIH
Noise Stress Test Database; those of `no_ecg` on 2,193 (CODE-15 too) and on generated noise and waves. The figures stand
beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from enecg.leads import LIMB, LIMB_ALGEBRA, STANDARD
from enecg.recording import Recording, implausible
from enecg.signal import fill_gaps

SHORTEST: Final = 5.0  # s; at 40 beats a minute this holds three beats, the least that shows a rhythm
LOWEST_RATE: Final = 50.0  # Hz; a QRS complex of 80 ms is then four samples, and the band of the experts halves
FEWEST_LEADS: Final = 6  # of the twelve; two limb leads in mV give six by Einthoven's law, a single lead gives one
LOST_SHARE: Final = 0.5  # of a lead that is gap, or stands still at one value: such a lead is not read
FLAT_SECONDS: Final = 2.0  # at exactly one value; the longest seen in a connected lead is 1.4 s
HIGHEST: Final = 20.0  # mV; a range above it, be it of one sample, is no heart's; microvolts read as mV give hundreds
LOWEST: Final = 0.05  # mV; the smallest range seen is 0.2, and volts taken for millivolts give 0.001
CLIP_SECONDS: Final = 0.01  # at the extreme value; an R peak is sharper
CLIP_PLACES: Final = 3  # one plateau may be chance, or a calibration pulse
OFF_PLANE: Final = 0.12  # of the limb leads' amplitude; simultaneous leads with their true gains reach 0.09
WANDER_RATIO: Final = 0.75  # moving range of the baseline to QRS height, in half of the leads
EVEN_ENERGY: Final = 6.0  # 95th percentile to median of the energy of slopes; least seen: 8.3 (ventricular tachycardia)
FLAT_TOPPED: Final = 2.5  # kurtosis of the signal without its baseline; least seen: 3.1, saw-tooth 2.0, square 1.0
TWO_LEVELS: Final = 0.05  # of the samples lie in the middle half of a lead's range; least seen: 0.17, pulses have none
DRIFT_ONLY: Final = 0.1  # standard deviation without the baseline to that with it; least seen: 0.4, a ramp has 0.01
NOISE_RATIO: Final = 0.025  # median fast deflection to QRS height, in half of the leads; muscle noise at 0 dB is above

Leads = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against a recording.

    Attributes:
        code: for programs: `implausible`, `low_rate`, `too_short`, `missing_lead`, `gaps`, `flat`, `too_few_leads`,
            `amplitude_high`, `amplitude_low`, `clipped`, `einthoven`, `identical`, `baseline_wander`, `noise`,
            `no_ecg`.
        text: for people, one line.
        leads: which leads; empty when it concerns the whole recording.
        fatal: nothing can be read from the recording.
    """

    code: str
    text: str
    leads: tuple[str, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class Quality:
    """The verdict on a recording."""

    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """No finding is fatal."""
        return not any(finding.fatal for finding in self.findings)


def check(recording: Recording) -> Quality:
    """Look for what makes a recording hard or impossible to interpret.

    Fatal are a recording that is too short or sampled too rarely, one with too few leads to read (absent, flat or
    gaps), amplitudes that no heart has, copies of one lead in most leads, and a signal that is no ECG in any lead.
    All else is a finding to be shown: one flat lead does not spoil the others. Amplitudes and the limb leads'
    relation are judged in millivolts only. Swapped electrodes keep that relation and are not seen.
    """
    if reason := implausible(recording):
        return Quality((Finding("implausible", reason, fatal=True),))
    if recording.rate < LOWEST_RATE:
        told = f"{recording.rate:g} Hz are too few to show a QRS complex; {LOWEST_RATE:g} are needed"
        return Quality((Finding("low_rate", told, fatal=True),))
    gaps = 1 - np.isfinite(recording.signal).mean(axis=1)
    signal = fill_gaps(recording.signal)
    still = _longest_still(signal) / recording.rate
    flat = (still >= min(FLAT_SECONDS, recording.seconds)) & (gaps < 1)
    lost = (gaps > LOST_SHARE) | (flat & (still > LOST_SHARE * recording.seconds))
    live = dict(zip(np.array(recording.leads)[~lost].tolist(), signal[~lost], strict=True))

    findings = _extent(recording, set(live))
    if gaps.any():
        leads = _where(recording.leads, gaps > 0)
        told = f"{', '.join(leads)} without samples for up to {gaps.max():.0%} of the time"
        findings.append(Finding("gaps", told, leads))
    if flat.any():
        leads = _where(recording.leads, flat)
        findings.append(Finding("flat", f"{', '.join(leads)} flat for up to {still[flat].max():.1f} s", leads))
    if live:
        findings += _identical(live) + _clipping(live, recording.rate) + _course(live, recording.rate)
        if recording.amplitude == "mV":
            findings += _amplitude(live) + _einthoven(live)
    return Quality(tuple(findings))


def _longest_still(signal: np.ndarray) -> np.ndarray:
    """Samples of the longest stretch at one value, int `[lead]`."""
    moves = np.diff(signal, axis=1) != 0
    ends = [np.flatnonzero(row) + 1 for row in moves]
    count = signal.shape[1]
    return np.array([np.diff(np.concatenate([[0], row, [count]])).max() for row in ends])


def _extent(recording: Recording, live: set[str]) -> list[Finding]:
    """Is there enough of it: seconds, and leads of the twelve that can be read or derived?"""
    findings = []
    if recording.seconds < SHORTEST:
        told = f"{recording.seconds:.1f} s are too short to judge a rhythm; {SHORTEST:g} s are needed"
        findings.append(Finding("too_short", told, fatal=True))

    def within_reach(names: set[str]) -> set[str]:
        derived = set(LIMB) if recording.amplitude == "mV" and len(names & set(LIMB)) >= 2 else set()
        return (names & set(STANDARD)) | derived

    missing = tuple(name for name in STANDARD if name not in within_reach(set(recording.leads)))
    if missing:
        findings.append(Finding("missing_lead", f"no lead {', '.join(missing)}", missing))
    readable = within_reach(live)
    if len(readable) < FEWEST_LEADS:
        told = f"only {len(readable)} of the 12 leads can be read (the others are absent, flat or gaps)"
        findings.append(Finding("too_few_leads", told, tuple(n for n in STANDARD if n not in readable), fatal=True))
    return findings


def _identical(live: Leads) -> list[Finding]:
    """Leads that hold the same samples: copies of one lead, which no heart gives."""
    groups: dict[bytes, list[str]] = {}
    for name, lead in live.items():
        groups.setdefault(lead.tobytes(), []).append(name)
    copies = max(groups.values(), key=len)
    if len(copies) == 1:
        return []
    text = f"{', '.join(copies)} hold the same samples"
    return [Finding("identical", text, tuple(copies), fatal=2 * len(copies) > len(live) > 2)]


def _clipping(live: Leads, rate: float) -> list[Finding]:
    """Plateaus at a lead's highest or lowest value: the amplifier's or the file's rail."""
    shortest = max(3, round(CLIP_SECONDS * rate))
    clipped = tuple(
        name
        for name, lead in live.items()
        if any(_plateaus(lead == value, shortest) >= CLIP_PLACES for value in (lead.max(), lead.min()))
    )
    return [Finding("clipped", f"peaks are cut off in {', '.join(clipped)}", clipped)] if clipped else []


def _plateaus(at: np.ndarray, shortest: int) -> int:
    """Stretches of at least `shortest` samples that are True."""
    if np.count_nonzero(at) < shortest:  # so it is in most recordings
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], at, [0]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2] >= shortest).sum())


def _heights(signal: np.ndarray) -> np.ndarray:
    """Range of each lead without its most extreme 1 % of samples: about the height of the QRS complexes."""
    low, high = np.percentile(signal, (0.5, 99.5), axis=1)
    return np.asarray(high - low)


def _course(live: Leads, rate: float) -> list[Finding]:
    """What the course of the signal says: no ECG at all, or a disturbed one."""
    from scipy.ndimage import uniform_filter1d

    names, signal = tuple(live), np.stack(list(live.values()))
    if signal.shape[1] < rate:
        return []  # less than a second shows no course; it is too short in any case
    baseline = uniform_filter1d(signal, round(rate), axis=1, mode="nearest")  # mean over one second
    upright = signal - baseline
    return _no_ecg(names, signal, upright, rate) or _disturbance(names, baseline, upright, rate)


def _no_ecg(names: tuple[str, ...], signal: np.ndarray, upright: np.ndarray, rate: float) -> list[Finding]:
    """Look for signals that show no heart beat in any lead: noise, sine, square and saw-tooth waves, ramps.

    QRS complexes are steep and brief, so the energy of slopes is uneven; noise and sine waves spread it evenly, as
    ventricular fibrillation does. Each measure is compared in the lead that is most like an ECG.
    """
    from scipy.ndimage import uniform_filter1d

    tiny = np.finfo(np.float32).tiny
    spread = np.maximum(upright.std(axis=1), tiny)
    low, high = np.percentile(signal, (1, 99), axis=1)[..., None]
    middle = (signal > low + (high - low) / 4) & (signal < high - (high - low) / 4)
    smooth = uniform_filter1d(upright / spread[:, None], max(1, round(0.012 * rate)), axis=1, mode="nearest")
    apart = max(1, round(0.02 * rate))
    energy = uniform_filter1d((smooth[:, apart:] - smooth[:, :-apart]) ** 2, max(2, round(0.1 * rate)), axis=1)
    median, upper = np.percentile(energy, (50, 95), axis=1)
    judged = (
        (spread / np.maximum(signal.std(axis=1), tiny), DRIFT_ONLY, "all leads only drift"),
        (((upright / spread[:, None]) ** 4).mean(axis=1), FLAT_TOPPED, "all leads show a plain wave"),
        (middle.mean(axis=1), TWO_LEVELS, "all leads jump between two levels"),
        (upper / np.maximum(median, tiny), EVEN_ENERGY, "no lead shows QRS complexes"),
    )
    found = [text for measure, limit, text in judged if measure.max() < limit]
    return [Finding("no_ecg", f"{text}: noise, fibrillation or no ECG", names, fatal=True) for text in found[:1]]


def _disturbance(names: tuple[str, ...], baseline: np.ndarray, upright: np.ndarray, rate: float) -> list[Finding]:
    """Baseline wander and broadband noise against the height of the QRS, in half of the leads or more."""
    from scipy.ndimage import uniform_filter1d

    fast = upright - uniform_filter1d(upright, max(3, round(0.04 * rate)), axis=1, mode="nearest")
    height = np.maximum(_heights(upright), np.finfo(np.float32).tiny)
    # The median over time passes over the QRS complexes, which are fast too but brief.
    judged = (
        ("baseline_wander", "the baseline wanders", np.ptp(baseline, axis=1) / height, WANDER_RATIO),
        ("noise", "there is strong noise", np.median(np.abs(fast), axis=1) / height, NOISE_RATIO),
    )
    return [
        Finding(code, f"{told} in {', '.join(_where(names, ratio > limit))}", _where(names, ratio > limit))
        for code, told, ratio, limit in judged
        if np.median(ratio) > limit
    ]


def _amplitude(live: Leads) -> list[Finding]:
    """Ranges in mV that no heart gives: the unit is wrong, or the lead shows something else."""
    names, signal = tuple(live), np.stack(list(live.values()))
    whole, findings = np.ptp(signal, axis=1), []
    if whole.max() <= HIGHEST and _heights(signal[:1])[0] >= LOWEST:
        return []  # the whole range is no smaller than the height, and one lead is enough
    height = _heights(signal)
    if (whole > HIGHEST).any():
        leads = _where(names, whole > HIGHEST)
        told = f"{', '.join(leads)} range over {whole.max():.4g} mV; is the unit right?"
        findings.append(Finding("amplitude_high", told, leads, fatal=2 * len(leads) > len(names)))
    if (height < LOWEST).all():
        told = f"no lead ranges over more than {height.max():.2g} mV; is the unit right?"
        findings.append(Finding("amplitude_low", told, names, fatal=True))
    return findings


def _einthoven(live: Leads) -> list[Finding]:
    """Six limb leads are two electrode voltages: how much of them lies off that plane (Einthoven, Goldberger)."""
    names = tuple(name for name in LIMB if name in live)
    if len(names) < 3:
        return []
    signal = np.stack([live[name] for name in names]).astype(np.float64)
    signal -= np.median(signal, axis=1, keepdims=True)  # electrode offsets are not part of the relation
    algebra = np.array([LIMB_ALGEBRA[name] for name in names])
    off = signal - algebra @ (np.linalg.pinv(algebra) @ signal)
    share = np.sqrt((off**2).sum() / max((signal**2).sum(), np.finfo(np.float64).tiny))
    if share <= OFF_PLANE:
        return []
    told = f"limb leads contradict each other by {share:.0%}: one is mislabelled, inverted or scaled by itself"
    return [Finding("einthoven", told, names)]


def _where(names: tuple[str, ...], mask: np.ndarray) -> tuple[str, ...]:
    return tuple(name for name, there in zip(names, mask, strict=True) if there)
