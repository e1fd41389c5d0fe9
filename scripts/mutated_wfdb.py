"""Read changed WFDB records and count those whose samples differ without a note.

python scripts/mutated_wfdb.py --count 1520
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "readers")]

from wfdb_mutations import RECORDS, mutated_header, mutated_signals, outcome  # noqa: E402


def main() -> None:
    """Print a line for signal files and one for headers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1520, help="changed files of each kind")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    for what, change in (("signal files", mutated_signals), ("headers", mutated_header)):
        counts: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            for number in range(options.count):
                record = options.data / RECORDS[number % len(RECORDS)]
                ending = ".hea" if what == "headers" else record.suffix
                counts[outcome(record, change(record, random.Random(number)), ending, Path(folder))] += 1
        print(f"{what}: {dict(counts)}; silent {100 * counts['silent'] / options.count:.2f} %")


if __name__ == "__main__":
    main()
