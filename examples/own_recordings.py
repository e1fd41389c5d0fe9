"""Recordings that are not files: build a `Recording` from an array, look at its quality, draw it on ECG paper."""

from pathlib import Path

import numpy as np

import enecg
from enecg.drawing.ecg_paper import draw
from enecg.quality import check
from enecg.simulation import simulate

samples = simulate(seed=7, rhythm="AFIB", age=70, sex="F").recording.signal  # float32 [lead, sample], mV

recording = enecg.Recording(
    signal=samples,
    rate=500,
    leads=("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"),
    amplitude="mV",
    source="array",
)
print(f"{recording.seconds:g} s, usable: {check(recording).usable}")
print(f"III = II - I holds to {np.abs(recording.lead('III') - recording.lead('II') + recording.lead('I')).max():g} mV")

broken = enecg.Recording(np.zeros_like(samples), 500, recording.leads, source="broken")
print("; ".join(finding.text for finding in check(broken).findings))

Path("paper.svg").write_text(draw(recording, layout="3x4", title="generated"), encoding="utf-8")
print("drawn: paper.svg")
