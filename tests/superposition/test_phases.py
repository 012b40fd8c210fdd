import pytest
import torch

from replications.superposition import phases
from replications.superposition.training import ToyTrained


def test_theory_at_the_corners_and_on_both_sides_of_a_border():
    density, importance = phases.grid(2, 21)
    cells = dict(zip(zip(density[:, 0].tolist(), importance[:, 1].tolist(), strict=True),
                     phases.predicted(density, importance), strict=True))  # fmt: skip
    assert cells[min(cells, key=lambda at: (-at[0], at[1]))] == phases.IGNORED
    assert cells[max(cells, key=lambda at: (at[0], at[1]))] == phases.DEDICATED
    sparse = {at: phase for at, phase in cells.items() if at[0] < 0.02 and 0.5 < at[1] < 2}
    assert set(sparse.values()) == {phases.SUPERPOSED}
    # (1 + 1) p^2 / 6 = p / 3 - p^2 / 4 at p = 4 / 7
    around = torch.tensor([[4 / 7 - 0.01] * 2, [4 / 7 + 0.01] * 2])
    assert phases.predicted(around, torch.ones(2, 2))[0] == phases.SUPERPOSED
    assert phases.predicted(around, torch.ones(2, 2))[1] != phases.SUPERPOSED


def test_theory_lets_two_others_share_a_dimension():
    point = torch.tensor([[0.1, 0.1, 0.1]])
    assert phases.predicted(point, torch.tensor([[1.0, 1, 9]])) == [phases.DEDICATED]
    assert phases.predicted(point[:, :2], torch.tensor([[1.0, 9]])) == [phases.SUPERPOSED]


def test_the_worst_model_of_a_cell_is_dropped():
    W = torch.tensor([[[[1.0], [0.0]], [[1.0], [-1.0]], [[0.0], [1.0]]]])
    trained = ToyTrained(W, torch.zeros(1, 3, 2), torch.tensor([[9.0, 1.0, 2.0]]))
    length, shared = phases.averages(trained)
    assert length.item() == pytest.approx(1)
    assert shared.item() == pytest.approx(0.5)


@pytest.mark.parametrize(("length", "shared", "phase"),
                         [(0.1, 0.9, "ignored"), (1, 0.1, "dedicated"), (1, 0.9, "superposition")])  # fmt: skip
def test_phases_from_what_is_observed(length, shared, phase):
    assert phases.observed(torch.tensor([length]), torch.tensor([shared])) == [phase]
