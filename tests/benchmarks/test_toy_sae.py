"""A sweep of toy autoencoders as one batch against SAELens and dictionary_learning, which train one after another.

The peers need environments of their own (SAELens wants an older TransformerLens), without which the sweep is held
against its floor alone. The environment variable names a folder with one virtual environment each:

    for peer in sae-lens dictionary-learning; do
        python -m venv PEERS/$peer && PEERS/$peer/bin/pip install torch==2.13.0 $peer; done
    PEERS/dictionary-learning/bin/pip uninstall --yes torchvision    # where it was built for another torch
    REPLICATIONS_PEERS=PEERS make bench

Same activations, weights to start from, batch, rate, steps and norm of the decoder rows. Losses agree within 1 %;
after 500 steps they did not yet (1.05 % at one coefficient: the peers take the gradient along the rows out, ours does
not), so that all train for 800.
All coefficients of the published grid are trained at two of its sizes. A peer takes as long for one coefficient as for
another, since its products are dense: it trains SAMPLE of them, and its seconds are scaled to all. One round, of 1,600
steps that all cost the same, is enough.
"""

import itertools
import json
import os
import subprocess
from pathlib import Path

from benchmarks.goals import SWEEP
from benchmarks.turns import Peer

from replications.cli import keep_freed_memory

VARIABLE = "REPLICATIONS_PEERS"
PEERS = {"sae_lens": "sae-lens", "dictionary_learning": "dictionary-learning"}
D, G = 256, 512
WIDTHS, ALPHAS = (512, 1024), tuple(10 ** (k / 4) for k in range(-8, 9))
SAMPLE = (4, 8)  # 0.1 and 1, of ALPHAS, by index: what the peers train
BATCH, STEPS, LR = 256, 800, 3e-3
# What `replicate run` does for itself (`cli.keep_freed_memory`), for the peers.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
AGREES = 0.01  # relative difference of the losses at most


def drawn(steps, batch):
    """Activations for training, and others for the losses."""
    import torch

    from replications.toy_sae.ground_truth import activations, make_truth

    truth = make_truth(G, D, 0)
    return torch.cat([activations(truth, batch, number) for number in range(steps)]), activations(truth, 8192, "test")


def coefficients(width):
    """L1 coefficients per input of one width, rising."""
    from replications.toy_sae.bank import l1_of

    return [l1_of(alpha, D, width) for alpha in ALPHAS]


def ours(x):
    """{(width, index of alpha): (W_enc [d, h], b_enc [h], W_dec [h, d])}"""
    from replications.toy_sae.bank import ToyBank

    found = {}
    for width in WIDTHS:
        bank = ToyBank(D, width, coefficients(width), seed=0)
        for batch in x.split(BATCH):
            bank.step(batch, LR)
        found |= {(width, i): (bank.W_enc[i].T, bank.b_enc[i], bank.W_dec[i]) for i in range(len(ALPHAS))}
    return found


def loss(x, weights, l1):
    """Squared error plus L1, in units in which decoder rows have norm 1."""
    W_enc, b_enc, W_dec = weights
    c = (x @ W_enc + b_enc).relu()
    return ((c @ W_dec - x).square().sum(1) + l1 * (c @ W_dec.norm(dim=1))).mean().item()


def prepare(folder, x, clock):
    """What `peer_saes.py` reads."""
    import numpy as np
    import torch

    from replications.toy_sae.bank import ToyBank

    np.save(folder / "activations.npy", x.numpy())
    for width in WIDTHS:
        bank = ToyBank(D, width, [0.0], seed=0)
        start = {"W_enc": bank.W_enc[0].T, "b_enc": bank.b_enc[0], "W_dec": bank.W_dec[0]}
        np.savez(folder / f"start-{width}.npz", **{name: part.contiguous().numpy() for name, part in start.items()})
    sample = [(width, coefficients(width)[i]) for width in WIDTHS for i in SAMPLE]
    run = {"batch": BATCH, "steps": STEPS, "lr": LR, "grid": sample,
           "threads": torch.get_num_threads(), "clock": clock.__name__}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))


def peer(name, folder, test):
    """Losses {(width, index of alpha): loss} of a peer, and its seconds scaled to all coefficients."""

    def run(_clock, _turn):
        python = Path(os.environ[VARIABLE]) / PEERS[name] / "bin" / "python"
        script = Path(__file__).with_name("peer_saes.py")
        done = subprocess.run([python, script, name, folder], env={**os.environ, **KEEP_MEMORY}, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        seconds = json.loads(done.stdout.splitlines()[-1])["seconds"] * len(ALPHAS) / len(SAMPLE)
        return losses_in(folder, name, test), seconds

    def difference(values, found):
        relative = {at: abs(loss(test, values[at], l1_at(*at)) / theirs - 1) for at, theirs in found.items()}
        assert max(relative.values()) < AGREES, relative
        return max(relative.values())

    return Peer(run, difference)


def losses_in(folder, name, test):
    """Of the autoencoders that a peer has left in the folder."""
    import numpy as np
    import torch

    found = {}
    for at in itertools.product(WIDTHS, SAMPLE):
        file = np.load(folder / f"{name}-{at[0]}-{l1_at(*at):g}.npz")
        weights = [torch.from_numpy(file[part]) for part in ("W_enc", "b_enc", "W_dec")]
        found[at] = loss(test, weights, l1_at(*at))
    return found


def l1_at(width, i):
    return coefficients(width)[i]


def test_the_sweep_in_one_batch(compare, clock, tmp_path):
    keep_freed_memory()
    x, test = drawn(STEPS, BATCH)
    prepare(tmp_path, x, clock)
    ours(x[:BATCH])  # compiles
    flop = 10.0 * D * sum(WIDTHS) * len(ALPHAS) * len(x)  # five dense products per activation
    note = (
        f"{len(WIDTHS) * len(ALPHAS)} autoencoders, {len(x)} activations each; peers trained {len(SAMPLE)} of "
        f"{len(ALPHAS)} coefficients, seconds scaled to all; difference is that of losses, relative"
    )
    peers = {name: peer(name, tmp_path, test) for name in PEERS if VARIABLE in os.environ}
    compare(SWEEP, lambda: ours(x), peers, flop, 1, note)
