"""Rank-one editing the plain way: one fact, whole forward passes of one unpadded row each, bare torch hooks."""

import torch
from tiny_models import VOCABULARY, tiny_model

from replications.rome_editing.rows import Row
from replications.rome_editing.values import ROUNDING, Rewrite


def hf_model(architecture):
    return tiny_model(architecture).hf_model


def facts(n=3, contexts=3, seed=0):
    """Rewrites of random tokens: prompts, prefixes and objects of several lengths."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high):
        length = int(torch.randint(low, high + 1, (1,), generator=generator))
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    prefixes = [(), *(draw(2, 5) for _ in range(contexts - 1))]
    made = []
    for _ in range(n):
        before, subject, after, target = draw(0, 3), draw(1, 3), draw(1, 3), draw(1, 2)
        rows = []
        for prefix in prefixes:
            prompt = prefix + before + subject + after
            whole = prompt + target[:-1]
            at = len(prefix + before + subject) - 1
            rows.append(Row(whole, at, tuple(range(len(prompt) - 1, len(whole)))))
        made.append(Rewrite(tuple(rows), target, Row((*subject, 5, 6), len(subject) - 1, (len(subject) - 1,))))
    return made


def forward(model, row, place=None, add=None):
    """Logits [token, vocab] of one row, with `add` added at the subject to what module `place` writes; its input there
    and its unchanged output."""
    seen = {}

    def hook(_, inputs, out):
        flat = out.view(-1, out.shape[-1])
        seen["key"] = inputs[0].reshape(-1, inputs[0].shape[-1])[row.subject].detach()
        seen["value"] = flat[row.subject].detach().clone()
        if add is None:
            return None
        bump = torch.zeros_like(flat)
        bump[row.subject] = 1.0
        return (flat + bump * add).view_as(out)

    handle = None if place is None else place.register_forward_hook(hook)
    try:
        logits = model(torch.tensor([row.ids]), use_cache=False).logits[0]
    finally:
        if handle is not None:
            handle.remove()
    return logits, seen.get("key"), seen.get("value")


def find_value(model, place, fact, hp):
    """delta, the losses and the bare value of one fact."""
    with torch.no_grad():
        _, _, bare = forward(model, fact.contexts[0], place)
        before = forward(model, fact.essence)[0][fact.essence.subject].log_softmax(-1)
    delta = torch.zeros_like(bare, requires_grad=True)
    optimiser, losses = torch.optim.Adam([delta], lr=hp.step(bare.norm().item(), len(bare))), []
    for step in range(hp.steps):
        optimiser.zero_grad()
        nll = 0.0
        for row in fact.contexts:
            logp = forward(model, row, place, delta)[0].log_softmax(-1)
            nll = nll - sum(logp[column, token] for column, token in zip(row.asked, fact.target, strict=True)) / len(
                fact.target
            )
        now = forward(model, fact.essence, place, delta)[0][fact.essence.subject].log_softmax(-1)
        drift = (now.exp() * (now - before)).sum()
        loss = nll / len(fact.contexts) + hp.kl * drift + hp.decay(bare.norm().item()) * delta.norm()
        losses.append(loss.item())
        if loss < hp.stop or step == hp.steps - 1:
            break
        loss.backward()
        if delta.grad.norm() * bare.norm() <= ROUNDING:
            break
        optimiser.step()
        with torch.no_grad():
            if delta.norm() > hp.clamp * bare.norm():
                delta.mul_(hp.clamp * bare.norm() / delta.norm())
    model.zero_grad()
    return delta.detach(), losses, bare
