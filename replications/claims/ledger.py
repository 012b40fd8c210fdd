"""All claims of all rooms, and the verdict on each of them from the evidence in reports/."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from replications.catalogue.entries import load_catalogue
from replications.claims import reasons
from replications.claims.compare import Judgement, as_text, judge
from replications.claims.evidence import Evidence, ModelLanguage, find, name_of, node, read_evidence, room_evidence
from replications.claims.findings import (
    DEPARTURES,
    Finding,
    FindingsByRun,
    each,
    findings_file,
    findings_files,
    read_findings,
)
from replications.claims.offers import absence
from replications.claims.schema import OWN_LANGUAGE, Claim, Criterion, Verdict, read_claims
from replications.errors import Refusal
from replications.settings import ROOT, load_settings

VerdictRow = dict[str, Any]  # of the verdict table, by COLUMNS; None where there is nothing to say
COLUMNS = ["claim", "replication", "model", "language", "verdict", "published", "measured", "ci_low",
           "ci_high", "n", "control", "asserted", "reason"]  # fmt: skip
CONTROL_TOO = "the control shows it too"
STRADDLES = "the 95 % interval straddles the criterion"


def rooms(root: Path = ROOT) -> list[str]:
    """Names of the replications: sub-packages that have a stage.py, and claims under data/."""
    stages = sorted((root / "replications").glob("*/stage.py"))
    return [file.parent.name for file in stages if claims_file(file.parent.name, root).is_file()]


def claims_file(room: str, root: Path = ROOT) -> Path:
    """Where a room's claims are kept."""
    return root / "data" / "claims" / f"{room}.yaml"


def load_claims(room: str, root: Path = ROOT) -> list[Claim]:
    """The room's claims, in file order. Refuses bad fields and duplicate ids."""
    file = claims_file(room, root)
    claims = read_claims(file)
    _refuse_duplicates({file: claims})
    return claims


def all_claims(root: Path = ROOT) -> dict[str, list[Claim]]:
    """Claims by room. Refuses an id used in two rooms, naming both files."""
    claims = {room: load_claims(room, root) for room in rooms(root)}
    _refuse_duplicates({claims_file(room, root): listed for room, listed in claims.items()})
    return claims


def load_findings(room: str, root: Path = ROOT) -> FindingsByRun:
    """The verdicts on record about a room's claims. Refuses what is no departure from the default or about no run."""
    claims = {claim.id: claim for claim in load_claims(room, root)}
    runs, names = [(run.model, run.language) for run in load_settings(root).every_run.values()], rooms(root)
    found: FindingsByRun = {}
    for file in findings_files(root):
        recorded = read_findings(file)
        if unknown := set(recorded) - set(names):
            raise Refusal(f"{file}: there is no replication {min(unknown)}; known: {', '.join(names)}")
        for (_, name, language), finding in each({room: recorded.get(room, {})}):
            wrong = _stray(claims.get(name), finding, (file.stem, language), runs, root)
            if wrong:
                raise Refusal(f"{file}: {room}: {name}: {language}: {wrong}")
            found[name, file.stem, language] = finding
    return found


def all_findings(root: Path = ROOT) -> FindingsByRun:
    """Every verdict on record."""
    return {key: finding for room in rooms(root) for key, finding in load_findings(room, root).items()}


def expected(claim: Claim, model: str, language: str, findings: FindingsByRun) -> Verdict:
    """The verdict on record: the finding's, else reproduced on the own model and holds elsewhere."""
    recorded = findings.get((claim.id, model, language))
    if recorded:
        return recorded.verdict
    return "reproduced" if claim.is_own(model, language) else "holds"


def verdicts(root: Path = ROOT, findings: FindingsByRun | None = None) -> list[VerdictRow]:
    """One row per claim and run: the own model, and others if the claim has a general form.

    Rooms alphabetically, claims in file order, the own model first, then models and languages alphabetically. A claim
    that cannot be judged on a run, for want of a quantity or of whole evidence, gets a row that says why. `findings`
    lend their reasons where their verdicts stand; those on record if None.
    """
    listed, rows = all_claims(root), list[VerdictRow]()
    recorded = all_findings(root) if findings is None else findings
    for room, claims in listed.items():
        evidence = room_evidence(room, root)
        for claim in claims:
            rows += map(_writable, _claim_rows(claim, room, evidence, recorded, root))
    return rows


def run_verdicts(room: str, file: Path, root: Path = ROOT) -> list[VerdictRow]:
    """The rows of `verdicts` about one run, from its <room>/<model>/<language>/metrics.json, wherever that lies."""
    place = file.parts[-3], file.parts[-2]
    evidence: dict[ModelLanguage, Evidence | Refusal] = {place: read_evidence(file, root)}
    recorded = load_findings(room, root)
    rows = (row for claim in load_claims(room, root) for row in _claim_rows(claim, room, evidence, recorded, root))
    return [_writable(row) for row in rows if (row["model"], row["language"]) == place]


def _claim_rows(
    claim: Claim, room: str, evidence: Mapping[ModelLanguage, Evidence | Refusal], findings: FindingsByRun, root: Path
) -> Iterator[VerdictRow]:
    own = (claim.model, OWN_LANGUAGE)
    common = dict.fromkeys(COLUMNS) | {"claim": claim.id, "replication": room, "asserted": claim.asserted}
    places = [own] * (own in evidence)
    if not places:
        yield common | _place(own, "not re-run here", claim) | {"reason": absence(room, claim.model, root)}
    if claim.general:
        places += (place for place in evidence if place != own and _asked(claim, *place, root))
    for place in places:
        row = common | _row(claim, claim.form(*place) or claim, place, evidence[place], root)
        recorded = findings.get((claim.id, *place))
        yield row | _told(recorded, row, evidence[place], root) if recorded else row


def _asked(claim: Claim, model: str, language: str, root: Path) -> bool:
    """Whether the general form is asked of this run; what is outside a claim's scope has no row."""
    if claim.scope.languages is not None and language not in claim.scope.languages:
        return False
    entry = load_catalogue(root / "data" / "catalogue" / "models.yaml").get(model) if claim.scope.kind else None
    return entry is None or entry.kind == claim.scope.kind


def _row(
    claim: Claim, criterion: Criterion, place: ModelLanguage, evidence: Evidence | Refusal, root: Path
) -> VerdictRow:
    """The verdict columns of one claim on one measured run, with a reason made of the numbers where it departs."""
    try:
        measured, control = _judged(claim, criterion, evidence, root)
    except Refusal as refusal:
        return _place(place, "not measurable", criterion) | {"reason": str(refusal)}
    verdict, why = _verdict(measured, control, criterion is claim)
    found = {"measured": _shown(measured.measured), "ci_low": measured.ci_low, "ci_high": measured.ci_high,
             "n": measured.n, "control": _shown(control.measured) if control else None}  # fmt: skip
    if verdict in DEPARTURES and found["measured"] == found["measured"]:
        why = reasons.made(found, as_text(criterion), why)
    return _place(place, verdict, criterion) | found | {"reason": why}


def _told(recorded: Finding, row: VerdictRow, evidence: Evidence | Refusal, root: Path) -> VerdictRow:
    """The reason that a person has written down, as long as the verdict is the one it is about."""
    if recorded.reason is None or recorded.verdict != row["verdict"]:
        return {}
    place = f"{findings_file(row['model'], root)}: {row['replication']}: {row['claim']}: {row['language']}"
    whole = None if isinstance(evidence, Refusal) else evidence
    return {"reason": reasons.filled(recorded.reason, row, whole, place)}


def _verdict(measured: Judgement, control: Judgement | None, own: bool) -> tuple[Verdict, str]:
    """Verdict, and why in a clause. An effect that random weights show too says nothing about the trained model."""
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
            judged.append(judge(criterion, found, whole_interval=criterion is not claim) if found else None)
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


def _place(place: ModelLanguage, verdict: Verdict, criterion: Criterion) -> dict:
    published = criterion.published
    if isinstance(published, list):
        published = ", ".join(map(str, published))
    text = as_text(criterion) if published is None else published
    return {"model": place[0], "language": place[1], "verdict": verdict, "published": text}


def _writable(row: VerdictRow) -> VerdictRow:
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


def _stray(claim: Claim | None, finding: Finding, place: ModelLanguage, runs: list[ModelLanguage], root: Path) -> str:
    """What is wrong with a finding about a run of this claim; empty when nothing is."""
    if claim is None:
        return "there is no such claim in the room's claims"
    own = claim.is_own(*place)
    if own != (finding.verdict == "not reproduced") and finding.verdict != "not measurable":
        right = "not reproduced or not measurable" if own else "fails, inconclusive or not measurable"
        return f"verdict: should be {right} there"
    if not own and claim.general is None:
        return "the claim has no `general` form to be judged by there"
    if place not in runs and not own:
        return f"no run of params.yaml measures that; runs: {', '.join('/'.join(run) for run in runs)}"
    return "" if own or _asked(claim, *place, root) else "the claim's scope leaves that out"
