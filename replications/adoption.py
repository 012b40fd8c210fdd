"""From trial to evidence: `replicate adopt`. Everything is checked before anything is written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replications import drawing, files, places, trial, yaml12
from replications.claims.ledger import rooms
from replications.claims.schema import WEIGHTLESS
from replications.errors import Refusal
from replications.pipeline import FIGURES, room_stage, stages
from replications.settings import Settings, load_settings
from replications.trial import RECORD, TrialRun

CHECKED = {"code": "modules", "params": "params", "inputs": "inputs", "versions": "library versions",
           "weights": "weights"}  # fmt: skip


def adopt(model: str, language: str, room: str | None, root: Path) -> None:
    """Move the trial runs of a model and language to reports/, with their line in params.yaml and their lock in DVC.

    Refuses runs that the present code and params would not make, and a line of the matrix that some room has not run.
    """
    local, settings = root / places.LOCAL, load_settings(root)
    for folder in (local, root / "reports"):
        places.recover(folder)
    files.sweep(root / "reports")
    matrices = {name: room_stage(name, {"model": model, "language": language}, root)[1] for name in rooms(root)}
    chosen = whole_lines(found(local, model, language, room, settings), room, matrices, settings)
    for asked in chosen:
        check(asked, root)
    names = [asked.room for asked in chosen]
    lines = {matrix for name in names if (matrix := matrices[name])}
    new = {matrix for matrix in lines if not _lined(settings, matrix, model, language)}
    corpora = _corpora(local / "layer_probing" / model / language) if new & _with_corpus(settings) else []
    text = params_with(root / "params.yaml", TrialRun("", model, language), new, corpora, settings)
    fetched = manifests(model, settings, corpora)
    for path, tree in fetched.items():
        files.write_json(root / "reports" / path, tree)
    files.write_text(root / "params.yaml", text)
    for asked in chosen:
        move(asked, root)
    commit([asked.room for asked in chosen], list(fetched), model, language, root)
    print(f"{model} in {language} is evidence now, of {', '.join(names)}: see reports/, params.yaml and dvc.lock")
    print(f"next: `replicate record --model {model}` writes down the verdicts that are not the hoped-for ones; then "
          "`dvc repro report` and `make test`")  # fmt: skip


def found(local: Path, model: str, language: str, room: str | None, settings: Settings) -> list[TrialRun]:
    """The trial runs of a model and language, by room. Refuses when there is none."""
    listed = [TrialRun(file.parts[-4], model, language, profile=settings.profile)
              for file in sorted(local.glob(f"*/{model}/{language}/{RECORD}"))]  # fmt: skip
    if room is not None and room not in [asked.room for asked in listed]:
        raise Refusal(f"{local / room / model / language} holds no run: `{_command(room, model, language)}` first")
    if not listed:
        raise Refusal(f"{local} holds no run on {model} in {language}: `replicate run ROOM --model {model} --language "
                      f"{language}` first")  # fmt: skip
    return listed


def whole_lines(
    listed: list[TrialRun], room: str | None, matrices: Mapping[str, str | None], settings: Settings
) -> list[TrialRun]:
    """The runs to take: all, or those that have to come with `room`. Refuses a new line that a room has not run."""
    model, language = listed[0].model, listed[0].language
    if room is not None:
        line = matrices[room]
        new = line is not None and not _lined(settings, line, model, language)
        listed = [asked for asked in listed if asked.room == room or (new and matrices[asked.room] == line)]
    have, missing = {asked.room for asked in listed}, []
    for matrix in sorted({matrices[name] or "" for name in have} - {""}):
        if not _lined(settings, matrix, model, language):
            missing += [name for name, its in sorted(matrices.items()) if its == matrix and name not in have]
    if missing:
        commands = ", ".join(f"`{_command(name, model, language)}`" for name in missing)
        raise Refusal(
            f"a line of params.yaml is run by all its rooms, and {model} in {language} still lacks: {commands}"
        )
    return listed


def check(asked: TrialRun, root: Path) -> None:
    """Refuse a run that is not what the present code, params and inputs make."""
    target = root / places.LOCAL / Path(*asked.place)
    record = files.read_json(target / RECORD)
    now = trial.account(asked, target, root) | {"weights": trial.weights(asked.model, root)}
    other = [said for key, said in CHECKED.items() if record.get(key) != files.rounded(now[key])]
    if record.get("profile") != asked.profile:
        other.insert(0, f"profile ({record.get('profile')}, where params.yaml has {asked.profile})")
    if other:
        raise Refusal(f"{target / RECORD} was made by other {', '.join(other)} than there are now: "
                      f"`{_command(asked.room, asked.model, asked.language)}` again")  # fmt: skip
    if not (target / "metrics.json").is_file():
        raise Refusal(f"{target} has no metrics.json: `{_command(asked.room, asked.model, asked.language)}` again")


def manifests(model: str, settings: Settings, corpora: list[str]) -> dict[Path, dict[str, Any]]:
    """What reports/ records of the weights and of data that the matrix did not need before, by path."""
    made: dict[Path, dict[str, Any]] = {}
    if model not in WEIGHTLESS:
        from replications.models.load import manifest

        made[Path("models", f"{model}.json")] = manifest(model)
    for name in corpora:
        if name not in settings.datasets:
            from replications.catalogue import datasets

            made[Path("datasets", f"{name}.json")] = datasets.manifest(name)
    return made


def params_with(file: Path, asked: TrialRun, matrices: set[str], corpora: list[str], settings: Settings) -> str:
    """params.yaml with a run more in some matrices, its model and its corpora. Comments and lines stay as they are."""
    text = file.read_text(encoding="utf-8")
    tree = yaml12.parse(text)
    name, waits = f"{asked.model}-{asked.language}", _with_corpus(settings)
    for matrix in sorted(matrices):
        fields = {"model": asked.model, "language": asked.language}
        if matrix in waits and corpora:
            fields |= {"corpus": corpora[0], "parallel": corpora[-1]}
        tree[matrix][name] = fields
        shown = ", ".join(f"{key}: {_scalar(value)}" for key, value in fields.items())
        text = _with_line(text, matrix, f"  {name}: {{{shown}}}")
    for section, more in {"models": [asked.model] * bool(matrices), "datasets": corpora}.items():
        for one in more:
            if one not in tree.get(section, []):
                tree[section] = [*tree.get(section, []), one]
                text = re.sub(rf"(?m)^({section}: \[.*)\]", rf"\1, {one}]", text, count=1)
    if yaml12.parse(text) != tree:
        raise Refusal(
            f"{file} is not laid out as one line per run: add {name} to {', '.join(sorted(matrices))} by hand"
        )
    return text


def move(asked: TrialRun, root: Path) -> None:
    """A trial's files into the evidence, whole and without its record, and its figures to those of the evidence."""
    source = root / places.LOCAL / Path(*asked.place)
    with places.replaced(root / "reports", asked.place) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RECORD))
    shutil.rmtree(source)
    drawing.remove(root / places.LOCAL, asked.place)
    for parent in source.parents[:3]:
        if any(parent.iterdir()):
            break
        parent.rmdir()
    for reason in drawing.draw(root / "reports", [asked.place]).values():
        print(reason, file=sys.stderr)


def commit(names: list[str], fetched: list[Path], model: str, language: str, root: Path) -> None:
    """Have DVC lock these stages as they are. Refuses, with the command to repeat, when DVC does."""
    wanted = {f"{path.parent.name.removesuffix('s')}@{path.stem}" for path in fetched}
    run = load_settings(root).run_name(model, language)
    wanted |= {f"{name}@{run}" for name in names} | {f"{FIGURES}@{name}" for name in names} | set(names)
    known = [stage.name for stage in stages(root) if stage.name in wanted]
    command = ["dvc", "commit", "--force", *known]
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise Refusal(
            f"the runs are in reports/, but DVC did not lock them ({said}): `{' '.join(command)}` once it can"
        )


def _lined(settings: Settings, matrix: str, model: str, language: str) -> bool:
    return any((run.model, run.language) == (model, language) for run in settings.matrices[matrix].values())


def _with_corpus(settings: Settings) -> set[str]:
    """Matrices whose lines name the corpus that a run waits for."""
    return {name for name, runs in settings.matrices.items() if any(run.corpus for run in runs.values())}


def _corpora(folder: Path) -> list[str]:
    """The treebanks that a run of layer_probing read."""
    listed = files.read_json(folder / "provenance.json")["corpora"]
    return [name for some in listed.values() for name in some]


def _with_line(text: str, section: str, line: str) -> str:
    """`line` after the last one of a block mapping of params.yaml."""
    lines = text.split("\n")
    start = next((i for i, one in enumerate(lines) if one.startswith(f"{section}:")), len(lines))
    end = last = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith((" ", "#"))):
        end += 1
        last = end if lines[end - 1].startswith("  ") else last
    return "\n".join([*lines[:last], line, *lines[last:]])


def _scalar(text: str) -> str:
    """A string as YAML: `no` and `on` are languages here, and no booleans."""
    return text if yaml12.parse(text) == text else f'"{text}"'


def _command(room: str, model: str, language: str) -> str:
    return f"replicate run {TrialRun(room, model, language).named}"
