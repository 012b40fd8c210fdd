"""The audit stage: read printed tables, recompute what they imply, write the evidence.

Nothing is measured and nothing is random, so there is no control tree and no sample to bootstrap: the
interval of an estimate is what the roundings of its inputs allow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from replications.audit.audit import EPSILON, Check
from replications.audit.tables import FILE, Table, checks, read_tables
from replications.evidence.run import Asked, write_run
from replications.files import sha256

ROOM = "audit"
MODEL, LANGUAGE = "printed", "en"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics.

    `device` and `profile` change nothing here. Refuses any model but `printed` and any language but `en`.
    """
    Asked(ROOM, model, language, device, {}, out).check_only(MODEL, LANGUAGE, "reads printed tables")
    tables = read_tables()
    rows = checks(tables)
    provenance = _provenance(rows, {table.paper for table in tables.values()})
    return write_run(out, trees(rows), frames(rows, tables), provenance)


def frames(rows: list[Check], tables: dict[str, Table]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    return {"recomputed": pd.DataFrame([_row(check) for check in rows]), "residuals": residuals(rows, tables)}


def residuals(rows: list[Check], tables: dict[str, Table]) -> pd.DataFrame:
    """paper, table, row, of_slack (printed minus recomputed, over what rounding allows), agrees; bounds have none."""
    return pd.DataFrame([
        {"paper": tables[check.table].paper, "table": check.table, "row": check.row,
         "of_slack": check.residual / (check.slack or EPSILON), "agrees": check.agrees}
        for check in rows if check.sense == "equals"
    ])  # fmt: skip


def trees(rows: list[Check]) -> dict[str, Any]:
    """`measured` of metrics.json: estimates by table and row.

    Each has the recomputed value, the interval that the roundings allow, and how many numbers were used.
    """
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for check in rows:
        leaf = {"value": check.recomputed, "ci_low": check.low, "ci_high": check.high, "n": check.n}
        tree.setdefault(check.table, {})[check.row] = leaf
    return {"measured": tree}


def _row(check: Check) -> dict[str, Any]:
    return {
        "table": check.table, "row": check.row, "printed": check.printed.value, "sense": check.sense,
        "recomputed": check.recomputed, "low": check.low, "high": check.high, "agrees": check.agrees,
    }  # fmt: skip


def _provenance(rows: list[Check], papers: set[str]) -> dict[str, Any]:
    return {
        "room": ROOM, "model": MODEL, "language": LANGUAGE,
        "inputs": {FILE.name: sha256(FILE)},
        "papers": sorted(papers),
        "checks": len(rows),
        "disagreements": [f"{check.table}.{check.row}" for check in rows if not check.agrees],
    }  # fmt: skip
