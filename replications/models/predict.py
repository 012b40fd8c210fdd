"""What a model says next: the greedy token, and the probability of given tokens, after many prompts at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications import progress
from replications.models.load import Loaded

TOKENS = 1024  # per forward pass
LOGITS = 1 << 24  # per forward pass: a vocabulary of 262,144 would take more memory than the layers


def greedy(loaded: Loaded, prompts: Sequence[Sequence[int]]) -> list[int]:
    """The token ranked first after each prompt. With `partial(greedy, loaded)` facts are asked."""
    said = torch.zeros(len(prompts), dtype=torch.long)
    for rows, logits in next_logits(loaded, prompts):
        said[rows] = logits.argmax(dim=-1).cpu()
    return said.tolist()


def probabilities(
    loaded: Loaded, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> Float[Tensor, "n a"]:
    """P(answer token | prompt), on the CPU; every prompt has equally many answers."""
    wanted = torch.tensor(answers, dtype=torch.long)
    found = torch.zeros(wanted.shape)
    for rows, logits in next_logits(loaded, prompts):
        found[rows] = logits.softmax(dim=-1).gather(1, wanted[rows].to(logits.device)).cpu()
    return found


@torch.inference_mode()
def next_logits(
    loaded: Loaded, prompts: Sequence[Sequence[int]]
) -> Iterator[tuple[Int[Tensor, " b"], Float[Tensor, "b vocab"]]]:
    """Batches of (indices into `prompts`, float32 logits after them), by length: none is padded.

    Padding shifts positions and adds masked columns, and architectures differ in what they make of that.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        groups[len(prompt)].append(index)
    device = next(loaded.hf_model.parameters()).device
    at_most = LOGITS // loaded.hf_model.config.vocab_size
    for length, group in progress.watched(sorted(groups.items()), "asking"):
        for rows in torch.tensor(group).split(max(1, min(TOKENS // length, at_most))):
            tokens = torch.tensor([prompts[row] for row in rows], device=device)
            yield rows, loaded.hf_model(tokens, use_cache=False, logits_to_keep=1).logits[:, -1].float()
