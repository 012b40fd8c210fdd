"""Stages on a Ray cluster of two nodes, each a raylet of its own on this machine."""

import importlib.util
import shutil

import pytest
from scheduler import little

from replications.errors import Refusal
from replications.scheduler import Options
from replications.scheduler.cluster import Cluster

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs Ray: `pip install .[cluster]`")
pytestmark = [
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # of a library of DVC's
    pytest.mark.filterwarnings("default:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def nodes():
    from ray.cluster_utils import Cluster as Nodes

    made = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "memory": 4e9})
    made.add_node(num_cpus=1, memory=4e9)
    yield made
    made.shutdown()


@pytest.fixture
def root(tmp_path):
    return little.build(tmp_path)


@needs_ray
def test_two_nodes_make_what_dvc_would_have_made(nodes, root):
    lock = (root / "dvc.lock").read_bytes()
    shutil.move(root / "dvc.lock", root.parent / "kept.lock")
    done = little.run(root, Options(ray=nodes.address))
    assert not [one.failure for one in done if one.failure]
    assert (root / "dvc.lock").read_bytes() == lock
    assert sorted(little.counted(root)) == sorted(little.CHAIN)


@needs_ray
def test_a_worker_that_is_killed_loses_nothing_and_counts_nothing_twice(nodes, root):
    lock = (root / "dvc.lock").read_bytes()
    for name, moment in {"a": "before", "c": "half", "b": "after"}.items():
        (root / f"kill-{name}").write_text(moment)
    done = little.run(root, Options(is_forced=True, ray=nodes.address))
    assert not [one.failure for one in done if one.failure], "Ray gives it to another worker"
    assert [one.stage.name for one in done if one.is_made].count("a") == 1
    assert sorted(little.counted(root)) == sorted([*little.CHAIN, "a", "b", "c"])
    assert (root / "dvc.lock").read_bytes() == lock


@needs_ray
def test_no_cluster_is_a_refusal(tmp_path):
    with pytest.raises(Refusal, match="no Ray cluster at"):
        Cluster(tmp_path, "127.0.0.1:1")


@pytest.mark.skipif(HAS_RAY, reason="says what is missing where Ray is not installed")
def test_without_ray_it_says_what_to_install(tmp_path):
    with pytest.raises(Refusal, match=r"pip install \.\[cluster\]"):
        Cluster(tmp_path, "auto")
