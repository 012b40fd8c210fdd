"""A bank against its members alone and against plain torch; resampling; and that training finds planted features."""

import pytest
import torch

from replications.dictionaries import codes, metrics
from replications.dictionaries.bank import Bank
from replications.dictionaries.recipes import BankRecipe
from replications.dictionaries.sae import KINDS, keep_top
from replications.errors import Refusal

D, H = 6, 12


def inputs(n=64, d=D, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def recipe(kind, seeds=(0,), **fields):
    l1 = (0.01,) * len(seeds) if kind == "standard" else ()
    return BankRecipe(kind, H, 100, seeds, **{"k": 3, "l1": l1, "lr": 1e-2} | fields)


def same(a, b):
    return all(torch.allclose(a.state()[name].float(), b.state()[name].float(), atol=1e-5) for name in a.state())


@pytest.mark.parametrize("kind", KINDS)
def test_members_learn_as_they_would_alone(kind):
    together = Bank(recipe(kind, (5, 7)), torch.zeros(D))
    for seed in (5, 7):
        alone = Bank(recipe(kind, (seed,)), torch.zeros(D))
        for step in range(6):
            alone.step(inputs(seed=step))
        if seed == 5:
            for step in range(6):
                together.step(inputs(seed=step))
        ours, theirs = together.dictionary((5, 7).index(seed)), alone.dictionary(0)
        assert torch.allclose(ours.W_dec, theirs.W_dec, atol=1e-5)
        assert torch.allclose(ours.b_enc, theirs.b_enc, atol=1e-5)


def test_a_step_of_the_standard_form_is_the_paper_s():
    """Squared error plus L1, Adam on gradients without their part along the decoder's rows, rows of norm 1."""
    bank, x = Bank(recipe("standard"), torch.full((D,), 0.1)), inputs()
    t = {name: tensor[0].detach().clone().requires_grad_() for name, tensor in bank.tensors.items()}
    f = ((x - t["b_dec"]) @ t["W_enc"].T + t["b_enc"]).relu()
    loss = ((x - f @ t["W_dec"] - t["b_dec"]) ** 2).mean() + 0.01 * f.sum(dim=1).mean()
    loss.backward()
    with torch.no_grad():
        along = (t["W_dec"].grad * t["W_dec"]).sum(dim=1, keepdim=True)
        t["W_dec"].grad -= along * t["W_dec"]
    torch.optim.Adam(t.values(), lr=bank.recipe.lr_at(0)).step()
    assert bank.step(x).item() == pytest.approx(loss.item(), rel=1e-5)
    assert torch.allclose(bank.tensors["W_enc"][0], t["W_enc"], atol=1e-5)
    assert torch.allclose(bank.tensors["W_dec"][0], t["W_dec"] / t["W_dec"].norm(dim=1, keepdim=True), atol=1e-5)
    assert torch.allclose(bank.tensors["b_dec"][0], t["b_dec"], atol=1e-5)


@pytest.mark.parametrize("worthwhile", [0.0, 2.0])
@pytest.mark.parametrize("kind", ["topk", "batch_topk"])
def test_a_step_of_the_others_is_the_papers(kind, worthwhile, monkeypatch):
    """Squared error of the features kept, and what the dead can explain of it: gradients are autograd's."""
    monkeypatch.setattr(codes, "WORTHWHILE", worthwhile)  # entry by entry never, or always
    bank, x = Bank(recipe(kind, (0, 1), dead_after=5), torch.full((D,), 0.1)), inputs()
    bank.since_fired[0, [0, 4, 7]] = 9  # the other member has no dead feature
    t = {name: tensor.clone().requires_grad_() for name, tensor in bank.tensors.items()}
    pre = (x - t["b_dec"][:, None]) @ t["W_enc"].mT + t["b_enc"][:, None]
    f = pre.relu() * (pre >= bank._least(pre.detach())[..., None])
    error = x - f @ t["W_dec"] - t["b_dec"][:, None]
    dead = pre.masked_fill(~bank.dead[:, None], float("-inf"))
    residue = error.detach() - keep_top(dead, 3) @ t["W_dec"]
    share = residue.square().mean((1, 2)) / error.detach().square().mean((1, 2))
    loss = error.square().mean((1, 2)) + torch.tensor([1 / 32, 0]) * share
    loss.sum().backward()
    bank._update = lambda: None
    assert torch.allclose(bank.step(x), loss, atol=1e-6)
    for name, tensor in bank.tensors.items():
        assert torch.allclose(tensor.grad, t[name].grad, atol=1e-6), name


@pytest.mark.parametrize("kind", ["topk", "batch_topk"])
def test_as_many_features_as_asked_are_active(kind):
    bank, x = Bank(recipe(kind), torch.zeros(D)), inputs()
    pre = bank.pre_activations(x)
    active = codes.counts(pre, bank._least(pre))
    assert active.sum() == 3 * len(x)
    if kind == "topk":
        assert (active == 3).all()


def test_a_threshold_stands_in_for_the_batch():
    bank = Bank(recipe("batch_topk"), torch.zeros(D))
    for step in range(60):
        bank.step(inputs(256, seed=step))
    active = (bank.dictionary(0).encode(inputs(512, seed=99)) > 0).sum(dim=1).float().mean()
    assert active.item() == pytest.approx(3, abs=0.6)


@pytest.mark.parametrize(("dead_after", "moves"), [(10**6, False), (5, True)])
def test_dead_features_are_pulled_towards_the_error(dead_after, moves):
    """A feature outside the top k gets no gradient, unless it is dead and the auxiliary loss sees it."""
    bank, x = Bank(recipe("topk", dead_after=dead_after, k=1), torch.zeros(D)), inputs()
    bank.since_fired[0, 0] = 10
    with torch.no_grad():
        bank.tensors["b_enc"][0, 0] = -1.3
    pre = bank.pre_activations(x)
    assert (pre[0, :, 0] > 0).any()
    assert not codes.active(pre, bank._least(pre)).fired[0, 0]
    before = bank.tensors["W_enc"][0, 0].clone()
    bank.step(x)
    assert torch.equal(before, bank.tensors["W_enc"][0, 0]) != moves


def test_resampling_restarts_the_dead_and_nothing_else():
    bank, x = Bank(recipe("standard", dead_after=50), torch.zeros(D)), inputs(128)
    for step in range(3):
        bank.step(inputs(seed=step))
    bank.since_fired[0] = 0
    bank.since_fired[0, [2, 5]] = 60
    before = bank.state()["W_dec"].clone()
    alive = [i for i in range(H) if i not in (2, 5)]
    norm = bank.tensors["W_enc"][0, alive].norm(dim=1).mean().item()
    assert bank.resample(x) == [2]
    assert torch.equal(bank.state()["W_dec"][0, alive], before[0, alive])
    moved = x - bank.tensors["b_dec"][0].detach()
    directions = moved / moved.norm(dim=1, keepdim=True)
    for i in (2, 5):
        row = bank.tensors["W_dec"][0, i].detach()
        assert (directions - row).norm(dim=1).min() < 1e-4  # an input less the pre-bias
        assert bank.tensors["W_enc"][0, i].norm().item() == pytest.approx(0.2 * norm, rel=1e-4)
        assert bank.optimiser.state[bank.tensors["W_enc"]]["exp_avg"][0, i].abs().sum() == 0
    assert not bank.dead.any()


def test_inputs_that_are_reconstructed_badly_are_drawn():
    """One input carries nearly all of the loss: the dead feature is restarted there."""
    bank = Bank(recipe("standard", dead_after=1, lr=1e-9), torch.zeros(D))
    bank.step(inputs())
    bank.since_fired[0] = 0
    bank.since_fired[0, 4] = 5
    x = 0.01 * inputs(50)
    x[17] = 100 * torch.eye(D)[3]
    bank.resample(x)
    assert torch.allclose(bank.tensors["W_dec"][0, 4].detach(), torch.eye(D)[3], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_planted_features_are_found(kind):
    g = torch.Generator().manual_seed(1)
    truth = torch.randn(8, 16, generator=g)
    truth /= truth.norm(dim=1, keepdim=True)
    extra = {"l1": (0.02,)} if kind == "standard" else {}
    bank = Bank(BankRecipe(kind, 16, 400, (0,), k=2, lr=1e-2, **extra), torch.zeros(16))
    for _ in range(400):
        on = torch.rand(256, 8, generator=g) < 0.15
        bank.step((on * (1 + torch.rand(256, 8, generator=g))) @ truth * 2)
    assert metrics.max_cosine(truth, bank.dictionary(0).W_dec).mean() > 0.9


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    bank = Bank(recipe("standard", dead_after=1), torch.zeros(D))
    bank.step(inputs())
    bank.since_fired[0, 0] = 5
    bank.resample(inputs())
    assert torch.equal(before, torch.get_rng_state())


def test_the_rate_rises_stays_and_falls():
    one = recipe("topk", lr=1.0, warmup=10)
    rates = [one.lr_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[-1] == pytest.approx(0.05)
    assert BankRecipe("topk", 2**14, 1, (0,)).peak_lr == pytest.approx(2e-4)
    assert BankRecipe("topk", 2**12, 1, (0,)).peak_lr == pytest.approx(4e-4)


def test_impossible_recipes_are_refused():
    with pytest.raises(Refusal, match="'gated' is no kind of dictionary"):
        BankRecipe("gated", 4, 1, (0,))
    with pytest.raises(Refusal, match="k is 32; a dictionary of 4 features can keep 1 to 4"):
        BankRecipe("topk", 4, 1, (0,))
    with pytest.raises(ValueError, match="one l1 coefficient per seed"):
        BankRecipe("standard", 4, 1, (0, 1), l1=(0.1,))
