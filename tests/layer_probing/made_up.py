"""Models and corpora made up by a test: three layers, pieces w<number>, tags by the word's number."""

from types import SimpleNamespace

from tiny_models import tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from replications.corpora.edges import EdgeTask, Sentence, Target

PARAMS = {
    "seed": 1, "c": 0.1, "seeds": 3, "control_seeds": 2, "resamples": 40, "english": {"train": 24, "test": 12},
    "others": {"train": 24, "test": 12}, "types": {"train": 8, "dev": 4, "test": 6}, "edited_layers": 2, "rank": 2,
    "draws": 2, "sources": {"own": {"en": "own", "id": "tags-only"}, "parallel": {"else": "pud"}},
}  # fmt: skip
LABELS = {"pos": ("NOUN", "VERB", "X"), "deps": ("nsubj", "root")}


def loaded(family="llama", languages=("en",), **_):
    """A random model of a family; a BERT has no head that says anything."""
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(60)}, unk_token="w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0")
    kind = "encoder" if family == "bert" else "decoder"
    entry = SimpleNamespace(id=f"tiny-{family}", n_layers=3, kind=kind, languages=list(languages))
    return SimpleNamespace(
        hf_model=tiny_model(family).hf_model, tokenizer=tokenizer, bos_id=1, eos_id=None, entry=entry
    )


def sources(name, language):
    """One treebank has only parts of speech."""
    return ["own", "pud", *(["tags-only"] if name == "pos" else [])]


def tagged(name, language, source):
    """pos: the word's number modulo 3; deps: modulo 2. The same sentences in both, from a corpus named for `source`."""
    splits = {"train": range(30), "dev": range(30, 36), "test": range(36, 52)}
    corpus = f"{source}-{language}"
    made = {split: tuple(_sentence(number, LABELS[name]) for number in numbers) for split, numbers in splits.items()}
    return EdgeTask(name, language, "micro_f1", LABELS[name], made, LABELS[name], (corpus,))


def _sentence(number, labels):
    words = tuple(f"w{3 + (7 * number + 5 * i) % 50}" for i in range(5))
    targets = tuple(Target((i, i + 1), None, (labels[int(word[1:]) % len(labels)],)) for i, word in enumerate(words))
    return Sentence(f"s{number}", words, targets)


def ambiguous(language, *, seed, per_type, source):
    """Every word from w3 to w50 as noun after w51 and as verb after w52; types split by number."""
    splits = {"train": range(3, 25), "dev": range(25, 35), "test": range(35, 51)}
    found = {split: tuple(_use(number, tag) for number in numbers for tag in ("NOUN", "VERB"))
             for split, numbers in splits.items()}  # fmt: skip
    return EdgeTask("noun_verb", language, "micro_f1", ("NOUN", "VERB"), found, (), ("made-up",))


def _use(number, tag):
    marker = "w51" if tag == "NOUN" else "w52"
    words = (f"w{3 + number % 7}", f"w{3 + number % 11}", marker, f"w{number}", f"w{3 + number % 13}")
    return Sentence(f"{tag}{number}", words, (Target((3, 4), None, (tag,)),))
