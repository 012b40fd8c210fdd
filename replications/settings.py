"""params.yaml, typed, and where things lie in a checkout."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from replications.errors import Refusal

PROFILES = ("default", "full")


def find_root(start: Path) -> Path:
    """Nearest folder at or above `start` that holds params.yaml; `start` itself when none does."""
    return next((folder for folder in (start, *start.parents) if (folder / "params.yaml").is_file()), start)


ROOT = find_root(Path(__file__).resolve().parents[1])
DATA = ROOT / "data"
REPORTS = ROOT / "reports"


class Run(BaseModel):
    """One cell of the matrix: a catalogue id and a language code."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    language: str


class Settings(BaseModel):
    """`runs` is the matrix, `long_runs` the part of it that the rooms with long experiments take.

    `rooms` maps the name of every other top-level section of params.yaml to its plain contents.
    """

    model_config = ConfigDict(frozen=True)
    profile: str
    models: list[str] = []
    datasets: list[str] = []
    runs: dict[str, Run]
    long_runs: dict[str, Run] = {}
    rooms: dict[str, dict]

    def run_name(self, model: str, language: str) -> str | None:
        """Name under which params.yaml runs this model in this language; None when it does not."""
        wanted = Run(model=model, language=language)
        return next((name for name, run in self.runs.items() if run == wanted), None)


def load_settings(root: Path = ROOT) -> Settings:
    """Read `root`/params.yaml. Refuses a missing or malformed file, naming the field and the remedy."""
    file = root / "params.yaml"
    raw = _read_mapping(file)
    known = {"profile", "models", "datasets", "runs", "long_runs"}
    sections = {name: part for name, part in raw.items() if name not in known}
    try:
        settings = Settings(**{name: raw[name] for name in known & raw.keys()}, rooms=sections)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refusal(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check(settings, file)
    return settings


def room_params(room: str, profile: str, root: Path = ROOT) -> dict[str, Any]:
    """A room's section of params.yaml with every {default: ..., full: ...} resolved for the profile."""
    section = load_settings(root).rooms.get(room)
    if section is None:
        raise Refusal(f"{root / 'params.yaml'} has no section {room!r}")
    return {name: _of_profile(value, profile) for name, value in section.items()}


def _of_profile(value: Any, profile: str) -> Any:
    return value[profile] if isinstance(value, dict) and set(value) == set(PROFILES) else value


def _read_mapping(file: Path) -> dict:
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{file} is missing: run inside a checkout of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refusal(f"{file} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise Refusal(f"{file} should be a mapping with `profile`, `runs` and one section per room")
    return raw


def _check(settings: Settings, file: Path) -> None:
    if settings.profile not in PROFILES:
        raise Refusal(f"{file}: profile is {settings.profile!r}; it should be one of {', '.join(PROFILES)}")
    seen: dict[Run, str] = {}
    for name, run in settings.runs.items():
        if run in seen:
            both = f"{seen[run]} and {name} are both {run.model} in {run.language}"
            raise Refusal(f"{file}: runs {both}; keep one")
        seen[run] = name
    for name, run in settings.long_runs.items():
        if settings.runs.get(name) != run:
            raise Refusal(f"{file}: long_runs {name} should be one of `runs`, word for word")
