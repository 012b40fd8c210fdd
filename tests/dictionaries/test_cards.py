"""What is shown of a feature: where it is strongest, how often it is active, which tokens it makes likelier."""

import torch

from replications.dictionaries import cards


def test_the_strongest_positions_come_from_different_windows():
    f = torch.tensor([[0.0, 3.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    assert cards.top_positions(f, 3) == [(3, 2), (0, 1), (1, 0)]
    assert cards.top_positions(f, 9) == [(3, 2), (0, 1), (1, 0)]


def test_a_context_is_cut_around_its_position():
    cut = cards.context(list("abcdef"), list(range(6)), 1, around=2)
    assert cut.tokens == ("a", "b", "c", "d")
    assert cut.activations == (0, 1, 2, 3)


def test_logit_effects_are_the_products_with_the_unembedding():
    raised, lowered = cards.logit_effect(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 9], [-3, 0], [1, 0]]), 2)
    assert raised.tolist() == [0, 2]
    assert lowered.tolist() == [1, 2]


def test_a_histogram_counts_what_is_active():
    a = torch.tensor([0.0, 0.0, 1.0, 1.0, 4.0])
    found = cards.histogram(a, torch.tensor([True, False, False, True, True]), "in <a>")
    assert (found.top, sum(found.every), sum(found.inside)) == (4.0, 3, 2)
    assert (found.every[-1], found.inside[-1]) == (1, 1)
    assert cards.histogram(torch.zeros(3), torch.zeros(3, dtype=torch.bool), "") is None
