"""Quantities of the location experiment, from one Result: arrays in, Estimates and tidy frames out.

The article's form of ROME's causal tracing: the corruption is another landmark of equal token length (symmetric token
replacement, Zhang & Nanda 2023), not noise. The measure is log P(city) / P(other city) at the last token, in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from replications import progress
from replications.causal import roles
from replications.causal.experiment import Result
from replications.causal.patching import PairBatch, answer_logits, batch_pairs
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.rome.stimuli import LandmarkFact, Pair


def to_batch(pairs: Sequence[Pair]) -> PairBatch:
    """All pairs as one left-padded batch."""
    return batch_pairs(
        [p.clean.prompt.ids for p in pairs],
        [p.corrupted.prompt.ids for p in pairs],
        [(p.clean.answer, p.corrupted.answer) for p in pairs],
        [p.aligned for p in pairs],
    )


def role_columns(pairs: Sequence[Pair]) -> roles.Columns:
    """ROME's token classes in the padded batch; a one-token subject is its own last token and nothing else.

    In a pair aligned at its end, subject tokens without a counterpart play no role.
    """
    width = max(len(fact.prompt.ids) for p in pairs for fact in (p.clean, p.corrupted))
    shifted = [[column for column in _columns(p.clean, width) if column >= width - p.aligned] for p in pairs]
    return {
        "subject_first": [tokens[:1] if len(tokens) > 1 else [] for tokens in shifted],
        "subject_middle": [tokens[1:-1] for tokens in shifted],
        "subject_last": [tokens[-1:] for tokens in shifted],
        "after": [list(range(tokens[-1] + 1, width - 1)) for tokens in shifted],
        "last": [[width - 1] for _ in pairs],
    }


def _columns(fact: LandmarkFact, width: int) -> list[int]:
    """Columns of the subject's tokens in a batch of this width."""
    return [width - len(fact.prompt.ids) + token for token in fact.subject]


@torch.inference_mode()
def knows(bridge: Any, facts: Sequence[LandmarkFact], *, device: str, chunk: int = 32) -> list[bool]:
    """Per fact, whether its city scores highest among all the language's candidate cities (by first token)."""
    cities = sorted({fact.answer for fact in facts})
    ids = [fact.prompt.ids for fact in facts]
    batch = batch_pairs(ids, ids, [(fact.answer, fact.answer) for fact in facts]).to(device)
    best = []
    for rows in progress.watched(torch.arange(len(facts)).split(chunk), "asking for cities"):
        part = batch.rows(rows)
        best += answer_logits(bridge, part.clean, part.clean_mask)[:, -1, cities].argmax(-1).tolist()
    return [cities[b] == fact.answer for b, fact in zip(best, facts, strict=True)]


def role_curves(result: Result, pairs: Sequence[Pair], weights: Array) -> dict[str, tuple[Array, int]]:
    """Draws of the mean restoration per role over the measured pairs; the article's pair is row 0."""
    columns = {role: per_pair[1:] for role, per_pair in role_columns(pairs).items()}
    return roles.role_draws(result.cells.prompts(slice(1, None)), columns, weights)


def quantities(
    result: Result, pairs: Sequence[Pair], measured: Sequence[int], known: Sequence[bool], resamples: int, seed: int
) -> dict[str, Any]:
    """The tree of Estimates of one model; row 0 of `pairs` is the article's pair, `measured` indexes the patched."""
    weights = stats.resample_weights(len(measured) - 1, resamples=resamples, seed=seed)
    patched = [pairs[i] for i in measured]
    curves = role_curves(result, patched, weights)
    clean, corrupted = (getattr(result.behaviour, name).cpu().numpy() for name in ("clean", "corrupted"))
    everyone = stats.resample_weights(len(pairs) - 1, resamples=resamples, seed=seed)
    return {
        "article": _article(result, patched, clean[0], corrupted[0]),
        "pairs": {
            "log_ratio_clean": stats.mean(clean[1:], everyone),
            "log_ratio_corrupted": stats.mean(corrupted[1:], everyone),
            "total_effect": stats.mean((clean - corrupted)[1:], everyone),
            "accuracy": stats.share(clean[1:] > 0),
        },
        "known": {"share": stats.share(known)},
        "roles": roles.role_quantities(curves),
        "handover": roles.handover(curves["subject_last"][0], curves["last"][0], len(measured) - 1),
    }


def _article(result: Result, pairs: Sequence[Pair], clean: float, corrupted: float) -> dict[str, Any]:
    """The article's single pair: both log ratios, and per role the restoration in the first and last third."""
    grid = roles.pair_map(result.cells, 0)
    columns = {role: per_pair[0] for role, per_pair in role_columns(pairs).items() if per_pair[0]}
    ends = {role: roles.thirds(grid[:, cols].mean(axis=1)[None]) for role, cols in columns.items()}
    return {
        "log_ratio_clean": stats.leaf(clean),
        "log_ratio_corrupted": stats.leaf(corrupted),
        "early": {role: stats.leaf(float(early[0])) for role, (early, _) in ends.items()},
        "late": {role: stats.leaf(float(late[0])) for role, (_, late) in ends.items()},
    }


def pair_table(result: Result, pairs: Sequence[Pair], measured: Sequence[int], known: dict[str, bool]) -> pd.DataFrame:
    """One row per pair: both landmarks and cities, whether the model knows each, log ratios, whether patched."""
    frame = pd.DataFrame(
        [{"clean": p.clean.id, "city": p.clean.city, "corrupted": p.corrupted.id, "other_city": p.corrupted.city,
          "clean_known": known[p.clean.id], "corrupted_known": known[p.corrupted.id]} for p in pairs]
    )  # fmt: skip
    frame["log_ratio_clean"] = result.behaviour.clean.cpu().numpy().astype(np.float64)
    frame["log_ratio_corrupted"] = result.behaviour.corrupted.cpu().numpy().astype(np.float64)
    frame["patched"] = [i in set(measured) for i in range(len(pairs))]
    return frame
