"""A stage that opens a file of data/ or reports/ which dvc.yaml does not name for it is found out by its own test."""

import opening
import pytest

from replications.pipeline import room_stage
from replications.settings import DATA, REPORTS
from replications.stimuli.language import load_stimuli


def test_what_is_opened_meanwhile_is_heard(tmp_path):
    (tmp_path / "a.csv").touch()
    with opening.opened() as heard:
        load_stimuli("en")
        (tmp_path / "a.csv").read_text()
    (DATA / "README.md").read_text()
    assert heard == {"data/stimuli/en.yaml"}


@pytest.mark.parametrize(
    ("room", "read", "fine"),
    [
        ("ioi", "data/stimuli/fr.yaml", True),
        ("ioi", "data/stimuli/en.yaml", False),  # of another language
        ("ioi", "data/claims/ioi.yaml", False),  # its own answers
        ("ioi", "data/catalogue/models.yaml", True),
        ("ioi_faithfulness", "reports/ioi_circuit/tiny/fr/tables/classes.csv", True),
        ("ioi_faithfulness", "reports/ioi_circuit/tiny/fr/metrics.json", False),
    ],
)
def test_what_may_be_read_is_what_is_declared_for_the_run(room, read, fine):
    stage, _ = room_stage(room, {"model": "tiny", "language": "fr"})
    assert opening.undeclared({read}, stage) == (set() if fine else {read})


def test_a_stage_that_reads_what_it_does_not_declare_fails():
    def run(**asked):
        (REPORTS / "verdicts.csv").read_bytes()

    with pytest.raises(AssertionError, match=r"stage ioi: \['reports/verdicts\.csv'\] is opened"):
        opening.watched("ioi", run)(model="tiny", language="fr")
