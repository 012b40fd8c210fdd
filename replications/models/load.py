"""One way to get any catalogue model: a TransformerLens bridge in float32 and eval mode, with an explicit text start.

The bridge keeps the weights as they are (no LayerNorm folding, no centring), so its activations are transformers' own.
torch, transformers and transformer_lens are imported on first use: they cost seconds.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replications import files, progress
from replications.catalogue import entries, folders
from replications.catalogue.entries import ModelEntry
from replications.errors import Refusal
from replications.garbage import uncollected
from replications.models import control_tokens, families, weights
from replications.stimuli.spans import Encoded, Encoder, Span

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, as transformers built it. `bos_id` is the token that `encode` puts before every text, None
    when it puts none.
    """

    hf_model: Any
    tokenizer: Any
    entry: ModelEntry
    bos_id: int | None
    eos_id: int | None

    @cached_property
    def bridge(self) -> "TransformerBridge":
        """The same weights (shared, not copied) with every hook of TransformerLens; made on first use."""
        import torch

        own = sharing_weights(self.hf_model)  # the bridge rebuilds the model that it is given
        with torch.random.fork_rng(devices=[]):
            return _bridge(self.entry, own, self.tokenizer, self.bos_id)


def load_model(model: str | ModelEntry, *, device: str = "cpu", random_seed: int | None = None) -> Loaded:
    """Model, tokenizer and text policy of a catalogue id.

    With `random_seed`, the same architecture with freshly initialised weights instead of the trained ones: the control
    twin. The seed is local: global random state is neither read nor changed. Raises Unavailable when the weights cannot
    be had here, Refusal when the files are not what the catalogue says.
    """
    import torch

    _check_device(device)
    entry = entries.find(model)
    folder = weights.materialise(entry)
    tokenizer = _tokenizer(folder)
    # modules are initialised at random before they get their weights
    with progress.step(f"loading {entry.id}"), torch.random.fork_rng(devices=[]):
        hf_model = _trained(entry, folder) if random_seed is None else _random(entry, folder, random_seed)
    return Loaded(hf_model.eval().to(device), tokenizer, entry, *_frame(entry, tokenizer))


def sharing_weights(hf_model: Any) -> Any:
    """A copy of the model's structure around the very same tensors."""
    tensors = [*hf_model.parameters(), *hf_model.buffers()]
    return copy.deepcopy(hf_model, memo={id(tensor): tensor for tensor in tensors})


def encode(loaded: Loaded, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text: BOS once or not at all, as the catalogue says, whatever the tokenizer would do.

    Text is text: a control token that it spells out is read as its letters, or refused where the tokenizer cannot.
    """
    return [ids for ids, _ in encode_with_offsets(loaded, texts)]


def encode_with_offsets(loaded: Loaded, texts: Sequence[str]) -> list[tuple[list[int], list[Span]]]:
    """As `encode`, with each token's [start, end) in the characters of its text; added tokens have (0, 0)."""
    return [_framed(ids, spans, loaded.bos_id, loaded.eos_id) for ids, spans in _own_tokens(loaded, texts)]


def encode_bare(loaded: Loaded, texts: Sequence[str]) -> list[list[int]]:
    """As `encode`, without the tokens that the catalogue puts around a text."""
    return [ids for ids, _ in _own_tokens(loaded, texts)]


def encoder(loaded: Loaded) -> Encoder:
    """Text to token ids and character spans under the model's own BOS policy."""

    def encode(text: str) -> Encoded:
        ((ids, spans),) = encode_with_offsets(loaded, [text])
        return Encoded(text, ids, spans)

    return encode


def manifest(model: str | ModelEntry, *, opt_in: bool = False) -> dict[str, Any]:
    """What evidence records about a model: source, licence, hashes, shape, BOS. The same on every machine.

    Gets the weights if they are not there; `opt_in` is the consent that an opt-in entry needs the first time.
    """
    entry = entries.find(model)
    folder = weights.materialise(entry, opt_in=opt_in)
    origin, config = folders.read_manifest(folder), files.read_json(folder / "config.json")
    bos_id, eos_id = _frame(entry, _tokenizer(folder))
    return {
        "id": entry.id,
        "name": entry.name,
        "architecture": entry.architecture,
        "licence": str(entry.licence),
        "source": origin["source"],
        "files": origin["files"],
        "converter": origin["converter"],
        "safetensors": folders.weights_hash(origin),
        "n_layers": entry.n_layers,
        "n_heads": entry.n_heads,
        "d_model": entry.d_model,
        "d_vocab": config["vocab_size"],
        "bos": {"policy": entry.bos.policy, "token": entry.bos.token, "id": bos_id},
        "eos": {"token": entry.eos, "id": eos_id},
    }


def _own_tokens(loaded: Loaded, texts: Sequence[str]) -> list[tuple[list[int], list[Span]]]:
    """Ids and spans of each text's own tokens. The one place where text meets a tokenizer; see `control_tokens`."""
    if not texts:
        return []
    batch = loaded.tokenizer(
        list(texts), add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    pairs = zip(batch["input_ids"], batch["offset_mapping"], strict=True)
    rows = [(ids, [tuple(span) for span in spans]) for ids, spans in pairs]
    for text, (ids, spans) in zip(texts, rows, strict=True):
        frame = (loaded.bos_id, loaded.eos_id)
        if (place := control_tokens.first_in(loaded.tokenizer, text, ids, spans, frame)) is not None:
            raise Refusal(
                f"{loaded.entry.id}: the text {place} spells a control token that this tokenizer cannot read as text: "
                "it should be worded otherwise, or be left out"
            )
    return rows


def _framed(ids: list[int], spans: list[Span], bos: int | None, eos: int | None) -> tuple[list[int], list[Span]]:
    """The first and last token around a text's own tokens."""
    before, after = ([] if token is None else [token] for token in (bos, eos))
    return before + ids + after, [(0, 0)] * len(before) + spans + [(0, 0)] * len(after)


def _frame(entry: ModelEntry, tokenizer: Any) -> tuple[int | None, int | None]:
    """Ids of the tokens before and after every text."""
    bos, eos = (_token_id(entry, tokenizer, token) if token else None for token in (entry.bos.token, entry.eos))
    return bos, eos


def _token_id(entry: ModelEntry, tokenizer: Any, token: str) -> int:
    """Id of a special token. Refuses a catalogue that names one the tokenizer does not have."""
    index = tokenizer.get_vocab().get(token)
    if index is None:
        raise Refusal(f"{entry.id}: the tokenizer has no token {token!r}; the catalogue should name one that it has")
    return index


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    """One per folder and process: a vocabulary of 262,144 takes seconds to read."""
    from transformers import AutoTokenizer

    with uncollected():
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _for_bridge(tokenizer: Any) -> Any:
    """A tokenizer for the bridge to change: it adds the special tokens that it misses, for which it needs its own copy.

    Saying that BOS is added keeps the bridge from reading the files again; it puts BOS itself (`default_prepend_bos`).
    """
    complete = None not in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    own = copy.copy(tokenizer) if complete else copy.deepcopy(tokenizer)
    own.init_kwargs = {**tokenizer.init_kwargs, "add_bos_token": True}
    return own


def _bridge(entry: ModelEntry, hf_model: Any, tokenizer: Any, bos_id: int | None) -> "TransformerBridge":
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    hf_model.config.architectures = [families.bridged_as(type(hf_model).__name__)]
    bridge = TransformerBridge.boot_transformers(
        f"catalogue/{entry.id}",  # a name that is on no hub, so nothing is looked up there
        hf_model=hf_model,
        tokenizer=_for_bridge(tokenizer),
        dtype=torch.float32,
        device=str(hf_model.device),
    )
    bridge.cfg.default_prepend_bos = bos_id is not None
    return bridge.eval()


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise Refusal(f"device {device!r} cannot be used here ({str(error).splitlines()[0]})") from None


def _trained(entry: ModelEntry, folder: Path) -> Any:
    """The stored weights in float32. Refuses weights that lack a tensor of the architecture."""
    import torch
    from safetensors import SafetensorError

    _check_shape(entry, folder)
    options = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True}
    with _quiet():
        try:
            model, report = _model_class(entry).from_pretrained(folder, **options, output_loading_info=True)
        except (OSError, SafetensorError) as error:
            what = folders.unreadable(folder) or f"{folder / folders.WEIGHTS} cannot be read ({error})"
            raise Refusal(f"{what}: delete that folder") from None
    missing = [name for name in report["missing_keys"] if not families.is_silenced(entry.architecture, name)]
    if missing:
        raise Refusal(f"{entry.id}: the weights lack {len(missing)} tensors of {entry.architecture}, as {min(missing)}")
    return _silence(entry, model)


def _random(entry: ModelEntry, folder: Path, seed: int) -> Any:
    """The architecture of the stored config with weights drawn from `seed`, in float32."""
    import torch
    from transformers import AutoConfig

    _check_shape(entry, folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    config.dtype = torch.float32
    torch.default_generator.manual_seed(seed)  # the caller restores it; torch.manual_seed would touch other devices too
    return _silence(entry, _model_class(entry)(config))


def _check_shape(entry: ModelEntry, folder: Path) -> None:
    """Refuses a config.json whose layers, heads or width are not the catalogue's."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    got = (config.num_hidden_layers, config.num_attention_heads, config.hidden_size)
    want = (entry.n_layers, entry.n_heads, entry.d_model)
    if got != want:
        raise Refusal(f"{entry.id}: the catalogue says (layers, heads, width) {want}, config.json says {got}")


def _model_class(entry: ModelEntry) -> Any:
    import transformers

    return getattr(transformers, families.loaded_as(entry.architecture))


def _silence(entry: ModelEntry, model: Any) -> Any:
    """An encoder published without a head gets one that says nothing: every logit is 0, so none can be mistaken."""
    import torch

    tied = model.get_input_embeddings().weight
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if families.is_silenced(entry.architecture, name) and parameter is not tied:
                parameter.zero_()
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar for a load that takes a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
