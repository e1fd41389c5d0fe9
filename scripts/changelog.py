"""Collect the fragments of `changelog.d` under a version of CHANGELOG.md, and remove them.

    python scripts/changelog.py 0.2.0 2026-12-01

A version that is there already gets the further lines. A fragment is Markdown: headings `### Added`, `### Changed`,
`### Removed` or `### Fixed`, and a list under each.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
KINDS: Final = ("Added", "Changed", "Removed", "Fixed")


def main(version: str, day: str) -> None:
    """Write CHANGELOG.md anew."""
    changelog = ROOT / "CHANGELOG.md"
    text, heading = changelog.read_text("utf-8"), f"## {version} ({day})"
    fragments = sorted(path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md")
    old = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    found = sections(old[1] if old else "")
    for path in fragments:
        for kind, lines in sections(path.read_text("utf-8")).items():
            found[kind] += lines
    body = "".join(f"### {kind}\n\n{''.join(found[kind])}\n" for kind in KINDS if found[kind])
    block = f"{heading}\n\n{body}"
    if old:
        text = text[: old.start()] + block + text[old.end() :]
    else:
        first = text.index("\n## ") + 1
        text = text[:first] + block + text[first:]
    changelog.write_text(text, "utf-8")
    for path in fragments:
        path.unlink()


def sections(text: str) -> dict[str, list[str]]:
    """Return the list items of a fragment under each of its headings."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    kind = ""
    for line in text.splitlines():
        if line.startswith("### "):
            kind = line[4:].strip()
            if kind not in found:
                raise SystemExit(f"heading {kind!r}: use one of {', '.join(KINDS)}")
        elif line.startswith("- "):
            found[kind].append(line + "\n")
        elif line.strip():
            found[kind][-1] += line + "\n"
    return found


if __name__ == "__main__":
    main(*sys.argv[1:3])
