"""A decoder of three layers that reads bytes, and a few windows for it: dictionaries of it train in a second."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

WIDTH, D, D_MLP, LAYERS = 17, 32, 48, 3
PARAMS = {
    "seed": 3, "depth": 0.4, "shares": {"numbers": 0.5, "base64": 0.5}, "characters": 4000, "window": WIDTH - 1,
    "tokens": 6 * 4 * (WIDTH - 1), "windows_per_block": 4, "batch": 16, "checkpoint_every": 1, "k": 4, "lr": 1e-3,
    "dead_after": 64, "memory_gb": 1, "test_windows": 6, "loss_windows": 4, "loss_tokens": 12, "resamples": 50,
    "banks": {
        "resid_pre": {"width": 2, "kinds": ["standard", "topk", "batch_topk"], "seeds": [0, 1]},
        "mlp_post": {"width": 1, "kinds": ["standard"], "seeds": [0]},
    },
    "l1": {"tiny": {"resid_pre": 0.004, "mlp_post": 0.004}},
}  # fmt: skip


@cache
def model(seed: int = 0):
    """The decoder, weights wide enough that layers do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            hidden_size=D, intermediate_size=D_MLP, num_hidden_layers=LAYERS, num_attention_heads=4, vocab_size=300,
            max_position_embeddings=64, num_key_value_heads=2, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        made = transformers.LlamaForCausalLM(config).eval()
        for parameter in made.parameters():
            parameter.data.mul_(4 if parameter.ndim > 1 else 1)
    return made


@cache
def tokenizer():
    vocabulary = {byte: index for index, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner)


def loaded(name: str = "tiny", seed: int = 0, kind: str = "decoder"):
    """What `load_model` gives, as far as dictionaries ask."""
    entry = SimpleNamespace(id=name, n_layers=LAYERS, kind=kind)
    return SimpleNamespace(hf_model=model(seed), tokenizer=tokenizer(), entry=entry, bos_id=None, eos_id=None)


def text(n: int = 24, held_out: int = 6):
    """Random windows, as `trained.read_text` gives them."""
    from replications.dictionaries.corpus import Document, Windows
    from replications.dictionaries.trained import Text

    rng = np.random.default_rng(0)
    document = (Document("numbers", "numbers", "1"),)
    parts = [Windows(rng.integers(0, 256, (size, WIDTH), dtype=np.int32), np.zeros(size, np.int32), document)
             for size in (n, held_out)]  # fmt: skip
    return Text(parts[0], np.arange(n), parts[1], np.arange(held_out), "digest")
