"""One run of one room: measured, put in its place as a whole, judged, and accounted for.

A run under reports/ is evidence, with exactly the files that its stage writes; its figures are a stage of their own.
Anywhere else it is a trial: its figures are drawn at once, and run.json beside its files says what made it, so that
`replicate adopt` can tell whether it would come out the same today.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from replications import arithmetic, drawing, files, imports, places
from replications.claims import ledger
from replications.claims.schema import WEIGHTLESS
from replications.edge import Stopped
from replications.errors import Refusal
from replications.evidence.versions import versions
from replications.pipeline import room_stage
from replications.settings import load_settings, room_params

RECORD = "run.json"
SHARDS = Path("replications/evidence/shards.py")
FETCHED = ("models", "datasets")  # folders of reports/ that say what is fetched; pinned by hash in the catalogue
UNREAD = (".py", ".pyc", ".md")  # modules are in the digest of the code; no run reads the others


@dataclass(frozen=True)
class TrialRun:
    """What to measure, and how."""

    room: str
    model: str
    language: str
    device: str = "cpu"
    profile: str = "default"

    @property
    def place(self) -> places.RunPlace:
        return self.room, self.model, self.language

    @property
    def named(self) -> str:
        """The options that name it on the command line."""
        weightless = self.model in WEIGHTLESS
        return self.room if weightless else f"{self.room} --model {self.model} --language {self.language}"


def folder(out: Path | None, root: Path) -> Path:
    """Where runs go. Refuses a folder among the evidence, where a trial would be taken for evidence."""
    chosen, reports, local = (
        path.resolve() for path in (out or root / places.LOCAL, root / "reports", root / places.LOCAL)
    )
    if chosen != reports and chosen.is_relative_to(reports) and not chosen.is_relative_to(local):
        raise Refusal(f"--out {out} lies among the evidence: it should be reports, reports/local or a folder elsewhere")
    return chosen


def measure(asked: TrialRun, folder: Path, root: Path, show: Callable[[Any], None]) -> None:
    """Run the stage into `folder`, then show the verdicts on this run and where it lies."""
    evidence = folder == (root / "reports").resolve()
    if evidence:
        arithmetic.one_thread()
    for written in {folder, (root / "reports").resolve()}:
        places.recover(written)
    files.sweep(root / "reports")
    target = folder / Path(*asked.place)
    stage = import_module(f"replications.{asked.room}.stage")
    with places.replaced(folder, asked.place) as fresh:
        record = {} if evidence else account(asked, fresh, root)
        try:
            stage.run(model=asked.model, language=asked.language, device=asked.device, profile=asked.profile, out=fresh)
        except KeyboardInterrupt:
            raise Stopped(stopped(asked, folder, root)) from None
        if not evidence:
            files.write_json(fresh / RECORD, record | {"weights": weights(asked.model, root)})
    if not evidence:
        for reason in drawing.draw(folder, [asked.place]).values():
            print(reason, file=sys.stderr)
    try:
        rows = ledger.run_verdicts(asked.room, target / "metrics.json", root)
    except Refusal as refusal:  # the run is whole all the same, and may have taken hours
        print(f"{_shown(target, root)} is written, but cannot be judged: {refusal}", file=sys.stderr)
        return
    if evidence:
        print(f"{_shown(target, root)}: {counts(rows)}")
    else:
        _tell(asked, rows, target, root, show)


def join(asked: TrialRun, folder: Path, root: Path) -> None:
    """Help whoever is making this run into `folder`: make shards of it, and write nothing there.

    Returns when no shard is left to be made, or when the run's owner has ended. Refuses a room without shards.
    """
    if not has_shards(asked.room):
        raise Refusal(f"room {asked.room} cannot be joined: its run should be one of parts that are kept as shards")
    if folder == (root / "reports").resolve():
        arithmetic.one_thread()
    stage = import_module(f"replications.{asked.room}.stage")
    from replications.evidence import shards

    unwritten = folder / places.PARTIAL / asked.room / asked.model / f"{asked.language}.joined"  # finds upstream runs
    with shards.helping():
        stage.run(
            model=asked.model, language=asked.language, device=asked.device, profile=asked.profile, out=unwritten
        )  # fmt: skip


def has_shards(room: str) -> bool:
    """Whether runs of a room are made of shards, so that several processes can work on one of them."""
    return SHARDS in imports.closure(f"replications.{room}.stage")


def account(asked: TrialRun, out: Path, root: Path) -> dict[str, Any]:
    """What a run depends on, as run.json holds it: params, digests of code and other inputs, versions."""
    return {
        "room": asked.room, "model": asked.model, "language": asked.language, "device": asked.device,
        "profile": asked.profile, "params": params(asked, root), "versions": versions(),
        "code": imports.digest(f"replications.{asked.room}.stage"), "inputs": inputs(asked, out, root),
    }  # fmt: skip


def params(asked: TrialRun, root: Path) -> dict[str, Any]:
    """The sections of params.yaml that the room reads, as the profile has them."""
    stage, _ = room_stage(asked.room, _item(asked), root)
    named, known = (stage.params if stage else [asked.room]), load_settings(root).rooms
    return {name: files.rounded(room_params(name, asked.profile, root)) for name in named if name in known}


def inputs(asked: TrialRun, out: Path, root: Path) -> dict[str, str]:
    """SHA-256 by path of what the stage depends on besides code and what is fetched; `out` is the run's own folder."""
    stage, _ = room_stage(asked.room, _item(asked), root)
    found: dict[str, str] = {}
    for dep in stage.deps if stage else []:
        parts = Path(dep).parts
        if parts[0] == "reports" and parts[1] not in FETCHED:
            path = places.upstream(out, (parts[1], parts[2], parts[3]), "/".join(parts[4:]))
            found |= {dep: files.sha256(path)} if path.is_file() else {}
        elif parts[0] != "reports":
            found |= {str(path.relative_to(root)): files.sha256(path) for path in _read(root / dep)}
    return found


def weights(model: str, root: Path) -> str | None:
    """SHA-256 of the weights that are here for a model; None when there are none."""
    from replications.catalogue import folders, store
    from replications.catalogue.entries import load_catalogue

    entry = load_catalogue(root / "data" / "catalogue" / "models.yaml").get(model)
    found = folders.find(store.cache_root(), entry) if entry else None
    return folders.weights_hash(folders.read_manifest(found)) if found else None


def counts(rows: list[ledger.VerdictRow]) -> str:
    """How many verdicts of each kind: "5 holds, 1 fails"."""
    numbers = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{number} {verdict}" for verdict, number in numbers.items()) or "no claim is asked of this run"


def stopped(asked: TrialRun, folder: Path, root: Path) -> str:
    """What Ctrl-C has left, and the command that goes on."""
    from replications.catalogue import store

    cache = store.cache_root()
    parts = len(list(cache.glob(f"shards/{asked.room}-{asked.model}[-@]*/**/*.safetensors")))
    training = [*cache.glob(f"dictionaries/{asked.model}-*.training/latest.json"),
                *cache.glob(f"training/{asked.room}/**/latest.json")]  # fmt: skip
    kept = [f"{parts} finished parts"] * bool(parts) + ["the training's last checkpoint"] * bool(training)
    go = f"`{command(asked, folder, root)}`"
    if not kept:
        return f"stopped before a part was finished that could be kept; {go} begins again"
    return f"stopped; {' and '.join(kept)} are kept in {cache}, and {go} goes on from there"


def command(asked: TrialRun, folder: Path, root: Path) -> str:
    """The command that makes this run."""
    chosen = load_settings(root).profile
    options = f" --device {asked.device}" * (asked.device != "cpu") + f" --profile {asked.profile}" * (
        asked.profile != chosen
    )
    elsewhere = folder != (root / places.LOCAL).resolve()
    return f"replicate run {asked.named}{options}" + (f" --out {_shown(folder, root)}" if elsewhere else "")


def _tell(
    asked: TrialRun, rows: list[ledger.VerdictRow], target: Path, root: Path, show: Callable[[Any], None]
) -> None:
    from replications.report.scoreboard import verdict_rows

    show(verdict_rows(rows, {asked.room: ledger.load_claims(asked.room, root)}))
    record = files.read_json(target / RECORD)
    made = [f"code {record['code'][:12]}", f"profile {asked.profile}", f"device {asked.device}"]
    made += [f"weights {record['weights'][:12]}"] if record["weights"] else []
    made += [f"{name} {version}" for name, version in record["versions"].items()]
    print(f"{_shown(target, root)}: {counts(rows)}")
    print(f"made by {', '.join(made)}; {RECORD} there has all of it")
    if places.root_of(target) == (root / places.LOCAL).resolve():
        print(
            f"a trial run, no evidence: `replicate adopt --model {asked.model} --language {asked.language}` makes it so"
        )


def _item(asked: TrialRun) -> Mapping[str, str]:
    return {"model": asked.model, "language": asked.language}


def _read(path: Path) -> list[Path]:
    """Files of a folder, or the file, that a run may read besides modules."""
    listed = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [one for one in listed if one.is_file() and one.suffix not in UNREAD and not re.match(r"\.", one.name)]


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root.resolve()) if path.is_relative_to(root.resolve()) else path
