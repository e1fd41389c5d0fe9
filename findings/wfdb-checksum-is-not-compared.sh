#!/usr/bin/env bash
# Guess: a WFDB header carries each signal's first value and a 16-bit checksum "to verify that the signal file has not been
#   corrupted" (header(5)); wfdb.rdrecord compares them, or at least warns.
# Seen (wfdb 4.3.1): neither is compared. One bit changed, the last third overwritten by zeros, or the samples of another
#   record under this header: all are read in silence. The header's checksum is handed out beside the samples that do not have it.
# Who meets it: whoever copies records over a line that breaks, renames signal files, or re-uses a header.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env >/dev/null; env/bin/pip install --quiet --disable-pip-version-check wfdb==4.3.1
env/bin/python -W error::UserWarning - <<'PY'
import numpy as np, wfdb
t = np.arange(5000) / 500
x = np.stack([np.sin(2 * np.pi * 1.23 * t), np.cos(2 * np.pi * 1.23 * t)]).T
wfdb.wrsamp("r", fs=500, units=["mV", "mV"], sig_name=["I", "II"], p_signal=x, fmt=["16", "16"])
def checksums():
    found = wfdb.rdrecord("r", physical=False)
    sums = [int(found.d_signal[:, k].astype(np.int64).sum()) % 65536 for k in range(2)]
    return sums, [value % 65536 for value in found.checksum], found.init_value, found.d_signal[0].tolist()
whole = open("r.dat", "rb").read()
sums, stated, first, values = checksums()
assert sums == stated and first == values
print("whole file: sums", sums, "stated", stated)
for name, changed in (("one bit", whole[:900] + bytes([whole[900] ^ 0x40]) + whole[901:]),
                      ("zeros from two thirds on", whole[: len(whole) // 3 * 2] + bytes(len(whole) - len(whole) // 3 * 2)),
                      ("samples of another record", np.random.default_rng(0).integers(-900, 900, 10000).astype("<i2").tobytes())):
    open("r.dat", "wb").write(changed)
    sums, stated, first, values = checksums()      # a warning would be an error here
    assert sums != stated, name
    print(f"{name}: read without a word; sums {sums} stated {stated}")
PY
