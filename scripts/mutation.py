"""Mutation testing of a part of the package: how many small changes of the code do the tests notice?

    python scripts/mutation.py "src/enecg/ensemble/gates/*.py" tests/ensemble/gates --sample 100

Runs mutmut in a temporary copy of the last commit. A sample of the mutants, drawn by a seed, is tried with the tests
that are named. Prints the survivors and the share that was noticed with its 95 % interval (Wilson).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """[mutmut]
source_paths=src/enecg
only_mutate={targets}
pytest_add_cli_args_test_selection={tests}
also_copy=tests
    pyproject.toml
    examples
    benchmarks
"""


def main() -> None:
    """Parse, copy, generate, try a sample, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="pattern of source files, from the root of the repository")
    parser.add_argument("tests", nargs="+", help="test files or folders")
    parser.add_argument("--sample", type=int, default=0, help="how many mutants; 0 tries all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    targets = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(options.target))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(home)], check=True)
        join = "\n    ".join
        (home / "setup.cfg").write_text(CONFIG.format(targets=join(targets), tests=join(options.tests)))
        environment = {
            **os.environ,
            "ENECG_DATA": os.environ.get("ENECG_DATA", str(ROOT.parent / "shared" / "data")),
            "OMP_NUM_THREADS": "1",
        }
        mutmut(home, environment, "run", "--max-children", "1", "no mutant has this name")
        names = list(results(home))
        chosen = (
            names if not options.sample else random.Random(options.seed).sample(names, min(options.sample, len(names)))
        )
        mutmut(home, environment, "run", "--max-children", "1", *chosen)
        found = {name: code for name, code in results(home).items() if name in set(chosen)}
        survivors = [name for name, code in found.items() if code == 0]
        for name in survivors:
            print(name)
            shown = mutmut(home, environment, "show", name)
            print("\n".join(line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")))
    low, high = wilson(len(found) - len(survivors), len(found))
    document: dict[str, Any] = {
        "targets": targets, "mutants": len(names), "tried": len(found), "survived": len(survivors),
        "killed": 1 - len(survivors) / max(len(found), 1), "low": low, "high": high,
    }  # fmt: skip
    print(json.dumps(document, indent=1))
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def mutmut(home: Path, environment: dict[str, str], *words: str) -> str:
    """Run mutmut, and return what it prints."""
    command = [sys.executable, "-m", "mutmut", *words]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False).stdout


def results(home: Path) -> dict[str, int | None]:
    """Return each mutant's exit code of the tests: 0 survived, None was not tried."""
    found: dict[str, int | None] = {}
    for path in sorted((home / "mutants").rglob("*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    if not of:
        return 0.0, 1.0
    z, p = 1.96, count / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


if __name__ == "__main__":
    main()
