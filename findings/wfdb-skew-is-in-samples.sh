#!/usr/bin/env bash
# Guess: a signal's skew is stated in frames (header(5)); with n samples a frame, wfdb shifts it by skew x n samples and marks
#   the same number at the end as missing.
# Seen (wfdb 4.3.1, rdrecord(smooth_frames=False)): it shifts by skew x n, but marks only `skew` samples as missing. The
#   others at the end are invented: not one of them is in the file.
# Who meets it: readers of bedside and Holter records with fast channels and a skew.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env >/dev/null; env/bin/pip install --quiet --disable-pip-version-check wfdb==4.3.1
env/bin/python - <<'PY'
import numpy as np, wfdb
frames, per, skew = 50, 4, 3
x = (np.arange(frames * per) + 1000).astype("<i2")           # 1000 ... 1199: every value is told apart
open("r.dat", "wb").write(x.tobytes())
open("r.hea", "w").write(f"r 1 250 {frames}\nr.dat 16x{per}:{skew} 200(0)/mV 16 0 {x[0]} 0 0 I\n")
got = wfdb.rdrecord("r", smooth_frames=False, physical=True).e_p_signal[0] * 200
missing = int(np.isnan(got).sum())
n = skew * per
print("shifted by", int(round(got[0])) - 1000, "samples; missing at the end:", missing, "of", n)
tail = got[len(got) - n : len(got) - missing]
print("invented:", tail.round(1).tolist())
assert round(got[0]) == 1000 + n and np.allclose(got[: len(got) - n], x[n:])
assert missing == skew and not np.isin(tail.round(), x[-1:]).all()
PY
