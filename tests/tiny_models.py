"""Random models of three layers, small enough to compare every cell, and random pairs of prompts for them.

There is one of each kind that an adapter of a family names, so that a test over DECODERS is a test of every adapter.
"""

from functools import cache
from types import SimpleNamespace

import torch
import transformers
from tokenizers import Tokenizer, models

from replications.models.families import FAMILIES, bridged_as
from replications.models.families.base import SMALL
from replications.models.load import sharing_weights

CONFIGS = {name: config for family in FAMILIES.values() for name, config in family.tiny.items()}
FAMILY = {name: FAMILIES[config["model_type"]] for name, config in CONFIGS.items()}
DECODERS, ENCODERS = ([name for name in CONFIGS if FAMILY[name].causal is causal] for causal in (True, False))
VOCABULARY = SMALL["vocab_size"]


@cache
def tiny_model(architecture):
    """bridge and hf_model of one family: grouped queries, sliding windows and learned positions are all there."""
    from transformer_lens.model_bridge import TransformerBridge  # takes seconds

    with torch.random.fork_rng():
        torch.manual_seed(0)
        make = transformers.AutoModelForMaskedLM if architecture in ENCODERS else transformers.AutoModelForCausalLM
        model = make.from_config(transformers.AutoConfig.for_model(**CONFIGS[architecture])).eval()
        for name, parameter in model.named_parameters():  # as initialised, every effect vanishes
            if not name.endswith(("q_norm.weight", "k_norm.weight")):  # 16 times the scores: rounding chooses the token
                parameter.data.mul_(4)
        model.config.architectures = [bridged_as(type(model).__name__)]  # what the bridge goes by
        plain = sharing_weights(model)
        words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2", pad_token="w2")
        bridge = TransformerBridge.boot_transformers(
            f"tiny/{architecture}", hf_model=model, tokenizer=tokenizer, dtype=torch.float32, device="cpu"
        )
    return SimpleNamespace(bridge=bridge.eval(), hf_model=plain)


def random_pairs(lengths, changed, seed=0):
    """Token ids of pairs that differ at the `changed` positions, counted from the end, and their answers."""
    generator = torch.Generator().manual_seed(seed)
    clean = [torch.randint(3, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]
    corrupted = [[(t + 5) % (VOCABULARY - 3) + 3 if n - i in changed else t for i, t in enumerate(row)]
                 for n, row in zip(lengths, clean, strict=True)]  # fmt: skip
    answers = [(7 + i % 20, 30 + i % 20) for i in range(len(lengths))]
    return clean, corrupted, answers
