"""`load_model` in the tests of stages: a second model is refused for as long as the first one is held."""

import copy
import gc
import weakref


def loading(make):
    """make(random_seed) in place of `load_model`; fails where the trained model is alive when its twin is asked for."""
    held = []

    def load_model(model, *, device, random_seed=None):
        gc.collect()
        assert random_seed is None or held.pop()() is None, "the trained model is still held"
        made = make(random_seed)
        made.hf_model = copy.deepcopy(made.hf_model)  # not the one that the tests share, which would never go
        held.append(weakref.ref(made.hf_model))
        return made

    return load_model
