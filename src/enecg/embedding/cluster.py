"""Handing out portions of work on a Ray cluster: what embedding and prediction on one have in common.

Ray is imported when it is used, never before.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from enecg import __version__
from enecg.errors import InputError, require
from enecg.workers.threads import cpus

ENGINES: Final = ("local", "ray")
LOST: Final = 100  # processes that may end while they start, one after the other, as when nodes are taken away
OBJECT_BYTES: Final = 512 * 2**20  # for what is on its way; Ray would reserve 30 % of the memory

P = TypeVar("P")
R = TypeVar("R")
Work = Callable[[P], R]


def check_engine(engine: str, address: str | None) -> None:
    """Raise `InputError` for an engine that there is not, or that has no address, or is not installed."""
    if engine not in ENGINES:
        raise InputError(f"--engine {engine}: choose one of {', '.join(ENGINES)}")
    if engine == "ray":
        require("ray.data", "ray", "--engine ray")
    elif address is not None:
        raise InputError(f"--address {address}: is of a Ray cluster; add --engine ray")


@contextmanager
def cluster(address: str | None) -> Generator[None]:
    """A connection to the cluster at `address`, or to one that is started on this machine and ends with the context.

    Within a program that is connected to Ray already, that connection is used, and kept.

    Raises:
        InputError: Ray is not installed, or no cluster is there.
    """
    ray = require("ray", "ray", "--engine ray")
    if ray.is_initialized():
        if address is not None:
            raise InputError(f"--address {address}: this program is connected to a Ray cluster already; leave it out")
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what concerns the user comes as an exception
    own = {
        "num_cpus": cpus(),
        "object_store_memory": OBJECT_BYTES,
        "include_dashboard": False,
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},  # the same modules as here
    }
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **({} if address else own))
    except Exception as error:  # Ray has no class of its own for it
        told = " ".join(str(error).split())
        raise InputError(f"--address {address or 'local'}: no Ray cluster can be reached: {told[:300]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def answers(make: Callable[..., Work[P, R]], facts: tuple[Any, ...], portions: Iterable[P]) -> Generator[R]:
    """`make(*facts)` on each processor of the cluster, then its answer to each portion, in whatever order they come.

    A node or process that is lost is replaced as far as there are others, and its portions are given to them.

    Args:
        make: a class or function that pickle finds by name; what it makes takes a portion.
        facts: its arguments, which are carried to each node once.
        portions: what is to be done. They must not depend on each other.

    Raises:
        InputError: as the work raises it, and for a node that has another version of enecg.
    """
    import ray
    import ray.data

    items = [{"portion": pickle.dumps(portion)} for portion in portions]
    if not items:
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        held = ray.put((__version__, make, facts))
    except (TypeError, pickle.PicklingError) as error:  # such as an expert that another runtime runs
        told = str(error).strip().splitlines()[0]
        raise InputError(f"--engine ray: an expert cannot be carried to other machines: {told}") from error
    # As many as there is room for, now or when nodes have joined; one is enough to go on.
    room: int = max(1, int(cast(Any, ray).cluster_resources().get("CPU", 1)))
    waiting = ray.data.from_items(items, override_num_blocks=len(items))
    waiting.context.enable_progress_bars = False
    waiting.context.max_consecutive_actor_init_deaths = LOST
    # Ray tries a portion until it is done: the seconds until a lost node is noticed would use up any smaller number.
    done = waiting.map(
        cast(Any, _Actor),
        fn_constructor_args=([held],),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=room, max_tasks_in_flight_per_actor=2),
        num_cpus=1,
    )
    for row in done.iter_rows():
        answer = pickle.loads(row["answer"])
        if isinstance(answer, InputError):
            raise answer
        yield answer


class _Actor:
    """A process on some node."""

    def __init__(self, held: list[Any]) -> None:
        import ray

        self._work: Work[Any, Any] | None = None
        self._told = f"a node has another version of enecg, {__version__}; install the same on all"
        try:
            version, make, facts = ray.get(held[0])
            if version == __version__:
                self._work = make(*facts)
        except (ImportError, AttributeError, ray.exceptions.RaySystemError) as error:
            told = str(error).strip().splitlines()[0]
            self._told = f"a node cannot load the work: {told}; install the same packages on all nodes"

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        answer: object = InputError(self._told)
        try:
            if self._work is not None:
                answer = self._work(pickle.loads(row["portion"]))
        except InputError as error:  # the user's to mend: the driver says it in one line
            answer = InputError(str(error))
        return {"answer": pickle.dumps(answer)}
