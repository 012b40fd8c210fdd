"""Quantities of the IOI room from arrays that we chose."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_tokenizer import toy_encode

from replications.causal.experiment import Result
from replications.causal.roles import RestoredStates
from replications.evidence import stats
from replications.ioi import quantities as method
from replications.ioi.stimuli import Prompt

N, LAYERS, WIDTH = 9, 6, 8  # the article's pair and eight prompts


def prompt(i):
    words = "Ann Bob went and Bob gave to" if i % 2 else "so Ann Bob left Bob gave to"
    clean = toy_encode(words)
    order = "ABBA" if i % 2 else "BABA"
    return Prompt(0, order, "Ann", "Bob", clean, toy_encode(words.replace("Bob gave", "Ann gave")), 5, (3, 4))


PROMPTS = [prompt(i) for i in range(N)]


def result():
    """S2 carries everything up to layer 2, END from layer 3 on; head 1 of layer 4 restores half, head 0 of 5 hurts."""
    corrupted, clean = np.full(N, -1.0), np.full(N, 3.0)
    resid = np.tile(corrupted, (LAYERS, WIDTH, 1))
    resid[:3, 5] = clean
    resid[3:, 7] = clean
    heads = np.tile(corrupted, (LAYERS, 2, 1))
    heads[4, 1] += 2.0
    heads[5, 0] -= 1.0
    behaviour = SimpleNamespace(
        clean=torch.tensor([3.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]),
        corrupted=torch.full((N,), -2.0), p_answer=torch.linspace(0.1, 0.9, N),
    )  # fmt: skip
    return Result(behaviour, RestoredStates(clean, corrupted, resid), heads)


@pytest.fixture(scope="module")
def tree():
    return method.quantities(result(), PROMPTS, list(range(N)), resamples=200, seed=0)


def test_the_article_pair_stands_alone(tree):
    assert tree["article"]["logit_diff_clean"] == stats.leaf(pytest.approx(3.0))
    assert tree["article"]["p_io"]["value"] == pytest.approx(0.1)
    assert tree["prompts"]["accuracy"]["n"] == N - 1


def test_accuracy_is_the_share_of_positive_logit_differences(tree):
    assert tree["prompts"]["accuracy"]["value"] == 0.5
    assert tree["by_order"]["ABBA"]["accuracy"]["value"] == 1
    assert tree["by_order"]["BABA"]["accuracy"]["value"] == 0
    assert tree["prompts"]["total_effect"]["value"] == pytest.approx(2.0)


def test_roles_and_handover(tree):
    assert tree["roles"]["S2"]["early"]["value"] == pytest.approx(1)
    assert tree["roles"]["S2"]["late"]["value"] == pytest.approx(0)
    assert tree["roles"]["END"]["late"]["value"] == pytest.approx(1)
    assert tree["handover"]["layer"]["value"] == 3
    assert tree["curve"]["S2"]["2"]["value"] == pytest.approx(1)
    assert tree["curve"]["END"]["2"]["value"] == pytest.approx(0)


def test_heads(tree):
    assert tree["heads"]["L4H1"]["value"] == pytest.approx(0.5)
    assert tree["heads"]["L5H0"]["value"] == pytest.approx(-0.25)
    assert tree["heads_top"]["value"] == "L4H1"
    assert tree["heads_bottom"]["value"] == "L5H0"
    assert tree["heads_max"]["value"] == pytest.approx(0.5)
    assert tree["heads_min"]["value"] == pytest.approx(-0.25)
    assert tree["heads_share"]["negative"]["value"] == pytest.approx(1 / 12)


def test_role_columns_are_in_the_padded_batch():
    long, short = toy_encode("so now Ann Bob left Bob gave to"), toy_encode("Ann Bob left Bob gave to")
    prompts = [Prompt(0, "ABBA", "Ann", "Bob", e, e, s2, (3, 4)) for e, s2 in ((long, 6), (short, 4))]
    columns = method.role_columns(prompts)
    assert columns == {"S2": [[6], [6]], "after_S2": [[7], [7]], "END": [[8], [8]]}


def test_tables_have_a_row_per_cell_and_prompt():
    weights = stats.resample_weights(N - 1, resamples=20, seed=0)
    heads = method.head_table(method.head_draws(result(), weights), N - 1)
    assert len(heads) == LAYERS * 2
    row = heads[(heads["layer"] == 4) & (heads["head"] == 1)].iloc[0]
    assert row.restoration == pytest.approx(0.5)
    article = method.article_head_table(result())
    assert article[(article["layer"] == 5) & (article["head"] == 0)].restoration.item() == pytest.approx(-0.25)
    prompts = method.prompt_table(result(), PROMPTS, [0, 1, 2])
    assert prompts.patched.sum() == 3
    assert len(prompts) == N
