"""What one model's probes amount to: the tree of metrics.json and the tidy curves, from an Outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from replications.evidence import stats
from replications.evidence.stats import Array, spearman
from replications.layer_probing import control_tasks, quantities
from replications.layer_probing.quantities import Branch, Resampling
from replications.layer_probing.stimuli import Words

Arrays = dict[str, NDArray[Any]]
REMOVALS = ("means", "inlp")
TASKS = {"main": "", "parallel": "parallel."}  # where a corpus's tasks stand in the tree


@dataclass(frozen=True)
class Held:
    """The words of a corpus that the tokenizer kept."""

    words: Words
    keep: NDArray[np.bool_]

    @property
    def train(self) -> NDArray[np.bool_]:
        """[words] whether a kept word is for training."""
        return self.words.train[self.keep]

    @property
    def test_sentences(self) -> NDArray[np.int64]:
        """[test words] the sentence of each."""
        return self.words.sentence[self.keep][~self.train]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """[test words] whether the word's type occurs in training."""
        types = control_tasks.word_types(self.words.words)[self.keep]
        return control_tasks.seen(types, self.train)[~self.train]


@dataclass(frozen=True)
class Outcome:
    """One model, trained or random: answers of its probes by corpus, and of the minimal pair. Layers come first."""

    series: dict[str, Arrays]  # by corpus: probe_series.probe_layer, stacked
    words: dict[str, Held]
    pair: Arrays  # minimal_pair.probe_layer, stacked
    types: dict[str, list[str]]  # of the pair's dev and test words
    use: Arrays  # minimal_pair.check_use, and `layers`
    seeds: int
    counts: dict[str, Any]

    @classmethod
    def empty(cls, seeds: int) -> Outcome:
        """Nothing measured yet."""
        return cls({}, {}, {}, {}, {}, seeds, {})


def of(outcome: Outcome, params: Mapping[str, Any]) -> tuple[Branch, pd.DataFrame]:
    """Estimates, and a frame task, series, layer, value, ci_low, ci_high, n of the same curves."""
    tree: Branch = {}
    frames = []
    for corpus, found in outcome.series.items():
        part, curves = _treebank(found, outcome.words[corpus], outcome.seeds, params)
        tree |= part if corpus == "main" else {corpus: part}
        frames += [curve.assign(task=f"{TASKS[corpus]}{task}") for task, curve in curves.items()]
    if outcome.pair:
        part, curve = _pair(outcome, params)
        tree |= part
        frames.append(curve.assign(task="noun_verb"))
    if outcome.use:
        tree["use"], curve = _use(outcome, params)
        frames.append(curve.assign(task="use"))
    return tree, pd.concat(frames, ignore_index=True)


def joined(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The curves of the trained and the random model under each other: weights, task, series, layer, value, ..."""
    whole = pd.concat([frame.assign(weights=name) for name, frame in frames.items()], ignore_index=True)
    return whole[["weights", "task", "series", "layer", "value", "ci_low", "ci_high", "n"]]


def sentence_table(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Per weights, task and test sentence: words, and how many the probe of each layer gets right (seeds' mean).

    Of the parallel treebank where there is one: by it languages are compared on the same sentences. Only ids and
    numbers, no text.
    """
    table = pd.concat([_sentences(outcome).assign(weights=name) for name, outcome in outcomes.items()])
    layers = [column for column in table if column.startswith("layer")]
    return table[["weights", "corpus", "task", "sentence", "words", *layers]]


def _sentences(outcome: Outcome) -> pd.DataFrame:
    corpus = "parallel" if "parallel" in outcome.series else "main"
    held, frames = outcome.words[corpus], []
    for task in held.words.labels:
        correct = outcome.series[corpus][f"{task}.task"]
        right = pd.DataFrame(correct.mean(axis=1).T, columns=[f"layer{i}" for i in range(len(correct))])
        sums = right.assign(words=1).groupby(held.test_sentences).sum()
        ids = [held.words.ids[number] for number in sums.index]
        frames.append(sums.assign(sentence=ids, task=task, corpus=" ".join(held.words.corpora)))
    return pd.concat(frames, ignore_index=True)


def _treebank(
    found: Arrays, held: Held, seeds: int, params: Mapping[str, Any]
) -> tuple[Branch, dict[str, pd.DataFrame]]:
    sampled = quantities.resampling(held.test_sentences, seeds, resamples=params["resamples"], seed=params["seed"])
    tree, frames = {}, {}
    for task, labels in held.words.labels.items():
        own = {name.removeprefix(f"{task}."): array for name, array in found.items() if name.startswith(f"{task}.")}
        common = labels[held.keep][~held.train] == control_tasks.majority(labels[held.keep], held.train)
        part, curves = _task(own, common, sampled, held)
        if "task.bits" in own:
            extra, more = _bits(own, held, len(held.words.classes[task]), params)
            part["mdl"], curves = extra, curves | more
        tree[task] = part | {"classes": stats.leaf(len(held.words.classes[task]), n=sampled.n)}
        frames[task] = quantities.table(curves, sampled.n)
    if "pos" in tree and "deps" in tree and "gain_depth" in tree["pos"] and "gain_depth" in tree["deps"]:
        tree["deps"]["accuracy_below_pos"] = _below(found, sampled)
    return tree, frames


def _task(own: Arrays, common: NDArray[np.bool_], sampled: Resampling, held: Held) -> tuple[Branch, dict[str, Array]]:
    accuracy = sampled.means(own["task"])
    majority = sampled.means(common[None, None])
    best = accuracy.max(axis=1)
    tree = quantities.curve(accuracy, sampled.n)
    tree["majority"] = stats.interval(majority[:, 0], sampled.n)
    tree["best"]["over_majority"] = stats.interval(best - majority[:, 0], sampled.n)
    curves = {"accuracy": accuracy, "majority": np.repeat(majority, accuracy.shape[1], axis=1)}
    if "control" in own:
        control, seen = sampled.means(own["control"]), held.seen
        n_seen = int(seen.sum())
        seen_task, seen_control = (sampled.means(own[row], seen) for row in ("task", "control"))
        tree["selectivity"] = quantities.selectivity(accuracy, control, sampled.n)
        tree["selectivity_seen"] = quantities.selectivity(seen_task, seen_control, n_seen)
        tree["control_over_majority"] = stats.interval(seen_control.max(axis=1) - majority[:, 0], n_seen)
        curves |= {"control task": control, "selectivity": accuracy - control,
                   "selectivity, seen types": seen_task - seen_control}  # fmt: skip
    if "shuffled" in own:
        shuffled = sampled.means(own["shuffled"])
        over = shuffled.max(axis=1) - majority[:, 0]
        tree["shuffled"] = {"over_majority": stats.interval(over, sampled.n)}
        curves["shuffled labels"] = shuffled
    return tree, curves


def _below(found: Arrays, sampled: Resampling) -> dict[str, Any]:
    """How far the best probe of relations stays below that of parts of speech, on the same words."""
    pos, deps = (sampled.means(found[f"{task}.task"]).max(axis=1) for task in ("pos", "deps"))
    return stats.interval(pos - deps, sampled.n)


def _bits(own: Arrays, held: Held, n_classes: int, params: Mapping[str, Any]) -> tuple[Branch, dict[str, Array]]:
    sentences = held.words.sentence[held.keep][held.train]
    sampled = quantities.resampling(sentences, 1, resamples=params["resamples"], seed=params["seed"])
    bits, control = (sampled.means(own[f"{row}.bits"][:, None]) for row in ("task", "control"))
    tree = quantities.description_length(bits, control, n_classes, sampled.n)
    return tree, {"bits": bits, "bits, control task": control}


def _pair(outcome: Outcome, params: Mapping[str, Any]) -> tuple[Branch, pd.DataFrame]:
    """Noun against verb on the test types; the layer of the article's sentences is chosen on the dev types."""
    pair, n = outcome.pair, len(outcome.types["test"])
    seeds = pair["test.task"].shape[1]
    sampled = quantities.resampling(outcome.types["test"], seeds, resamples=params["resamples"],
                                    seed=params["seed"])  # fmt: skip
    accuracy, shuffled = sampled.means(pair["test.task"]), sampled.means(pair["test.shuffled"])
    chosen = int(pair["dev.task"].mean(axis=(1, 2)).argmax())
    tree = quantities.curve(accuracy, n) | {
        "types": stats.leaf(len(set(outcome.types["test"])), n=n),
        "selected": {"layer": stats.leaf(chosen, n=len(outcome.types["dev"])),
                     "accuracy": stats.interval(accuracy[:, chosen], n),
                     "over_layer0": stats.interval(accuracy[:, chosen] - accuracy[:, 0], n),
                     "over_chance": stats.interval(accuracy[:, chosen] - 0.5, n)},
        "shuffled": {"over_chance": stats.interval(shuffled[:, chosen] - 0.5, n)},
    }  # fmt: skip
    article, curves = _article(pair["article"], sampled, chosen)
    frame = quantities.table({"accuracy": accuracy, "shuffled labels": shuffled}, n)
    return {"noun_verb": tree, "article": article}, pd.concat([frame, quantities.table(curves, 1)])


def _article(verb: NDArray[Any], sampled: Resampling, chosen: int) -> tuple[Branch, dict[str, Array]]:
    """P(verb) of the article's word as noun and as verb by layer, over seeds alone: [layers, seeds, 2]."""
    noun, as_verb = (np.einsum("rs,ls->rl", sampled.seeds, verb[:, :, place]) for place in (0, 1))
    tree = {
        "p_verb_as_noun": quantities.by_layer(noun, 1),
        "p_verb_as_verb": quantities.by_layer(as_verb, 1),
        "difference": quantities.by_layer(as_verb - noun, 1),
        "selected": {"p_verb_as_noun": stats.interval(noun[:, chosen], 1),
                     "p_verb_as_verb": stats.interval(as_verb[:, chosen], 1),
                     "difference": stats.interval((as_verb - noun)[:, chosen], 1)},
    }  # fmt: skip
    return tree, {"P(verb), water as noun": noun, "P(verb), water as verb": as_verb}


def _use(outcome: Outcome, params: Mapping[str, Any]) -> tuple[Branch, pd.DataFrame]:
    """Nats lost by each removal, over its random control, of log P(word) and of the log odds of the word's class.

    Curves stand at the edited layers.
    """
    use, layers = outcome.use, outcome.use["layers"]
    sampled = quantities.resampling(outcome.types["test"], 1, resamples=params["resamples"], seed=params["seed"])
    n = sampled.n
    word, odds = ({name: sampled.means((use["clean"] - use[name])[:, None, place])
                   for name in ("means", "means_random", "inlp", "inlp_random")} for place in (0, 1))  # fmt: skip
    clean = {name: stats.interval(sampled.means(use["clean"][:1, None, place])[:, 0], n)
             for place, name in enumerate(("log_p_clean", "class_odds_clean"))}  # fmt: skip
    tree: Branch = dict(clean)
    for name in REMOVALS:
        tree[name] = _lost(word, name, layers, n) | {"class_odds": _lost(odds, name, layers, n)}
    for name in ("rank", "probe", "probe_inlp", "probe_random"):
        tree[name] = {str(layer): stats.leaf(float(value), n=n) for layer, value in zip(layers, use[name], strict=True)}
    tree["accuracy_and_loss"] = stats.interval(spearman(use["probe"], word["inlp"] - word["inlp_random"]), len(layers))
    named = {
        f"{what}, {name}": draws for what, of in {"word": word, "class": odds}.items() for name, draws in of.items()
    }
    frame = quantities.table(named, n)
    return tree, frame.assign(layer=frame["layer"].map(dict(enumerate(layers.tolist()))))


def _lost(draws: Mapping[str, Array], name: str, layers: NDArray[np.int64], n: int) -> Branch:
    """What a removal costs, and how much more than a random one; draws [1 + resamples, layers], nats."""
    lost, random = draws[name], draws[f"{name}_random"]
    excess = lost - random
    return {
        "loss": _at(lost, layers, n), "random_loss": _at(random, layers, n), "excess": _at(excess, layers, n),
        "mean_loss": stats.interval(lost.mean(axis=1), n), "mean_excess": stats.interval(excess.mean(axis=1), n),
        "largest_excess": stats.interval(excess.max(axis=1), n),
    }  # fmt: skip


def _at(draws: Array, layers: NDArray[np.int64], n: int) -> Branch:
    return {str(layer): stats.interval(draws[:, place], n) for place, layer in enumerate(layers)}
