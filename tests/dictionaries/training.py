"""A training of all kinds at two sites, for a process that gets killed: it imports no more than it needs."""

import time

import torch
from dictionaries import tiny

from replications.dictionaries.checkpoints import Checkpoints
from replications.dictionaries.recipes import BankRecipe
from replications.dictionaries.sae import KINDS
from replications.dictionaries.stream import Site, Stream
from replications.dictionaries.train import BankPlan, train

SITES = (Site("resid_pre", 1), Site("mlp_post", 0))
BLOCKS, PER_BLOCK, BATCH = 6, 4, 16
OWN = {"standard": {"l1": (0.01, 0.02), "resample_at": (5, 14)}}
STEPS = BLOCKS * PER_BLOCK * (tiny.WIDTH - 1) // BATCH


def plans():
    """All kinds, with resampling and dead features on the way."""
    return [
        BankPlan(site, BankRecipe(kind, 40, STEPS, (0, 1), k=4, lr=1e-2, warmup=3, dead_after=20, **OWN.get(kind, {})))
        for site in SITES
        for kind in KINDS
    ]


def stream(model=None, seed=3):
    """Blocks of random tokens."""
    tokens = torch.randint(0, 256, (BLOCKS * PER_BLOCK, tiny.WIDTH), generator=torch.Generator().manual_seed(0))
    return Stream(model or tiny.model(), tokens, SITES, PER_BLOCK, seed)


def run(folder, stop_after=None, slow=0.0):
    """Train with a checkpoint per block; raise KeyboardInterrupt after some block."""

    def report(block):
        time.sleep(slow)
        if block == stop_after:
            raise KeyboardInterrupt

    kept = Checkpoints(folder, "a") if folder else None
    return train(stream(), plans(), batch=BATCH, checkpoints=kept, every=1, report=report)
