"""One whole forward pass per cell: TransformerLens' helpers, and a plain hook loop for what they do not offer."""

import torch

TOLERANCE = 1e-4  # logits, fp32: the order of summation differs
HOOKS = {site: f"hook_{site}" for site in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")} | {
    "z": "attn.hook_z"
}
HELPERS = {
    "resid_pre": "get_act_patch_resid_pre",
    "resid_mid": "get_act_patch_resid_mid",
    "attn_out": "get_act_patch_attn_out",
    "mlp_out": "get_act_patch_mlp_out",
    "z": "get_act_patch_attn_head_out_by_pos",
}


def diff_at(answer, asked=-1):
    """Logit difference of two tokens at one position."""
    return lambda logits: logits[:, asked, answer[0]] - logits[:, asked, answer[1]]


def helper_map(bridge, site, base, source, metric):
    """TransformerLens' own map of one prompt, [layer, position] or [layer, position, head]: no padding, no cache."""
    from transformer_lens import patching  # takes seconds

    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([source]))
        found = getattr(patching, HELPERS[site])(bridge, torch.tensor([base]), cache, metric, reduce="none")
    return found.values[..., 0]


def hook_loop(bridge, base, source, cells, metric, noise=None):
    """The metric [cell, sample] of cells (site, layers, position, head or None).

    `noise` [sample, T, d] is added to the word embeddings of the base run.
    """
    samples = 1 if noise is None else len(noise)
    tokens = torch.tensor([base]).expand(samples, -1)
    noisy = [] if noise is None else [("embed.hook_out", lambda words, hook: words + noise)]
    values = []
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([source]))
        for site, layers, position, head in cells:

            def restore(x, hook, position=position, head=head):
                # In place, as the helpers do: the bridge's resid_mid is the norm's input, and a new tensor there
                # would leave the stream itself as it was.
                where = (slice(None), position) if head is None else (slice(None), position, head)
                x[where] = cache[hook.name][where]
                return x

            hooks = [(f"blocks.{layer}.{HOOKS[site]}", restore) for layer in layers]
            values.append(metric(bridge.run_with_hooks(tokens, fwd_hooks=noisy + hooks)))
    return torch.stack(values)
