"""What a stage has left in a folder, and what its room draws of that."""

from importlib import import_module

from replications.evidence.run import Run


def files(folder):
    """Every file of a folder, by its path within."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def evidence(*tables):
    """The files of a run with these tables."""
    return {"metrics.json", "provenance.json", *(f"tables/{name}.csv" for name in tables)}


def pictures(*stems):
    """The files of these figures."""
    return {f"{stem}.{suffix}" for stem in stems for suffix in ("svg", "png")}


def draw(room, run, out):
    """Draw a run from its files, twice: the files, which are whole and the same again."""
    figures = import_module(f"replications.{room}.figures")
    for folder in (out / "one", out / "two"):
        figures.draw(Run(run), folder, "tiny, en")
    names = files(out / "one")
    for name in names:
        data = (out / "one" / name).read_bytes()
        assert len(data) > 1000, name
        assert data == (out / "two" / name).read_bytes(), name
    return names
