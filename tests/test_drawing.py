"""Figures from tables on disk alone: every run of a room, without torch; one that cannot be drawn is named."""

import subprocess
import sys
from types import ModuleType

import drawn
import pandas as pd
import pytest

from replications import drawing
from replications.claims.ledger import rooms
from replications.errors import Refusal
from replications.evidence.run import write_tables
from replications.files import write_text

CELLS = [{"weights": weights, "layer": layer, "position": position, "token": token, "restoration": 0.5 * layer}
         for weights in ("measured", "control") for layer in (0, 1)
         for position, token in enumerate(("The", "1", "5"))]  # fmt: skip
CURVES = [{"layer": layer, "role": role, "restoration": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 3, "weights": weights}
          for weights in ("measured", "control") for role in ("subject_last", "last") for layer in (0, 1)]  # fmt: skip
ALL = drawn.pictures("map", "roles")


@pytest.fixture
def reports(tmp_path):
    """Evidence of rome on a model in two languages."""
    for language in ("en", "fr"):
        made = {"article_resid_pre": pd.DataFrame(CELLS), "resid_pre": pd.DataFrame(CURVES)}
        write_tables(tmp_path / "rome" / "tiny" / language, made)
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Figures of rome that are the roles of its curves in a text."""
    figures = ModuleType("replications.rome.figures")
    figures.draw = lambda run, out, title: write_text(out / "roles.txt", "\n".join(run.tables["resid_pre"]["role"]))
    monkeypatch.setitem(sys.modules, figures.__name__, figures)


def test_every_run_of_a_room_is_drawn_without_torch(reports):
    code = (
        "import sys\nfrom pathlib import Path\nfrom replications import drawing\n"
        f"drawn, failed = drawing.draw_room(Path({str(reports)!r}), 'rome')\n"
        "assert (len(drawn), failed) == (2, {}), failed\n"
        "assert not {'torch', 'transformers', 'transformer_lens'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = reports / "figures"
    assert drawn.files(folder) == {f"rome/tiny/{language}/{name}" for language in ("en", "fr") for name in ALL}


def test_no_figures_import_torch():
    modules = [f"{room}.figures" for room in (*rooms(), drawing.LANGUAGES)]
    code = f"import sys\nfor name in {modules}: __import__(f'replications.{{name}}')\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), r"tables/resid_pre\.csv does not exist"),
        (lambda file: file.write_text(file.read_text()[:-9]), r"tables/resid_pre\.csv is cut off or damaged"),
        (lambda file: file.write_text(file.read_text().replace("role", "rule")), r"tables/resid_pre\.csv should hold"),
    ],
)
def test_a_run_that_cannot_be_drawn_is_named_and_keeps_its_figures(reports, quick, damage, said):
    drawing.draw_room(reports, "rome")
    before = {name: (reports / "figures" / name).read_bytes() for name in drawn.files(reports / "figures")}
    damage(reports / "rome" / "tiny" / "en" / "tables" / "resid_pre.csv")
    done, failed = drawing.draw_room(reports, "rome")
    assert done == [("rome", "tiny", "fr")]
    ((place, reason),) = failed.items()
    assert place == ("rome", "tiny", "en")
    with pytest.raises(Refusal, match=f"^rome/tiny/en cannot be drawn: .*{said}"):
        raise Refusal(reason)
    assert {name: (reports / "figures" / name).read_bytes() for name in drawn.files(reports / "figures")} == before


def test_figures_of_a_run_that_is_gone_go_too(reports, quick):
    for name in ("rome/old/en/map.svg", "ioi/old/en/map.svg"):
        (reports / "figures" / name).parent.mkdir(parents=True)
        (reports / "figures" / name).touch()
    drawing.draw_room(reports, "rome")
    assert not (reports / "figures" / "rome" / "old").exists()
    assert (reports / "figures" / "ioi" / "old").exists()


def test_a_room_without_runs_is_refused(tmp_path):
    with pytest.raises(Refusal, match="holds no run that could be drawn: `replicate run rome` first"):
        drawing.draw_room(tmp_path, "rome")
