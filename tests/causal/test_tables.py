"""Labels a reader can follow, and blanks where nothing corresponds."""

import numpy as np
from toy_tokenizer import toy_encode

from replications.causal.roles import RestoredStates
from replications.causal.tables import article_cells, pair_labels


def test_labels_show_both_tokens_where_they_differ():
    labels = pair_labels(toy_encode("The Louvre is in"), toy_encode("The Tower is in"))
    assert labels == ["BOS", "The", "Louvre / Tower", "is", "in"]


def test_labels_of_unequal_prompts_are_aligned_at_the_end():
    labels = pair_labels(toy_encode("Louvre is in"), toy_encode("Old Tower is in"))
    assert labels == ["– / BOS", "BOS / Old", "Louvre / Tower", "is", "in"]


def test_cells_that_correspond_to_nothing_are_blank():
    cells = RestoredStates(np.array([2.0]), np.array([1.0]), np.full((2, 6, 1), 1.5))
    table = article_cells(cells, cells, toy_encode("Louvre is in"), toy_encode("Old Tower is in"), aligned=3)
    trained = table[table.weights == "measured"]
    assert trained[trained.position < 2].restoration.isna().all()
    assert (trained[trained.position >= 2].restoration == 0.5).all()
    assert len(table) == 2 * 2 * 5
