"""A model's edits, step by step: second moments, new values, rank-one updates, and what they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications import progress
from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.models.families import projection
from replications.rome_editing import sequence
from replications.rome_editing.edits import directions, multiplier, random_like, relative_norm
from replications.rome_editing.evaluate import RunningText, Sheet, Update
from replications.rome_editing.hparams import HParams
from replications.rome_editing.layer_choice import rewrite_score
from replications.rome_editing.moments import second_moments
from replications.rome_editing.packed import PackedModel, open_model
from replications.rome_editing.stimuli import Task, only_rewrite
from replications.rome_editing.values import Search, Values

VARIANTS = ("rome", "r_rome", "random_direction")  # as released; one key throughout, as the paper derives it; control
SEQUENTIAL = ("rome", "r_rome")
Moments = Mapping[int, Float[Tensor, "d_mlp d_mlp"]]


@dataclass(frozen=True)
class Editor:
    """A model with what all its edits share. `name` tells the shards of the trained model and its twin apart."""

    model: PackedModel
    moments: Moments
    hp: HParams
    kept: Keep
    name: str
    batch: int
    seed: int

    @classmethod
    def of(
        cls, hf_model: Any, windows: Int[Tensor, "n T"], layers: Sequence[int], hp: HParams, kept: Keep, name: str,
        *, batch: int, seed: int,
    ) -> Editor:  # fmt: skip
        """Collects the second moments of all layers in one pass over the windows."""
        model = open_model(hf_model)
        found = kept(f"{name}/moments", lambda: _named(second_moments(hf_model, windows, layers)))
        return cls(model, {int(layer): c for layer, c in found.items()}, hp, kept, name, batch, seed)

    def values(self, tasks: Sequence[Task], layers: Sequence[int], label: str) -> dict[int, Values]:
        """v* of every task at each layer, batch by batch; each batch at a layer is a shard."""
        search, starts = _Searches(self, tasks, layers), range(0, len(tasks), self.batch)
        makers = {f"{layer}/{start}": partial(search.find, layer, start) for start in starts for layer in layers}
        found = self.kept.under(f"{self.name}/{label}").each(makers, f"new values of {label} ({self.name})")
        made = [Values(**{name: part.to(self.model.device) for name, part in one.items()}) for one in found]
        return {layer: _joined(made[number :: len(layers)]) for number, layer in enumerate(layers)}

    def direction(self, layer: int, values: Values) -> Float[Tensor, "n d_mlp"]:
        """C⁻¹k* of each task."""
        return directions(self.moments[layer].cpu(), values.mean_key.cpu()).to(self.model.device)

    def update(self, layer: int, values: Values, variant: str) -> Update:
        """The rank-one update of each task, on the unedited model."""
        u = self.direction(layer, values)
        if variant == "rome":
            return u, multiplier(u, values.bare_key, values.bare_value, values.target)
        target = values.target
        if variant == "random_direction":
            target = values.bare_value + random_like(values.delta, torch.Generator().manual_seed(self.seed))
        return u, multiplier(u, values.mean_key, values.mean_value, target)

    def norms(self, layer: int, update: Update) -> Array:
        """|ΔW| / |W| of each task."""
        weight: Any = projection(self.model.hf_model, layer).weight
        return relative_norm(*update, weight.detach()).cpu().numpy().astype(float)


class _Searches:
    """Runs a batch's rows when the first of its layers is not kept yet, not before; holds one batch at a time."""

    def __init__(self, editor: Editor, tasks: Sequence[Task], layers: Sequence[int]) -> None:
        self.editor, self.tasks, self.layers = editor, tasks, layers
        self.held: tuple[int, Search] | None = None

    def find(self, layer: int, start: int) -> dict[str, Tensor]:
        if self.held is None or self.held[0] != start:
            self.held = None  # before the next: two would not fit where one just does
            rewrites = [task.rewrite for task in self.tasks[start : start + self.editor.batch]]
            self.held = start, Search(self.editor.model, rewrites, self.layers, self.editor.hp)
        found = self.held[1].find(layer)
        return {field.name: getattr(found, field.name) for field in fields(found)}


@dataclass(frozen=True)
class Edited:
    """Tasks, their values at one layer, and log-probabilities before ("base") and after each variant of the edit."""

    tasks: Sequence[Task]
    layer: int
    values: Values
    answers: Mapping[str, list[dict[str, Tensor]]]
    norms: Mapping[str, Array]


def edit_all(editor: Editor, tasks: Sequence[Task], layer: int, label: str) -> Edited:
    """Every task edited on its own, with every variant."""
    values = editor.values(tasks, [layer], label)[layer]
    updates = {variant: editor.update(layer, values, variant) for variant in VARIANTS}
    answers: dict[str, list] = {name: [] for name in ("base", *VARIANTS)}
    for start in progress.watched(range(0, len(tasks), editor.batch), f"answers after edits of {label}"):
        sheet = Sheet(editor.model, tasks[start : start + editor.batch], layer)
        answers["base"] += sheet.answers(None)
        for variant, (u, lam) in updates.items():
            some = slice(start, start + editor.batch)
            answers[variant] += sheet.answers((u[some], lam[some]))
    norms = {variant: editor.norms(layer, update) for variant, update in updates.items()}
    return Edited(tasks, layer, values, answers, norms)


@dataclass(frozen=True)
class Damage:
    """-log P per token of held-out text: unedited [window], after single edits [edit, window], and along a sequence."""

    unedited: Array
    single: Mapping[str, Array]
    points: Mapping[str, list[sequence.Point]]


def damage(editor: Editor, edited: Edited, held_out: Int[Tensor, "n T"]) -> Damage:
    """What single edits and a sequence of all of them do to running text, in ROME as released and in r-ROME."""
    layer, values = edited.layer, edited.values
    text = RunningText(editor.model, held_out.tolist(), layer)
    sheet = Sheet(editor.model, [only_rewrite(task) for task in edited.tasks], layer)
    module, u = projection(editor.model.hf_model, layer), editor.direction(layer, values)
    single, points = {}, {}
    for variant in progress.watched(SEQUENTIAL, "held-out text after edits"):
        single[variant] = text.nll(editor.update(layer, values, variant))
        points[variant] = sequence.in_sequence(module, u, values, variant, sheet, text)
    return Damage(text.nll()[0], single, points)


def rewrites_by_layer(editor: Editor, edited: Edited, n: int, layers: Sequence[int]) -> Float[Any, "n layer"]:
    """Rewrite scores of the first n tasks, edited with ROME as released at each layer, as Hase et al. did."""
    tasks = [only_rewrite(task) for task in edited.tasks[:n]]
    others = [layer for layer in layers if layer != edited.layer]
    values = editor.values(edited.tasks[:n], others, "layers")
    scores = {edited.layer: _rewrite_scores(edited.answers["base"][:n], edited.answers["rome"][:n])}
    for layer in progress.watched(others, "edits by layer"):
        sheet = Sheet(editor.model, tasks, layer)
        after = sheet.answers(editor.update(layer, values[layer], "rome"))
        scores[layer] = _rewrite_scores(sheet.answers(None), after)
    return np.stack([scores[layer] for layer in layers], axis=1)


def _rewrite_scores(before: Sequence[Mapping[str, Tensor]], after: Sequence[Mapping[str, Tensor]]) -> Array:
    p = [np.array([fact["rewrite"][0, 0].exp().item() for fact in answers]) for answers in (before, after)]
    return rewrite_score(*p)


def _named(moments: Moments) -> dict[str, Tensor]:
    return {str(layer): moment for layer, moment in moments.items()}


def _joined(parts: Sequence[Values]) -> Values:
    return Values(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Values)))
