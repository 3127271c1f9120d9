"""The sections of a report as plain dictionaries, None if the result is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leadsignal.evaluation.audit import LAGGING, LEADING, NEITHER, UNDECIDED
from leadsignal.files.records import json_ready, json_rows
from leadsignal.phrases import level_in_name
from leadsignal.report.wording import by_name, indicator_text

if TYPE_CHECKING:
    from leadsignal.churn.retention import Retention
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.cohorts.overview import Overview
    from leadsignal.evaluation.audit import Audit
    from leadsignal.model.effects.results import HazardRatios
    from leadsignal.panel import Panel
    from leadsignal.report.findings import Findings
    from leadsignal.success_analysis.customer_fit import CustomerFit
    from leadsignal.success_analysis.gaps import SuccessGaps
    from leadsignal.success_analysis.successful import SuccessfulAccounts
    from leadsignal.success_analysis.tracking.adoption import Adoption
    from leadsignal.success_analysis.tracking.milestones import MilestoneCalendar
    from leadsignal.success_analysis.tracking.unattended import UnattendedAccounts

MAX_MONTHS = 36
"""Number of months for which retention is shown."""

MAX_ROWS = 12
"""Number of accounts that a section lists; the table of the result has all."""

HOLDS, PERHAPS, ARTEFACT, UNPROVEN = "holds", "may be chance", "artefact", "not proven"
DISAGREE = "methods disagree"
SURE = 0.05


def section_summaries(panel: Panel, found: Findings) -> dict[str, Any]:
    """Return each section's numbers by the name of its result."""
    return {
        "analysis": panel.analysis.to_dict(),
        "retention": found.retention and _retention(found.retention),
        "trailing_retention": found.trailing_retention and _retention(found.trailing_retention),
        "adoption": found.adoption and _adoption(found.adoption),
        "milestones": found.milestones and _milestones(found.milestones),
        "red": found.red and _red(found.red),
        "successful": None if found.successful is None else _successful(found.successful),
        "gaps": None if found.gaps is None else _gaps(found.gaps),
        "audit": found.audit and _audit(panel, found.audit),
        "cohorts": found.cohorts and _cohorts(found.cohorts),
        "reasons": found.reasons and _reasons(found.reasons),
        "ratios": found.ratios and _ratios(panel, found.ratios),
    }


def _retention(retention: Retention) -> list[dict[str, Any]]:
    total = retention.total().tail(MAX_MONTHS)
    total = total[total["accounts"] > 0]
    kept = ["accounts", "churned", "other_ended", "logo", "gross", "net"]
    return json_rows(total[kept].assign(month=total["period"].astype(str)))


def _adoption(adoption: Adoption) -> dict[str, Any]:
    return {"left_out": adoption.left_out, "processes": json_rows(adoption.total())}


def _milestones(calendar: MilestoneCalendar) -> dict[str, Any]:
    due = calendar.frame
    kept = ["account_id", "process", "due_on", "can_be_met", "chance", "past", "more_events"]
    return {
        "ahead_days": calendar.ahead,
        "due": len(due),
        "will_miss": len(calendar.will_miss),
        "out_of_reach": int((~due["can_be_met"].astype(bool)).sum()),
        "overdue": len(calendar.overdue),
        "next": json_rows(due[kept].head(MAX_ROWS)),
    }


def _red(red: UnattendedAccounts) -> dict[str, Any]:
    return {"red": len(red.frame), "active": red.active, "reasons": red.counts()}


def _successful(chosen: SuccessfulAccounts) -> dict[str, Any]:
    kept = ["account_id", "metric", "value", "target", "since", "trend"]
    return {
        "accounts": len(chosen),
        "steps": dict(chosen.steps),
        "rows": json_rows(chosen.frame[kept].head(MAX_ROWS)),
        "criteria": [one.to_dict() for one in chosen.criteria if one.size],
    }


def _gaps(gaps: SuccessGaps) -> dict[str, Any]:
    kept = ["account_id", "metric", "value", "target", "trend", "off_since"]
    return {
        "accounts": len(gaps),
        "eligible": len(gaps.eligible),
        "share": gaps.share.to_dict(),
        "steps": dict(gaps.steps),
        "rows": json_rows(gaps.frame[kept].head(MAX_ROWS)),
        "apart": json_rows(gaps.sets_apart),
    }


# Audit and drivers --------------------------------------------------------------------------------


def _audit(panel: Panel, audit: Audit) -> dict[str, Any]:
    indicators = by_name(panel.indicators)
    kept = ["name", "family", "verdict", "auc", "low", "high", "auc_last", "ends_to_decide"]
    rows = json_rows(audit.frame[[name for name in kept if name in audit.frame]])
    for row in rows:
        row["words"] = indicator_text(row["name"], indicators)
    return {
        "warning_time_days": audit.warning_time,
        "ends": audit.sets,
        "ends_without_match": audit.unmatched,
        "usage_declines": audit.usage_declines,
        "counts": {
            verdict: len(audit.names(verdict)) for verdict in (LEADING, LAGGING, NEITHER, UNDECIDED)
        },
        "indicators": rows,
        "health": audit.health.to_dict() if audit.health else None,
    }


def _ratios(panel: Panel, ratios: HazardRatios) -> dict[str, Any]:
    indicators = by_name(panel.indicators)
    label = level_in_name(ratios.level)
    rows = []
    for record in ratios.to_dict()["ratios"]:
        low, high = (record[f"exp(coef) {side} {label}"] for side in ("lower", "upper"))
        rows.append(
            {
                "words": indicator_text(record["indicator"], indicators),
                "step": str(record["step"]),
                "reference": str(record["reference"]),
                "ratio": record["exp(coef)"],
                "low": low,
                "high": high,
            }
        )
    rows.sort(key=lambda row: (low_side(row), row["words"], row["step"]))
    return {"notes": list(ratios.notes), "rows": rows}


def low_side(row: dict[str, Any]) -> float:
    """Return the negated distance of a ratio's interval from 1; 0 or more if it contains 1."""
    return -max(float(row["low"]) - 1, 1 - float(row["high"]))


# Cohorts and reasons ------------------------------------------------------------------------------


def _cohorts(overview: Overview) -> dict[str, Any]:
    review = {comparison.by: comparison for comparison in overview.comparisons}
    bare = [by for by, comparison in review.items() if not comparison.contrasts]
    lines = []
    for line in overview.lines:
        plain = line.to_dict()
        artefact = _is_artefact(review.get(line.by), line.cohort, line.method)
        lines.append({**plain, "artefact": artefact, "verdict": _verdict(plain, artefact)})
    return {
        "lines": lines,
        "many_values": bare,
        "left_out": dict(overview.left_out),
        "cautions": {by: list(comparison.cautions) for by, comparison in review.items()},
    }


def _is_artefact(comparison: Comparison | None, cohort: str, method: str) -> bool:
    """Whether the naive chart shows a difference that is absent or smaller in the corrected one."""
    found = comparison and comparison.contrast(method, cohort)
    naive = comparison and comparison.contrast("naive", cohort)
    shows = naive and naive.hazard_ratio and naive.hazard_ratio.excludes(1.0)
    return bool(shows and found and found.artefact)


def _verdict(line: dict[str, Any], artefact: bool) -> str:
    if line["disagreement"]:
        return DISAGREE
    ratio = line["hazard_ratio"]
    low, high = ratio["low"], ratio["high"]
    if low is None or high is None or low <= 1 <= high:
        return ARTEFACT if artefact else UNPROVEN
    return HOLDS if line["p_holm"] < SURE else PERHAPS


def _reasons(fit: CustomerFit) -> dict[str, Any]:
    kept = ["value", "accounts", "churned", "churn", "churn_low", "churn_high", "verdict"]
    more = [c for c in ("retention_12m", "success", "success_low", "success_high")
            if c in fit.frame]  # fmt: skip
    ready: dict[str, Any] = json_ready(
        {"by": list(fit.by), "notes": list(fit.notes), "rows": json_rows(fit.frame[kept + more])}
    )
    return ready
