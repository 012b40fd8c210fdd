"""Both forms of codes give plain torch's products, whatever is active, with any number of threads."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from replications.dictionaries import codes
from replications.dictionaries.codes import Dense, Sparse
from replications.dictionaries.descent import DescentStep, ParameterState

M, N, H, D = 2, 9, 14, 5


def drawn(shift, seed=0):
    g = torch.Generator().manual_seed(seed)
    pre = torch.randn(M, N, H, generator=g) - torch.tensor([shift, shift + 0.5])[:, None, None]
    pre[0, 3], pre[1, :, 6] = -1.0, -1.0  # an input without a feature, a feature without an input
    W, e, x = torch.randn(M, H, D, generator=g), torch.randn(M, N, D, generator=g), torch.randn(1, N, D, generator=g)
    return pre, W, e, x


def form(kind, pre, least=None):
    least = torch.zeros(M, N) if least is None else least
    if kind is Dense:
        return Dense(pre.relu() * (pre >= least[..., None]))
    return Sparse.of(pre, least, codes.counts(pre, least))


@pytest.mark.parametrize("shift", [-9.0, 0.0, 1.5, 9.0])  # all active, about half, few, none
@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_products_are_torchs(kind, shift):
    pre, W, e, x = drawn(shift)
    f, made, extra = pre.relu(), form(kind, pre), torch.tensor([0.5, -2.0])
    g = (e @ W.mT + extra[:, None, None]) * (f > 0)
    back = made.back(e, W, extra)
    for found, wanted in [
        (made.decode(W), f @ W), (made.onto(e), f.mT @ e), (made.onto(x), f.mT @ x), (made.total(), f.sum(1)),
        (back.onto(e), g.mT @ e), (back.total(), g.sum(1)), (made.value.sum((1, 2)), f.sum((1, 2))),
    ]:  # fmt: skip
        assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.equal(made.fired, (f > 0).any(1))


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_what_is_written_replaces_what_was_there(kind):
    pre, _, e, _ = drawn(0.5)
    out = torch.full((M, H, D), 7.0)
    assert form(kind, pre).onto(e, out=out) is out
    assert torch.allclose(out, pre.relu().mT @ e, atol=1e-5)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_a_descent_is_torchs_adam(kind, unit):
    _, W, _, _ = drawn(0.5)
    rows, wanted = ParameterState.start(W.clone()), W.clone()
    adam = torch.optim.Adam([wanted], lr=0.01)
    for number in range(1, 6):
        pre, _, own, shared = drawn(0.5, seed=number)
        e = own if number % 2 else shared
        form(kind, pre).descend(e, rows, DescentStep(0.01, number), unit=unit)
        wanted.grad = pre.relu().mT @ e
        adam.step()
        if unit:
            wanted.copy_(normalize(wanted, dim=2))
        assert torch.allclose(rows.value, wanted, atol=1e-5)
    moments = adam.state[wanted]
    assert torch.allclose(rows.mean, moments["exp_avg"], atol=1e-6)
    assert torch.allclose(rows.square, moments["exp_avg_sq"], atol=1e-6)


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_each_input_has_its_own_bound(kind):
    pre, W, _, _ = drawn(-1.0)
    least = pre.topk(3).values.amin(-1)
    f = pre.relu() * (pre >= least[..., None])
    assert torch.allclose(form(kind, pre, least).decode(W), f @ W, atol=1e-5)
    assert codes.counts(pre, least).tolist() == (f > 0).sum(-1).tolist()


@pytest.mark.parametrize(("shift", "kind"), [(-9.0, Dense), (9.0, Sparse)])
def test_few_active_entries_are_summed_one_by_one(shift, kind):
    pre, W, _, _ = drawn(shift)
    f = pre.relu()
    made = codes.active(pre, torch.zeros(M, N))
    assert isinstance(made, kind)
    assert torch.allclose(made.decode(W), f @ W, atol=1e-5)


def test_minus_infinity_is_not_active():
    pre, W, _, _ = drawn(0.0)
    pre[:, :, ::2] = -torch.inf
    f = pre.relu()
    for kind in (Dense, Sparse):
        assert torch.allclose(form(kind, pre).decode(W), f @ W, atol=1e-5)
    assert torch.allclose(codes.active(pre, pre.topk(8).values.amin(-1)).decode(W), f @ W, atol=1e-5)


def test_threads_change_no_bit_and_torch_keeps_its_own():
    pre, W, e, _ = drawn(0.5)
    threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            made = form(Sparse, pre)
            rows = ParameterState.start(W.clone())
            made.descend(e, rows, DescentStep(0.01, 1), unit=True)
            found.append([made.decode(W), made.onto(e), made.back(e, W, torch.zeros(M)).total(), *rows])
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(threads)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("d", [3, 31, 32, 45, 77])  # products are summed in parts of d / 4 and d / 32
def test_products_of_any_width_are_torchs(d):
    g = torch.Generator().manual_seed(1)
    pre, extra = torch.randn(M, N, H, generator=g), torch.tensor([0.5, -2.0])
    W, e = torch.randn(M, H, d, generator=g), torch.randn(M, N, d, generator=g)
    f = pre.relu()
    made, wanted = form(Sparse, pre), (e @ W.mT + extra[:, None, None]) * (f > 0)
    back = made.back(e, W, extra)
    assert torch.allclose(back.total(), wanted.sum(1), atol=1e-4)
    assert torch.allclose(back.decode(W), wanted @ W, atol=1e-3)
    assert torch.allclose(made.decode(W), f @ W, atol=1e-5)
