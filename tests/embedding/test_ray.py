"""The same results from a Ray cluster as from this machine, also when a node is lost."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_experts import Summary, write_cohort

from commands import refused, without
from enecg import api
from enecg.cohorts.manifest import Cohort
from enecg.embedding.pipeline import embed
from enecg.embedding.store.maintenance import verify
from enecg.embedding.store.store import Store
from enecg.ensemble import archive
from enecg.errors import InputError
from enecg.experts.inputs import InputSpec
from generated import Trained
from slow_expert import Slow

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # pipes of a node that did not start
]
CPUS = 2  # of a node


@pytest.fixture(scope="module")
def installed() -> None:
    """Ray is there."""
    if importlib.util.find_spec("ray") is None:
        told = "Ray is not installed (pip install 'enecg[ray]')"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)


@pytest.fixture(scope="module")
def nodes(installed: None) -> Iterator[Any]:
    """A cluster of two nodes on this machine, to which this process is connected."""
    import ray

    facts = {"num_cpus": CPUS, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the nodes: they must find the tests' experts
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = _started(facts)
        try:
            ray.init(address=found.address, log_to_driver=False, logging_level="error")
            yield found
        finally:
            ray.shutdown()
            found.shutdown()


def _started(facts: dict[str, Any]) -> Any:
    """Two nodes; Ray gives a node 30 s to start, which may be too few on a busy machine: then once more."""
    from ray.cluster_utils import Cluster

    for again in (True, True, False):
        found = Cluster()
        try:
            found.add_node(**facts)
            found.add_node(**facts)
            found.wait_for_nodes(timeout=120)
            return found
        except Exception:  # whatever it is, Ray has no class for it
            found.shutdown()
            if not again:
                raise


def shards(store: Store) -> dict[str, bytes]:
    return {str(path.relative_to(store.path)): path.read_bytes() for path in store.path.glob("*/shard-*.parquet")}


def raylet(node: Any) -> str:
    """The process id of a node's raylet, the parent of its workers."""
    return str(node.all_processes["raylet"][0].process.pid)


def test_a_lost_node_changes_nothing(nodes: Any, tmp_path: Path) -> None:
    from enecg.embedding import ray as engine

    manifest = write_cohort(tmp_path / "cohort", 40)
    cohort, watched = Cohort.load(manifest), tmp_path / "watched"
    watched.mkdir()
    cohort.path(7).with_suffix(".dat").write_bytes(b"short")
    with manifest.open("a") as file:
        file.write("../outside,1\ngone,2\n")
    cohort = Cohort.load(manifest)
    strict = Summary("strict", InputSpec(leads=("V3",), missing="error"))
    header = cohort.path(9).with_suffix(".hea")
    header.write_text(header.read_text().replace(" V3\n", " Vx\n"))

    local = Store(tmp_path / "local", shard_rows=4)
    wanted = embed(cohort, [Slow("slow", 0), strict], local, progress=False)
    assert {each.record for each in wanted.skipped} == {*(cohort.records[i] for i in (7, 9)), "../outside", "gone"}

    store, lost = Store(tmp_path / "ray", shard_rows=4), nodes.list_all_nodes()[-1]
    both = {raylet(node) for node in nodes.list_all_nodes()}
    killed = threading.Event()

    def kill_in_the_middle() -> None:
        while not both <= {path.name for path in watched.iterdir()} or not shards(store):
            time.sleep(0.02)
        nodes.remove_node(lost, allow_graceful=False)
        killed.set()

    threading.Thread(target=kill_in_the_middle, daemon=True).start()
    report = engine.embed(cohort, [Slow("slow", 0.15, watched), strict], store, progress=False)
    assert killed.is_set()
    assert report == wanted
    assert shards(store) == shards(local)
    assert verify(store).problems == []
    again = embed(cohort, [Slow("slow", 0), strict], store, progress=False)
    assert (again.computed, again.reused, again.skipped) == (0, wanted.computed, wanted.skipped)


def test_predictions_from_a_cluster_are_the_same_bytes(
    nodes: Any, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "PORTION", 8)
    spoilt = tmp_path / "cohort" / "records"
    shutil.copytree(trained.manifest.parent, tmp_path / "cohort")
    for path in sorted(spoilt.glob("*.dat"))[:40:7]:
        path.write_bytes(b"short")
    for path in sorted(spoilt.glob("*.hea"))[40:]:
        path.unlink()
    for engine in ("local", "ray"):
        found = api.predict_archive(trained.bundle, spoilt, tmp_path / f"{engine}.parquet", engine=engine)
        assert (found.n, found.usable, len(found.failed)) == (40, 34, 6)
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (ModuleNotFoundError("No module named 'ours'"), "a node cannot load the work: No module named 'ours'"),
        (("0.0", dict, ()), "a node has another version of enecg"),
    ],
)
def test_a_node_that_lacks_something_is_the_users_to_mend(
    held: Any, told: str, installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from enecg.embedding.cluster import _Actor

    def get(_: Any) -> Any:
        if isinstance(held, Exception):
            raise held
        return held

    monkeypatch.setattr(ray, "get", get)
    answer = pickle.loads(_Actor([None])({"portion": pickle.dumps(None)})["answer"])
    assert isinstance(answer, InputError) and str(answer).startswith(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--engine", "spark"], "--engine spark: choose one of local, ray"),
        (["--address", "auto"], "--address auto: is of a Ray cluster; add --engine ray"),
    ],
)
def test_engines_that_there_are_not(words: list[str], told: str, trained: Trained, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert told in refused("embed", trained.manifest, "--experts", "beat", "--store", store, *words)
    out = tmp_path / "out.parquet"
    assert told in refused("predict", trained.bundle, trained.manifest, "--format", "parquet", "--out", out, *words)
    assert "writes Parquet" in refused("predict", trained.bundle, trained.manifest, "--engine", "ray")
    assert list(tmp_path.iterdir()) == []


def test_without_ray_its_extra_is_named(trained: Trained, tmp_path: Path) -> None:
    words = ["embed", trained.manifest, "--experts", "beat", "--store", tmp_path / "store", "--engine", "ray"]
    outcome = without("ray", *words)
    assert (outcome.code, len(outcome.errors)) == (2, 1)
    assert "pip install 'enecg[ray]'" in outcome.errors[0]
