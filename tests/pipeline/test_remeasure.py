"""Evidence cannot be typed in: some of it is measured again here, from scratch, by TransformerLens' helpers alone.

Nothing of the project's patching code is used: no padding, no shared prefix, no narrow unembedding. Tolerance: 0.01
logits, since another processor sums in another order; the effects themselves are of the order of 1 to 10 logits.
"""

import math

import pandas as pd
import pytest

from replications.files import read_json
from replications.settings import REPORTS, load_settings, room_params

MODEL, LANGUAGE = "smollm2-135m", "en"
TOLERANCE = 0.01
LAYERS = (0, 14, 22, 29)

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def loaded():
    from replications.models.load import load_model

    return load_model(MODEL)


@pytest.fixture(scope="module")
def encode(loaded):
    from replications.models.load import encoder

    return encoder(loaded)


@pytest.fixture(scope="module")
def text():
    from replications.stimuli.language import load_stimuli

    return load_stimuli(LANGUAGE)


def logit_diff(bridge, ids, answers):
    import torch

    with torch.inference_mode():
        last = bridge(torch.tensor([ids]))[0, -1]
    return (last[answers[0]] - last[answers[1]]).item()


def restoration(bridge, clean, corrupted, answers, cells, base):
    """Normalised effect of `resid_pre` patches at (layer, tokens before the end) cells, by the library's own loop."""
    import torch
    from transformer_lens import patching

    frame = pd.DataFrame([(layer, len(corrupted) - back) for layer, back in cells], columns=["layer", "pos"])
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([clean]))
        shift = len(corrupted) - len(clean)  # prompts are aligned at their last token
        names = [f"blocks.{layer}.hook_resid_pre" for layer in LAYERS]
        aligned = {name: torch.nn.functional.pad(cache[name], (0, 0, shift, 0)) for name in names}
        values = patching.generic_activation_patch(
            bridge, torch.tensor([corrupted]), aligned,
            lambda logits: logits[0, -1, answers[0]] - logits[0, -1, answers[1]],
            patching.layer_pos_patch_setter, "resid_pre", index_df=frame,
        )  # fmt: skip
    return ((values - base[1]) / (base[0] - base[1])).tolist()


def check(room, bridge, clean, corrupted, answers, backs, names):
    """`backs` count tokens from the end of the prompt: 1 is the last one."""
    metrics = read_json(REPORTS / room / MODEL / LANGUAGE / "metrics.json")["measured"]["article"]
    base = [logit_diff(bridge, ids, answers) for ids in (clean, corrupted)]
    for value, name in zip(base, names, strict=True):
        assert metrics[name]["value"] == pytest.approx(value, abs=TOLERANCE), f"{room}: article.{name}"
    table = pd.read_csv(REPORTS / room / MODEL / LANGUAGE / "tables" / "article_resid_pre.csv")
    grid = table[table.weights == "measured"].pivot(index="layer", columns="position", values="restoration").to_numpy()
    cells = [(layer, back) for layer in LAYERS for back in backs]
    values = restoration(bridge, clean, corrupted, answers, cells, base)
    for (layer, back), value in zip(cells, values, strict=True):
        assert grid[layer, -back] == pytest.approx(value, abs=TOLERANCE), f"{room}: layer {layer}, {back} from the end"


def test_location_evidence_is_what_the_model_does(loaded, encode, text):
    from replications.rome.stimuli import build_pairs

    seed = room_params("rome", load_settings().profile)["seed"]
    pair = build_pairs(text.location, encode, prefix=text.answer_prefix, seed=seed).article
    answers = (pair.clean.answer, pair.corrupted.answer)
    ids = pair.clean.prompt.ids, pair.corrupted.prompt.ids
    backs = (len(ids[0]) - pair.clean.subject[-1], 1)
    check("rome", loaded.bridge, *ids, answers, backs, ("log_ratio_clean", "log_ratio_corrupted"))


def test_ioi_evidence_is_what_the_model_does(loaded, encode, text):
    from replications.ioi.stimuli import build_prompts

    params = room_params("ioi", load_settings().profile)
    made = build_prompts(text.ioi, encode, prefix=text.answer_prefix, n=params["n_prompts"], seed=params["seed"])
    pair = made.article
    backs = (len(pair.clean.ids) - pair.s2, 1)
    check("ioi", loaded.bridge, pair.clean.ids, pair.corrupted.ids, pair.answers, backs,
          ("logit_diff_clean", "logit_diff_corrupted"))  # fmt: skip
    table = pd.read_csv(REPORTS / "ioi" / MODEL / LANGUAGE / "tables" / "prompts.csv")
    for i in (1, 40, 120):
        prompt = made.prompts[i - 1]
        assert table.prompt[i] == prompt.clean.text
        value = logit_diff(loaded.bridge, prompt.clean.ids, prompt.answers)
        assert table.logit_diff_clean[i] == pytest.approx(value, abs=TOLERANCE), prompt.clean.text


@pytest.mark.parametrize(("room", "column"), [("ioi_circuit", "logit_diff"), ("ioi_faithfulness", "model")])
def test_circuit_evidence_is_what_the_model_does(loaded, encode, text, room, column):
    table = pd.read_csv(REPORTS / room / MODEL / LANGUAGE / "tables" / "prompts.csv")
    for i in (0, len(table) // 2, len(table) - 1):
        row = table.loc[i]
        answers = [token(loaded, text.answer_prefix + name) for name in (row.io, row.s)]
        value = logit_diff(loaded.bridge, encode(row.prompt).ids, answers)
        assert row[column] == pytest.approx(value, abs=TOLERANCE), f"{room}: {row.prompt}"


def test_unedited_evidence_is_what_the_model_does(loaded, encode, text):
    import torch

    table = pd.read_csv(REPORTS / "rome_editing" / MODEL / LANGUAGE / "tables" / "edits.csv")
    table = table[(table.weights == "measured") & (table.method == "base")].reset_index()
    for i in (0, len(table) - 1):
        row, prompt = table.loc[i], encode(table.loc[i].prompt).ids
        for answer, column in ((row.target, "p_target"), (row.true, "p_true")):
            ids = loaded.tokenizer(text.answer_prefix + answer, add_special_tokens=False).input_ids
            with torch.inference_mode():
                logp = loaded.bridge(torch.tensor([prompt + ids]))[0].log_softmax(-1)
            steps = [logp[len(prompt) - 1 + k, token].item() for k, token in enumerate(ids)]
            assert row[column] == pytest.approx(math.exp(sum(steps) / len(ids)), rel=TOLERANCE), row.prompt


def token(loaded, text):
    """The one token that a text is."""
    (only,) = loaded.tokenizer(text, add_special_tokens=False).input_ids
    return only
