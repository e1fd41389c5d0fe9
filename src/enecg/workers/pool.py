"""Processes that work for the service: started, asked, timed, killed and replaced."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import sys
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from enecg.errors import EnecgError
from enecg.workers.environment import child_environment, python_command, take_stdout
from enecg.workers.framing import LARGEST, LENGTH, pack, unpack

START_SECONDS: Final = 300.0  # for large experts to load
AGAIN_SECONDS: Final = 1.0  # before a process that ended is started anew


class Lost(EnecgError):
    """A process ended, or was killed for its time, before it answered."""

    def __init__(self, late: bool) -> None:
        super().__init__(f"the process that worked on it {'took too long' if late else 'ended'}")
        self.late = late


class Broken(EnecgError):
    """A process met an error of enecg's own; it goes on."""


class Child:
    """One process: it says hello, then answers one message after the other.

    Attributes:
        hello: its first message; None before.
    """

    def __init__(self, module: str, arguments: tuple[str, ...], nice: int) -> None:
        self._module, self._arguments, self._nice = module, arguments, nice
        self._process: asyncio.subprocess.Process | None = None
        self.hello: Any = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it and wait for its hello.

        Raises:
            Lost: it ended instead.
        """
        code = f"import os; os.nice({self._nice})\nfrom {self._module} import main; main()"
        # A session of its own: Ctrl-C reaches the service only, which stops its processes when they are done.
        self._process = await asyncio.create_subprocess_exec(
            *python_command(code, *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # what libraries print there can quote a file
            env=child_environment(),
            start_new_session=True,
        )  # fmt: skip
        self.hello, _ = await self._receive(START_SECONDS)

    async def ask(self, message: bytes, seconds: float) -> tuple[Any, list[memoryview]]:
        """Send a message and wait for its answer; who does not answer in time is killed.

        Raises:
            Lost: there was no answer.
        """
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(message)
            async with asyncio.timeout(seconds):
                await self._process.stdin.drain()
        except (ConnectionError, TimeoutError):
            await self.kill()
            raise Lost(late=False) from None
        return await self._receive(seconds)

    async def _receive(self, seconds: float) -> tuple[Any, list[memoryview]]:
        assert self._process is not None and self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                (size,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
                if size > LARGEST:
                    raise ValueError("message too long")
                return unpack(await self._process.stdout.readexactly(size))
        except TimeoutError:
            await self.kill()
            raise Lost(late=True) from None
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            await self.kill()
            raise Lost(late=False) from None
        except asyncio.CancelledError:  # its answer would be taken for that to the next message
            await self.kill()
            raise

    async def ended(self) -> None:
        """Wait until it is no more."""
        assert self._process is not None
        await self._process.wait()

    async def kill(self) -> None:
        """End it, whatever it does."""
        if self._process is None:
            return
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await asyncio.shield(self._process.wait())


class Pool:
    """Children of one kind, each of which does one thing at a time; the urgent ones are served first.

    Attributes:
        hello: what the children said of themselves; None until all were there.
        failure: why they could not be started at first.
    """

    def __init__(self, module: str, arguments: tuple[str, ...], size: int, *, nice: int = 0,
                 restarted: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        self._children = [Child(module, arguments, nice) for _ in range(size)]
        self._free: list[Child] = []
        self._waiting: list[tuple[int, int, asyncio.Future[Child]]] = []
        self._count = itertools.count()
        self._restarted = restarted
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.hello: Any = None
        self.failure: str | None = None

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that run."""
        return [child.pid for child in self._children if child.pid is not None]

    @property
    def ready(self) -> bool:
        """All children have said hello, and at least one of them is there."""
        return self.hello is not None and bool(self.pids)

    async def start(self) -> None:
        """Start all children; `failure` says why not."""
        try:
            await asyncio.gather(*(child.start() for child in self._children))
        except Lost as error:
            self.failure = str(error)
            return
        hello = self._children[0].hello
        self.failure = hello.get("error")
        if self.failure is None:
            self.hello = hello
            for child in self._children:
                self._give_back(child)
                self._background(self._watch(child))

    async def ask(self, message: bytes, seconds: float, *, urgent: bool = True) -> tuple[Any, list[memoryview]]:
        """Have a free child answer. One that is lost is replaced, and another asked once more.

        Args:
            message: from `pack`.
            seconds: for the answer, once a child is free.
            urgent: before those that are not.

        Raises:
            Lost: two children were lost over it, or one took too long.
            Broken: an error of enecg's own; its text says where.
        """
        for attempt in (1, 2):
            child = await self._take(urgent)
            try:
                answer = await child.ask(message, seconds)
            except BaseException as error:
                self._replace(child)
                if attempt == 2 or not isinstance(error, Lost) or error.late:
                    raise
            else:
                self._give_back(child)
                if "bug" in answer[0]:
                    raise Broken(answer[0]["bug"])
                return answer
        raise AssertionError("unreachable")

    async def _take(self, urgent: bool) -> Child:
        if self._free:
            return self._free.pop()
        future: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (0 if urgent else 1, next(self._count), future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back(future.result())
            raise

    def _give_back(self, child: Child) -> None:
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(child)
                return
        self._free.append(child)

    def _replace(self, child: Child) -> None:
        if self._stopped:
            return
        self._restarted()
        self._background(self._start_again(child))

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, child: Child) -> None:
        """Replace a child that ends while it has nothing to do; of one that works, `ask` hears."""
        await child.ended()
        if child in self._free:
            self._free.remove(child)
            self._replace(child)

    async def _start_again(self, child: Child) -> None:
        while True:
            await child.kill()
            try:
                await child.start()
                break
            except Lost:
                await asyncio.sleep(AGAIN_SECONDS)
        self._give_back(child)
        self._background(self._watch(child))

    async def stop(self) -> None:
        """End all children."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(child.kill() for child in self._children))


def place_of(error: BaseException) -> str:
    """The kind of an error and where it came up: nothing of the values, which may be a subject's."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " ".join([type(error).__name__, *(f"{Path(f.filename).name}:{f.lineno}" for f in frames)])


def answering(
    hello: object,
    answer: Callable[[Any, list[memoryview]], tuple[object, list[bytes]]],
    between: Callable[[], None] = lambda: None,
) -> None:
    """The main function of a child: hello, then an answer to each message from standard input.

    Args:
        hello: its first message.
        answer: to a message.
        between: called whenever nobody waits for an answer.
    """
    answers = take_stdout()
    questions = sys.stdin.buffer
    try:
        answers.write(pack(hello))
        answers.flush()
        between()
        while head := questions.read(LENGTH.size):
            (size,) = LENGTH.unpack(head)
            try:
                told = pack(*answer(*unpack(questions.read(size))))
            except Exception as error:
                told = pack({"bug": place_of(error)})
            answers.write(told)
            answers.flush()
            between()
    except (BrokenPipeError, KeyboardInterrupt):
        return
