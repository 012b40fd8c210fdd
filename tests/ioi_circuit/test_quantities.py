"""From arrays that we made to quantities, tables and figures; and every claim finds its quantity."""

from dataclasses import replace

import drawn
import numpy as np
import pandas as pd
import pytest
from ioi_circuit.conftest import circuit_prompts

from replications.claims.evidence import without_places
from replications.claims.ledger import load_claims
from replications.evidence.run import Run, write_tables
from replications.ioi_circuit import attention, classes, figures, quantities, tables
from replications.ioi_circuit.circuit import MAPS, OTHER, Circuit
from replications.ioi_circuit.measure import Findings
from replications.ioi_circuit.observe import Observed

LAYERS, HEADS, N = 4, 3, 20
MOVER, AGAINST, INHIBITION = (3, 1), (3, 2), (2, 0)
RNG = np.random.default_rng(0)


def findings():
    """Head 3.1 writes 2 of a logit difference of 4 as much as it looks at IO, head 3.2 takes 1 away."""
    heads = np.zeros((LAYERS, HEADS, N))
    looks = {name: np.full((LAYERS, HEADS, N), 0.1) for name in attention.PAIRS}
    looks["END_IO"][MOVER] = looks["END_IO"][AGAINST] = np.linspace(0.2, 1, N)
    looks["END_S2"][INHIBITION] = 0.5
    heads[MOVER], heads[AGAINST] = 2, -1
    heads_io = 0.01 * RNG.standard_normal(heads.shape)
    heads_io[MOVER], heads_io[AGAINST] = 3 * looks["END_IO"][MOVER], -looks["END_IO"][AGAINST]
    attn = heads.sum(1)
    mlp, embed = np.zeros((LAYERS, N)), np.ones(N)
    mlp[1] = 2.0
    logit_diff = embed + attn.sum(0) + mlp.sum(0)
    arrays = {"logit_diff": logit_diff, "p_io": np.full(N, 0.25), "embed": embed, "bias": np.zeros(N), "attn": attn,
              "mlp": mlp, "heads": heads, "heads_io": heads_io}  # fmt: skip
    copies = np.zeros((2, LAYERS, HEADS, 12))
    copies[0][MOVER], copies[1][AGAINST], copies[0][0, 0, :6] = 1, 1, 1
    repeats = {name: np.full((LAYERS, HEADS, 3), 0.01) for name in ("induction", "duplicate", "previous")}
    repeats["induction"][1, 2] = 0.9
    found = {name: [] for name in (*classes.CLASSES, OTHER)}
    found |= {"name_mover": [MOVER], "negative_name_mover": [AGAINST], "s_inhibition": [INHIBITION], OTHER: [(1, 1)]}
    effects = {name: 0.01 * RNG.standard_normal((LAYERS, HEADS, N)) for name in MAPS}
    effects["logits"][MOVER] -= 2.0
    effects["queries"][3:] = np.nan
    observed, circuit = Observed(arrays, looks), Circuit(found, logit_diff, effects)
    return Findings(circuit_prompts(N), observed, logit_diff[:8] * 1.1, copies, repeats, circuit)


@pytest.fixture(scope="module")
def found():
    return findings()


@pytest.fixture(scope="module")
def tree(found):
    return quantities.tree(found, found.circuit.classes, 200, 0, by_head=True)


def paths(tree, prefix=""):
    for key, node in tree.items():
        yield prefix + key
        if "value" not in node:
            yield from paths(node, f"{prefix}{key}.")


def test_behaviour_and_prefix(tree):
    assert tree["behaviour"]["logit_diff"]["value"] == pytest.approx(4)
    assert tree["behaviour"]["accuracy"]["value"] == 1
    assert tree["prefix"]["ratio"]["value"] == pytest.approx(1.1)
    assert tree["prefix"]["plain"]["n"] == 8
    assert set(tree["by_order"]) == {"ABBA", "BABA"}
    assert sum(part["logit_diff"]["n"] for part in tree["by_template"].values()) == N


def test_attribution_and_lens(tree):
    dla = tree["dla"]
    assert (dla["top"]["value"], dla["bottom"]["value"]) == ("L3H1", "L3H2")
    assert dla["top_share"]["value"] == pytest.approx(0.5)
    assert dla["bottom_share"]["value"] == pytest.approx(-0.25)
    assert dla["heads"]["L3H1"]["value"] == pytest.approx(2)
    lens = tree["lens"]
    assert [lens["pre"][str(layer)]["value"] for layer in range(4)] == pytest.approx([1, 1, 3, 3])
    assert lens["mid"]["3"]["value"] == pytest.approx(4)
    assert lens["half_depth"]["value"] == pytest.approx(4 / 8)  # before layer 2 of 4


def test_classes_and_members(tree):
    assert tree["classes"]["name_mover"]["heads"]["value"] == ["3.1"]
    assert tree["classes"]["name_mover"]["depth"]["value"] == pytest.approx(3 / 4)
    assert tree["classes"]["induction"]["count"]["value"] == 0
    assert tree["classes"]["induction"]["depth"]["value"] is None
    assert tree["circuit"]["heads"]["value"] == 3  # the paper's classes alone
    assert tree["circuit"]["classes"]["value"] == 3
    members = tree["members"]
    assert members["name_mover"]["attention_io"]["value"] == pytest.approx(0.6)
    assert members["name_mover"]["correlation_lowest"]["value"] == pytest.approx(1)
    assert members["negative_name_mover"]["correlation_lowest"]["value"] == pytest.approx(1)
    assert members["name_mover"]["copy"]["value"] == members["negative_name_mover"]["copy_lowest"]["value"] == 1
    assert members["s_inhibition"]["attention_s2"]["value"] == pytest.approx(0.5)
    assert members["induction"]["score"]["value"] is None
    assert tree["average_head"]["copy"]["value"] == pytest.approx(1.5 / 12)


def test_paths_name_the_strongest_head_and_its_share(tree):
    logits = tree["paths"]["logits"]
    assert logits["strongest"]["value"] == "3.1"
    assert logits["strongest_effect"]["value"] == pytest.approx(-0.5, abs=0.01)
    assert (logits["lower"]["value"], logits["raise"]["value"]) == (1, 0)


def test_a_control_is_asked_about_the_trained_models_heads(found):
    bare = replace(found, circuit=Circuit({name: [] for name in found.circuit.classes}, found.circuit.clean, {}))
    tree = quantities.tree(bare, found.circuit.classes, 50, 0, by_head=False)
    assert tree["classes"]["name_mover"]["count"]["value"] == 0
    assert tree["members"]["name_mover"]["attention_io"]["value"] == pytest.approx(0.6)
    assert tree["dla"]["heads"] == {}


def test_correlations_with_a_constant_are_zero(found):
    flat = replace(found, observed=Observed(found.observed.arrays | {"heads_io": np.ones((LAYERS, HEADS, N))},
                                            found.observed.attention))  # fmt: skip
    weights = quantities.stats.resample_weights(N, resamples=10, seed=0)
    assert quantities.correlation(flat, [MOVER], weights)["value"] == pytest.approx(0, abs=1e-6)


def test_tables(found):
    members = tables.class_table(found)
    assert list(members.columns[:3]) == ["layer", "head", "class"]
    assert members["class"].tolist() == ["name_mover", "negative_name_mover", "s_inhibition"]
    assert members.loc[0, "dla"] == pytest.approx(2)
    heads = tables.head_table(found)
    assert len(heads) == LAYERS * HEADS
    assert heads.query("layer == 3 and head == 1").path_queries.isna().all()
    assert tables.lens_table(found, 50, 0)["logit_diff"].tolist() == pytest.approx([1, 1, 3, 3, 4])
    assert tables.prompt_table(found).logit_diff_prefixed.notna().sum() == 8


def test_figures_are_drawn(found, tmp_path):
    heads = tables.head_table(found)
    both = pd.concat([heads.assign(weights="measured"), heads.assign(weights="control")])
    made = {"heads": both, "classes": tables.class_table(found), "prompts": tables.prompt_table(found),
            "attention": tables.attention_table(found)}  # fmt: skip
    write_tables(tmp_path / "run", made)
    stems = ("dla", "paths", "attention", "classes")
    assert drawn.draw("ioi_circuit", tmp_path / "run", tmp_path) == drawn.pictures(*stems)


def test_attention_is_of_the_head_that_writes_most(found):
    table = tables.attention_table(found)
    assert table.groupby("class").size().to_dict() == {"name_mover": N, "negative_name_mover": N}
    mover = table[table["class"] == "name_mover"]
    assert set(zip(mover["layer"], mover["head"], strict=True)) == {MOVER}
    assert mover["written"].tolist() == found.observed.arrays["heads_io"][MOVER].tolist()
    assert mover["attention"].tolist() == found.observed.attention["END_IO"][MOVER].tolist()


def test_a_circuit_without_movers_has_nothing_to_scatter(found, tmp_path):
    none = {name: [] for name in classes.CLASSES}
    table = tables.attention_table(replace(found, circuit=replace(found.circuit, classes=none)))
    assert list(table.columns) == ["class", "layer", "head", "attention", "written"]
    write_tables(tmp_path, {"attention": table})
    read = Run(tmp_path).tables["attention"]
    assert read.empty
    figures.draw_attention(tmp_path / "attention", read, "tiny, en")
    assert drawn.pictures("attention") < drawn.files(tmp_path)


def test_figures_colour_the_classes_in_their_order():
    assert tuple(figures.plots.HEADS) == classes.CLASSES


def test_every_claim_names_a_quantity_of_this_form(tree):
    known = {without_places(path) for path in paths(tree)}
    for claim in load_claims("ioi_circuit"):
        for form in (claim, claim.general):
            for path in form.quantities if form else ():
                assert without_places(path) in known, f"{claim.id}: {path}"
