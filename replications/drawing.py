"""Figures of runs, from what the runs have left, without torch: FOLDER/figures/<room>/<model>/<language>.

Each room's figures.py has `draw(run, out, title)`, which writes what it draws of a run (`evidence.run.Run`) into the
folder `out`. A run's figures are replaced as a whole; one that cannot be drawn keeps those it had.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from replications import places
from replications.errors import Refusal
from replications.evidence.run import Run
from replications.places import RunPlace

FIGURES = "figures"
LANGUAGES = "languages"  # what `replicate languages` compares is drawn like the runs of a room
FAULTS = (LookupError, ValueError, TypeError, AttributeError)  # of tables that lack what a figure shows


def draw_room(folder: Path, room: str) -> tuple[list[RunPlace], dict[RunPlace, str]]:
    """Draw all runs in FOLDER/<room>: those that were drawn, and why others were not.

    Figures of runs that are there no more are deleted. Refuses a room without runs.
    """
    runs = [(room, path.parts[-2], path.parts[-1]) for path in sorted((folder / room).glob("*/*")) if path.is_dir()]
    if not runs:
        raise Refusal(f"{folder / room} holds no run that could be drawn: `replicate run {room}` first")
    failed = draw(folder, runs)
    for old in (folder / FIGURES / room).glob("*/*"):
        place = (room, old.parts[-2], old.parts[-1])
        if place not in runs:
            remove(folder, place)
    return [run for run in runs if run not in failed], failed


def draw(folder: Path, runs: Iterable[RunPlace]) -> dict[RunPlace, str]:
    """Draw these runs of FOLDER; returns why some could not be drawn."""
    places.recover(folder / FIGURES)
    failed = {}
    for place in runs:
        try:
            with places.replaced(folder / FIGURES, place) as fresh:
                _draw(Run(folder / Path(*place)), place, fresh)
        except Refusal as refusal:
            failed[place] = f"{'/'.join(place)} cannot be drawn: {refusal}"
    return failed


def remove(folder: Path, place: RunPlace) -> None:
    """Delete a run's figures, and the folders above them that are empty then."""
    target = folder / FIGURES / Path(*place)
    shutil.rmtree(target, ignore_errors=True)
    for parent in target.parents[:3]:
        with contextlib.suppress(OSError):  # of one that holds other figures, or is not there
            parent.rmdir()


def _draw(run: Run, place: RunPlace, out: Path) -> None:
    """Refuses tables that lack what a figure shows, naming those that it was to be drawn from."""
    room, *rest = place
    figures = import_module(f"replications.{room}.figures")
    try:
        figures.draw(run, out, ", ".join(rest))
    except FAULTS as error:
        read = ", ".join(str(run.tables.folder / f"{name}.csv") for name in run.tables.read) or run.folder
        raise Refusal(f"{read} should hold what its figures show ({error!r})") from error
