"""What a run of many stages has made so far: reports/local/repro.json, so that after a kill the next one goes on."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from replications.errors import Refusal
from replications.files import read_json, write_json
from replications.records import Record, checked

UNDER_WAY = Path("reports/local/repro.json")


class Journal(Record):
    """A run under way: the stages it has `made`, each with what dvc.lock is to say of it, as JSON in DVC's order."""

    made: dict[str, str] = Field(default_factory=dict)


def begun(root: Path) -> Journal:
    """The run that was under way here and did not end; an empty one when there is none that can be read."""
    try:
        return checked(read_json(root / UNDER_WAY), Journal, root / UNDER_WAY)
    except (Refusal, FileNotFoundError):
        return Journal()


def note(root: Path, journal: Journal) -> None:
    """Write down how far a run is."""
    write_json(root / UNDER_WAY, journal.model_dump())


def ended(root: Path) -> None:
    """Nothing is left to go on with."""
    (root / UNDER_WAY).unlink(missing_ok=True)
