"""The skeleton of the stages: one plan, two sets of weights, never two models at once."""

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from replications import progress
from replications.evidence.run import Asked
from replications.models import twins
from replications.models.twins import measure_twins

ASKED = Asked("room", "tiny", "en", "cpu", {"seed": 7}, Path("out"))


class Model(SimpleNamespace):
    """What is loaded, as far as the skeleton looks at it; unlike its base it can be watched."""


@pytest.fixture
def alive(monkeypatch):
    """The models that exist, by reference; loading one records who else is there."""
    made = []

    def load_model(model, *, device, random_seed=None):
        gc.collect()
        assert [one for one in made if one() is not None] == []
        one = Model(name=model, device=device, seed=random_seed, bos_id=5)
        made.append(weakref.ref(one))
        return one

    monkeypatch.setattr(twins, "load_model", load_model)
    return made


def seen(loaded, plan):
    """What a measurement was given, without the model itself."""
    return loaded.name, loaded.device, loaded.seed, plan


def test_the_twin_is_loaded_when_the_trained_model_is_gone(alive):
    measure_twins(ASKED, lambda loaded: None, seen, seen)
    gc.collect()
    assert [one() for one in alive] == [None, None]


def test_a_plan_that_holds_the_model_is_noticed_by_this_test(alive):
    with pytest.raises(AssertionError):
        measure_twins(ASKED, lambda loaded: loaded, lambda loaded, plan: None, seen)


def test_both_are_measured_by_the_plan_of_the_trained_model(alive):
    found = measure_twins(ASKED, lambda loaded: ["planned", loaded.seed], seen, seen)
    assert found.plan == ["planned", None]
    assert found.by_weights == {
        "measured": ("tiny", "cpu", None, found.plan),
        "control": ("tiny", "cpu", 7, found.plan),
    }
    assert (found.provenance["bos_id"], found.provenance["params"]) == (5, {"seed": 7})


def test_the_control_may_be_another_measurement_and_another_seed(alive):
    found = measure_twins(ASKED, lambda loaded: None, seen, lambda twin, plan: twin.seed, seed=0)
    assert (found.measured[2], found.control) == (None, 0)


def test_what_is_shown_says_which_weights_are_measured(alive):
    def doing(loaded, plan):
        return [step.doing for step in progress._SCREEN.steps]

    found = measure_twins(ASKED, lambda loaded: None, doing, doing)
    assert found.by_weights == {"measured": ["trained weights"], "control": ["random weights"]}
