"""The reading stage: file to prepared windows, in this process or in others that read ahead.

Such a process is a fresh interpreter with one thread and without torch, which takes pickled paths from its standard
input and answers on its standard output. A pool of the standard library runs the caller's main module again, and its
processes share the session of this one. These have a session of their own: Ctrl-C reaches the caller alone, which ends
them.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Final

from enecg.errors import EnecgError, InputError
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.files import Place
from enecg.readers.opened import OpenedRecording
from enecg.recording import Recording, joined_hash
from enecg.workers.environment import child_environment, python_command, take_stdout
from enecg.workers.threads import cpus, in_order

Specs = Mapping[str, InputSpec]  # by `InputSpec.key`
AHEAD: Final = 32  # recordings read before they are asked for
READERS: Final = 16  # processes that read, at most; each takes about 190 MB
START_SECONDS: Final = 0.5  # of a processor's time, that a process takes to start
SHARE: Final = 0.25  # of the time of one processor, below which reading disturbs no encoder


@dataclass(frozen=True)
class Prepared:
    """A recording as experts see it, by `InputSpec.key`.

    Attributes:
        batches: its windows.
        refused: why it does not meet a spec.
        content: `Recording.content_hash()`.
        findings: codes of what the quality check found, none of them fatal.
        notes: what was left out of the file, in sentences.
        in_blocks: it is long, and its windows are not here: they are read and prepared block by block.
    """

    batches: Mapping[str, Batch]
    refused: Mapping[str, str]
    content: str
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    in_blocks: bool = False


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


def read_and_prepare(path: Place, specs: Specs) -> Prepared | Unusable:
    """Read a recording, ask whether it may be interpreted, and prepare it; a long one is only read and judged."""
    from enecg.quality import check
    from enecg.readers import opened

    try:
        with opened(path) as found:
            if found.is_long:
                return judged(found, specs)
            recording = found.read_all()
    except EnecgError as error:
        return Unusable(str(error))
    quality = check(recording)
    if not quality.usable:
        return Unusable("; ".join(finding.text for finding in quality.findings if finding.fatal))
    codes = dict.fromkeys(finding.code for finding in quality.findings)
    return replace(prepare_all(recording, specs), findings=tuple(codes), notes=tuple(recording.notes.values()))


def judged(opened: OpenedRecording, specs: Specs) -> Prepared | Unusable:
    """Read a long recording block by block, and ask which blocks may be interpreted.

    Raises:
        ReadError: the file turns out to be damaged.
    """
    from enecg.embedding.blocks import QualitySummary, judged_blocks, refusals

    summary, refused, hashes = QualitySummary(), None, []
    for block in judged_blocks(opened):
        summary.add(block)
        hashes.append(block.recording.content_hash())
        if refused is None and block.verdict.usable:
            refused = refusals(block.recording, specs)
    quality = summary.quality()
    if not quality.usable or refused is None:
        return Unusable("; ".join(finding.text for finding in quality.findings if finding.fatal))
    return Prepared(
        batches={},
        refused=refused,
        content=hashes[0] if len(hashes) == 1 else joined_hash(hashes),
        findings=tuple(finding.code for finding in quality.findings),
        notes=tuple({**opened.notes, **summary.all_notes()}.values()),
        in_blocks=True,
    )


@contextmanager
def prepared_recordings(
    paths: Iterable[Place], specs: Specs, workers: int | None = None
) -> Generator[Iterator[Prepared | Unusable]]:
    """`read_and_prepare` at each path, in order.

    Threads of this process read `AHEAD` recordings ahead, which costs nothing to begin and keeps up with a large
    network. Where reading takes more than `SHARE` of the time, other processes take over once it has taken as much
    as they take to start: they do not share one interpreter's lock with what encodes. URLs are always left to them,
    as a server may be silent, and a process can be ended.

    An error that is not the file's, a bug, is raised here. The processes end at once when the context is left.

    Args:
        paths: what to look at; taken as it is needed.
        specs: input contracts.
        workers: processes, and threads before them; by default as many as there are processors, at most `READERS`.
            With 0 each path is looked at when its answer is asked for. The answers do not depend on it.
    """
    workers = min(cpus() if workers is None else workers, READERS)
    if workers == 0:
        yield (read_and_prepare(path, specs) for path in paths)
        return
    team = _Team(specs, workers)
    try:
        yield _in_order(paths, team)
    finally:
        team.close()


def _in_order(paths: Iterable[Place], team: _Team) -> Iterator[Prepared | Unusable]:
    def taken() -> Iterator[Place]:
        for path in paths:
            if isinstance(path, str):
                team.start()
            yield path

    began, spent = time.perf_counter(), 0.0
    for path, (found, seconds) in in_order(team.threads, team.read_and_prepare, taken(), AHEAD):
        spent += seconds
        passed = time.perf_counter() - began
        if spent >= START_SECONDS and spent > SHARE * passed:
            team.start()
        if isinstance(found, _Ended):
            if found.code == 1:
                read_and_prepare(path, team.specs)  # what went wrong there goes wrong here too, and says where
            raise EnecgError(f"{path}: the process that read it ended with code {found.code}; what is stored is kept")
        yield found


class _Team:
    """Threads that read, and the processes that they hand it to once these are ready.

    Attributes:
        threads: what calls `read_and_prepare`.
    """

    def __init__(self, specs: Specs, size: int) -> None:
        self.specs, self._size = specs, size
        self._readers: list[_Reader] = []
        self._idle: SimpleQueue[_Reader] = SimpleQueue()
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="enecg-reader")
        self._starting = ThreadPoolExecutor(size, thread_name_prefix="enecg-reader-start")

    def start(self) -> None:
        """Start the processes, if that was not done; threads go on reading until one is ready."""

        def ready(reader: _Reader) -> None:
            reader.wait()
            self._idle.put(reader)

        while len(self._readers) < self._size:
            self._readers.append(_Reader(self.specs))
            self._starting.submit(ready, self._readers[-1])

    def read_and_prepare(self, path: Place) -> tuple[Prepared | Unusable | _Ended, float]:
        """Return the answer of a ready process, or of this one with the processor seconds that it took."""
        try:
            reader = self._idle.get(block=isinstance(path, str))
        except Empty:
            _import_needed()
            began = time.thread_time()
            return read_and_prepare(path, self.specs), time.thread_time() - began
        try:
            return reader.ask(path), 0.0
        finally:
            self._idle.put(reader)

    def close(self) -> None:
        """End the processes at once, and the threads with the file that each is at."""
        for reader in self._readers:
            reader.kill()
        for pool in (self._starting, self.threads):
            pool.shutdown(cancel_futures=True)
        for reader in self._readers:
            reader.close()


@dataclass(frozen=True)
class _Ended:
    """The answer of a process that is no more."""

    code: int


class _Reader:
    """A process that reads."""

    def __init__(self, specs: Specs) -> None:
        # The same modules as here; a session of its own, so that Ctrl-C reaches this process only.
        self._process = subprocess.Popen(
            python_command(f"from {__name__} import serve; serve()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._send(dict(specs))

    def wait(self) -> None:
        """Until it is ready, or has ended; then the next question says so."""
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            pickle.load(self._from)

    def _send(self, message: object) -> None:
        pickle.dump(message, self._to)
        self._to.flush()

    def ask(self, path: Place) -> Prepared | Unusable | _Ended:
        """`read_and_prepare` at `path` over there."""
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


def _import_needed() -> None:
    """What reading needs in any case, and takes long to import."""
    for module in ("scipy.ndimage", "scipy.signal", "enecg.quality", "enecg.readers"):
        import_module(module)


def serve() -> None:
    """Answer paths until there are no more: the main function of a reading process."""
    answers = take_stdout()
    with suppress(EOFError, BrokenPipeError), answers:
        specs = pickle.load(sys.stdin.buffer)
        _import_needed()
        pickle.dump(None, answers)
        answers.flush()
        while True:
            found = read_and_prepare(pickle.load(sys.stdin.buffer), specs)
            pickle.dump(found, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
