"""The same results from a Ray cluster as from this machine, also when a node is lost."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_experts import Summary, write_cohort

from enecg.cohort.manifest import Cohort
from enecg.embed.pipeline import embed
from enecg.embed.store import Store
from enecg.embed.upkeep import verify
from enecg.experts.inputs import InputSpec
from slow_expert import Slow

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]
CPUS = 2  # of a node


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes on this machine, to which this process is connected."""
    if importlib.util.find_spec("ray") is None:
        told = "Ray is not installed (pip install 'enecg[ray]')"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    import ray
    from ray.cluster_utils import Cluster

    facts = {"num_cpus": CPUS, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # of the nodes: they must find the tests' experts
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Cluster(initialize_head=True, head_node_args=facts)
        try:
            found.add_node(**facts)
            found.wait_for_nodes()
            ray.init(address=found.address, log_to_driver=False, logging_level="error")
            yield found
        finally:
            ray.shutdown()
            found.shutdown()


def shards(store: Store) -> dict[str, bytes]:
    return {str(path.relative_to(store.path)): path.read_bytes() for path in store.path.glob("*/shard-*.parquet")}


def raylet(node: Any) -> str:
    """The process id of a node's raylet, the parent of its workers."""
    return str(node.all_processes["raylet"][0].process.pid)


def test_a_lost_node_changes_nothing(nodes: Any, tmp_path: Path) -> None:
    from enecg.embed import ray as engine

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
