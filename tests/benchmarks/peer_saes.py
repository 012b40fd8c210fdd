"""Run by the Python of a peer's own environment: its trainer on given activations, one autoencoder after another.

python peer_saes.py <sae_lens | dictionary_learning> <folder with run.json, activations.npy and start-<width>.npz>
Prints one JSON object: seconds in all (without loading, building, drawing data), and W_enc, b_enc, W_dec go to
<folder>. Both peers are set to the recipe of the toy: given weights to start from, no decoder bias, no warm-up, Adam
at a constant rate, decoder rows of norm 1. dictionary_learning keeps them so, with gradients along them taken out;
SAELens leaves them free, so that the same is done to it from outside, and clips gradients, which is turned off. What
else they do in a step (statistics, for instance) is theirs.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

NAMES = ("W_enc", "b_enc", "W_dec")


def sae_lens_trainer(run, x, width, l1):
    """SAELens as its `train_toy_sae` sets it up, on activations drawn ahead."""
    from sae_lens import LoggingConfig, StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sae = StandardTrainingSAE(StandardTrainingSAEConfig(d_in=x.shape[1], d_sae=width, l1_coefficient=l1))
    sae.b_dec.requires_grad_(False)
    weights = (sae.W_enc, sae.b_enc, sae.W_dec)
    batch, steps = run["batch"], run["steps"]
    cfg = SAETrainerConfig(
        total_training_samples=steps * batch, train_batch_size_samples=batch, lr=run["lr"], lr_end=run["lr"],
        device="cpu", lr_scheduler_name="constant", lr_warm_up_steps=0, lr_decay_steps=0, n_restart_cycles=1,
        adam_beta1=0.9, adam_beta2=0.999, dead_feature_window=1000, feature_sampling_window=2000,
        n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, n_batches_for_norm_estimate=1,
        autocast=False, logger=LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    trainer = SAETrainer(cfg=cfg, sae=sae, data_provider=iter(x.split(batch)))

    @torch.no_grad()
    def normalise(*_):
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)

    # its penalty would stretch the rows, and its clipping would rescale the gradients
    sae.W_dec.register_hook(lambda g: g - (g * sae.W_dec.detach()).sum(dim=1, keepdim=True) * sae.W_dec.detach())
    trainer.optimizer.register_step_post_hook(normalise)
    torch.nn.utils.clip_grad_norm_ = lambda *_, **__: None
    return trainer.fit, weights


def dictionary_learning_trainer(run, x, width, l1):
    """dictionary_learning's `trainSAE` loop with its StandardTrainer."""
    from dictionary_learning.trainers.standard import StandardTrainer

    trainer = StandardTrainer(
        steps=run["steps"], activation_dim=x.shape[1], dict_size=width, layer=0, lm_name="toy", lr=run["lr"],
        l1_penalty=l1, warmup_steps=0, sparsity_warmup_steps=None, device="cpu",
    )  # fmt: skip
    trainer.ae.bias.requires_grad_(False)

    def fit():
        for step, batch in enumerate(x.split(run["batch"])):
            trainer.update(step, batch)

    return fit, (trainer.ae.encoder.weight.T, trainer.ae.encoder.bias, trainer.ae.decoder.weight.T)


def main(peer, folder):
    run = json.loads((folder / "run.json").read_text())
    torch.set_num_threads(run["threads"])
    clock = getattr(time, run["clock"])
    x = torch.from_numpy(np.load(folder / "activations.npy"))
    make, seconds = {"sae_lens": sae_lens_trainer, "dictionary_learning": dictionary_learning_trainer}[peer], 0.0
    for width, l1 in run["grid"]:
        fit, weights = make(run, x, width, l1)
        start = np.load(folder / f"start-{width}.npz")
        with torch.no_grad():
            for name, part in zip(NAMES, weights, strict=True):
                part.copy_(torch.from_numpy(start[name]))
        begin = clock()
        fit()
        seconds += clock() - begin
        arrays = (part.detach().contiguous().numpy() for part in weights)
        np.savez(folder / f"{peer}-{width}-{l1:g}.npz", **dict(zip(NAMES, arrays, strict=True)))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
