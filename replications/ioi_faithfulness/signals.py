"""What the S-inhibition heads carry: which position is repeated, and which name (Wang et al. 2022, appendix A).

Their outputs at END are taken from a variant of the prompt in which one signal, both or none is turned round. With
"A and B ... B" (IO, S, S) as the prompt, the variants change names only, so that all positions stay:

    token \\ position   kept        turned
    kept               A B ... B   B A ... B
    unrelated          C D ... D   D C ... D
    turned             B A ... A   A B ... A
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from replications.causal.runs import run
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness.circuits import Circuit
from replications.ioi_faithfulness.knockouts import Bench, padded

TOKEN = {"kept": 1, "unrelated": 0, "turned": -1}
POSITION = {"kept": 1, "turned": -1}
CELLS = tuple((token, position) for token in TOKEN for position in POSITION)
CLASS = "s_inhibition"


def variant(prompt: CircuitPrompt, token: str, position: str, strangers: tuple[int, int]) -> tuple[int, ...]:
    """Token ids of the prompt with its signals changed; `strangers` are the tokens of two other names."""
    ids = list(prompt.ids)
    io, s = ids[prompt.io_at], ids[prompt.s2_at]
    at_io, at_s1 = {"kept": (io, s), "unrelated": strangers, "turned": (s, io)}[token]
    repeated = at_s1
    if position == "turned":  # the same name is repeated, but it stood in the other place
        at_io, at_s1 = at_s1, at_io
    ids[prompt.io_at], ids[prompt.s1_at], ids[prompt.s2_at] = at_io, at_s1, repeated
    return tuple(ids)


def strangers(prompts: Sequence[CircuitPrompt]) -> list[tuple[int, int]]:
    """For every prompt two name tokens of its own ABC twin, which are in neither of its names."""
    return [(p.abc_ids[p.io_at], p.abc_ids[p.s1_at]) for p in prompts]


def logit_diffs(bench: Bench, circuit: Circuit, device: str) -> Iterator[Array]:
    """Logit differences [n] for every cell of CELLS, in its order."""
    others, width = strangers(bench.prompts), bench.model.run.frame.width
    nodes = [node for node in circuit.nodes_of(circuit.classes[CLASS]) if node[2] == "END"]
    for token, position in CELLS:
        rows = [variant(p, token, position, two) for p, two in zip(bench.prompts, others, strict=True)]
        made = run(bench.stack, *padded(rows, width, device), sites=["z"])
        yield bench.with_substitutes(made.site("z")).logit_diffs([bench.mask(nodes)])[0]


def fit(cells: Array) -> tuple[Array, Array, Array]:
    """Least squares of cells [draw, cell] on the two signals without a constant: position, token, mean relative error.

    The error is the mean distance of the fitted cells as a share of the first one, the unchanged prompts. Appendix A
    does not say of what its 7 % are; with this definition its own cells give 8 %.
    """
    signs = np.array([(POSITION[position], TOKEN[token]) for token, position in CELLS], dtype=float)
    coefficients = cells @ np.linalg.pinv(signs).T
    error = np.abs(coefficients @ signs.T - cells).mean(1) / np.abs(cells[:, 0])
    return coefficients[:, 0], coefficients[:, 1], error


def quantities(found: Array, weights: Array) -> dict:
    """Estimates from logit differences [cell, n]: every cell, the fit, and each signal's share of the whole drop."""
    n, cells = found.shape[1], weights @ found.T
    at = {cell: cells[:, i] for i, cell in enumerate(CELLS)}
    position, token, error = fit(cells)
    kept, whole = at["kept", "kept"], at["kept", "kept"] - at["turned", "turned"]
    named = {
        "position": position, "token": token, "error": error,
        "share_position": (kept - at["kept", "turned"]) / whole,
        "share_token": (kept - at["turned", "kept"]) / whole,
    }  # fmt: skip
    leaves = {name: stats.interval(draws, n) for name, draws in named.items()}
    table = {f"token_{token}": {f"position_{p}": stats.interval(at[token, p], n) for p in POSITION} for token in TOKEN}
    return leaves | table
