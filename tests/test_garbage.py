"""The search for circular rubbish waits while a corpus is read, and goes on whatever happens."""

import gc

import pytest

from replications.garbage import uncollected


def test_nothing_is_searched_within_and_all_is_as_before_afterwards():
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_refusal_leaves_it_as_it_was():
    @uncollected()
    def refuse():
        raise ValueError(gc.isenabled())

    for _ in range(2):
        with pytest.raises(ValueError, match="False"):
            refuse()
        assert gc.isenabled()
