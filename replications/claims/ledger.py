"""All claims of all rooms, and the verdict on each of them from the evidence in reports/."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from replications.claims.compare import Judgement, as_text, judge
from replications.claims.evidence import (
    Evidence,
    Place,
    find,
    nearest,
    paths,
    read_evidence,
    room_evidence,
    run_command,
    without_places,
)
from replications.claims.schema import (
    OWN_LANGUAGE,
    PAPERS_OWN,
    PRINTED,
    WEIGHTLESS,
    Claim,
    Criterion,
    Finding,
    Verdict,
    read_claims,
)
from replications.errors import Refusal
from replications.settings import ROOT, load_settings

if TYPE_CHECKING:
    import pandas

COLUMNS = ["claim", "replication", "model", "language", "verdict", "published", "measured", "ci_low",
           "ci_high", "n", "control", "asserted", "reason"]  # fmt: skip
CONTROL_TOO = "the control shows it too"
STRADDLES = "the 95 % interval straddles the criterion"


def rooms(root: Path = ROOT) -> list[str]:
    """Names of the replications: sub-packages that have both claims.yaml and stage.py."""
    files = sorted((root / "replications").glob("*/claims.yaml"))
    return [file.parent.name for file in files if (file.parent / "stage.py").is_file()]


def claims_file(room: str, root: Path = ROOT) -> Path:
    """Where a room keeps its claims."""
    return root / "replications" / room / "claims.yaml"


def load_claims(room: str, root: Path = ROOT) -> list[Claim]:
    """The room's claims, in file order. Refuses bad fields, duplicate ids, findings about no known run."""
    file = claims_file(room, root)
    claims = read_claims(file)
    _refuse_duplicates({file: claims})
    runs = [(run.model, run.language) for run in load_settings(root).every_run.values()]
    for claim in claims:
        _refuse_stray_findings(claim, runs, file, root)
    return claims


def all_claims(root: Path = ROOT) -> dict[str, list[Claim]]:
    """Claims by room. Refuses an id used in two rooms, naming both files."""
    claims = {room: load_claims(room, root) for room in rooms(root)}
    _refuse_duplicates({claims_file(room, root): listed for room, listed in claims.items()})
    return claims


def expected(claim: Claim, model: str, language: str) -> Verdict:
    """The verdict on record: the finding's, else reproduced on the own model and holds elsewhere."""
    recorded = _finding(claim, model, language)
    if recorded:
        return recorded.verdict
    return "reproduced" if claim.is_own(model, language) else "holds"


def verdicts(root: Path = ROOT) -> "pandas.DataFrame":
    """One row per claim and run, columns COLUMNS: the own model, and others if the claim has a general form.

    Rooms alphabetically, claims in file order, the own model first, then models and languages alphabetically.
    """
    import pandas

    rows = []
    for room, claims in all_claims(root).items():
        evidence = room_evidence(room, root)
        for claim in claims:
            _refuse_unknown_quantities(claim, evidence, claims_file(room, root))
            rows += _claim_rows(claim, room, evidence, root)
    return pandas.DataFrame(rows, columns=COLUMNS, dtype=object).astype({"asserted": bool})


def run_verdicts(room: str, file: Path, root: Path = ROOT) -> "pandas.DataFrame":
    """The rows of `verdicts` about one run, from its <room>/<model>/<language>/metrics.json, wherever that lies."""
    import pandas

    place = file.parts[-3:-1]
    evidence = {place: read_evidence(file, root)}
    rows = [row for claim in load_claims(room, root) for row in _claim_rows(claim, room, evidence, root)]
    here = [row for row in rows if (row["model"], row["language"]) == place]
    return pandas.DataFrame(here, columns=COLUMNS, dtype=object).astype({"asserted": bool})


def why_absent(model: str, root: Path = ROOT) -> str:
    """Why a model has no evidence, from the catalogue alone, so that every machine writes the same table."""
    if model in WEIGHTLESS:
        return "the printed tables have not been audited" if model == PRINTED else "the toy has not been trained"
    from replications.lens.catalogue import load_catalogue

    entry = load_catalogue(root / "data" / "catalogue" / "models.yaml").get(model)
    if entry is None:
        return "it needs an entry in data/catalogue/models.yaml first, if its weights are public at all"
    if all(source.kind == "hub" for source in entry.sources):
        return "its weights come from the model hub"
    return "it has not been measured"


def _finding(claim: Claim, model: str, language: str) -> Finding | None:
    return next((f for f in claim.findings if (f.model, f.language) == (model, language)), None)


def _claim_rows(claim: Claim, room: str, evidence: dict[Place, Evidence], root: Path) -> Iterator[dict]:
    own = (claim.model, OWN_LANGUAGE)
    common = {"claim": claim.id, "replication": room, "asserted": claim.asserted}
    if own in evidence:
        yield common | _row(claim, claim, own, evidence[own])
    else:
        reason = f"no evidence for {claim.model}: {why_absent(claim.model, root)}"
        command = f"run `{run_command(room, *own)}`"
        yield common | _place(own, "not re-run here", claim) | {"reason": f"{reason}; {command}"}
    if claim.general:
        elsewhere = (place for place in evidence if place != own and _asked(claim, *place, root))
        yield from (common | _row(claim, claim.general, place, evidence[place]) for place in elsewhere)


def _asked(claim: Claim, model: str, language: str, root: Path) -> bool:
    """Whether the general form is asked of this run; what is outside a claim's scope has no row."""
    if claim.scope.languages is not None and language not in claim.scope.languages:
        return False
    if claim.scope.kind is None:
        return True
    from replications.lens.catalogue import load_catalogue

    return load_catalogue(root / "data" / "catalogue" / "models.yaml")[model].kind == claim.scope.kind


def _row(claim: Claim, criterion: Criterion, place: Place, evidence: Evidence) -> dict:
    """The verdict columns of one claim on one measured run."""
    measured = _judged(claim, criterion, evidence.measured, evidence.file)
    control = _judged(claim, criterion, evidence.control, evidence.file)
    if measured is None:
        reason = f"the evidence has no {', '.join(criterion.quantities)}"
        return _place(place, "inconclusive", criterion) | {"reason": reason}
    verdict, reason = _verdict(measured, control, criterion is claim)
    recorded = _finding(claim, *place)
    numbers = {"measured": _shown(measured.measured), "ci_low": measured.ci_low, "ci_high": measured.ci_high}
    return _place(place, verdict, criterion) | numbers | {
        "n": measured.n,
        "control": _shown(control.measured) if control else None,
        "reason": recorded.reason if recorded and recorded.verdict == verdict else reason,
    }  # fmt: skip


def _verdict(measured: Judgement, control: Judgement | None, own: bool) -> tuple[Verdict, str]:
    """Verdict and reason. An effect that random weights show as well says nothing about the trained model."""
    if own:
        return ("reproduced" if measured.outcome == "holds" else "not reproduced"), measured.reason
    if measured.outcome == "holds" and control and control.outcome == "holds":
        return "inconclusive", CONTROL_TOO
    if measured.outcome == "inconclusive":
        return "inconclusive", STRADDLES
    return measured.outcome, measured.reason


def _judged(claim: Claim, criterion: Criterion, tree: dict, file: Path) -> Judgement | None:
    """Judge what the tree holds; None when it lacks the quantity. The own form goes by the point value."""
    found = find(tree, criterion)
    if found is None:
        return None
    try:
        return judge(criterion, found, whole_interval=criterion is not claim)
    except Refusal as refusal:
        raise Refusal(f"claim {claim.id} against {file}: {refusal}") from None


def _place(place: Place, verdict: Verdict, criterion: Criterion) -> dict:
    published = criterion.published
    if isinstance(published, list):
        published = ", ".join(map(str, published))
    text = as_text(criterion) if published is None else published
    return {"model": place[0], "language": place[1], "verdict": verdict, "published": text}


def _shown(measured: float | str) -> float | str:
    return measured if isinstance(measured, str) else float(f"{measured:.6g}")


def _refuse_duplicates(claims: dict[Path, list[Claim]]) -> None:
    first: dict[str, Path] = {}
    for file, listed in claims.items():
        for claim in listed:
            if claim.id in first:
                files = " and in ".join(map(str, (first[claim.id], file)))
                raise Refusal(f"claim id {claim.id} is used twice, in {files}: give one of them another name")
            first[claim.id] = file


def _refuse_stray_findings(claim: Claim, runs: list[Place], file: Path, root: Path) -> None:
    for finding in claim.findings:
        place = (finding.model, finding.language)
        if place not in runs and not claim.is_own(*place):
            known = ", ".join("/".join(run) for run in runs)
            stray = f"finding about {'/'.join(place)}, which no run of params.yaml measures"
            raise Refusal(f"{file}: claim {claim.id}: {stray}; runs: {known}")
        if not claim.is_own(*place) and not _asked(claim, *place, root):
            raise Refusal(f"{file}: claim {claim.id}: finding about {'/'.join(place)}, which its scope leaves out")


def _refuse_unknown_quantities(claim: Claim, evidence: dict[Place, Evidence], file: Path) -> None:
    """Refuse a path that no evidence has.

    Layers and heads differ between models, so while the own model is not measured its path need only have the
    form of one measured elsewhere: heads.L9H9 is fine where another model has heads.L0H0. The same goes for what is
    measured on the paper's own stimuli, facts or circuit (`paper`): paper.share is fine where others have found.share.
    """
    own = evidence.get((claim.model, OWN_LANGUAGE))
    trees = [each.measured for each in evidence.values()]
    if own and find(own.measured, claim) is None:
        _refuse_quantity(claim, claim, [own.measured], file)
    if trees and not own and not all(_has_form(path, trees) for path in claim.quantities):
        _refuse_quantity(claim, claim, trees, file)
    if trees and claim.general and not any(find(tree, claim.general) for tree in trees):
        _refuse_quantity(claim, claim.general, trees, file)


def _has_form(path: str, trees: list[dict]) -> bool:
    forms = {without_places(known) for tree in trees for known in paths(tree)}
    top, _, rest = without_places(path).partition(".")
    if top == PAPERS_OWN:
        return rest in forms or rest in {form.partition(".")[2] for form in forms}
    return without_places(path) in forms


def _refuse_quantity(claim: Claim, criterion: Criterion, trees: list[dict], file: Path) -> None:
    known = {path for tree in trees for path in paths(tree)}
    missing = next((path for path in criterion.quantities if path not in known), criterion.quantities[0])
    form = "general.quantity" if criterion is claim.general else "quantity"
    raise Refusal(f"{file}: claim {claim.id}: {form}: no evidence has {missing} for comparison "
                  f"{criterion.comparison}; nearest: {nearest(missing, trees)}")  # fmt: skip
