"""Facts and pairs whose traces we wrote: an early site of MLPs, a late one of attention."""

import numpy as np

from replications.rome_tracing.effects import KINDS, Layers, Sample
from replications.rome_tracing.stimuli import CLASSES

N, LAYERS = 12, Layers([0, 2, 4, 6, 8, 10], 12)
CLEAN, CORRUPTED = 0.6, 0.1
SHAPE = np.array([0.0, 0.1, 0.3, 0.2, 0.1, 0.0])  # an early site, at layer 4


def planted(i, middle=True):
    """A fact whose MLP windows restore at the last subject token, its attention windows late at the last token."""
    spread = 0.01 * (i % 3 - 1)
    row = {"clean": CLEAN + spread, "corrupted": CORRUPTED, "corrupted_text": 0.2}
    for kind in KINDS:
        row[kind] = np.full((6, 6), CORRUPTED)
    row["mlp"][:, CLASSES.index("subject_last")] += SHAPE + spread
    row["attn"][:, CLASSES.index("last")] += SHAPE[::-1] + spread
    row["state"][:, CLASSES.index("subject_last")] += 0.4 * (np.arange(6) < 4)
    row["state"][:, CLASSES.index("last")] += 0.5 * (np.arange(6) > 3)
    if not middle:
        for kind in KINDS:
            row[kind][:, CLASSES.index("subject_middle")] = np.nan
    row["mlp_text"] = CORRUPTED + np.roll(SHAPE, -1)
    row["mlp_single"], row["attn_single"] = CORRUPTED + SHAPE / 10, CORRUPTED + SHAPE[::-1] / 5
    row["severed_mlp"] = CORRUPTED + 0.4 * (np.arange(6) == 3)  # layers 0 to 4 lose everything
    row["severed_attn"] = CORRUPTED + 0.3 * (np.arange(6) < 4)
    row["others_corrupted"], row["others_mlp"] = 0.4, 0.4 + SHAPE / 3
    return row


def corrupted_pair(i):
    """Noise restores three times as much as replacement, windows twice as much as their layers one by one."""
    alone = np.zeros((12, 2))
    alone[3:6] = [[0.02, 0.2]] * 3
    row = {"clean": np.array([0.6, 4.0]) + 0.01 * (i % 3)}
    for name, factor in (("noise", 3), ("replacement", 1)):
        start = np.array([0.1, -1.0])
        row[f"{name}.corrupted"], row[f"{name}.single"] = start, start + factor * alone
        for width in (3, 5, 10):
            joint = np.zeros((6, 2, 2))
            joint[2, 0] = 2 * alone[3:6].sum(axis=0)  # centred on layer 4, the last subject token
            joint[1, 1] = [0.03, 0.6]  # at the middle, one layer before
            row[f"{name}.w{width}"] = start + factor * joint
    return row


def sample(rows=None):
    return Sample.of(rows or [planted(i) for i in range(N)], resamples=200, seed=0)


def value(tree, path):
    for key in path.split("."):
        tree = tree[key]
    return tree["value"]
