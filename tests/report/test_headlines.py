"""Headlines are read from the evidence and name what is there."""

import pytest

from replications.files import read_json
from replications.report.headlines import HEADLINES, headlines, write_headlines
from replications.settings import ROOT


@pytest.mark.parametrize("room", HEADLINES)
def test_every_headline_is_a_number_of_some_run(room):
    found = {name for values in headlines(ROOT)[room].values() for name in values}
    assert found == set(HEADLINES[room])


def test_runs_are_told_apart_and_what_a_run_lacks_is_left_out(checkout, estimate):
    known = {"share": estimate(0.5)}
    checkout.evidence("rome", "gemma-3-270m", "fr", {"known": known, "handover": {"depth": estimate(None)}})
    checkout.evidence("rome", "gemma-3-270m", "en", {"known": known, "handover": {"depth": estimate(0.75)}})
    checkout.evidence("rome", "gemma-3-270m", "de", {}).write_text("{")  # cut off
    checkout.evidence("unknown_room", "gemma-3-270m", "en", {"known": known})
    written = read_json(write_headlines(checkout.root))
    assert written == {
        "rome": {
            "gemma-3-270m, en": {"depth of the handover": 0.75, "share of landmarks known": 0.5},
            "gemma-3-270m, fr": {"share of landmarks known": 0.5},
        }
    }
