"""Short texts to put before a prompt, written by the model itself, so that a key is not that of one sentence only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from replications.stimuli.spans import Encoder

OPENING = "The"
TOP_K = 5  # as released


@torch.inference_mode()
def write_contexts(
    hf_model: Any, tokenizer: Any, encode: Encoder, lengths: Sequence[Sequence[int]], seed: int
) -> list[str]:
    """The empty text, for the bare prompt, then prefixes; `lengths` are pairs (tokens, how many).

    Each continues "The" by sampling among the five likeliest tokens, and ends with ". " (the released
    context_templates).
    """
    generator = torch.Generator().manual_seed(seed)
    prefixes = [""]
    opening = encode(OPENING).ids
    for length, count in lengths:
        tokens = torch.tensor([opening] * count)
        for _ in range(length):
            logits = hf_model(tokens.to(hf_model.device), use_cache=False, logits_to_keep=1).logits[:, -1].float().cpu()
            likeliest = logits.topk(TOP_K, dim=-1)
            drawn = torch.multinomial(likeliest.values.softmax(-1), 1, generator=generator)
            tokens = torch.cat([tokens, likeliest.indices.gather(1, drawn)], dim=1)
        texts = tokenizer.batch_decode(tokens.tolist(), skip_special_tokens=True)
        prefixes += [" ".join(text.split()) + ". " for text in texts]
    return prefixes
