"""Post thousands of damaged files of every format to a service of one's own, and see that it stays well.

    python scripts/mutated_uploads.py BUNDLE FORMATS_FOLDER [--count 10000] [--first 0] [--seed 0]

FORMATS_FOLDER holds the real files that the tests name (`tests/serve/mutation.py`). Every answer has to be 200 or 422,
the log without an error, the answer to the undamaged files the same before and afterwards, and the private folder
empty.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.progress import track

# The tests' own helpers: the same damage, the same service.
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests" / name) for name in ("serve", ".")]

from mutation import mutated, real_files, said_of  # noqa: E402
from served import Server, launch  # noqa: E402


def answers(server: Server, folder: Path) -> list[object]:
    """What the service says of the undamaged files."""
    told = [server.predict(*files, **said_of(files)).json() for files in real_files(folder)]
    return [entry["tasks"] for document in told for entry in document["predictions"]]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file, to go on with")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()

    families = real_files(told.folder)
    with tempfile.TemporaryDirectory() as home:
        server = launch(Path(home), told.bundle)
        server.wait()
        expected, statuses = answers(server, told.folder), Counter[tuple[str, int]]()

        def post(number: int) -> None:
            files = mutated(families[number % len(families)], random.Random(f"{told.seed}-{number}"))
            while (answer := server.predict(*files, **said_of(files))).status_code == 429:
                time.sleep(0.05)
            statuses[Path(files[0][0]).suffix, answer.status_code] += 1
            if answer.status_code not in (200, 422):
                print(f"file {number}: {answer.status_code} {answer.text}", file=sys.stderr)

        with ThreadPoolExecutor(2) as pool:
            numbers = range(told.first, told.first + told.count)
            for _ in track(pool.map(post, numbers), total=told.count, description="posting"):
                pass
        same, left = answers(server, told.folder) == expected, server.left()
        errors = [line for line in server.log.read_text().splitlines() if '"event": "error"' in line]
        replaced = server.log.read_text().count('"event": "process replaced"')
        server.process.terminate()
        server.process.wait(60)
        left += [path.name for path in server.temp.iterdir()]
    for (suffix, status), count in sorted(statuses.items()):
        print(f"{suffix} {status}: {count}")
    print(f"same answers afterwards: {same}; left on disk: {len(left)}; errors: {len(errors)}; replaced: {replaced}")
    for line in errors[:20]:
        print(line)
    sys.exit(0 if same and not left and not errors and {s for _, s in statuses} <= {200, 422} else 1)


if __name__ == "__main__":
    main()
