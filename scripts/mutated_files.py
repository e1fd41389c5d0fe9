"""Read changed files of every hospital format and count those that differ in their samples without a word.

    python scripts/mutated_files.py --count 2000

Each accepted reading is compared with that of the file as it was. `silent`: leads, rate or samples differ and no new
note says so. A changed sample in a format without checksums cannot be found, so changes within the samples are counted
apart from those of the structure.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "readers")]

from mutations import FILES, KINDS, OUTCOMES, Original, mutated, outcome  # noqa: E402


def main() -> None:
    """Print a line for each format and kind of change, and the same as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="changed files of each format and kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--formats", default=",".join(FILES))
    parser.add_argument("--keep", type=Path, help="folder for the files that differ without a word")
    options = parser.parse_args()
    found = {}
    for name in options.formats.split(","):
        originals = [Original.of(options.data / file) for file in FILES[name]]
        for kind in KINDS:
            found[f"{name} {kind}"] = counts = counted(originals, kind, options)
            line = ", ".join(f"{each} {counts[each]}" for each in OUTCOMES)
            print(f"{name}, {kind}: {line}; silent {100 * counts['silent'] / options.count:.2f} %", flush=True)
    print(json.dumps(found))


def counted(originals: list[Original], kind: str, options: argparse.Namespace) -> dict[str, int]:
    """How many changed files of one kind have which outcome."""
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            original = originals[number % len(originals)]
            content = mutated(original, kind, random.Random(f"{options.seed} {original.name} {kind} {number}"))
            result = outcome(original, content, Path(folder))
            counts[result] += 1
            if result == "silent" and options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{kind}-{number}-{original.name}").write_bytes(content)
    return dict(counts)


if __name__ == "__main__":
    main()
