"""Path patching on groups of prompts, and name movers knocked out (Wang et al. 2022, sections 3.1-3.4, appendix B).

An effect is patched minus clean logit difference, nats, for every head and prompt: negative where the head helps. The
sender's value comes from the prompt's ABC twin, all other heads are frozen at the prompt, MLPs are recomputed; the
engine does that. A group is prompts with names at the same tokens, so that one column is S2 in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from replications.causal import metrics, paths
from replications.causal.metrics import Metric
from replications.causal.paths import Receivers
from replications.causal.runs import RecordedRun
from replications.causal.stack import Attend, Stack, Touch
from replications.ioi_circuit.anatomy import Anatomy, Head, recorded
from replications.ioi_circuit.attention import columns
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.models.families import Turns

Means = Mapping[Head, Float[Tensor, " d_head"]]


@dataclass(frozen=True)
class Group:
    """Prompts of one shape, their own run (clean) and that of their twins (abc), with what paths are made of."""

    prompts: Sequence[CircuitPrompt]
    clean: RecordedRun
    abc: RecordedRun
    metric: Metric


def answers(prompts: Sequence[CircuitPrompt], device: torch.device) -> Tensor:
    """Token ids [n, 2] of IO and S."""
    return torch.tensor([(prompt.io_id, prompt.s_id) for prompt in prompts], device=device)


def grouped(prompts: Sequence[CircuitPrompt], key: Callable[[CircuitPrompt], Hashable]) -> dict[Hashable, list[int]]:
    """Indices of the prompts by a key, in order of appearance."""
    groups: dict[Hashable, list[int]] = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(key(prompt), []).append(i)
    return groups


def shape(prompt: CircuitPrompt) -> Hashable:
    """What one group has in common: the columns of S1 and S2, and the length."""
    return prompt.s1_at, prompt.s2_at, len(prompt.ids)


def template(prompt: CircuitPrompt) -> Hashable:
    """Template and name order: prompts in which everything but names and fillers is the same."""
    return prompt.template, prompt.order


def make_group(anatomy: Anatomy, prompts: Sequence[CircuitPrompt]) -> Group:
    """Both runs of prompts of one shape."""
    clean = recorded(anatomy, [prompt.ids for prompt in prompts], ["z", "q"])
    abc = recorded(anatomy, [prompt.abc_ids for prompt in prompts], ["z"])
    return _group(anatomy, prompts, clean, abc)


@torch.inference_mode()
def logit_diffs(anatomy: Anatomy, group: Group) -> Float[Tensor, " n"]:
    """Logit differences of the group's clean run."""
    return group.metric(anatomy.stack, group.clean.answer_state, torch.arange(len(group.prompts)).to(anatomy.device))


@torch.inference_mode()
def on_logits(anatomy: Anatomy, group: Group, senders: Sequence[Head]) -> Float[Tensor, "layer head n"]:
    """Direct effect of the senders at END on the logit difference; NaN for other heads."""
    values = paths.to_logits(anatomy.stack, group.clean, group.abc, senders, group.metric)
    return _placed(anatomy, group, senders, values)


@torch.inference_mode()
def on_receivers(
    anatomy: Anatomy, group: Group, senders: Sequence[Head], site: str, receivers: Sequence[Head], at: str
) -> Float[Tensor, "layer head n"]:
    """Effect of the senders through the receivers' q, k or v at a named position; NaN for other heads.

    A sender not before the last receiver has none. With grouped queries a receiver's k and v are its group's.
    """
    to = Receivers(site, numbered(anatomy, site, receivers), [columns(group.prompts[0])[at]])
    values = paths.to_receivers(anatomy.stack, group.clean, group.abc, senders, to, group.metric)
    return _placed(anatomy, group, senders, values)


def _placed(anatomy: Anatomy, group: Group, senders: Sequence[Head], values: Tensor) -> Float[Tensor, "layer head n"]:
    effects = torch.full((anatomy.n_layers, anatomy.n_heads, len(group.prompts)), torch.nan, device=anatomy.device)
    layers, heads = (torch.tensor(side, device=anatomy.device) for side in zip(*senders, strict=True))
    effects[layers, heads] = values - logit_diffs(anatomy, group)
    return effects


def numbered(anatomy: Anatomy, site: str, heads: Sequence[Head]) -> list[Head]:
    """The heads as the engine numbers this site: k and v have one number per group of query heads."""
    if site == "q":
        return list(heads)
    shared = anatomy.n_heads // getattr(anatomy.stack.config, "num_key_value_heads", anatomy.n_heads)
    return sorted({(layer, head // shared) for layer, head in heads})


@torch.inference_mode()
def twin_means(groups: Sequence[Group], heads: Sequence[Head]) -> dict[Hashable, Means]:
    """Mean output z at END over the twins, by template and name order."""
    prompts = [prompt for group in groups for prompt in group.prompts]
    by_template = grouped(prompts, template)
    z = {(layer, head): torch.cat([group.abc.site("z")[layer][:, -1, head] for group in groups])
         for layer, head in heads}  # fmt: skip
    return {key: {head: z[head][rows].mean(0) for head in heads} for key, rows in by_template.items()}


@torch.inference_mode()
def knocked_out(anatomy: Anatomy, ids: Sequence[Sequence[int]], means: Means, sites: Sequence[str]) -> RecordedRun:
    """The run of equally long rows in which these heads put out a fixed z at END (mean ablation)."""
    stack = KnockedOut(anatomy.stack.model, means, len(ids[0]))
    made = recorded(Anatomy(stack, anatomy.w_o), ids, sites)
    for (layer, head), value in means.items():
        made.site("z")[layer][:, -1, head] = value  # the run has kept what the head itself computed
    return made


def knocked_group(anatomy: Anatomy, prompts: Sequence[CircuitPrompt], means: Means) -> Group:
    """As `make_group`, with heads knocked out in both runs."""
    clean = knocked_out(anatomy, [prompt.ids for prompt in prompts], means, ["z", "q"])
    abc = knocked_out(anatomy, [prompt.abc_ids for prompt in prompts], means, ["z"])
    return _group(anatomy, prompts, clean, abc)


def _group(anatomy: Anatomy, prompts: Sequence[CircuitPrompt], clean: RecordedRun, abc: RecordedRun) -> Group:
    """Of the twins only z is needed; the rest would take most of the memory."""
    slim = replace(abc, resid_pre=[], keys=[], values=[])
    return Group(prompts, clean, slim, metrics.logit_diff(answers(prompts, anatomy.device)))


class KnockedOut(Stack):
    """The same layers for whole rows of `width` tokens, with some heads' output replaced in the last column."""

    def __init__(self, hf_model: object, means: Means, width: int) -> None:
        super().__init__(hf_model)
        self.means, self.width = means, width

    def layer(
        self, index: int, hidden: Tensor, rotary: Turns | None, attend: Attend,
        edits: Mapping[str, Touch] = {},
    ) -> Float[Tensor, "token d_model"]:  # fmt: skip
        """One layer, whose heads at `index` are overwritten after they have attended."""

        def replaced(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
            z = attend(q, k, v, scale).clone()  # the run keeps the one it was given
            for (layer, head), value in self.means.items():
                if layer == index:
                    z[self.width - 1 :: self.width, head] = value
            return z

        return super().layer(index, hidden, rotary, replaced, edits)
