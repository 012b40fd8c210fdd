"""Get a model's or a dataset's files, each checked: from the cache, a mirror folder, packages, a hub or the web.

Nothing that could run code is accepted (see the catalogue's schema).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from replications.catalogue import folders, hub, mirror, network, npm, packages, store, web
from replications.catalogue.entries import DatasetEntry, ModelEntry, Source, WebSource
from replications.errors import Unavailable

Entry = ModelEntry | DatasetEntry
ROUTES = {"package": packages, "hub": hub, "web": web, "npm": npm, "mirror": mirror}


@dataclass(frozen=True)
class Fetched:
    """Files of one source by name, with their SHA-256; `pin` names the source in one line, the same everywhere."""

    source: Source
    files: dict[str, Path]
    sha256: dict[str, str]

    @property
    def pin(self) -> str:
        return self.source.pin


def fetch(entry: Entry, cache: Path | None = None) -> Fetched:
    """Files of the first source that can be had; of a dataset, those that are here already go first.

    A model's sources differ in their bytes and keep their order; a dataset's hold the same content. Raises Unavailable
    when none can be had, Refusal on wrong bytes.
    """
    cache = cache or store.cache_root()
    reasons = []
    here_first = isinstance(entry, DatasetEntry)
    for source in sorted(entry.sources, key=lambda source: here_first and not is_local(source, cache)):
        try:
            with store.writing(cache):
                return fetch_source(entry, source, cache)
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable(_no_source(entry, reasons))


def available(entry: Entry, cache: Path | None = None) -> tuple[bool, str]:
    """Whether the files are here or one of their sources answers; if not, why, in one clause. Nothing is downloaded.

    A host that did not answer is not asked again by this process. `remedy` is the command that would help.
    """
    cache = cache or store.cache_root()
    if held(entry, cache):
        return True, ""
    if entry.opt_in:
        return False, f"its licence ({entry.licence.name}) needs your consent"
    if any(is_local(source, cache) for source in entry.sources):
        return True, ""
    asked = [source for source in entry.sources if source.kind != "mirror"] or entry.sources
    reasons = [_why_silent(source) for source in asked]
    return (True, "") if "" in reasons else (False, " and ".join(dict.fromkeys(reasons)))


def remedy(entry: Entry) -> str:
    """The one command that gets what is missing, once what stood in the way is gone."""
    consent = " --opt-in" if entry.opt_in else ""
    only_mirrored = all(source.kind == "mirror" for source in entry.sources)
    return f"{store.MIRROR}=FOLDER " * only_mirrored + f"replicate fetch {entry.id}{consent}"


def held(entry: Entry, cache: Path | None = None) -> bool:
    """Whether a model's folder, or all files of a dataset, are in the cache: whoever put them there has consented."""
    cache = cache or store.cache_root()
    if isinstance(entry, ModelEntry):
        return folders.find(cache, entry) is not None
    return any(_all_here(source, cache, lambda sha256: store.holds(cache, sha256)) for source in entry.sources)


def obstacle(entry: Entry, opt_in: bool = False) -> str:
    """What no network would help against: missing consent; empty when nothing is in the way."""
    if entry.opt_in and not opt_in:
        licence = f"licence: {entry.licence}"
        return f"{entry.id} is off by default ({licence}): run `replicate fetch {entry.id} --opt-in` once"
    return ""


def fetch_source(entry: Entry, source: Source, cache: Path) -> Fetched:
    """Local copies first; only what is missing is downloaded, after saying under which licence."""
    found = {}
    for name in source.files:
        for sha256 in _accepted(source, name, cache):
            if name not in found and (path := store.stored(cache, sha256) or store.from_mirror(cache, sha256, name)):
                found[name] = path
    missing = [name for name in source.files if name not in found]
    if missing and source.kind != "mirror":
        network.announce(f"{entry.id}: downloading {source.pin}; licence: {entry.licence}")
    if missing:
        store.sweep(cache)
        found |= ROUTES[source.kind].download(source, missing, cache)
    return Fetched(source, found, {name: path.name for name, path in found.items()})


def _accepted(source: Source, name: str, cache: Path) -> list[str]:
    """Hashes of the bytes that count as this file: those pinned, else that of what its address gave the first time."""
    hashes = [source.hashes[name]]
    if isinstance(source, WebSource):
        file = source.files[name]
        hashes += [*file.also, None if file.sha256 else store.first_hash(cache, file.url)]
    return [sha256 for sha256 in hashes if sha256]


def _all_here(source: Source, cache: Path, here: Callable[[str], bool]) -> bool:
    return all(any(here(sha256) for sha256 in _accepted(source, name, cache)) for name in source.files)


def is_local(source: Source, cache: Path) -> bool:
    """Whether every file of `source` is in the cache or the mirror."""
    held_by_mirror = store.mirror_index()
    return _all_here(source, cache, lambda sha256: sha256 in held_by_mirror or store.holds(cache, sha256))


def _why_silent(source: Source) -> str:
    """Why `source` would give nothing now, in one clause; empty when it answers."""
    try:
        ROUTES[source.kind].ask(source)
    except Unavailable as error:
        return str(error)
    return ""


def _no_source(entry: Entry, reasons: list[str]) -> str:
    return (
        f"{entry.id} cannot be had here: {'; '.join(reasons)}. With a network, or with {store.MIRROR} naming a folder "
        f"that holds the files and their SHA256SUMS, run `replicate fetch {entry.id}`"
    )
