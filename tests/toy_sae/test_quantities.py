import numpy as np
import pytest

from replications.toy_sae import quantities

DRAWS = {"resamples": 50, "seed": 0}
COSINES = {4: np.array([[0.2, 0.4], [0.95, 0.5]]), 8: np.array([[0.9, 0.99], [0.1, 0.1]])}
LARGER = {4: np.array([[0.3] * 4, [0.95, 0.95, 0.2, 0.95]])}
FITS = {h: {name: np.array([1.0, 2.0]) for name in ("fvu", "l0", "dead")} for h in COSINES}


def tree():
    return quantities.of_grid(COSINES, LARGER, FITS, [0.1, 1.0], 4, DRAWS)


def test_best_knows_the_truth_and_chosen_does_not():
    made = tree()
    assert made["best"]["ratio"]["value"] == 2
    assert made["best"]["alpha"]["value"] == 0.1
    assert made["best"]["recovered"]["value"] == 1
    assert made["chosen"]["ratio"]["value"] == 1
    assert made["chosen"]["alpha"]["value"] == 1.0
    assert made["inferred"]["features"]["value"] == 3


def test_best_by_size_and_by_coefficient():
    made = tree()
    assert made["by_ratio"]["1"]["mmcs"]["value"] == pytest.approx(0.725)
    assert made["by_alpha"]["1"]["mmcs"]["value"] == pytest.approx(0.725)
    assert made["by_alpha"]["0_1"]["ratio"]["value"] == 2


def test_the_best_control_is_named_by_its_value():
    found = {"random": {4: np.array([0.1, 0.2])}, "pca": {4: np.array([0.3, 0.3])}, "ica": {4: np.array([0.2, 0.2])}}
    made = quantities.of_controls(found, DRAWS)
    assert made["best"] == made["pca"]


def test_table_has_a_row_per_dictionary():
    rows = quantities.table(COSINES, LARGER, FITS, [0.1, 1.0], 4, "independent")
    assert len(rows) == 4
    assert [row["mmcs_larger"] for row in rows][2:] == [None, None]
