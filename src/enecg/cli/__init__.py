"""The command line: parse, call, print."""

from __future__ import annotations


def main() -> None:
    """Run the program `enecg`."""
    from enecg.cli.app import app

    app()
