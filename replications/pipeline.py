"""dvc.yaml, read: which stages there are, once `foreach` is spelled out, and what each needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from replications.errors import Refusal
from replications.files import read_yaml
from replications.settings import ROOT

NEEDS = ("models", "datasets")  # reports/models/<id>.json and reports/datasets/<id>.json stand for what is fetched
FIGURES, REPORT = "figures", "report"  # blocks that read whatever evidence there is, after all that measures it

SHARING = ("replications/evidence", "replications/evidence/shards.py")  # a stage that keeps its parts depends on one
GIGABYTES = 4.0  # of memory that a stage needs at most unless its `meta` says otherwise

Need = tuple[str, str]  # "models" or "datasets", and an id


@dataclass(frozen=True)
class Stage:
    """A stage as `dvc repro` names it; `deps` and `outs` are paths from the root of the checkout.

    `gigabytes` is the memory that it may need, from its `meta`, which DVC leaves to others.
    """

    name: str
    cmd: str
    deps: list[str]
    params: list[str]
    outs: list[str]
    gigabytes: float = GIGABYTES

    @property
    def block(self) -> str:
        """Name of its block in dvc.yaml: of a stage that measures, the room."""
        return self.name.partition("@")[0]

    @property
    def is_shared(self) -> bool:
        """Whether more processes can make parts of one run of it: `replicate run ... --join`."""
        return any(dep in SHARING for dep in self.deps)

    @property
    def gpus(self) -> int:
        """How many it computes on, as its command says."""
        return int("--device cuda" in self.cmd)

    @property
    def phase(self) -> int:
        """0 of what fetches and measures, then the figures, the report last: a phase begins when the one before ended.

        The later ones have no upstream that could be missing or fail: what is not made anew keeps its evidence.
        """
        return 2 if self.block == REPORT else int(self.block.startswith(FIGURES))

    @property
    def needs(self) -> list[Need]:
        """Everything that it names as a file to be fetched, itself included; not what its upstream needs."""
        paths = [Path(path) for path in (*self.deps, *self.outs)]
        found = [(path.parent.name, path.stem) for path in paths if path.parent.parent == Path("reports")]
        return list(dict.fromkeys(need for need in found if need[0] in NEEDS))


def stages(root: Path = ROOT) -> list[Stage]:
    """Every stage of `root`/dvc.yaml, in the file's order. Refuses a file that is not one."""
    try:
        blocks = read_yaml(root / "dvc.yaml")["stages"]
        params = read_yaml(root / "params.yaml")
        return [stage for name, block in blocks.items() for stage in _spelled_out(name, block, params)]
    except (KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{root / 'dvc.yaml'} cannot be read together with params.yaml ({error!r})") from None


@dataclass(frozen=True)
class PipelinePlan:
    """Stages to run, each after what it depends on, and why the others are left out."""

    stages: list[Stage]
    upstream: dict[str, list[str]]
    left_out: dict[str, str]


def upstream(listed: Sequence[Stage]) -> dict[str, list[str]]:
    """Names of the stages whose outputs each stage depends on, directly or not, nearest last; after phase 0 none."""
    made: dict[str, list[str]] = {}  # by each output and by each folder that it lies in
    whole: dict[str, list[str]] = {}  # by the output alone, which may be a folder
    for stage in listed:
        for out in stage.outs:
            whole.setdefault(out, []).append(stage.name)
            for place in _and_above(out):
                made.setdefault(place, []).append(stage.name)

    def makers(dep: str) -> list[str]:
        return made.get(dep, []) + [name for place in _and_above(dep)[1:] for name in whole.get(place, [])]

    direct = {
        stage.name: [] if stage.phase else [
            name for dep in stage.deps for name in dict.fromkeys(makers(dep)) if name != stage.name
        ]
        for stage in listed
    }  # fmt: skip
    found: dict[str, list[str]] = {}

    def ancestors(name: str) -> list[str]:
        if name not in found:
            found[name] = list(dict.fromkeys(one for near in direct[name] for one in [*ancestors(near), near]))
        return found[name]

    return {stage.name: ancestors(stage.name) for stage in listed}


def plan(listed: Sequence[Stage], missing: Callable[[Need], str]) -> PipelinePlan:
    """All stages for which everything upstream can be had too. `missing` says why something cannot, or "".

    Anything that is needed is asked for once.
    """
    before, by_name = upstream(listed), {stage.name: stage for stage in listed}
    reasons = {need: missing(need) for need in dict.fromkeys(need for stage in listed for need in stage.needs)}
    here, left_out = [], {}
    for stage in listed:
        needs = dict.fromkeys(need for name in (*before[stage.name], stage.name) for need in by_name[name].needs)
        if lacking := [need for need in needs if reasons[need]]:
            left_out[stage.name] = _why(lacking, reasons)
        else:
            here.append(stage)
    return PipelinePlan(sorted(_in_order(here, before), key=lambda stage: stage.phase), before, left_out)


def first_runs(whole: PipelinePlan, rooms: Sequence[str]) -> PipelinePlan:
    """Of each room the first run that can be had, with what those depend on, all figures and the report."""
    chosen = [next((stage.name for stage in whole.stages if stage.block == room), REPORT) for room in rooms]
    return narrowed(whole, [*chosen, *(stage.name for stage in whole.stages if stage.phase)])


def narrowed(whole: PipelinePlan, names: Sequence[str]) -> PipelinePlan:
    """Only the named stages and what they depend on. Refuses a name that is no stage, or one that is left out."""
    known = {stage.name for stage in whole.stages}
    for name in names:
        if name in whole.left_out:
            raise Refusal(f"{name} cannot be run here: {whole.left_out[name]}")
        if name not in known:
            raise Refusal(f"dvc.yaml has no stage {name!r}; known: {', '.join(sorted(known | whole.left_out.keys()))}")
    wanted = {one for name in names for one in (*whole.upstream[name], name)}
    return PipelinePlan([stage for stage in whole.stages if stage.name in wanted], whole.upstream, {})


def _and_above(path: str) -> list[str]:
    """A path and the folders that it lies in, nearest first."""
    pure = PurePosixPath(path)
    return [str(pure), *map(str, pure.parents)][:-1]


def _in_order(stages: list[Stage], before: dict[str, list[str]]) -> list[Stage]:
    """dvc.yaml's order, but what a stage depends on goes first."""
    place = {stage.name: stage for stage in stages}
    order = dict.fromkeys(one for name in place for one in (*before[name], name))
    return [place[name] for name in order]


def _why(lacking: list[Need], reasons: dict[Need, str]) -> str:
    """One line: what is missing, and what was said of the first of it."""
    (_, name), *others = lacking
    more = f" (and {', '.join(other for _, other in others)})" if others else ""
    return f"{name}{more}: {reasons[lacking[0]]}"


def room_stage(room: str, item: Mapping[str, str], root: Path = ROOT) -> tuple[Stage | None, str | None]:
    """A room's stage on a model and language that params.yaml need not have, and the matrix that it goes over, if any.

    No stage where dvc.yaml has none of this name.
    """
    file = root / "dvc.yaml"
    try:
        block = read_yaml(file)["stages"].get(room) if file.is_file() else None
    except (TypeError, AttributeError) as error:
        raise Refusal(f"{file} cannot be read ({error!r})") from None
    if block is None:
        return None, None
    matrix = block.get("foreach")
    stage = _stage(room, _substituted(block.get("do", block), dict(item)))
    return stage, matrix and matrix.removeprefix("${").removesuffix("}")


def _spelled_out(name: str, block: dict[str, Any], params: dict[str, Any]) -> Iterator[Stage]:
    """One stage, or one per item of `foreach`: a list, or the name of a list or mapping of params.yaml."""
    if "foreach" not in block:
        yield _stage(name, block)
        return
    items = block["foreach"]
    if not isinstance(items, list):
        items = params[items.removeprefix("${").removesuffix("}")]
    for key, item in items.items() if isinstance(items, dict) else ((item, item) for item in items):
        yield _stage(f"{name}@{key}", _substituted(block["do"], item))


def _stage(name: str, block: dict[str, Any]) -> Stage:
    declared = [out for kind in ("outs", "metrics", "plots") for out in block.get(kind, [])]
    outs = [out if isinstance(out, str) else next(iter(out)) for out in declared]
    gigabytes = block.get("meta", {}).get("gigabytes", GIGABYTES)
    return Stage(name, block["cmd"], block.get("deps", []), block.get("params", []), outs, gigabytes)


def _substituted(tree: Any, item: Any) -> Any:
    if isinstance(tree, dict):
        return {_substituted(key, item): _substituted(value, item) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_substituted(value, item) for value in tree]
    if not isinstance(tree, str):
        return tree
    fields = item if isinstance(item, dict) else {}
    for field, value in fields.items():
        tree = tree.replace(f"${{item.{field}}}", _spelled(value))
    return tree.replace("${item}", _spelled(item))


def _spelled(value: Any) -> str:
    """As DVC writes a value into a command or a path; in the name of a stage it is as Python writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
