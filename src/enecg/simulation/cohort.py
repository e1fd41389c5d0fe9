"""A whole generated cohort on disk, for the demo: `make_cohort`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from enecg.errors import InputError
from enecg.simulation.person import Sex
from enecg.simulation.record import CONDUCTIONS, GAIN, Simulated, simulate

NORMAL_POTASSIUM: Final = (3.5, 5.0)  # mmol/l
# Share of each rhythm, and by how much a decade of age above 60 multiplies its odds.
_SHARES: Final = {
    "SR": (0.30, 1.0), "SBRAD": (0.10, 1.0), "STACH": (0.10, 0.95), "SARRH": (0.07, 0.6), "AFIB": (0.13, 1.5),
    "AFLT": (0.06, 1.35), "1AVB": (0.07, 1.35), "PAC": (0.06, 1.2), "PVC": (0.06, 1.15), "PACE": (0.05, 1.5),
}  # fmt: skip
REPEATED: Final = 0.2  # share of subjects with a second recording
FOLDS: Final = 10
COLUMNS: Final = ("record", "subject_id", "fold", "age", "sex", "rr_interval", "potassium", "potassium_mmol_l",
                  "arrhythmia", "conduction", "generated")  # fmt: skip


def make_cohort(
    folder: str | Path,
    n_subjects: int = 500,
    seed: int = 0,
    *,
    seconds: float = 10.0,
    rate: float = 500.0,
    noise: float = 1.0,
) -> Path:
    """Generate a cohort: WFDB records and a manifest with labels for the five tasks.

    Ages, rhythms and conduction depend on each other as in a hospital; every fifth subject has a second recording,
    with another potassium and heart rate. The same arguments give the same bytes.

    Args:
        folder: made if it is not there; records go to `records/` in it.
        n_subjects: at least 1.
        seed: of all chance.
        seconds: length of each recording.
        rate: Hz.
        noise: as in `simulate`.

    Returns:
        The manifest's path. Its columns: `record`, `subject_id`, `fold` (1 to 10, by subject), `age` in years, `sex`,
        `rr_interval` in ms (the true mean), `potassium` (normal or abnormal), `potassium_mmol_l`, `arrhythmia`,
        `conduction`, `generated` (1).

    Raises:
        InputError: no subjects, or a number that `simulate` refuses.
    """
    if n_subjects < 1:
        raise InputError(f"make_cohort: {n_subjects} subjects make no cohort; ask for at least 1")
    home = Path(folder)
    (home / "records").mkdir(parents=True, exist_ok=True)
    manifest = home / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number in range(n_subjects):
            for row in _subject_rows(home, number, seed, seconds, rate, noise):
                writer.writerow(row)
    return manifest


def _subject_rows(
    home: Path, number: int, seed: int, seconds: float, rate: float, noise: float
) -> list[tuple[object, ...]]:
    """Write one subject's recordings, and return their rows of the manifest."""
    key = seed * 1_000_003 + number
    rng = np.random.default_rng([seed, number, 3])
    age = round(float(np.clip(rng.normal(60, 17), 18, 95)))
    sex: Sex = "F" if rng.random() < 0.5 else "M"
    odds = np.array([share * growth ** ((age - 60) / 10) for share, growth in _SHARES.values()])
    rhythm = str(rng.choice(list(_SHARES), p=odds / odds.sum()))
    blocked = 0.03 * 1.6 ** ((age - 60) / 10)
    conduction = "normal" if rhythm == "PACE" else str(rng.choice(CONDUCTIONS, p=[1 - 2 * blocked, blocked, blocked]))
    name = f"generated-{number:05d}"
    rows: list[tuple[object, ...]] = []
    for visit in range(1 + (rng.random() < REPEATED)):
        potassium = _potassium(rng)
        made = simulate(2 * key + visit, rhythm=rhythm, conduction=conduction, age=age, sex=sex, potassium=potassium,
                        subject=2 * key, seconds=seconds, rate=rate, noise=noise)  # fmt: skip
        record = f"records/{number:05d}_{visit}"
        _write(made, home / record)
        low, high = NORMAL_POTASSIUM
        state = "normal" if low <= potassium <= high else "abnormal"
        rr = f"{made.truth.rr_interval:.1f}"
        rows.append((record, name, number % FOLDS + 1, age, sex, rr, state, potassium, rhythm, conduction, 1))
    return rows


def _potassium(rng: np.random.Generator) -> float:
    """Serum potassium in mmol/l as among patients in whom it is measured for a reason: 60 % normal."""
    low, high = NORMAL_POTASSIUM
    part = rng.random()
    if part < 0.6:
        drawn = np.clip(rng.normal(4.25, 0.35), low, high)
    elif part < 0.78:
        drawn = low - 0.1 - rng.gamma(2.0, 0.28)
    else:
        drawn = high + 0.1 + rng.gamma(2.0, 0.7)
    return round(float(np.clip(drawn, 2.0, 8.5)), 2)


def _write(made: Simulated, path: Path) -> None:
    """One WFDB record: samples in format 16, and a header with the subject's facts as comments.

    Written here because `wfdb.wrsamp` takes ten times as long as generating the recording.
    """
    recording, subject = made.recording, made.recording.subject
    steps = np.rint(recording.signal.T * GAIN).astype("<i2")  # [sample, lead]; exact, see `simulate`
    path.with_suffix(".dat").write_bytes(steps.tobytes())
    checksums = steps.sum(0, dtype=np.int64) & 0xFFFF
    lines = [f"{path.name} {steps.shape[1]} {recording.rate:g} {steps.shape[0]}"]
    for lead, first, checksum in zip(recording.leads, steps[0], checksums, strict=True):
        lines.append(f"{path.name}.dat 16 {GAIN}(0)/mV 16 0 {first} {checksum} 0 {lead}")
    lines += [f"#Age: {subject.age:g}", f"#Sex: {'Female' if subject.sex == 'F' else 'Male'}"]
    lines += [f"#{key}: {value}" for key, value in recording.facts.items()]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n", encoding="ascii")
