"""Everything that is measured on one model with one set of prompts, as arrays; the same for the random twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.ioi_circuit import anatomy as anatomies
from replications.ioi_circuit import observe
from replications.ioi_circuit.circuit import Circuit, Search
from replications.ioi_circuit.observe import Observed
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.models.load import Loaded


@dataclass(frozen=True)
class Stimuli:
    """Prompts, the first of them again after an unrelated sentence, and the BOS that both begin with, if any."""

    prompts: Sequence[CircuitPrompt]
    prefixed: Sequence[tuple[int, ...]]
    bos_id: int | None
    dropped: Mapping[str, int]

    def first(self, n: int) -> Stimuli:
        """At most n prompts of either kind."""
        return Stimuli(self.prompts[:n], self.prefixed[:n], self.bos_id, self.dropped)


@dataclass(frozen=True)
class Findings:
    """One model on one set of prompts; prompts, names or sequences are the last axis of every array."""

    prompts: Sequence[CircuitPrompt]
    observed: Observed
    prefixed: Array
    copies: Array
    repeats: Mapping[str, Array]
    circuit: Circuit

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and heads."""
        return self.copies.shape[1:3]


def sizes(params: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """By map on how many prompts all heads are asked, and on how many those in doubt."""
    direct = (params["n_first"], params["n_patched"])
    through = (params["n_first_through"], params["n_patched_through"])
    return {"logits": direct, "queries": direct, "knocked_out": (params["n_first"], params["n_patched_through"]),
            "values": through, "keys": through[:1] * 2, "previous": through}  # fmt: skip


def measure(loaded: Loaded, stimuli: Stimuli, params: Mapping[str, Any], keep: Keep) -> Findings:
    """Behaviour, attribution, attention and scores of all prompts, then the search for the circuit."""
    model, prompts = anatomies.of(loaded), stimuli.prompts
    observed = observe.observe(model, prompts, keep)
    prefixed = observe.logit_diffs(model, prompts[: len(stimuli.prefixed)], stimuli.prefixed, keep)
    copies = observe.copied(model, prompts, params["n_names"], keep)
    repeats = observe.repeats(model, params["n_repeats"], stimuli.bos_id, params["seed"], keep)
    n = params["n_patched"]
    search = Search(model, prompts[:n], observed.arrays["logit_diff"][:n], sizes(params), keep)
    circuit = search.find(observed.mean_attention, {name: scores.mean(-1) for name, scores in repeats.items()})
    return Findings(prompts, observed, prefixed, copies, repeats, circuit)
