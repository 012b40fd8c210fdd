"""The few numbers of each run that a reader asks for first: reports/headlines.json, for `dvc metrics diff`."""

from __future__ import annotations

from pathlib import Path

from replications.claims.evidence import node, room_evidence
from replications.claims.schema import Estimate
from replications.errors import Refusal
from replications.files import write_json

Headline = dict[str, float | str | list[float | str]]  # what a run's numbers are called, and their values

# By room: what a number is called, and where metrics.json holds it (under `measured`). A run without it is left out.
HEADLINES = {
    "rome": {
        "share of landmarks known": "known.share",
        "depth of the handover": "handover.depth",
        "early, last subject token": "roles.subject_last.early",
        "late, last token": "roles.last.late",
    },
    "rome_tracing": {
        "total effect": "facts.total_effect",
        "MLPs at the last subject token": "facts.mlp.aie.subject_last",
        "their depth": "facts.mlp.depth.subject_last",
        "attention at the last token": "facts.attn.aie.last",
    },
    "rome_editing": {
        "score, unedited": "facts.base.S",
        "score, ROME": "facts.rome.S",
        "score, r-ROME": "facts.r_rome.S",
        "variance explained by tracing": "layers.r2.tracing",
    },
    "ioi": {
        "accuracy": "prompts.accuracy",
        "logit difference": "prompts.logit_diff_clean",
        "depth of the handover": "handover.depth",
    },
    "ioi_circuit": {
        "heads in the circuit": "circuit.heads",
        "classes found": "circuit.classes",
        "copying by name movers": "members.name_mover.copy",
    },
    "ioi_faithfulness": {
        "share kept by the circuit": "found.faithfulness.share",
        "share kept by the naive circuit": "found.naive.share",
        "random circuits beaten": "found.random.beaten",
        "heads that pass minimality": "found.minimality.passed",
    },
    "edge_probing": {
        "agreement with the order of BERT-large (tau)": "order.tau_large",
        "semantics later than syntax by": "groups.semantics_minus_syntax",
        "F1 of parts of speech": "f1_full.pos",
    },
    "layer_probing": {
        "best accuracy, parts of speech": "pos.best.accuracy",
        "its depth": "pos.best.depth",
        "selectivity there": "pos.selectivity.at_best_accuracy.selectivity",
        "noun or verb, over chance": "noun_verb.selected.over_chance",
    },
    "superposition": {
        "features in 20 dimensions at density 0.01, over 20": "large.0_01.excess",
        "dimensions per feature, dense": "plateaus.dstar.dense",
        "dimensions per feature, on the plateau": "plateaus.dstar.sticky",
    },
    "toy_sae": {
        "features recovered": "grid.best.recovered",
        "cosine with the truth": "grid.best.mmcs",
        "cosine with the truth, best control": "controls.best.mmcs",
    },
    "sae": {
        "variance explained, residual stream, L1": "resid_pre.standard.variance_explained",
        "features active on a token": "resid_pre.standard.l0",
        "loss recovered": "resid_pre.standard.recovered_zero",
    },
    "sae_features": {
        "MLP features over neurons (correlation)": "mlp_post.standard.classes.over_neuron",
        "MLP features purer than neurons by": "mlp_post.standard.classes.purer_than_neuron",
        "kinds of text of a polysemantic neuron": "mlp_post.standard.splitting.neuron_contexts",
        "kinds of text of its features": "mlp_post.standard.splitting.feature_contexts",
    },
    "sae_steering": {
        "feature clamped, gain in nats": "best.feature.likelihood",
        "difference of means, gain in nats": "best.difference_of_means.likelihood",
        "asked in words, gain in nats": "best.prompt.likelihood",
    },
}


def headlines(root: Path) -> dict[str, dict[str, Headline]]:
    """By room and run (`model, language`): what is headline there, of all evidence of a checkout that can be read."""
    return {room: runs for room in HEADLINES if (runs := _runs(room, root))}


def write_headlines(root: Path) -> Path:
    """Write reports/headlines.json."""
    return write_json(root / "reports" / "headlines.json", headlines(root))


def _runs(room: str, root: Path) -> dict[str, Headline]:
    found = {}
    for place, evidence in room_evidence(room, root).items():
        if isinstance(evidence, Refusal):  # the verdict table says what is wrong with it
            continue
        values = {name: node(evidence.measured, path) for name, path in HEADLINES[room].items()}
        numbers = {name: one.value for name, one in values.items() if isinstance(one, Estimate)}
        found[", ".join(place)] = {name: number for name, number in numbers.items() if number is not None}
    return found
