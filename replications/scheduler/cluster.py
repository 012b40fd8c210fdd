"""Stages on a Ray cluster whose nodes share this checkout, its environment and the cache, at the same paths.

Each stage is a task that asks for a core, the memory that it declares and a GPU if it computes on one; Ray says where.
joblib's backend for Ray knows neither resources of single tasks nor tasks that wait for others.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from replications import arithmetic
from replications.errors import Refusal
from replications.pipeline import Stage
from replications.scheduler.schedule import Machine
from replications.scheduler.workers import ProcessEnd, performed

RETRIES = 3  # of a stage whose worker or node is lost; it goes on with the parts that are finished
HANDED_ON = (
    "REPLICATIONS_CACHE",
    "REPLICATIONS_MIRROR",
    "PYTHONPATH",
    "PATH",
    *arithmetic.KERNELS,
    *arithmetic.THREADS,
)


class Cluster:
    """Runs stages on the cluster at `address` (`auto`: that of this node). A context, which leaves the cluster alone.

    Refuses an installation without Ray, and a cluster that does not answer.
    """

    def __init__(self, root: Path, address: str) -> None:
        arithmetic.one_thread()
        self.root, self.ray = root, _ray()
        environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ} | {"TQDM_DISABLE": "1"}
        try:
            _knock(address)
            self.ray.init(address=address, runtime_env={"env_vars": environment}, log_to_driver=False)
        except (OSError, ValueError) as error:  # a ConnectionError is one of the former
            raise Refusal(f"no Ray cluster at {address} ({error}): `ray start --head` begins one") from None
        self.task = self.ray.remote(max_calls=1, max_retries=RETRIES)(on_a_node)  # a process of its own for each
        self.running: dict[Future[ProcessEnd], Any] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.ray.shutdown()

    @property
    def machine(self) -> Machine:
        """All nodes together; on which one there is room for a stage is Ray's to say."""
        there = self.ray.cluster_resources()
        return Machine(int(there.get("CPU", 1)), there.get("memory", 0.0) / 1e9)

    def start(self, stage: Stage, log: Path) -> Future[ProcessEnd]:
        """Run a stage's command on some node; what it says goes to `log`."""
        asks = self.task.options(num_cpus=1, num_gpus=stage.gpus, memory=int(stage.gigabytes * 1e9), name=stage.name)
        reference = asks.remote(stage.cmd, str(self.root), str(log))
        future = reference.future()
        self.running[future] = reference
        future.add_done_callback(lambda done: self.running.pop(done, None))
        return future

    def cancel(self, future: Future[ProcessEnd]) -> None:
        """End one command at once."""
        if future in self.running:
            self.ray.cancel(self.running[future], force=True)

    def stop(self) -> None:
        """End what still runs."""
        for reference in list(self.running.values()):
            self.ray.cancel(reference, force=True)


def _knock(address: str) -> None:
    """OSError unless somebody listens at HOST:PORT, for whom Ray would wait minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def on_a_node(command: str, root: str, log: str) -> ProcessEnd:
    """Run a command in this worker, which leaves the process group of Ray's own processes."""
    os.setpgid(0, 0)
    return performed(command, root, log)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise Refusal("--ray needs Ray: `pip install .[cluster]` into the environment of every node") from None
    return ray
