"""A claim that asks for what nothing measures is misspelt; what only its own model lacks is not."""

from replications.claims.lint import misnamed

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"
POSITIVE = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}


def test_a_quantity_no_evidence_has_is_told_with_the_nearest(checkout, block, estimate):
    file = checkout.room("ioi", block(quantity="pairs.gian"), block(id="other.claim"))
    checkout.evidence("ioi", "gpt2", "en", {"pairs": {"gain": estimate(2.0)}})
    told = "quantity: no evidence has pairs.gian for comparison within; nearest: pairs.gain"
    (sentence,) = misnamed(checkout.root)
    assert sentence.startswith(f"{file}: claim paper2022.gain: {told}")


def test_a_group_is_not_a_number(checkout, block, estimate):
    checkout.room("ioi", block(quantity="pairs"))
    checkout.evidence("ioi", "gpt2", "en", {"pairs": {"gain": estimate(2.0)}})
    (sentence,) = misnamed(checkout.root)
    assert "no evidence has pairs for comparison within; nearest: pairs.gain" in sentence


def test_a_general_quantity_no_evidence_has_is_told(checkout, block, estimate):
    checkout.room("ioi", block(general=POSITIVE | {"quantity": "pairs.loss"}))
    checkout.evidence("ioi", SMALL, "en", {"pairs": {"gain": estimate(2.0)}})
    (sentence,) = misnamed(checkout.root)
    assert "general.quantity: no evidence has pairs.loss" in sentence


def test_what_another_run_measures_is_no_misspelling(checkout, block, estimate):
    checkout.room("ioi", block(quantity="pairs.loss", general=POSITIVE))
    checkout.evidence("ioi", "gpt2", "en", {"pairs": {"gain": estimate(2.0)}})
    checkout.evidence("ioi", SMALL, "en", {"pairs": {"loss": estimate(2.0)}})
    assert misnamed(checkout.root) == []


def test_a_head_needs_only_the_form_of_a_measured_one(checkout, block, estimate):
    fine = checkout.room("ioi", block(quantity="heads.L47H24"))
    checkout.evidence("ioi", SMALL, "en", {"heads": {"L0H0": estimate(0.1)}})
    assert misnamed(checkout.root) == []
    fine.write_text(fine.read_text().replace("heads.L47H24", "haeds.L47H24"))
    (sentence,) = misnamed(checkout.root)
    assert "no evidence has haeds.L47H24" in sentence
    assert "nearest: heads.L0H0" in sentence


def test_what_only_the_papers_own_model_is_measured_on_needs_the_form_of_what_others_are(checkout, block, estimate):
    file = checkout.room("ioi", block(quantity="paper.heads.L47H24"))
    checkout.evidence("ioi", SMALL, "en", {"found": {"heads": {"L0H0": estimate(0.1)}}})
    assert misnamed(checkout.root) == []
    file.write_text(file.read_text().replace("paper.heads", "paper.haeds"))
    (sentence,) = misnamed(checkout.root)
    assert "no evidence has paper.haeds.L47H24" in sentence


def test_a_room_without_whole_evidence_is_not_asked(checkout, block):
    checkout.room("ioi", block(quantity="pairs.gian"))
    assert misnamed(checkout.root) == []
    checkout.evidence("ioi", SMALL, "en", {}).write_text("{")
    assert misnamed(checkout.root) == []
