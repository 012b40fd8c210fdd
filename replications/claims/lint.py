"""Does every claim ask for something that is measured? A check on what is committed; no verdict waits for it."""

from pathlib import Path

from replications.claims.evidence import (
    Evidence,
    EvidenceTree,
    ModelLanguage,
    find,
    nearest,
    paths,
    room_evidence,
    without_places,
)
from replications.claims.ledger import all_claims, claims_file
from replications.claims.schema import PAPERS_OWN, Claim, Criterion, Estimate
from replications.errors import Refusal
from replications.settings import ROOT


def misnamed(root: Path = ROOT) -> list[str]:
    """One sentence per claim that asks for a quantity which no run of its room measures, with the nearest names.

    Models differ in their layers and heads, and some quantities exist for some models only, so a claim's own form
    needs the form of something measured: heads.L9H9 is fine where another model has heads.L0H0. So is what is measured
    on the paper's own stimuli, facts or circuit (`paper`): paper.share is fine where others have found.share. The
    general form has to be there to the letter, in one run at least. A room without any evidence is not asked.
    """
    found = []
    for room, claims in all_claims(root).items():
        trees = _trees(room_evidence(room, root))
        forms = {argmax: _forms(trees, groups=argmax) for argmax in (False, True)}
        for claim in claims if trees else ():
            wrong = _wrong(claim, forms[claim.comparison == "argmax"], trees)
            found += [_sentence(claims_file(room, root), claim, *each, trees) for each in wrong]
    return found


def _trees(evidence: dict[ModelLanguage, Evidence | Refusal]) -> list[EvidenceTree]:
    return [each.measured for each in evidence.values() if isinstance(each, Evidence)]


def _wrong(claim: Claim, forms: set[str], trees: list[EvidenceTree]) -> list[tuple[str, Criterion, str]]:
    """Field, criterion and path of what is asked in vain."""
    own: list[tuple[str, Criterion, str]] = [
        ("quantity", claim, path) for path in claim.quantities if not _has_form(path, forms)
    ]
    if claim.general is None or any(_there(tree, claim.general) for tree in trees):
        return own
    known = {path for tree in trees for path in paths(tree)}
    missing = next((path for path in claim.general.quantities if path not in known), claim.general.quantities[0])
    return [*own, ("general.quantity", claim.general, missing)]


def _there(tree: EvidenceTree, criterion: Criterion) -> bool:
    try:
        return find(tree, criterion) is not None
    except Refusal:  # it is there, with a flaw
        return True


def _forms(trees: list[EvidenceTree], *, groups: bool) -> set[str]:
    """The estimates of all trees, also the groups where these can be asked for, with places blanked."""
    nodes = (each for tree in trees for each in _nodes(tree))
    return {without_places(path) for path, node in nodes if groups or isinstance(node, Estimate)}


def _nodes(tree: EvidenceTree, prefix: str = "") -> list[tuple[str, object]]:
    listed: list[tuple[str, object]] = []
    for key, below in tree.items():
        listed.append((prefix + key, below))
        if isinstance(below, dict):
            listed += _nodes(below, f"{prefix}{key}.")
    return listed


def _has_form(path: str, forms: set[str]) -> bool:
    top, _, rest = without_places(path).partition(".")
    if top == PAPERS_OWN:
        return rest in forms or rest in {form.partition(".")[2] for form in forms}
    return without_places(path) in forms


def _sentence(file: Path, claim: Claim, field: str, criterion: Criterion, path: str, trees: list[EvidenceTree]) -> str:
    return (f"{file}: claim {claim.id}: {field}: no evidence has {path} for comparison {criterion.comparison}; "
            f"nearest: {nearest(path, trees)}")  # fmt: skip
