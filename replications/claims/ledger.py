"""All claims of all rooms, and the verdict on each of them from the evidence in reports/."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from replications.catalogue.entries import load_catalogue
from replications.claims.compare import Judgement, as_text, judge
from replications.claims.evidence import Evidence, Place, find, name_of, node, read_evidence, room_evidence
from replications.claims.offers import absence
from replications.claims.schema import OWN_LANGUAGE, Claim, Criterion, Finding, Verdict, read_claims
from replications.errors import Refusal
from replications.settings import ROOT, load_settings

Row = dict[str, Any]  # of the verdict table, by COLUMNS; None where there is nothing to say
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


def verdicts(root: Path = ROOT) -> list[Row]:
    """One row per claim and run: the own model, and others if the claim has a general form.

    Rooms alphabetically, claims in file order, the own model first, then models and languages alphabetically. A claim
    that cannot be judged on a run, for want of a quantity or of whole evidence, gets a row that says why.
    """
    rows: list[Row] = []
    for room, claims in all_claims(root).items():
        evidence = room_evidence(room, root)
        for claim in claims:
            rows += map(_writable, _claim_rows(claim, room, evidence, root))
    return rows


def run_verdicts(room: str, file: Path, root: Path = ROOT) -> list[Row]:
    """The rows of `verdicts` about one run, from its <room>/<model>/<language>/metrics.json, wherever that lies."""
    place = file.parts[-3:-1]
    evidence = {place: read_evidence(file, root)}
    rows = (row for claim in load_claims(room, root) for row in _claim_rows(claim, room, evidence, root))
    return [_writable(row) for row in rows if (row["model"], row["language"]) == place]


def _finding(claim: Claim, model: str, language: str) -> Finding | None:
    return next((f for f in claim.findings if (f.model, f.language) == (model, language)), None)


def _claim_rows(claim: Claim, room: str, evidence: dict[Place, Evidence | Refusal], root: Path) -> Iterator[Row]:
    own = (claim.model, OWN_LANGUAGE)
    common = dict.fromkeys(COLUMNS) | {"claim": claim.id, "replication": room, "asserted": claim.asserted}
    if own in evidence:
        yield common | _row(claim, claim, own, evidence[own], root)
    else:
        yield common | _place(own, "not re-run here", claim) | {"reason": absence(room, claim.model, root)}
    if claim.general:
        elsewhere = (place for place in evidence if place != own and _asked(claim, *place, root))
        yield from (common | _row(claim, claim.general, place, evidence[place], root) for place in elsewhere)


def _asked(claim: Claim, model: str, language: str, root: Path) -> bool:
    """Whether the general form is asked of this run; what is outside a claim's scope has no row."""
    if claim.scope.languages is not None and language not in claim.scope.languages:
        return False
    entry = load_catalogue(root / "data" / "catalogue" / "models.yaml").get(model) if claim.scope.kind else None
    return entry is None or entry.kind == claim.scope.kind


def _row(claim: Claim, criterion: Criterion, place: Place, evidence: Evidence | Refusal, root: Path) -> Row:
    """The verdict columns of one claim on one measured run."""
    try:
        measured, control = _judged(claim, criterion, evidence, root)
    except Refusal as refusal:
        found, verdict, reason = {}, "not measurable", str(refusal)
    else:
        verdict, reason = _verdict(measured, control, criterion is claim)
        found = {"measured": _shown(measured.measured), "ci_low": measured.ci_low, "ci_high": measured.ci_high,
                 "n": measured.n, "control": _shown(control.measured) if control else None}  # fmt: skip
    recorded = _finding(claim, *place)
    if recorded and recorded.verdict == verdict:
        reason = recorded.reason
    return _place(place, verdict, criterion) | found | {"reason": reason}


def _verdict(measured: Judgement, control: Judgement | None, own: bool) -> tuple[Verdict, str]:
    """Verdict and reason. An effect that random weights show as well says nothing about the trained model."""
    if own:
        return ("reproduced" if measured.outcome == "holds" else "not reproduced"), measured.reason
    if measured.outcome == "holds" and control and control.outcome == "holds":
        return "inconclusive", CONTROL_TOO
    if measured.outcome == "inconclusive":
        return "inconclusive", STRADDLES
    return measured.outcome, measured.reason


def _judged(
    claim: Claim, criterion: Criterion, evidence: Evidence | Refusal, root: Path
) -> tuple[Judgement, Judgement | None]:
    """Judge what was measured and its control, if that has the quantity. The own form goes by the point value.

    Refuses evidence that is not there to be judged.
    """
    if isinstance(evidence, Refusal):
        raise evidence
    judged = []
    for tree in (evidence.measured, evidence.control):
        try:
            found = find(tree, criterion)
            judged.append(found and judge(criterion, found, whole_interval=criterion is not claim))
        except Refusal as refusal:
            raise Refusal(f"{name_of(evidence.file, root)}: {refusal}") from None
    measured, control = judged
    if measured is None:
        raise Refusal(_lacking(evidence, criterion))
    return measured, control


def _lacking(evidence: Evidence, criterion: Criterion) -> str:
    if missing := [path for path in criterion.quantities if node(evidence.measured, path) is None]:
        return f"the evidence has no {', '.join(missing)}"
    return f"the evidence has {', '.join(criterion.quantities)}, but not as comparison {criterion.comparison} needs it"


def _place(place: Place, verdict: Verdict, criterion: Criterion) -> dict:
    published = criterion.published
    if isinstance(published, list):
        published = ", ".join(map(str, published))
    text = as_text(criterion) if published is None else published
    return {"model": place[0], "language": place[1], "verdict": verdict, "published": text}


def _writable(row: Row) -> Row:
    """The row with halves of characters spelled out: JSON and YAML can hold them, a file in UTF-8 cannot."""
    return {name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
            for name, value in row.items()}  # fmt: skip


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
