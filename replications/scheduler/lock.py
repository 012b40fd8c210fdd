"""DVC's side: what is stale, and what dvc.lock says of a stage that was made, as `dvc repro` would have written it.

One process owns DVC while a run lasts. To write dvc.lock takes DVC seconds, and half of it would be left by a process
that is killed meanwhile. So entries are kept in the run's journal as stages end and written together at the end, from
where the next run takes them up if this one does not get there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from replications.errors import Refusal
from replications.files import write_bytes

KEPT = Path("reports/local/dvc.lock.kept")  # dvc.lock as it was, while it is being written


class StageLock:
    """The stages of `root`/dvc.yaml as DVC sees them; made by `owned`."""

    def __init__(self, root: Path, repo: Any) -> None:
        self.root, self.repo = root, repo
        self._load()

    def _load(self) -> None:
        with contextlib.chdir(self.root):  # where DVC looks for a stage by its name
            self.repo._reset()
            self.stages = {stage.addressing: stage for stage in self.repo.index.stages}

    def stale(self, names: Iterable[str]) -> set[str]:
        """Those that `dvc repro` would run: a dependency, the command, params or an output have changed."""
        with contextlib.chdir(self.root):
            return {name for name in names if self.stages[name].changed()}

    def entry(self, name: str) -> str:
        """What dvc.lock is to say of a stage that was made just now, as JSON; refuses one that lacks an output."""
        from dvc.exceptions import DvcException
        from dvc.stage.serialize import to_lockfile

        stage = self.stages[name]
        with contextlib.chdir(self.root):
            try:
                stage.save()
                stage.commit()
            except DvcException as error:
                raise Refusal(f"{name} ended well, but DVC cannot record it: {error}") from None
            return json.dumps(to_lockfile(stage)[name])

    def take_up(self, entries: Mapping[str, str]) -> None:
        """Put into dvc.lock what a run that was killed has noted, of stages that would be stale without."""
        stale = self.stale(name for name in entries if name in self.stages)
        self.write({name: entries[name] for name in stale})

    def write(self, entries: Mapping[str, str]) -> None:
        """Put entries into dvc.lock: in place where it has them, behind the others in DVC's order where it has not."""
        from dvc.utils.serialize import modify_yaml

        if not entries:
            return
        with contextlib.chdir(self.root), _kept(self.root), modify_yaml("dvc.lock") as tree:
            tree.setdefault("schema", "2.0")
            stages = tree.setdefault("stages", {})
            for name in [*stages, *(one for one in self._serially() if one not in stages)]:
                if name in entries:
                    stages[name] = json.loads(entries[name])
        self._load()

    def _serially(self) -> list[str]:
        """All stages in the order in which `dvc repro` runs them."""
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        graph = get_active_graph(self.repo.index.graph)
        return [stage.addressing for stage in plan_repro(graph, collect_stages(self.repo, ["dvc.yaml"]))]


@contextmanager
def owned(root: Path) -> Iterator[StageLock]:
    """DVC, for as long as the block runs, after what a killed process has left of its files is undone.

    Refuses while another process has it.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo, lock_repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with ExitStack() as held:
        with contextlib.chdir(root):  # where DVC looks for a stage by its name
            repo = Repo(str(root))
            try:
                held.enter_context(lock_repo(repo))
            except LockError:
                raise Refusal(f"another `replicate repro`, or DVC, is at work in {root}: wait until it ends") from None
            _recover(root)
            lock = StageLock(root, repo)
        yield lock


def _recover(root: Path) -> None:
    """Put back a dvc.lock that was being written, and take away what DVC could not read of its own notes."""
    if (root / KEPT).is_file():
        os.replace(root / KEPT, root / "dvc.lock")
    notes = root / ".dvc" / "tmp" / "rwlock"
    with contextlib.suppress(FileNotFoundError):
        try:
            json.loads(notes.read_text(encoding="utf-8"))
        except ValueError:
            notes.unlink()


@contextmanager
def _kept(root: Path) -> Iterator[None]:
    """Within the block dvc.lock may be written; what it held is put back unless the block ends well."""
    file, kept = root / "dvc.lock", root / KEPT
    if file.is_file():
        write_bytes(kept, file.read_bytes())
    try:
        yield
    except BaseException:
        if kept.is_file():
            os.replace(kept, file)
        raise
    kept.unlink(missing_ok=True)
