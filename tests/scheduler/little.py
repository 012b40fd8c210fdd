"""A pipeline of little stages in a repository of its own, run by the scheduler in a process that a test can kill."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from dvc.cli import main as dvc_main

from replications.pipeline import plan, stages
from replications.scheduler import workers
from replications.scheduler.lock import owned
from replications.scheduler.reproduce import Options, make

WORK = """
import os, signal, sys, time
from pathlib import Path
out, *ins = sys.argv[1:]
with open("counted", "a") as file:
    file.write(out + "\\n")
def moment(name):  # at which a test has it killed, with the process that runs it
    asked = Path(f"kill-{out}")
    if asked.exists() and asked.read_text() == name:
        asked.unlink()
        os.killpg(0, signal.SIGKILL)
moment("before")
time.sleep(0.1)
fresh = Path(out + ".fresh")
fresh.write_text(out + "".join(Path(one).read_text() for one in ins))
moment("half")
fresh.replace(out)
moment("after")
"""
CHAIN = {"a": ["in"], "b": ["a"], "c": ["in"], "d": ["c"], "e": ["in"], "f": ["b", "d"], "g": ["e"], "h": ["in"]}


def build(root: Path) -> Path:
    """git and DVC with the stages of CHAIN, as `dvc repro` has made them; what ran is a line of `counted`."""
    call(root, "git", "init", "-q")
    call(root, "dvc", "init", "-q")
    (root / "in").write_text("1")
    (root / "work.py").write_text(WORK)
    (root / "params.yaml").write_text("{}\n")
    blocks = {
        name: {"cmd": f"python -SE work.py {name} {' '.join(deps)}", "deps": [*deps, "work.py"],
               "outs": [{name: {"cache": False, "persist": True}}]}
        for name, deps in CHAIN.items()
    }  # fmt: skip
    (root / "dvc.yaml").write_text(json.dumps({"stages": blocks}))
    (root / ".gitignore").write_text("/counted\n/reports\n/kill-*\n*.fresh\n")
    call(root, "dvc", "repro", "-q")
    call(root, "git", "add", "-A")
    call(root, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "made")
    (root / "counted").unlink()
    return root


def call(root: Path, *command: str) -> str:
    """What a command says; it has to end well. DVC runs in this process, which has it loaded."""
    if command[0] != "dvc":
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    with contextlib.chdir(root), contextlib.redirect_stdout(io.StringIO()) as said:
        assert dvc_main(list(command[1:])) == 0, said.getvalue()
    return said.getvalue()


def counted(root: Path) -> list[str]:
    """The stages that have begun, in order."""
    file = root / "counted"
    return file.read_text().split() if file.is_file() else []


def run(root: Path, options: Options) -> list:
    """What became of each stage. Nothing is loaded beforehand, which these stages would not need."""
    workers.LIBRARIES = "json"
    with owned(root) as lock:
        return make(plan(stages(root), lambda need: ""), root, options, lock)


def served() -> None:
    """Fork a scheduler for every folder that is a line of stdin; say its process, and how it ended. All is loaded then.

    For a process of its own, which has one thread only.
    """
    for line in sys.stdin:
        if pid := os.fork():
            print(pid, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        else:
            done = run(Path(line.strip()), Options(is_forced=True, jobs=2))
            os._exit(int(any(one.failure for one in done)))
