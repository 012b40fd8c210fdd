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
    """Draw a run from its files into a folder of its own in `out`: the names of what is drawn, none of it empty."""
    import_module(f"replications.{room}.figures").draw(Run(run), out / "drawn", "tiny, en")
    names = files(out / "drawn")
    assert all((out / "drawn" / name).stat().st_size > 1000 for name in names)
    return names
