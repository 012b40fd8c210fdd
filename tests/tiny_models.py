"""Random models of three layers, small enough to compare every cell, and random pairs of prompts for them."""

from functools import cache
from types import SimpleNamespace

import torch
import transformers
from tokenizers import Tokenizer, models
from transformer_lens.model_bridge import TransformerBridge

from replications.models.load import sharing_weights

VOCABULARY = 61
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "vocab_size": VOCABULARY, "max_position_embeddings": 64}  # fmt: skip
GROUPED = {**SMALL, "num_key_value_heads": 2}
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **GROUPED, head_dim=16, sliding_window=4, query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "qwen2": lambda: transformers.Qwen2Config(**GROUPED),
    "gpt2": lambda: transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=VOCABULARY, n_positions=64),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SMALL),
    "gpt_neox_sequential": lambda: transformers.GPTNeoXConfig(**SMALL, use_parallel_residual=False),
    "opt": lambda: transformers.OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=32),
    "bert": lambda: transformers.BertConfig(**SMALL),
}  # fmt: skip


@cache
def tiny_model(architecture):
    """bridge and hf_model of one family: grouped queries, sliding windows and learned positions are all there."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make = transformers.AutoModelForMaskedLM if architecture == "bert" else transformers.AutoModelForCausalLM
        model = make.from_config(CONFIGS[architecture]()).eval()
        for parameter in model.parameters():  # as initialised, every effect vanishes
            parameter.data.mul_(4)
        model.config.architectures = [type(model).__name__]  # what the bridge goes by
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
