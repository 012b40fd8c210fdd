"""All experiments on one circuit, each of them a shard: arrays whose last axis is the prompts.

`Setup` holds what the experiments share: the bench, and two others that knock out by something else than the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from replications.causal import metrics
from replications.causal.stack import Stack
from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness import attribution, criteria, signals
from replications.ioi_faithfulness.circuits import Circuit, naive
from replications.ioi_faithfulness.criteria import Trial
from replications.ioi_faithfulness.knockouts import Bench, divergence, make_bench, run_twins, without_mlps

Found = dict[str, Array]
SEED_OF = {"random": 1, "random_sets": 2, "greedy": 3}  # added to the run's seed: no two draws are the same


@dataclass(frozen=True)
class Setup:
    """One model's benches on the same prompts, and what its MLPs write on average."""

    bench: Bench
    few: Bench  # knocks out by the mean of two twins
    resampled: Bench  # knocks out by the output on the prompt's own twin
    mlp_means: list[torch.Tensor]
    twin_logit_diffs: Array  # [n], of the twins, with the prompts' answers


def prepare(stack: Stack, prompts: Sequence[CircuitPrompt], twins: Sequence[CircuitPrompt], device: str) -> Setup:
    """Run the prompts and the ABC twins, and average; `prompts` are some of `twins`."""
    found = run_twins(stack, prompts, twins, device)
    bench = make_bench(stack, prompts, found.z["mean"], device)
    with torch.inference_mode():
        twin = metrics.logit_diff(bench.answers)(stack, found.states, torch.arange(len(prompts), device=device))
    few, own = (bench.with_substitutes(found.z[way]) for way in ("mean_of_two", "own"))
    return Setup(bench, few, own, found.mlp, _array(twin))


def of_model(setup: Setup, bridge: Any, kept: Keep) -> dict[str, Found]:
    """What does not depend on a circuit: behaviour, MLPs, and the importance of all heads."""
    bench, layers = setup.bench, range(len(setup.mlp_means))

    def mlps() -> Found:
        return {
            "all_but_first": without_mlps(bench, setup.mlp_means, layers[1:]),
            "first": without_mlps(bench, setup.mlp_means, layers[:1]),
        }

    makers: dict[str, Callable[[], Found]] = {
        "behaviour": lambda: {"prompts": bench.read(bench.model), "twins": setup.twin_logit_diffs},
        "mlps": mlps,
        "importance": lambda: {
            "heads": _array(attribution.importance(bridge, bench.prompts, bench.model.instead)),
        },
    }
    return _stored(kept.under("model"), makers, "model")


def of_circuit(
    setup: Setup, circuit: Circuit, params: Mapping[str, Any], kept: Keep, name: str, device: str
) -> dict[str, Found]:
    """Arrays by experiment for one circuit; what needs heads that the circuit does not have is left out."""
    tested = criteria.put_to_test(setup.bench, circuit)
    return _stored(kept.under(name), _makers(setup, tested, params, device), f"circuit {name}")


def _makers(setup: Setup, tested: Trial, params: Mapping[str, Any], device: str) -> dict[str, Callable[[], Found]]:
    bench, circuit, seed = tested.bench, tested.circuit, params["seed"]
    movers, backups = (circuit.classes.get(name, ()) for name in ("name_mover", "backup_name_mover"))
    makers: dict[str, Callable[[], Found]] = {
        "faithfulness": lambda: {
            "model": bench.read(bench.model), "circuit": bench.read(tested.base),
            "kl": divergence(bench, tested.base), "naive": bench.read(bench.only(naive(circuit).nodes)),
        },
        "variants": lambda: _variants(setup, circuit),
        "random": lambda: {
            "circuits": criteria.random_circuits(tested, params["random_circuits"], seed + SEED_OF["random"]),
        },
    }  # fmt: skip
    if not circuit.heads:
        return makers
    sets = criteria.random_sets(circuit, params["random_sets"], seed + SEED_OF["random_sets"])
    makers["classes"] = lambda: _both(tested, list(circuit.classes.values()))
    makers["random_sets"] = lambda: _both(tested, sets)
    for number in range(params["greedy_runs"]):
        makers[f"greedy/{number}"] = partial(_greedy, tested, params, seed + number)
    makers["minimality"] = lambda: dict(zip(("with", "without"), criteria.minimality(tested), strict=True))
    if movers:
        makers["movers"] = lambda: {"model": tested.model_without([movers, (*movers, *backups)])}
    if circuit.classes.get(signals.CLASS):
        makers["signals"] = lambda: {"cells": np.stack(list(signals.logit_diffs(bench, circuit, device)))}
    return makers


def halves(n: int) -> tuple[list[int], list[int]]:
    """Rows on which greedy sets are searched, and the others, on which they are measured."""
    return list(range(0, n, 2)), list(range(1, n, 2))


def _greedy(tested: Trial, params: Mapping[str, Any], seed: int) -> Found:
    search, measure = halves(len(tested.bench.prompts))
    chosen = criteria.greedy_set(
        tested, steps=params["greedy_steps"], candidates=params["greedy_candidates"], rows=search,
        seed=seed + SEED_OF["greedy"],
    )  # fmt: skip
    member = np.array([head in chosen for head in tested.circuit.heads], dtype=float)
    return _both(tested, [chosen], measure) | {"member": member}


def _both(tested: Trial, sets: Sequence, rows: Sequence[int] | None = None) -> Found:
    return {"circuit": tested.without(sets, rows), "model": tested.model_without(sets, rows)}


def _variants(setup: Setup, circuit: Circuit) -> Found:
    """How else the same circuit could be tested (Miller et al. 2024): logit differences [n] by name.

    `everywhere` keeps the circuit's heads at all positions, not only where they act.
    """
    resampled = setup.resampled.only(circuit.nodes)

    def everywhere(of: Bench) -> Array:
        return of.logit_diffs([~of.everywhere(circuit.heads)])[0]

    return {
        "everywhere_mean": everywhere(setup.bench),
        "roles_mean_of_two": setup.few.logit_diffs([~setup.few.mask(circuit.nodes)])[0],
        "roles_resample": setup.resampled.read(resampled),
        "roles_resample_kl": divergence(setup.resampled, resampled),
        "everywhere_resample": everywhere(setup.resampled),
    }


def _stored(kept: Keep, makers: Mapping[str, Callable[[], Found]], doing: str) -> dict[str, Found]:
    """Arrays by name through the shards, which hold tensors."""
    made = kept.each({name: partial(_tensors, make) for name, make in makers.items()}, doing)
    return {name: {key: _array(tensor) for key, tensor in found.items()}
            for name, found in zip(makers, made, strict=True)}  # fmt: skip


def _tensors(make: Callable[[], Found]) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in make().items()}


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)
