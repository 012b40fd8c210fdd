"""Running many edits at once: every copy of a prompt goes through a layer of its own, edited weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from replications.evidence.stats import Array
from replications.rome_editing.edits import rank_one, spread
from replications.rome_editing.packed import PackedModel, Unedited
from replications.rome_editing.rows import Pick, Row
from replications.rome_editing.stimuli import Task

LOGITS = 1 << 25  # entries at a time

Update = tuple[Float[Tensor, "n d_mlp"], Float[Tensor, "n d_model"]]  # u, lam of n edits
Answers = Float[Tensor, "m 2"]  # log P(o*) and log P(o_c) per token, of m prompts


@torch.no_grad()
def log_probs(
    model: PackedModel, states: Float[Tensor, "k d_model"], rows: Sequence[Row], picks: Sequence[Pick]
) -> Float[Tensor, " p"]:
    """Mean log-probability per token of each pick, nats; `states` are those of all rows' asked columns, in order."""
    begin = np.cumsum([0] + [len(row.asked) for row in rows])
    flat = [(i, begin[p.row] + s, t) for i, p in enumerate(picks) for s, t in zip(p.states, p.tokens, strict=True)]
    owner, at, token = (torch.tensor(column, device=states.device) for column in zip(*flat, strict=True))
    found = torch.zeros(len(flat), device=states.device)
    size = max(1, LOGITS // model.hf_model.config.vocab_size)
    for start in range(0, len(states), size):
        logits = model.logits(states[start : start + size])
        here = ((at >= start) & (at < start + size)).nonzero()[:, 0]
        local = at[here] - start
        found[here] = logits[local, token[here]] - logits.logsumexp(-1)[local]
    total = torch.zeros(len(picks), device=states.device).index_add(0, owner, found)
    return (total / torch.bincount(owner, minlength=len(picks))).cpu()


@dataclass(frozen=True)
class Sheet:
    """The prompts of several tasks, run once unedited, ready to be run with edits of one layer."""

    model: PackedModel
    tasks: Sequence[Task]
    layer: int

    @cached_property
    def rows(self) -> list[Row]:
        """Of all tasks, in their order."""
        return [row for task in self.tasks for row in task.rows]

    @cached_property
    def base(self) -> Unedited:
        """The unedited run of all rows."""
        return self.model.record(self.rows, [self.layer])

    def __post_init__(self) -> None:
        _ = self.base  # run now: the model may have been edited by the time an answer is asked for

    @torch.no_grad()
    def answers(self, update: Update | None) -> list[dict[str, Answers]]:
        """By task and kind of prompt; each task with its own edit, all with None for the unedited model."""
        states = self.base.states if update is None else self._edited(update)
        return self._by_task(log_probs(self.model, states, self.rows, self._picks()))

    @torch.no_grad()
    def answers_now(self) -> list[dict[str, Answers]]:
        """The same with the layer's weight as it is at this moment."""
        states = self.model.states(self.base, range(len(self.rows)), self.layer, None)
        return self._by_task(log_probs(self.model, states, self.rows, self._picks()))

    def _edited(self, update: Update) -> Tensor:
        owners = [i for i, task in enumerate(self.tasks) for _ in task.rows]
        edit = rank_one(*(spread(part, owners) for part in update))
        return self.model.states(self.base, range(len(self.rows)), self.layer, edit)

    def _picks(self) -> list[Pick]:
        shift, picks = 0, []
        for task in self.tasks:
            for _, *pair in task.picks:
                picks += [Pick(pick.row + shift, pick.states, pick.tokens) for pick in pair]
            shift += len(task.rows)
        return picks

    def _by_task(self, values: Float[Tensor, " p"]) -> list[dict[str, Answers]]:
        pairs, found = values.view(-1, 2), []
        for task in self.tasks:
            mine, pairs = pairs[: len(task.picks)], pairs[len(task.picks) :]
            kinds = [kind for kind, *_ in task.picks]
            found.append({kind: mine[[i for i, k in enumerate(kinds) if k == kind]] for kind in dict.fromkeys(kinds)})
        return found


class RunningText:
    """Windows of running text, run once unedited."""

    def __init__(self, model: PackedModel, windows: Sequence[Sequence[int]], layer: int) -> None:
        self.model, self.layer = model, layer
        self.rows = [Row(tuple(window), 0, tuple(range(len(window) - 1))) for window in windows]
        self.picks = [Pick(i, row.asked, row.ids[1:]) for i, row in enumerate(self.rows)]
        self.base = model.record(self.rows, [layer])

    def nll(self, update: Update | None = None, *, now: bool = False) -> Array:
        """Mean -log P per token and window [edit, window]; [1, window] unedited, or `now` with the weight as it is."""
        if update is None:
            everything = range(len(self.rows))
            with torch.no_grad():
                states = self.model.states(self.base, everything, self.layer, None) if now else self.base.states
            return -log_probs(self.model, states, self.rows, self.picks).numpy()[None].astype(float)
        return np.concatenate([self._edited(*(part[i] for part in update)) for i in range(len(update[0]))])

    @torch.no_grad()
    def _edited(self, u: Float[Tensor, " d_mlp"], lam: Float[Tensor, " d_model"]) -> Array:
        edit = rank_one(*(part.expand(len(self.rows), -1) for part in (u, lam)))
        states = self.model.states(self.base, range(len(self.rows)), self.layer, edit)
        return -log_probs(self.model, states, self.rows, self.picks).numpy()[None].astype(float)
