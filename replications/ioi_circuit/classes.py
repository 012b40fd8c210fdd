"""Which heads form the circuit, by rules that are written here and nowhere else.

The paper looks at each map and names the heads that stand out (sections 3.1-3.4, appendices C, D and F). For that to be
repeated on any model, "stands out" is spelled out as three conditions on a head's effects, and "what it does" as
where it looks. The numbers below were chosen from what is published about GPT-2 small, before any model was measured.

An effect is patched minus clean logit difference [layer, head, prompt], NaN where it was not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from replications.evidence.stats import Array, Mask

Head = tuple[int, int]
Classes = dict[str, list[Head]]

# Beyond noise: of 270 heads that do nothing, one in ten such maps would have a head four standard errors out over 32
# prompts; the other two conditions have to be met as well.
STANDARD_ERRORS = 4.0
# Outstanding: three times the mean |effect| over all heads of the map. The five direct effects published for GPT-2
# small make that mean .054 at the least, so this asks for .16 or more, and the least of the name movers has .56.
TIMES_MEAN = 3.0
# Worth naming: one percent of the logit difference, the least that the paper asks of a member (section 4.2).
LEAST_SHARE = 0.01
# Looks the part on random repeated tokens: over ten times what evenly spread attention gives (1 / 150 on average). The
# paper's fuzzy members (5.8, 5.9, 0.10) score below the rest, so the bound is not set at the .5 of a clear one.
LEAST_SCORE = 0.1

CLASSES = (
    "name_mover", "negative_name_mover", "s_inhibition", "induction", "duplicate_token", "previous_token",
    "backup_name_mover",
)  # fmt: skip
NAMES = ("END_IO", "END_S1", "END_S2")


def acts(effects: Array, clean: Array, *, among_all: bool = True) -> Array:
    """+1 [layer, head] where patching raises the logit difference, -1 where it lowers it, 0 where nothing stands out.

    `clean` are the prompts' logit differences [n]. Without `among_all` only a few chosen heads were asked, and no mean
    over heads is to be had.
    """
    mean, error = moments(effects)
    stands = (np.abs(mean) > STANDARD_ERRORS * error) & (np.abs(mean) >= _least(mean, clean, among_all))
    return np.where(stands, np.sign(mean), 0)


def in_doubt(effects: Array, clean: Array, *, among_all: bool = True) -> list[Head]:
    """Heads that more prompts could still make stand out: within four standard errors they reach the bounds."""
    mean, error = moments(effects)
    return _heads(np.abs(mean) + STANDARD_ERRORS * error >= _least(mean, clean, among_all))


def moments(effects: Array) -> tuple[Array, Array]:
    """Mean and its standard error [layer, head] over the prompts of which each head was asked; NaN if of none."""
    asked = np.isfinite(effects)
    n = asked.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(asked, effects, 0).sum(-1) / n
        squares = np.where(asked, effects - mean[..., None], 0) ** 2
        return mean, np.sqrt(squares.sum(-1) / (n - 1) / n)


def _least(mean: Array, clean: Array, among_all: bool) -> float:
    """The larger of one percent of the logit difference and, among all heads, three times the mean |effect|."""
    asked = np.abs(mean[np.isfinite(mean)])
    outstanding = TIMES_MEAN * asked.mean() if among_all and len(asked) else 0.0
    return max(LEAST_SHARE * abs(clean.mean()), outstanding)


def writers(effects: Array, clean: Array, attention: Mapping[str, Array]) -> tuple[list[Head], list[Head], list[Head]]:
    """Name movers, negative name movers, and others that act on the logits themselves (section 3.1).

    The first two look at IO more than at either S; the paper has no class for heads that do not. `attention` is by pair
    of positions the mean [layer, head].
    """
    found, at_io = acts(effects, clean), _looks_most(attention, "END_IO")
    return _heads((found < 0) & at_io), _heads((found > 0) & at_io), _heads((found != 0) & ~at_io)


def s_inhibition(effects: Array, clean: Array, attention: Mapping[str, Array]) -> list[Head]:
    """Heads that help through the name movers' queries and look at S2 more than at the other names (section 3.2)."""
    return _heads((acts(effects, clean) < 0) & _looks_most(attention, "END_S2"))


def early(effects: Array, clean: Array, scores: Mapping[str, Array]) -> tuple[list[Head], list[Head]]:
    """Induction and duplicate-token heads: those that help through the S-inhibition heads' values (section 3.3).

    Which of the two a head is, is the larger of its scores on random repeated tokens (appendix H).
    """
    helps, induction, duplicate = acts(effects, clean) < 0, scores["induction"], scores["duplicate"]
    return (
        _heads(helps & (induction >= LEAST_SCORE) & (induction >= duplicate)),
        _heads(helps & (duplicate >= LEAST_SCORE) & (duplicate > induction)),
    )


def looks_back(scores: Mapping[str, Array]) -> list[Head]:
    """Heads that look at the token before on random tokens: the only candidates for `previous_token`."""
    return _heads(scores["previous"] >= LEAST_SCORE)


def previous_token(effects: Array, clean: Array) -> list[Head]:
    """Of these candidates the ones that help through the induction heads' keys at S1+1 (appendix D)."""
    return _heads(acts(effects, clean, among_all=False) < 0)


def backups(before: Array, after: Array, clean: Array, known: Sequence[Head]) -> list[Head]:
    """Heads that write the answer once the name movers are knocked out, and more than before (section 3.4, appendix F).

    `before` and `after` are the effects on the logits of the same prompts without and with the knockout. Heads below
    the name movers were not asked again: nothing has changed for them.
    """
    growth, error = moments(after - before)
    whole = np.where(np.isfinite(after).any(-1, keepdims=True), after, before)
    helps = (acts(whole, clean) < 0) & (growth < -STANDARD_ERRORS * error)
    return [head for head in _heads(helps) if head not in known]


def label(head: Head) -> str:
    """layer.head, as the paper writes it."""
    return f"{head[0]}.{head[1]}"


def against_published(found: Sequence[str], published: Sequence[str], n_heads: int) -> dict[str, float]:
    """Precision, recall and overlap (Jaccard) of a found set, and the precision and recall of a random set of its size.

    A ratio over nothing is NaN.
    """
    ours, theirs = set(found), set(published)
    both = len(ours & theirs)
    return {
        "precision": both / len(ours) if ours else np.nan,
        "recall": both / len(theirs) if theirs else np.nan,
        "overlap": both / len(ours | theirs) if ours | theirs else np.nan,
        "precision_by_chance": len(theirs) / n_heads,
        "recall_by_chance": len(ours) / n_heads,
    }


def _looks_most(attention: Mapping[str, Array], at: str) -> Mask:
    return np.all([attention[at] > attention[other] for other in NAMES if other != at], axis=0)


def _heads(chosen: Mask) -> list[Head]:
    return [(int(layer), int(head)) for layer, head in np.argwhere(chosen)]
