"""Layers side by side give what they give one after another."""

import threading

import pytest
import torch

from replications.layer_probing.linear_probes import fit
from replications.probing.threads import side_by_side


@pytest.fixture(params=[1, 3])
def count(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order_each_from_one_thread(count):
    barrier = threading.Barrier(count, timeout=30)  # passed only by as many at a time

    def make(item):
        barrier.wait()
        return item**2, torch.get_num_threads()

    assert side_by_side(make, range(6)) == [(item**2, 1) for item in range(6)]
    assert torch.get_num_threads() == count


def test_an_error_of_one_is_the_error_of_all(count):
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda item: 1 / item, range(3))


def test_probes_do_not_depend_on_the_threads(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(4, 60, 5, generator=generator), torch.randint(0, 3, (2, 60), generator=generator)
    monkeypatch.setattr("replications.layer_probing.linear_probes.CACHE", 1)  # each layer by itself
    found = []
    before = torch.get_num_threads()
    for count in (1, 4):
        torch.set_num_threads(count)
        found.append(fit(x, labels, n_classes=3, c=0.1).weights)
    torch.set_num_threads(before)
    assert torch.equal(*found)
