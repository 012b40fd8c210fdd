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
from replications.errors import Refusal
from replications.evidence.run import write_run
from replications.files import sha256

ROOM = "audit"
MODEL, LANGUAGE = "printed", "en"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics.

    `device` and `profile` change nothing here. Refuses any model but `printed` and any language but `en`.
    """
    if (model, language) != (MODEL, LANGUAGE):
        wanted = f"model should be {MODEL} and language {LANGUAGE}"
        raise Refusal(f"room {ROOM} reads printed tables: {wanted}, not {model} and {language}")
    tables = read_tables()
    rows = checks(tables)
    metrics = {"measured": measured(rows)}
    made = {"recomputed": pd.DataFrame([_row(check) for check in rows]), "residuals": residuals(rows, tables)}
    write_run(out, metrics, made, _provenance(rows, {table.paper for table in tables.values()}))
    return metrics


def residuals(rows: list[Check], tables: dict[str, Table]) -> pd.DataFrame:
    """paper, table, row, of_slack (printed minus recomputed, over what rounding allows), agrees; bounds have none."""
    return pd.DataFrame([
        {"paper": tables[check.table].paper, "table": check.table, "row": check.row,
         "of_slack": check.residual / (check.slack or EPSILON), "agrees": check.agrees}
        for check in rows if check.sense == "equals"
    ])  # fmt: skip


def measured(rows: list[Check]) -> dict[str, dict[str, dict[str, Any]]]:
    """Estimates by table and row: recomputed value, interval the roundings allow, count of numbers used."""
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for check in rows:
        leaf = {"value": check.recomputed, "ci_low": check.low, "ci_high": check.high, "n": check.n}
        tree.setdefault(check.table, {})[check.row] = leaf
    return tree


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
