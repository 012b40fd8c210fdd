"""The command `replicate`: thin over the ledger, the catalogue, the rooms' stages and the report.

Everything heavy is imported inside the command that needs it, so that `replicate --help` is instant.
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replications import arithmetic
from replications.errors import Refusal

if TYPE_CHECKING:
    from replications.settings import Settings

app = typer.Typer(
    name="replicate",
    help="Re-run published interpretability experiments and compare them with what was published.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
new = typer.Typer(no_args_is_help=True)
app.add_typer(new, name="new", help="Write the furniture of something that is added.")

RoomOption = Annotated[str | None, typer.Option(help="Only this replication, for example ioi.")]
ModelOption = Annotated[str | None, typer.Option(help="Only this model, by its catalogue id.")]
LanguageOption = Annotated[str | None, typer.Option(help="Only this language, for example en.")]

WIDEST = 40  # columns are lined up to this many characters


def main() -> None:
    """Run the command line; whatever goes wrong becomes one sentence on stderr and an exit code."""
    arithmetic.pin()
    from replications.edge import guarded

    sys.exit(guarded(_invoke))


def _invoke(words: list[str]) -> None:
    """The command that these words name. Typer's own entrance would swallow Ctrl-C and what is known about it."""
    command = typer.main.get_command(app)
    with command.make_context("replicate", words) as context:
        command.invoke(context)


@app.command()
def claims(room: RoomOption = None) -> None:
    """List the published claims and what each is compared with."""
    from rich.table import Table

    from replications.claims.compare import as_text
    from replications.claims.ledger import all_claims
    from replications.report.escape import terminal

    listed = all_claims(_root())
    if room is not None:
        listed = {room: listed[_known("replication", room, listed)]}
    table = Table("claim", "replication", "model", "published", "statement", "confidence")
    for name, some in listed.items():
        for claim in some:
            published = f"{as_text(claim)} {claim.unit}".strip()
            cells = (claim.id, name, claim.model, published, claim.statement, claim.confidence)
            table.add_row(*map(terminal, cells))
    _show(table)


@app.command()
def models() -> None:
    """List the models of the catalogue."""
    from rich.table import Table

    from replications.report.escape import terminal

    table = Table("model", "architecture", "languages", "licence", "set", "sources")
    for name, entry in _catalogue().items():
        group = "default" if entry.default else "opt-in" if entry.opt_in else ""
        sources = ", ".join(source.kind for source in entry.sources)
        cells = (name, entry.architecture, " ".join(entry.languages), entry.licence, group, sources)
        table.add_row(*map(terminal, cells))
    _show(table)


@app.command()
def verdicts(room: RoomOption = None, model: ModelOption = None, language: LanguageOption = None) -> None:
    """Judge the committed evidence and show the verdicts. Nothing is written."""
    from replications.claims import ledger
    from replications.report.scoreboard import verdict_rows

    rows, listed = ledger.verdicts(_root()), ledger.all_claims(_root())
    for column, wanted in {"replication": room, "model": model, "language": language}.items():
        if wanted is not None:
            _known(column, wanted, (row[column] for row in rows))
            rows = [row for row in rows if row[column] == wanted]
    _show(verdict_rows(rows, listed))


@app.command()
def run(
    room: Annotated[str, typer.Argument(help="The replication, for example ioi.")],
    model: Annotated[str | None, typer.Option(help="Catalogue id; the first one in params.yaml if unset.")] = None,
    language: Annotated[str, typer.Option(help="Language of the stimuli.")] = "en",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:<number> or mps.")] = "cpu",
    profile: Annotated[str | None, typer.Option(help="default or full; params.yaml decides if unset.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the run; reports/local if unset.")] = None,
    join: Annotated[bool, typer.Option("--join", help="Help the process that is at work on this run.")] = False,
) -> None:
    """Measure one replication on one model in one language, judge its claims, and say where the run lies.

    A trial run goes to reports/local/<room>/<model>/<language> and disturbs nothing; `replicate adopt` takes it into
    the evidence. With `--out reports` the evidence itself is written, as `dvc repro` does. The same line with `--join`,
    on any machine that shares the cache, takes over parts of that run, writes nothing else and ends with it.
    """
    from replications import trial
    from replications.claims.ledger import rooms
    from replications.settings import PROFILES, load_settings, room_params

    root, settings = _root(), load_settings(_root())
    _known("replication", room, rooms(root))
    model, language = _known_run(room, model, language, settings)
    profile = _known("profile", profile or settings.profile, PROFILES)
    if room in settings.rooms:
        room_params(room, profile, root)  # refused before anything heavy is imported
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise Refusal(f"unknown device {device!r}; known: cpu, cuda, cuda:<number>, mps")
    folder = trial.folder(out, root)
    os.environ["TQDM_DISABLE"] = "1"  # the libraries' bars, one per patched column; the stage shows its own
    keep_freed_memory()
    asked = trial.TrialRun(room, model, language, device, profile)
    if join:
        trial.join(asked, folder, root)
    else:
        trial.measure(asked, folder, root, show=_show)


@app.command()
def adopt(
    model: Annotated[str, typer.Option(help="Catalogue id of the model that was run.")],
    language: Annotated[str, typer.Option(help="Language that was run.")] = "en",
    room: RoomOption = None,
) -> None:
    """Take the runs in reports/local of a model and language into the evidence, and make them part of the matrix."""
    from replications import adoption
    from replications.claims.ledger import rooms

    if room is not None:
        _known("replication", room, rooms(_root()))
    adoption.adopt(model, language, room, _root())


@app.command()
def record(
    model: Annotated[str, typer.Option(help="Whose verdicts, by its catalogue id; also toy and printed.")],
    room: RoomOption = None,
) -> None:
    """Write down a model's verdicts that are not the hoped-for ones, in data/findings, and show what has changed."""
    from replications import record as recording
    from replications.claims.ledger import rooms
    from replications.claims.schema import WEIGHTLESS

    _known("model", model, [*_catalogue(), *WEIGHTLESS])
    if room is not None:
        _known("replication", room, rooms(_root()))
    recording.record(model, room, _root())


def keep_freed_memory() -> None:
    """Have glibc keep what is freed: handing it back and asking for it anew is a tenth of a forward pass."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**25)


@app.command()
def draw(
    room: Annotated[str, typer.Argument(help="The replication, for example ioi; or languages.")],
) -> None:
    """Draw the figures of every run of a replication from its tables, into reports/figures. Nothing is measured."""
    from replications import drawing
    from replications.claims.ledger import rooms
    from replications.progress import step

    reports = _root() / "reports"
    _known("replication", room, [*rooms(_root()), drawing.LANGUAGES])
    with step(f"drawing {room}"):
        drawn, failed = drawing.draw_room(reports, room)
    print(f"{len(drawn)} drawn into {reports / drawing.FIGURES / room}")
    for reason in failed.values():
        print(reason, file=sys.stderr)
    sys.exit(int(bool(failed)))


@new.command("room")
def new_room(
    room: Annotated[str, typer.Argument(help="Name of the replication, for example ioi_circuit.")],
    runs: Annotated[str | None, typer.Option(help="Matrix of params.yaml; none if no weights are needed.")] = None,
) -> None:
    """Write the furniture of an empty replication: files, a stub of a claim, and the lines that name it elsewhere."""
    from replications.scaffold import furnish

    for file in furnish(room, runs, _root()):
        print(file.relative_to(_root()))


@app.command()
def languages(
    model: Annotated[str, typer.Argument(help="Catalogue id of a model probed in several languages.")],
) -> None:
    """Compare a model's layers language by language on the same sentences, from the evidence of layer_probing."""
    from replications.drawing import LANGUAGES
    from replications.files import sweep
    from replications.languages.comparison import ALL, compare
    from replications.places import replaced
    from replications.progress import step
    from replications.settings import load_settings, room_params

    params = room_params("layer_probing", load_settings(_root()).profile, _root())
    reports = _root() / "reports"
    folder = reports / "layer_probing" / _known("model", model, _catalogue())
    place = (LANGUAGES, model, ALL)
    sweep(reports)
    with step(f"comparing the languages of {model}"), replaced(reports, place) as out:
        table = compare(folder, out, resamples=params["resamples"], seed=params["seed"])
    found = ", ".join(sorted(set(table["language"]) - {ALL}))
    print(f"{reports / Path(*place)} compares {found}: {len(table)} rows")


@app.command()
def datasets() -> None:
    """List the datasets of the catalogue."""
    from rich.table import Table

    from replications.report.escape import terminal

    table = Table("dataset", "name", "used for", "licence", "set")
    for name, entry in _datasets().items():
        cells = (name, entry.name, entry.used_for, entry.licence, "opt-in" if entry.opt_in else "")
        table.add_row(*map(terminal, cells))
    _show(table)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Catalogue id of a model or a dataset.")],
    opt_in: Annotated[bool, typer.Option("--opt-in", help="Consent to what is off by default.")] = False,
) -> None:
    """Get a model's weights or a dataset's files, check their hashes and write the manifest under reports/."""
    from replications.files import write_json

    _known("model or dataset", name, [*_catalogue(), *_datasets()])  # before torch is imported
    if name in _datasets():
        from replications.catalogue.datasets import manifest

        write_json(_root() / "reports" / "datasets" / f"{name}.json", manifest(_datasets()[name], opt_in=opt_in))
    else:
        from replications.models import load

        write_json(_root() / "reports" / "models" / f"{name}.json", load.manifest(_catalogue()[name], opt_in=opt_in))


@app.command()
def report() -> None:
    """Write reports/verdicts.csv and reports/scoreboard.md from the evidence, and show the counts."""
    from replications import files, places
    from replications.progress import step
    from replications.report.scoreboard import summary, write_report

    places.recover(_root() / "reports")
    files.sweep(_root() / "reports")
    with step("judging all claims and drawing them"):
        table = write_report(_root())
    _show(summary(table))


@app.command()
def targets() -> None:
    """Print the DVC stages whose weights and data can be had here; the others go to stderr, one line each."""
    for stage in _plan().stages:
        if not stage.phase:  # of the others `dvc repro` would make all upstream, whether it can be had or not
            print(stage.name)


@app.command()
def repro(
    stages: Annotated[list[str] | None, typer.Argument(help="Stages, for example ioi@gemma-3-270m-fr.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what has not changed, as `dvc repro --force`.")] = False,
    first: Annotated[bool, typer.Option("--first", help="Only the first run of every room.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Stages at a time; as many as cores if unset.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster to run them on, or auto.")] = None,
) -> None:
    """Run what has changed, as `dvc repro` does, but on every core; then compare with the last commit."""
    from replications.claims.ledger import rooms
    from replications.pipeline import first_runs, narrowed
    from replications.scheduler import Options, reproduce

    plan = _plan()
    if first:
        plan = first_runs(plan, rooms(_root()))
    if stages:
        plan = narrowed(plan, stages)
    sys.exit(reproduce(plan, _root(), Options(force, jobs, ray)))


def _plan() -> Any:
    """Stages that can be run here, asked of the sources; those that cannot are named on stderr."""
    from replications.catalogue.sources import available, remedy
    from replications.pipeline import plan, stages

    entries = {"models": _catalogue(), "datasets": _datasets()}

    def missing(need: tuple[str, str]) -> str:
        kind, name = need
        entry = entries[kind][_known(kind.removesuffix("s"), name, entries[kind])]
        can, reason = available(entry)
        return "" if can else f"{reason}; try `{remedy(entry)}`"

    made = plan(stages(_root()), missing)
    for name, reason in made.left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return made


def _root() -> Path:
    """Looked up at call time, so that tests can point the commands at another checkout."""
    from replications import settings

    return settings.ROOT


def _catalogue() -> dict[str, Any]:
    from replications.catalogue.entries import load_catalogue

    return load_catalogue(_root() / "data" / "catalogue" / "models.yaml")


def _datasets() -> dict[str, Any]:
    from replications.catalogue.entries import load_datasets

    return load_datasets(_root() / "data" / "catalogue" / "datasets.yaml")


def _known(what: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is among `names`; refuses it otherwise, listing what is known."""
    listed = sorted(set(names))
    if name not in listed:
        raise Refusal(f"unknown {what} {name!r}; known: {', '.join(listed) or 'none'}")
    return name


def _known_run(room: str, model: str | None, language: str, settings: "Settings") -> tuple[str, str]:
    """Model and language to run a room on, with the default model filled in; refuses what nobody knows."""
    from replications.claims.schema import OWN_LANGUAGE

    if weightless := _weightless(room):
        default, models_known, languages = weightless, [weightless], [OWN_LANGUAGE]
    else:
        default = next((run.model for run in settings.runs.values()), "")
        models_known = list(_catalogue())
        languages = [file.stem for file in (_root() / "data" / "stimuli").glob("*.yaml")]
        languages += [language for entry in _catalogue().values() for language in entry.languages]
    return _known("model", model or default, models_known), _known("language", language, languages)


def _weightless(room: str) -> str | None:
    """What stands for the model in a room of printed tables or toys, which needs no weights; None elsewhere."""
    from replications.claims.ledger import load_claims
    from replications.claims.schema import WEIGHTLESS

    return next((claim.model for claim in load_claims(room, _root()) if claim.model in WEIGHTLESS), None)


def _show(table: Any) -> None:
    """Print a rich table; where the output is not a terminal one line per row, to grep, and without the drawing."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(table)
        return
    from rich.cells import cell_len

    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    widths = [min(max(map(cell_len, column)), WIDEST) for column in columns]
    for line in zip(*columns, strict=True):
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


if __name__ == "__main__":
    main()
