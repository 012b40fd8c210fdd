"""What a run is asked for, and what it leaves: metrics.json, provenance.json and tables/*.csv, written in one way.

Figures are drawn from these files alone, so that to draw anew is never to measure anew.
"""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from replications.errors import Refusal
from replications.evidence.versions import versions
from replications.files import read_json, read_table, read_text, write_csv, write_json

if TYPE_CHECKING:
    import pandas as pd

    from replications.models.load import Loaded

TABLES = "tables"  # folder of the tables within that of a run
Found = TypeVar("Found")


@dataclass(frozen=True)
class Asked:
    """What a stage is asked for: a room on a model in a language, with the room's params of a profile; `out` is where
    the evidence goes."""

    room: str
    model: str
    language: str
    device: str
    params: Mapping[str, Any]
    out: Path

    @property
    def draws(self) -> dict[str, int]:
        """How often and with which seed a sample is resampled, as `stats.resample_weights` takes it."""
        return {"resamples": self.params["resamples"], "seed": self.params["seed"]}

    def identity(self, **more: Any) -> dict[str, Any]:
        """What a killed run has in common with the one that goes on, for `shards.keep`; `more` says what was read."""
        of_run = {"room": self.room, "model": self.model, "language": self.language, "device": self.device}
        return {**of_run, "params": dict(self.params), **more}

    def check_only(self, model: str, language: str, does: str) -> None:
        """Refuse every other model and language, in a room that `does` something without a model of the catalogue."""
        if (self.model, self.language) != (model, language):
            wanted = f"model should be {model} and language {language}"
            raise Refusal(f"room {self.room} {does}: {wanted}, not {self.model} and {self.language}")


def made_by(asked: Asked, loaded: Loaded | None = None) -> dict[str, Any]:
    """What a reader needs to know about how the numbers were made: versions, threads, dtype, params.

    Of a model of the catalogue also its BOS; a toy is made by torch alone.
    """
    import torch

    if loaded is None:
        by: dict[str, Any] = {"versions": {"torch": torch.__version__}}
    else:
        by = {"versions": versions(), "bos_id": loaded.bos_id}
    return by | {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": asked.device,
        "dtype": "float32",
        "params": dict(asked.params),
    }


def write_run(
    out: Path, trees: dict[str, Any], tables: Mapping[str, pd.DataFrame], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a run into the folder `out`; returns the trees. metrics.json comes last: where it is, all is."""
    write_tables(out, tables)
    write_json(out / "provenance.json", provenance)
    write_json(out / "metrics.json", trees)
    return trees


def by_weights(found: Mapping[str, Found], table: Callable[[Found], pd.DataFrame]) -> pd.DataFrame:
    """The tables of all sets of weights under each other, each with its name in a last column `weights`."""
    import pandas as pd

    return pd.concat([table(one).assign(weights=name) for name, one in found.items()])


def write_tree(out: Path, name: str, tree: Any) -> None:
    """Write tables/<name>.json into `out`: what is shown of a run and is no table."""
    write_json(out / TABLES / f"{name}.json", tree)


def write_tables(out: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write tables/<name>.csv into `out`; a table without rows has its header all the same."""
    for name, table in tables.items():
        write_csv(out / TABLES / f"{name}.csv", table, list(table.columns))


class Tables(Mapping[str, "pd.DataFrame"]):
    """The tables of a folder by name, each read when it is first asked for; `read` are those read so far.

    Refuses one that is not there, cut off or no table, naming its file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self.read:
            self.read[name] = read(self.folder / f"{name}.csv")
        return self.read[name]

    def __contains__(self, name: object) -> bool:
        return (self.folder / f"{name}.csv").is_file()

    def __iter__(self) -> Iterator[str]:
        return (file.stem for file in sorted(self.folder.glob("*.csv")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Run:
    """The folder of a run, and what it holds, read when it is asked for."""

    folder: Path

    @property
    def model(self) -> str:
        """Of <room>/<model>/<language>, for a figure to which the language means nothing."""
        return self.folder.parent.name

    @cached_property
    def tables(self) -> Tables:
        """Of tables/, by name."""
        return Tables(self.folder / TABLES)

    def tree(self, name: str) -> dict[str, Any]:
        """tables/<name>.json; refuses a file that cannot be read."""
        return read_json(self.folder / TABLES / f"{name}.json")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The trees `measured` and `control`; refuses a file that cannot be read."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Params, versions and whatever else the stage says of itself; refuses a file that cannot be read."""
        return read_json(self.folder / "provenance.json")


def read(file: Path) -> pd.DataFrame:
    """A table as it was written: only an empty field is missing, a word such as `NA` or `nan` is text.

    Refuses a file whose lines have not all as many fields as the first, which pandas would fill up in silence.
    """
    text = read_text(file)
    widths = {len(row) for row in csv.reader(io.StringIO(text))}
    if len(widths) != 1 or not text.endswith("\n"):
        raise Refusal(f"{file} is cut off or damaged: every line should have as many fields as the first")
    return read_table(file, [], keep_default_na=False, na_values=[""], low_memory=False)
