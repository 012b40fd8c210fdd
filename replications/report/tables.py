"""Tables of a page of Markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """Markdown of cells that are Markdown, in which a bar would end the cell."""
    lines = [header, ["---"] * len(header), *body]
    escaped = ([str(cell).replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
