"""The whole room on a tiny model: what is written, that claims find what they ask for, that the weights survive."""

from types import SimpleNamespace

import drawn
import numpy as np
import pytest
import torch
from rome_editing import oracle
from sharded import Kept

from replications.claims.evidence import find, read_evidence
from replications.claims.ledger import load_claims
from replications.errors import Refusal
from replications.evidence.run import Asked, write_run
from replications.rome_editing import stage
from replications.rome_editing.hparams import HParams
from replications.rome_editing.plan import Plan, traced_too
from replications.rome_editing.rows import merged
from replications.rome_editing.stimuli import Request, Task

PARAMS = {"batch": 2, "seed": 0, "n_control": 3, "resamples": 40}
LAYERS = [0, 1, 2]


def task(number, rewrite):
    """Scored on its own prompt, a paraphrase and a neighbour of random tokens."""
    prompt = rewrite.contexts[0].ids[: rewrite.contexts[0].asked[0] + 1]
    prompts = [("rewrite", prompt), ("paraphrase", (4, *prompt)), ("neighbour", (5, 6, 7 + number))]
    wanted = [(ids, answer) for _, ids in prompts for answer in (rewrite.target, (60,))]
    rows, picks = merged(wanted)
    request = Request(f"fact.{number}", "a prompt", (0, 1), "a", "new", "true", (), ())
    triples = zip([kind for kind, _ in prompts], picks[::2], picks[1::2], strict=True)
    return Task(request, rewrite, tuple(rows), tuple(triples))


def plan():
    draw = torch.Generator().manual_seed(3)
    return Plan(
        lists={"facts": [task(i, rewrite) for i, rewrite in enumerate(oracle.facts(4, 2))]}, layer=1, compared=LAYERS,
        traced=np.random.default_rng(0).normal(size=(4, 3)), text=torch.randint(3, 61, (40, 16), generator=draw),
        held_out=torch.randint(3, 61, (3, 6), generator=draw), hp=HParams(relative=True, steps=6), account={},
    )  # fmt: skip


@pytest.fixture(scope="module", params=["llama", "gptj"])
def room(request, tmp_path_factory):
    """(metrics as returned, folder) after a run in which shards are kept in memory."""
    model, shelf, out = oracle.hf_model(request.param), {}, tmp_path_factory.mktemp("rome_editing") / "tiny" / "en"

    def kept(name, make):
        if name not in shelf:
            shelf[name] = make()
        return shelf[name]

    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loaded = SimpleNamespace(hf_model=model)
    asked = Asked(stage.ROOM, "tiny", "en", "cpu", PARAMS, out)
    found = tuple(part(loaded, plan(), PARAMS, Kept(kept)) for part in (stage.measure, stage.control))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    tree = stage.trees(*found, plan(), asked.draws)
    write_run(out, tree, stage.frames(*found, tree, plan(), asked.draws), {"seed": 0, "layer": plan().layer})
    return tree, out, shelf


def test_everything_is_written_and_drawn(room, tmp_path):
    _, out, _ = room
    assert drawn.files(out) == drawn.evidence("edits", "scores", "layers", "layer_curves", "sequence")
    assert drawn.draw("rome_editing", out, tmp_path) == drawn.pictures("scores", "layers", "sequence")


def test_every_batch_at_every_layer_is_a_shard(room):
    _, _, shelf = room
    edits = [name for name in shelf if "moments" not in name]
    assert sorted(name for name in edits if name.startswith("measured/facts")) == [
        "measured/facts/1/0",
        "measured/facts/1/2",
    ]
    assert {name for name in edits if name.startswith("measured/layers")} == {
        f"measured/layers/{layer}/{start}" for layer in (0, 2) for start in (0, 2)
    }


def test_general_forms_find_what_they_ask_for(room):
    """CounterFact and GPT-J's own numbers aside, every claim can be judged on any model."""
    _, out, _ = room
    evidence = read_evidence(out / "metrics.json")
    asked = [claim.general for claim in load_claims("rome_editing") if claim.general]
    assert len(asked) > 20
    assert [form.quantity for form in asked if find(evidence.measured, form) is None] == []


def test_own_forms_ask_for_quantities_of_the_same_form(room):
    _, out, _ = room
    evidence = read_evidence(out / "metrics.json")
    tree = evidence.measured | {"paper": evidence.measured["facts"]}  # what the paper's own models have besides
    own = load_claims("rome_editing")
    assert [claim.id for claim in own if find(tree, claim) is None] == []


def test_the_control_has_the_scores_and_nothing_that_it_was_not_asked(room):
    tree, _, _ = room
    assert tree["control"].keys() == {"facts"}
    assert tree["control"]["facts"].keys() == tree["measured"]["facts"].keys()
    assert tree["control"]["facts"]["rome"]["ES"]["n"] == 3


def test_the_last_layer_cannot_be_heard(room):
    tree, _, _ = room
    assert tree["measured"]["layers"]["rewrite"].keys() == {"0", "1", "2"}
    first, last = (tree["measured"]["layers"]["rewrite"][layer]["value"] for layer in "02")
    assert abs(last) < 0.1
    assert first > last


def test_an_edit_raises_the_new_object_more_than_a_random_value(room):
    facts = room[0]["measured"]["facts"]
    assert facts["r_rome"]["EM"]["value"] > facts["random_direction"]["EM"]["value"]
    assert facts["search"]["loss_last"]["value"] < facts["search"]["loss_first"]["value"]


def test_too_few_traced_facts_are_refused():
    tasks = plan().lists["facts"]
    assert traced_too(tasks, {f"fact.{i}": {} for i in range(9)}) == [f"fact.{i}" for i in range(4)]
    with pytest.raises(Refusal, match="only 1 of 4 edited facts have been traced; 3 are needed"):
        traced_too(tasks, {"fact.2": {}})
