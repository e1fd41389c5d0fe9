#!/usr/bin/env bash
# Guess: header(5) names 3.6e2 as a legal way to write a sampling frequency of 360 Hz; wfdb reads it, or refuses it.
# Seen (wfdb 4.3.1): the number ends at the "e": "2.5e2" and "2.5e+2" become 2.5 Hz, "25e1" becomes 25 Hz, without a word. The
#   rest of the line is lost with it: the number of samples is None.
# Who meets it: records written by C and Fortran programs; a ten-second ECG becomes a quarter of an hour.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env >/dev/null; env/bin/pip install --quiet --disable-pip-version-check wfdb==4.3.1
env/bin/python - <<'PY'
import numpy as np, wfdb
open("r.dat", "wb").write(np.zeros(2500, "<i2").tobytes())
for text in ("250", "2.5e2", "2.5e+2", "25e1"):
    open("r.hea", "w").write(f"r 1 {text} 2500\nr.dat 16 200(0)/mV 16 0 0 0 0 I\n")
    try:
        found = wfdb.rdheader("r")
        print(f"{text}: {found.fs} Hz, {found.sig_len} samples")
    except Exception as error:
        print(f"{text}: {type(error).__name__}: {error}")
open("r.hea", "w").write("r 1 2.5e2 2500\nr.dat 16 200(0)/mV 16 0 0 0 0 I\n")
assert wfdb.rdheader("r").fs == 2.5
PY
