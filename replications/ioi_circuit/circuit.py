"""The paper's search, step by step: from the logits back to the names, each map asking about the heads found before.

1. Heads -> logits: name movers and negative name movers.
2. Heads -> the name movers' queries at END: S-inhibition heads.
3. Heads -> the S-inhibition heads' values (and keys) at S2: induction and duplicate-token heads.
4. Heads -> the induction heads' keys at S1+1: previous-token heads.
5. Heads -> logits with the name movers knocked out: backup name movers.

A map asks all heads on the first prompts, and on the others only those that could still stand out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.ioi_circuit import classes, path_patching
from replications.ioi_circuit.anatomy import Anatomy, Head
from replications.ioi_circuit.path_patching import Group
from replications.ioi_circuit.stimuli import CircuitPrompt

MAPS = ("logits", "queries", "values", "keys", "previous", "knocked_out")
OTHER = "other_writer"  # no class of the paper: acts on the logits, but does not look at IO

Some = tuple[CircuitPrompt, ...]  # of one shape
Effects = Callable[[Some, Sequence[Head]], Tensor]  # prompts, senders -> effects [layer, head, n]


@dataclass(frozen=True)
class Circuit:
    """Heads by class; by map the effects [layer, head, n]; the clean logit differences [n] of the same prompts.

    A map in which no head could stand out has effects on fewer prompts.
    """

    classes: classes.Classes
    clean: Array
    effects: dict[str, Array] = field(default_factory=dict)

    def of(self, name: str) -> tuple[Array, Array]:
        """Effects of one map, and the clean logit differences."""
        return self.effects[name], self.clean


@dataclass(frozen=True)
class Search:
    """Whom to ask: `prompts` with their logit differences `clean`, and by map on how many of them all heads are asked
    and on how many those in doubt."""

    anatomy: Anatomy
    prompts: Sequence[CircuitPrompt]
    clean: Array
    sizes: Mapping[str, tuple[int, int]]
    keep: Keep
    groups: dict[Some, Group] = field(default_factory=dict)

    def find(self, attention: Mapping[str, Array], repeats: Mapping[str, Array]) -> Circuit:
        """All classes and maps; a map that asks about heads that were not found is left out.

        `attention` and `repeats` are mean scores [layer, head] on the prompts and on random repeated tokens.
        """
        circuit = Circuit({name: [] for name in (*classes.CLASSES, OTHER)}, self.clean)
        found, heads = circuit.classes, self.anatomy.heads
        self._map(circuit, "logits", heads, self._on_logits)
        movers, negative, others = classes.writers(*circuit.of("logits"), attention)
        found["name_mover"], found["negative_name_mover"], found[OTHER] = movers, negative, others
        if movers:
            self._backups(circuit)
        if self._receivers(circuit, "queries", heads, "q", movers, "END"):
            found["s_inhibition"] = classes.s_inhibition(*circuit.of("queries"), attention)
        if self._receivers(circuit, "values", heads, "v", found["s_inhibition"], "S2"):
            self._receivers(circuit, "keys", heads, "k", found["s_inhibition"], "S2")
            found["induction"], found["duplicate_token"] = classes.early(*circuit.of("values"), repeats)
        candidates = classes.looks_back(repeats)
        if self._receivers(circuit, "previous", candidates, "k", found["induction"], "S1+1", among_all=False):
            found["previous_token"] = classes.previous_token(*circuit.of("previous"))
        return circuit

    def _backups(self, circuit: Circuit) -> None:
        """Step 5, among the heads that the name movers' silence can reach."""
        movers = circuit.classes["name_mover"]
        senders = [head for head in self.anatomy.heads if head[0] >= min(layer for layer, _ in movers)]
        groups, _ = self._together(0, len(self.prompts), path_patching.shape)
        means = path_patching.twin_means([self._group(some) for some in groups], movers)

        def effects(some: Some, senders: Sequence[Head]) -> Tensor:
            knocked = path_patching.knocked_group(self.anatomy, some, means[path_patching.template(some[0])])
            return path_patching.on_logits(self.anatomy, knocked, senders)

        self._map(circuit, "knocked_out", senders, effects, key=path_patching.template)
        known = [head for name in ("name_mover", "negative_name_mover") for head in circuit.classes[name]]
        after, clean = circuit.of("knocked_out")
        before = circuit.effects["logits"][..., : after.shape[-1]]
        circuit.classes["backup_name_mover"] = classes.backups(before, after, clean, known)

    def _receivers(
        self, circuit: Circuit, name: str, senders: Sequence[Head], site: str, receivers: Sequence[Head], at: str,
        *, among_all: bool = True,
    ) -> bool:  # fmt: skip
        """One map to receivers, from the senders before the last of them; False where there are none of either."""
        last = max((layer for layer, _ in receivers), default=0)
        early = [head for head in senders if head[0] < last]

        def effects(some: Some, senders: Sequence[Head]) -> Tensor:
            return path_patching.on_receivers(self.anatomy, self._group(some), senders, site, receivers, at)

        if early:
            self._map(circuit, name, early, effects, among_all=among_all)
        return bool(early)

    def _on_logits(self, some: Some, senders: Sequence[Head]) -> Tensor:
        return path_patching.on_logits(self.anatomy, self._group(some), senders)

    def _map(
        self, circuit: Circuit, name: str, senders: Sequence[Head], effects: Effects, *,
        key: Callable[[CircuitPrompt], Hashable] = path_patching.shape, among_all: bool = True,
    ) -> None:  # fmt: skip
        """Add one map: all senders on the first prompts, those in doubt on the rest."""
        first, every = self.sizes[name]
        found = self._asked(f"{name}/first", 0, first, senders, effects, key)
        doubtful = classes.in_doubt(found, self.clean, among_all=among_all)
        if doubtful and len(self.prompts[first:every]):
            more = self._asked(f"{name}/rest", first, every, doubtful, effects, key)
            found = np.concatenate([found, more], -1)
        circuit.effects[name] = found

    def _asked(
        self, name: str, begin: int, end: int, senders: Sequence[Head], effects: Effects,
        key: Callable[[CircuitPrompt], Hashable],
    ) -> Array:  # fmt: skip
        """Effects [layer, head, n] on prompts `begin` to `end`, in their order; what one group gives is a shard."""
        groups, order = self._together(begin, end, key)
        makers = {f"{name}/{i:04d}": partial(_named, effects, some, senders) for i, some in enumerate(groups)}
        parts = [part["effects"] for part in self.keep.each(makers, f"paths: {name}")]
        return torch.cat(parts, -1)[..., torch.tensor(order).argsort()].double().numpy()

    def _together(self, begin: int, end: int, key: Callable[[CircuitPrompt], Hashable]) -> tuple[list[Some], list[int]]:
        """Groups of some prompts by a key, and the place that each prompt had.

        Cut wherever some map ends, so that all maps share the same groups.
        """
        bounds = {begin, end, *(n for pair in self.sizes.values() for n in pair if begin < n < end)}
        groups, order = [], []
        for low, high in pairwise(sorted(bounds)):
            part = self.prompts[low:high]
            for rows in path_patching.grouped(part, key).values():
                groups.append(tuple(part[row] for row in rows))
                order += [low + row for row in rows]
        return groups, order

    def _group(self, prompts: Some) -> Group:
        """Both runs of these prompts, which several maps start from."""
        if prompts not in self.groups:
            self.groups[prompts] = path_patching.make_group(self.anatomy, prompts)
        return self.groups[prompts]


def _named(effects: Effects, some: Some, senders: Sequence[Head]) -> dict[str, Tensor]:
    return {"effects": effects(some, senders)}
