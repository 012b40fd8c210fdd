"""Which heads a circuit has where; what a file may say; what chance is."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replications.errors import Refusal
from replications.ioi_faithfulness import circuits
from replications.ioi_faithfulness.circuits import Circuit

MODEL = {"n_layers": 12, "n_heads": 12, "made_by": "replicate run ioi_circuit"}


def written(tmp_path, text):
    file = tmp_path / "classes.csv"
    file.write_text(text)
    return file


def test_the_published_circuit_has_26_heads_in_7_classes():
    circuit = circuits.published()
    assert len(circuit.heads) == len(circuit.nodes) == 26
    assert len(circuit.classes) == 7
    assert Counter(role for _, _, role in circuit.nodes) == {"END": 17, "S2": 7, "S1+1": 2}


def test_the_naive_circuit_is_part_of_the_circuit():
    whole, part = circuits.published(), circuits.naive(circuits.published())
    assert set(part.heads) < set(whole.heads)
    assert len(part.heads) == 13
    other = Circuit({"name_mover": ((1, 2),), "backup_name_mover": ((1, 3),), "negative_name_mover": ((1, 4),)})
    assert circuits.naive(other).heads == [(1, 2)]


def test_a_head_of_two_classes_acts_at_both_positions(helpers):
    circuit = Circuit(helpers.CLASSES)
    assert [node for node in circuit.nodes if node[:2] == (1, 1)] == [(1, 1, "END"), (1, 1, "S2")]
    assert circuit.class_of((1, 1)) == "induction"
    assert len(circuit.heads) == 8


def test_a_file_is_read(tmp_path):
    text = "layer,head,class,score\n9,9,name_mover,1\n5,5,induction,.5\n9,6,name_mover,\n9,9,name_mover,1\n"
    circuit = circuits.read_circuit(written(tmp_path, text), **MODEL)
    assert circuit.classes == {"name_mover": ((9, 9), (9, 6)), "induction": ((5, 5),)}


def test_a_search_that_found_nothing_gives_an_empty_circuit(tmp_path):
    assert circuits.read_circuit(written(tmp_path, "layer,head,class\n"), **MODEL).heads == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "missing.*run `replicate run ioi_circuit`"),
        ("layer,head\n1,1\n", "no column class.*replicate run ioi_circuit"),
        ("", "is not readable CSV .*replicate run ioi_circuit"),
        ("layer,head,class\n1,1,induction,2,3\n1,2\n", "is not readable CSV .*replicate run ioi_circuit|line 2"),
        ("layer,head,class\none,1,induction\n", "is not readable CSV .*replicate run ioi_circuit"),
        ("layer,head,class\n,1,induction\n", "is not readable CSV .*replicate run ioi_circuit"),
        ("layer,head,class\n1,1,mover\n", "line 2: unknown class 'mover'; known: name_mover"),
        ("layer,head,class\n1,1,induction\n12,0,induction\n", "line 3: head 12.0 is outside a model of 12 layers"),
        ("layer,head,class\n1,12,induction\n", "line 2: head 1.12 is outside"),
    ],
)
def test_what_is_no_circuit_is_refused(tmp_path, text, message):
    file = tmp_path / "classes.csv" if text is None else written(tmp_path, text)
    with pytest.raises(Refusal, match=rf"classes\.csv.*{message}"):
        circuits.read_circuit(file, **MODEL)


@given(st.integers(0, 1 << 30))
def test_random_circuits_have_as_many_heads_in_each_layer_and_position(seed):
    nodes = circuits.published().nodes
    drawn = circuits.random_circuit(nodes, 12, np.random.default_rng(seed))
    assert len(set(drawn)) == len(nodes)
    assert Counter((layer, role) for layer, _, role in drawn) == Counter((layer, role) for layer, _, role in nodes)
    assert Counter(layer for layer, _ in {node[:2] for node in drawn}) == Counter(
        layer for layer, _ in circuits.published().heads
    )
    assert all(0 <= head < 12 for _, head, _ in drawn)
