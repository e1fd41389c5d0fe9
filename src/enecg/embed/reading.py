"""The reading stage: file to prepared windows, in this process or in others that read ahead.

Such a process is a fresh interpreter with one thread and without torch, which takes pickled paths from its standard
input and answers on its standard output. Unlike a pool's, it never runs the caller's main module again.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Final

from enecg.embed.parallel import in_order
from enecg.errors import EnecgError, InputError
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.places import Place
from enecg.recording import Recording

Specs = Mapping[str, InputSpec]  # by `InputSpec.key`
AHEAD: Final = 32  # recordings read before they are asked for
ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Prepared:
    """A recording as experts see it, by `InputSpec.key`.

    Attributes:
        batches: its windows.
        refused: why it does not meet a spec.
        content: `Recording.content_hash()`.
        findings: codes of what the quality check found, none of them fatal.
    """

    batches: Mapping[str, Batch]
    refused: Mapping[str, str]
    content: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unusable:
    """A recording that no expert is to see, and why, in one line."""

    reason: str


def prepare_all(recording: Recording, specs: Specs) -> Prepared:
    """Prepare a recording once for each distinct input contract."""
    batches, refused = {}, {}
    for key, spec in specs.items():
        try:
            batches[key] = prepare(recording, spec)
        except InputError as error:
            refused[key] = str(error)
    return Prepared(batches, refused, recording.content_hash())


def look(path: Place, specs: Specs) -> Prepared | Unusable:
    """Read a recording, ask whether it may be interpreted, and prepare it."""
    from enecg.quality import check
    from enecg.readers import read

    try:
        recording = read(path)
    except EnecgError as error:
        return Unusable(str(error))
    quality = check(recording)
    if not quality.usable:
        return Unusable("; ".join(finding.text for finding in quality.findings if finding.fatal))
    codes = dict.fromkeys(finding.code for finding in quality.findings)
    return replace(prepare_all(recording, specs), findings=tuple(codes))


@contextmanager
def looking(paths: Iterable[Place], specs: Specs, workers: int) -> Generator[Iterator[Prepared | Unusable]]:
    """`look` at each path, in order: in this process (`workers` 0), or in others that read `AHEAD` recordings ahead.

    An error that is not the file's, a bug, is raised here. The processes end at once when the context is left.
    """
    if workers == 0:
        yield (look(path, specs) for path in paths)
        return
    readers = [_Reader(specs) for _ in range(workers)]
    threads = ThreadPoolExecutor(workers, thread_name_prefix="enecg-reader")
    try:
        yield _in_order(paths, specs, readers, threads)
    finally:
        for reader in readers:
            reader.kill()
        threads.shutdown(cancel_futures=True)
        for reader in readers:
            reader.close()


def _in_order(
    paths: Iterable[Place], specs: Specs, readers: Sequence[_Reader], threads: ThreadPoolExecutor
) -> Iterator[Prepared | Unusable]:
    idle: SimpleQueue[_Reader] = SimpleQueue()
    for reader in readers:
        idle.put(reader)

    def ask(path: Place) -> Prepared | Unusable | _Ended:
        reader = idle.get()
        try:
            return reader.ask(path)
        finally:
            idle.put(reader)

    for path, found in in_order(threads, ask, paths, AHEAD):
        if isinstance(found, _Ended):
            if found.code == 1:
                look(path, specs)  # what went wrong there goes wrong here too, and says where
            raise EnecgError(f"{path}: the process that read it ended with code {found.code}; what is stored is kept")
        yield found


@dataclass(frozen=True)
class _Ended:
    """The answer of a process that is no more."""

    code: int


class _Reader:
    """A process that reads."""

    def __init__(self, specs: Specs) -> None:
        # The same modules as here; a session of its own, so that Ctrl-C reaches this process only.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._send(dict(specs))

    def _send(self, message: object) -> None:
        pickle.dump(message, self._to)
        self._to.flush()

    def ask(self, path: Place) -> Prepared | Unusable | _Ended:
        """`look` at `path` over there."""
        try:
            self._send(path)
            found: Prepared | Unusable = pickle.load(self._from)
        except (EOFError, OSError, pickle.UnpicklingError):
            return _Ended(self._process.wait())
        return found

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.wait()
        self._from.close()
        with suppress(OSError):  # what was not sent any more
            self._to.close()


def serve() -> None:
    """Answer paths until there are no more: the main function of a reading process."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between
    with suppress(EOFError, BrokenPipeError), answers:
        specs = pickle.load(sys.stdin.buffer)
        while True:
            found = look(pickle.load(sys.stdin.buffer), specs)
            pickle.dump(found, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
