"""params.yaml, typed, and where things lie in a checkout."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import Field

from replications import params
from replications.errors import Refusal
from replications.files import once_per_file, read_yaml
from replications.params import PROFILES, Name
from replications.records import Record, checked


def find_root(start: Path) -> Path:
    """Nearest folder at or above `start` that holds params.yaml; `start` itself when none does."""
    return next((folder for folder in (start, *start.parents) if (folder / "params.yaml").is_file()), start)


ROOT = find_root(Path(__file__).resolve().parents[1])
DATA = ROOT / "data"
REPORTS = ROOT / "reports"


class RunLine(Record):
    """One cell of the matrix: a catalogue id and a language code.

    `corpus` and `parallel` are the datasets that dvc.yaml waits for, where that depends on the run (the same one twice
    where it reads no more); they do not tell runs apart.
    """

    model: Name
    language: Name
    corpus: Name | None = None
    parallel: Name | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunLine) and (self.model, self.language) == (other.model, other.language)

    def __hash__(self) -> int:
        return hash((self.model, self.language))


class Settings(Record):
    """`matrices` maps `runs` and every other top-level section `..._runs` of params.yaml to its named runs.

    `rooms` maps the name of every further section to its plain contents, which `room_params` checks.
    """

    profile: str
    models: list[Name] = Field(default_factory=list)
    datasets: list[Name] = Field(default_factory=list)
    runs: dict[Name, RunLine]
    matrices: dict[str, dict[Name, RunLine]]
    rooms: dict[str, Any]

    @property
    def every_run(self) -> dict[str, RunLine]:
        """Runs of all matrices by name."""
        return {name: run for matrix in self.matrices.values() for name, run in matrix.items()}

    def run_name(self, model: str, language: str) -> str | None:
        """Name under which params.yaml runs this model in this language; None when it does not."""
        wanted = RunLine(model=model, language=language)
        return next((name for name, run in self.every_run.items() if run == wanted), None)


def load_settings(root: Path = ROOT) -> Settings:
    """Read `root`/params.yaml. Refuses a missing or malformed file, naming the field and the remedy.

    What the sections of the rooms hold is not looked at: one that is wrong should not stop another room.
    """
    file = root / "params.yaml"
    if not file.exists():
        raise Refusal(f"{file} is missing: run inside a checkout of the repository")
    return _read(file)


def room_params(room: str, profile: str, root: Path = ROOT) -> dict[str, Any]:
    """A room's section of params.yaml with every {default: ..., full: ...} resolved for the profile.

    Refuses a section that the room's `Params` does not take, naming the field and what it should be.
    """
    file, rooms = root / "params.yaml", load_settings(root).rooms
    if room not in rooms:
        raise Refusal(f"{file} has no section {room!r}")
    params.check(rooms[room], room, file)
    return deepcopy(params.of_profile(rooms[room], profile))


@once_per_file
def _read(file: Path) -> Settings:
    raw = read_yaml(file, dict[str, Any])
    own = {name: raw[name] for name in ("profile", "models", "datasets", "runs") if name in raw}
    matrices = {name: part for name, part in raw.items() if name == "runs" or name.endswith("_runs")}
    sections = {name: part for name, part in raw.items() if name not in own and name not in matrices}
    settings = checked(own | {"matrices": matrices, "rooms": sections}, Settings, file)
    _check(settings, file)
    return settings


def _check(settings: Settings, file: Path) -> None:
    if settings.profile not in PROFILES:
        raise Refusal(f"{file}: profile is {settings.profile!r}; it should be one of {', '.join(PROFILES)}")
    seen: dict[RunLine, tuple[str, str]] = {}
    for matrix, runs in settings.matrices.items():
        for name, run in runs.items():
            before, known_as = seen.setdefault(run, (matrix, name))
            if known_as != name:
                both = f"{known_as} of {before} and {name} of {matrix} are both {run.model} in {run.language}"
                raise Refusal(f"{file}: {both}; one run has one name")
            if settings.every_run[name] != run:
                raise Refusal(f"{file}: {matrix} {name} is another run elsewhere in the file; one name means one run")
