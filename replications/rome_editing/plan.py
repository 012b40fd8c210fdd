"""What is edited, decided once for the trained model and its twin: facts, contexts, layers, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxtyping import Int
from torch import Tensor

from replications.catalogue import datasets
from replications.errors import Refusal
from replications.evidence.stats import Array
from replications.models import predict
from replications.models.load import Loaded, encoder
from replications.rome_editing import moments, stimuli
from replications.rome_editing.contexts import write_contexts
from replications.rome_editing.hparams import LAYERS, HParams, compared_layers, edit_layer, hparams
from replications.rome_editing.layer_choice import at_layers
from replications.rome_editing.stimuli import Frames, Task
from replications.stimuli.facts import FactSet
from replications.stimuli.language import load_stimuli
from replications.stimuli.published_facts import load_counterfact
from replications.stimuli.spans import Encoder

MIN_TRACED = 3
Params = Mapping[str, Any]
Traces = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Plan:
    """`traced` are the tracing effects [fact, layer] of the first facts at the compared layers; `account` is what
    provenance records."""

    lists: dict[str, list[Task]]
    layer: int
    compared: list[int]
    traced: Array
    text: Int[Tensor, "n T"]
    held_out: Int[Tensor, "m t"]
    hp: HParams
    account: dict[str, Any]


def prepare(loaded: Loaded, model: str, language: str, table: FactSet, traces: Traces, params: Params) -> Plan:
    """Refuses a model that knows no fact, facts of which too few have been traced, and a language without frames."""
    encode, seed = encoder(loaded), params["seed"]
    contexts = write_contexts(loaded.hf_model, loaded.tokenizer, encode, params["contexts"], seed)
    frame = stimuli.frames(language, contexts, load_stimuli(language).answer_prefix)
    facts, account = _facts(loaded, encode, frame, table, traces, params)
    lists, n_layers = {"facts": facts}, loaded.hf_model.config.num_hidden_layers
    if model in LAYERS and language == "en":
        lists["paper"], account["dropped_paper"] = _counterfact(encode, frame, params["n_counterfact"])
    layer, compared = edit_layer(model, n_layers), compared_layers(model, n_layers, params["hase_layers"])
    both = traced_too(facts, traces)[: params["n_layers_facts"]]
    text, held_out = _texts(encode, params)
    return Plan(
        lists, layer, compared, at_layers(traces, both, compared), text, held_out, hparams(model),
        {"contexts": contexts, "layer": layer, "compared_layers": compared, "facts": account | {"compared": len(both)}},
    )  # fmt: skip


def traced_too(facts: Sequence[Task], traces: Traces) -> list[str]:
    """Those of the edited facts that have been traced. Refuses fewer than a regression needs."""
    both = [task.request.fact for task in facts if task.request.fact in traces]
    if len(both) < MIN_TRACED:
        raise Refusal(
            f"only {len(both)} of {len(facts)} edited facts have been traced; {MIN_TRACED} are needed: "
            "run rome_tracing on more facts"
        )
    return both


def _facts(
    loaded: Loaded, encode: Encoder, frame: Frames, table: FactSet, traces: Traces, params: Params
) -> tuple[list[Task], dict[str, Any]]:
    """Known facts as tasks, the traced ones first, and how many there were of which kind."""
    seed, candidates = params["seed"], stimuli.editable(table, encode)
    ask = partial(predict.greedy, loaded)
    known, asked = stimuli.known(candidates, traces, params["n_facts"], encode, ask, frame.prefix, seed)
    requests = stimuli.from_facts(known, table, neighbours=params["neighbours"], seed=seed)
    made, dropped = stimuli.tasks(requests, encode, frame)
    made.sort(key=lambda task: task.request.fact not in traces)
    return made, {
        "in_table": len(table.facts), "editable": len(candidates), "asked": len(asked.known) + len(asked.unknown),
        "known": len(asked.known), "edited": len(made), "dropped": asked.dropped | dropped,
    }  # fmt: skip


def _counterfact(encode: Encoder, frame: Frames, n: int) -> tuple[list[Task], dict[str, int]]:
    """The first n records, whether the model knows them or not, as in the paper."""
    records = load_counterfact(datasets.fetch("counterfact-edit")["counterfact-edit.json"])
    return stimuli.tasks(stimuli.from_counterfact(records[:n]), encode, frame)


def _texts(encode: Encoder, params: Params) -> tuple[Int[Tensor, "n T"], Int[Tensor, "m t"]]:
    """Windows for the second moments and held-out ones."""
    books, seed = list(datasets.fetch("gutenberg").values()), params["seed"]
    n = params["moment_tokens"] // moments.WINDOW
    n_held_out, width = params["text_windows"], params["text_width"]
    return (
        moments.text_windows(books, encode, n=n, width=moments.WINDOW, seed=seed),
        moments.text_windows(books, encode, n=n_held_out, width=width, seed=seed, held_out=True),
    )
