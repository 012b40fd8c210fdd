"""How much noise, and which: three standard deviations of the word embeddings (Meng et al. 2022, section 2).

Noise is added to what the word embedding returns: before positions are added (GPT-2), after the factor of the square
root of the width (Gemma). The standard deviation is taken there too, so the rule means the same in every family.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from replications.causal import noise
from replications.causal.stack import Stack
from replications.models.load import Loaded, encode_bare
from replications.rome_tracing.effects import SIGMAS
from replications.rome_tracing.stimuli import Traced, generator


@torch.inference_mode()
def embedding_std(loaded: Loaded, stack: Stack, texts: Sequence[str]) -> float:
    """Standard deviation of all entries of the word embeddings of these texts' tokens, without BOS.

    Repeated tokens count as often as they occur, as in the published code.
    """
    ids = [i for row in encode_bare(loaded, texts) for i in row]
    device = next(loaded.hf_model.parameters()).device
    return stack.words(torch.tensor(ids, device=device)).std().item()


def added_noise(
    stack: Stack, fact: Traced, columns: Sequence[int], scale: float, samples: int, seed: int, device: str
) -> Float[Tensor, "samples T d_embed"]:
    """The one draw that all cells of a fact share. Another fact gets another: they should not err alike.

    The published code restarts its generator at every fact; then a few samples are the same few for all facts.
    """
    draw = torch.Generator().manual_seed(int(generator(seed, fact.id).integers(1 << 62)))
    word = stack.words(torch.tensor([fact.known.encoded.ids[0]], device=device))
    return noise.gaussian(samples, len(fact.known.encoded.ids), word.shape[-1], columns, scale, draw).to(device)


def scales(loaded: Loaded, stack: Stack, subjects: Sequence[str], sentences: Sequence[str]) -> dict[str, float]:
    """Noise by either rule: `subjects` that of the published code, strings without a leading space; `text` the paper's.

    The paper says "a body of text" and not which; here it is the sentences of the fact table, objects included: in the
    language of the run, and there on every machine.
    """
    bodies = {"subjects": subjects, "text": sentences}
    return {rule: SIGMAS * embedding_std(loaded, stack, texts) for rule, texts in bodies.items()}
