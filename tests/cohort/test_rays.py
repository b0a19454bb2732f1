"""Slides as Ray tasks on a cluster of two machines, one of which dies in the middle."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hmgdm_plugin.cohort.limit import limited
from hmgdm_plugin.cohort.rays import RayRun
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.cohort.worker import Progress
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError, RunError
from hmgdm_plugin.schema.run import RECORD

ray: Any = pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.cluster_utils", reason="this Ray has no local clusters")
SLIDES = 24


class SlowJob:
    """Says on which machine of the cluster it ran; slides called bad fail, one called late takes too long."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        import ray

        node = ray.get_runtime_context().get_node_id()
        with (self._root / "begun").open("a") as file:
            file.write(f"{entry.key} {node}\n")
        if entry.slide_id == "bad":
            raise InputError("bad: cannot be read", "copy it again")
        if entry.slide_id == "stop":
            raise RunError("the disk is full", "free some space")
        with limited(work, 0.005):
            time.sleep(60 if entry.slide_id == "late" else 0.2)
        made.mkdir()
        (made / "result").write_text(entry.slide_id)
        (made / RECORD).write_text("{}")
        return "0" * 64


@pytest.fixture(name="cluster")
def _cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    from ray.cluster_utils import Cluster

    repo = str(Path(__file__).resolve().parents[2])
    places = [repo, str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


def test_a_machine_that_dies_costs_time_and_no_slide(cluster: Any, tmp_path: Path) -> None:
    together, second = cluster
    store = Store(tmp_path / "r")
    store.begin({})
    names = [*(f"s{number}" for number in range(SLIDES)), "bad", "late"]
    entries = keyed(SlideEntry(name, Path("x")) for name in names)
    told: list[tuple[str, str]] = []

    def kill_in_the_middle() -> None:
        while len(list((store.root).glob("slides/*"))) < SLIDES // 3:
            time.sleep(0.05)
        together.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    RayRun(store, entries, partial(SlowJob, tmp_path), lambda key, word, more: told.append((key, word))).run(0.5, 0.0)
    killer.join()
    words = {entry.key: state.word for entry in entries if (state := store.state(entry.key))}
    assert words == {**{f"s{number}": "done" for number in range(SLIDES)}, "bad": "quarantined", "late": "quarantined"}
    late = store.state("late")
    assert late is not None
    assert ["took longer than its limit" in each.problem for each in late.failures] == [True, True]
    assert {path.parent.name: path.read_text() for path in store.root.glob("slides/*/result")} == {
        f"s{number}": f"s{number}" for number in range(SLIDES)
    }
    begun = [line.split() for line in (tmp_path / "begun").read_text().splitlines()]
    assert len({node for _, node in begun}) == 2, "both machines worked"
    assert Counter(key for key, word in told if word == "done") == Counter(
        {f"s{number}": 1 for number in range(SLIDES)}
    )
    assert not list(store.root.glob("work/*/*"))
    with pytest.raises(InputError, match="no machine of the Ray cluster"):
        RayRun(store, entries, partial(SlowJob, tmp_path), lambda *told: None).run(64.0, 0.0)
    stop = keyed([SlideEntry("stop", Path("x"))])
    with pytest.raises(RunError, match="the disk is full"):
        RayRun(store, stop, partial(SlowJob, tmp_path), lambda *told: None).run(0.5, 0.0)
