"""Running the program: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from typer.testing import CliRunner

from enecg.cli.app import app

TRACE = "Traceback"


class Outcome:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        assert TRACE not in out + err, err
        self.code, self.out, self.err = code, out, err

    @property
    def errors(self) -> list[str]:
        """The lines that say why it stopped."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


def run(*arguments: object) -> Outcome:
    """A command in this process; what is no exit is raised."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def done(*arguments: object) -> Outcome:
    """A command that must succeed."""
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def refused(*arguments: object) -> str:
    """A command that must be refused for something that the user can mend: its one line of error."""
    outcome = run(*arguments)
    assert outcome.code == 2, (outcome.code, outcome.err)
    assert len(outcome.errors) == 1, outcome.err
    return outcome.errors[0]


def python(code: str, *arguments: object, **environment: str) -> Outcome:
    """Python code in a process of its own."""
    words = [sys.executable, "-c", code, *map(str, arguments)]
    ended = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def program(*arguments: object, **environment: str) -> Outcome:
    """A command in a process of its own."""
    return python("from enecg.cli import main; main()", *arguments, **environment)


def without(package: str, *arguments: object) -> Outcome:
    """A command in a process of its own in which a package is not installed."""
    return python(f"import sys; sys.modules[{package!r}] = None\nfrom enecg.cli import main; main()", *arguments)
