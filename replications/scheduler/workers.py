"""Processes that run a stage's command on this machine, each forked from one that has the libraries loaded already.

To import torch and transformers takes eight seconds, which every stage would spend anew. The code of this project is
not among what is loaded: a stage runs what is in the checkout when it starts, which is what DVC records.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import runpy
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from replications import arithmetic
from replications.durations import StageUsage
from replications.pipeline import Stage
from replications.scheduler.schedule import Machine

LIBRARIES = "replications.scheduler.libraries"
PATIENCE = 30.0  # seconds that a stage has to end after Ctrl-C
ROUNDS = 250  # of the calibration: about ten seconds
# Status of a command, negative for a signal, and what it took if that is known.
ProcessEnd = tuple[int, StageUsage | None]


def machine() -> Machine:
    """The cores that this process may use, and all memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(len(os.sched_getaffinity(0)), memory)


class Here:
    """Runs commands on this machine. A context: what still runs when it is left is killed."""

    def __init__(self, root: Path, jobs: int | None = None) -> None:
        arithmetic.one_thread()
        os.environ["TQDM_DISABLE"] = "1"  # read when it is loaded; stages show steps of their own
        self.root, self.jobs = root, jobs or machine().cores
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([LIBRARIES])
        self.threads = ThreadPoolExecutor(2 * self.jobs)  # one that is cancelled may end after another has begun
        self.running: dict[Future[Any], BaseProcess] = {}

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
        self.threads.shutdown()

    @property
    def machine(self) -> Machine:
        """What stages are given: `jobs` of the cores, and all memory."""
        return Machine(self.jobs, machine().gigabytes)

    def start(self, stage: Stage, log: Path) -> Future[ProcessEnd]:
        """Run a stage's command in a process of its own; what it says goes to `log`."""
        return self._started(perform, stage.cmd, str(self.root), str(log))

    def calibrate(self) -> float:
        """Seconds that the fixed piece of work takes, on as many processes at once as there will be stages."""
        begun = [self._started(fixed_work) for _ in range(self.jobs)]
        return max(future.result()[1] for future in begun)

    def cancel(self, future: Future[ProcessEnd]) -> None:
        """End one command at once, and what it has started."""
        _signal(self.running.get(future), signal.SIGKILL)
        wait([future], PATIENCE)

    def stop(self, signum: int = signal.SIGINT) -> None:
        """Have all that runs end, by Ctrl-C or at once, and wait for it."""
        futures = list(self.running)
        for process in list(self.running.values()):
            _signal(process, signum)
        _, late = wait(futures, PATIENCE)
        for future in late:
            self.cancel(future)

    def _started(self, target: Callable[..., None], *args: Any) -> Future[Any]:
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=in_a_group, args=(target, sender, *args))
        process.start()
        sender.close()  # so that the receiver hears of the process's end
        future = self.threads.submit(_awaited, process, receiver)
        self.running[future] = process
        future.add_done_callback(lambda done: self.running.pop(done, None))
        return future


def _signal(process: BaseProcess | None, signum: int) -> None:
    if process is None or process.pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, signum)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(process.pid, signum)


def _awaited(process: BaseProcess, receiver: Connection) -> tuple[int, Any]:
    with receiver:
        try:
            said = receiver.recv()
        except (EOFError, ConnectionResetError):
            said = None
    process.join()
    return process.exitcode or 0, said


def in_a_group(target: Callable[..., None], sender: Connection, *args: Any) -> None:
    """Run `target` in a process group of its own, which ends when the process that started it does.

    Ctrl-C ends it also where it is ignored by whoever started all this in the background of a shell.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    target(sender, *args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)


def perform(sender: Connection, command: str, root: str, log: str) -> None:
    """Run a command; sends what it took and exits with its status."""
    status, used = performed(command, root, log)
    sender.send(used)
    sender.close()
    sys.exit(status)


def performed(command: str, root: str, log: str) -> tuple[int, StageUsage]:
    """Run a command as a shell in `root` would, its output behind what `log` holds, for good: status, what it took."""
    with open(log, "ab", buffering=0) as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    os.chdir(root)
    began = time.monotonic()
    status = _status(command)
    return status, usage(time.monotonic() - began)


def usage(seconds: float) -> StageUsage:
    """What this process and those it waited for have taken."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 1 if sys.platform == "darwin" else 1024
    return StageUsage(
        seconds=round(seconds, 1),
        cpu_seconds=round(sum(one.ru_utime + one.ru_stime for one in both), 1),
        gigabytes=round(max(one.ru_maxrss for one in both) * unit / 1e9, 2),
    )


def _status(command: str) -> int:
    """Of the project's own program, which runs in this process, or of any other, which a shell starts."""
    program, *words = shlex.split(command)
    if program != "replicate":
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return subprocess.run(command, shell=True, env=os.environ | {"PATH": path}).returncode
    sys.argv = [program, *words]
    try:
        runpy.run_module("replications.cli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def fixed_work(sender: Connection) -> None:
    """Matrix products and functions of the sizes that stages have; sends the seconds they took."""
    import torch

    torch.manual_seed(0)
    states, weights = torch.randn(512, 576), torch.randn(576, 1536)
    began = time.monotonic()
    for _ in range(ROUNDS):
        torch.nn.functional.silu(states @ weights) @ weights.T
    sender.send(round(time.monotonic() - began, 2))
    sender.close()
