"""Everything a report shows as typed, plain data: numbers and names, without markup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from leadsignal.accounts import NAMED
from leadsignal.arguments import checked, days_in
from leadsignal.churn.events import SIGNALLED, UNEXPECTED, ChurnEvents, churn_events
from leadsignal.errors import OptionError
from leadsignal.evaluation.audit import LAGGING, LEADING, NEITHER, UNDECIDED
from leadsignal.files.writing import json_ready, json_rows
from leadsignal.formats import level_in_name, share_text
from leadsignal.ingestion.check_report import affecting
from leadsignal.model.provenance import refuse_other_analysis
from leadsignal.model.reasons import by_name, indicator_text
from leadsignal.report.findings import Findings
from leadsignal.report.summary_types import Summary
from leadsignal.scoring.batch import on_list
from leadsignal.scoring.feeds import HELD_OUT
from leadsignal.scoring.reasons import LAG, reason_texts
from leadsignal.stats import Share

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.churn.retention import Retention
    from leadsignal.cohorts.comparison import Comparison
    from leadsignal.cohorts.overview import Overview
    from leadsignal.evaluation.audit import Audit
    from leadsignal.evaluation.backtest import Backtest
    from leadsignal.model.hazard_ratios import HazardRatios
    from leadsignal.panel import Panel
    from leadsignal.scoring.scores import Scores
    from leadsignal.success_analysis.adoption import Adoption
    from leadsignal.success_analysis.customer_fit import CustomerFit
    from leadsignal.success_analysis.gaps import SuccessGaps
    from leadsignal.success_analysis.milestones import MilestoneCalendar, UnattendedAccounts
    from leadsignal.success_analysis.successful import SuccessfulAccounts

MAX_LISTED = 2_000
"""Maximum number of accounts in the list, the highest risks first."""

MAX_CALLS = 8
"""Maximum number of accounts to call on the first screen."""

NOT_GIVEN = "not given to this report"


@checked
def summarise(
    panel: Panel,
    backtest: Backtest | None = None,
    scores: Scores | None = None,
    findings: Findings | None = None,
) -> Summary:
    """Return what a report shows, ready for JSON.

    Parameters
    ----------
    panel : Panel
        The panel.
    backtest : Backtest, optional
        Backtest of the alerts.
    scores : Scores, optional
        Scores on the panel's last day.
    findings : Findings, optional
        Results of `gather_findings`.

    Returns
    -------
    Summary
        Sections by name, None if the result is missing; ``missing`` gives the reasons.

    Raises
    ------
    OptionError
        If the scores are of another day than the panel, or of another success analysis.

    Examples
    --------
    >>> import leadsignal as ls
    >>> panel = ls.build_panel(ls.read_tables(ls.sample_folder()))
    >>> summary = summarise(panel)
    >>> summary["catch"], summary["missing"]["backtest"]
    (None, 'not given to this report')
    """
    if scores is not None:
        _refuse_others(panel, scores)
    found = findings or Findings()
    why = dict.fromkeys(("backtest", "scores", *Findings.names()), NOT_GIVEN) | dict(found.missing)
    there = {*found.there, *(["backtest"] if backtest else []), *(["scores"] if scores else [])}
    project, ends = panel.project, churn_events(panel)
    summary = {
        "as_of": panel.as_of_date,
        "horizon_days": scores.horizon if scores else project.horizon,
        "warning_time_days": ends.warning_time,
        "capacity": _capacity(panel, backtest, scores),
        "currency": _currency(panel, scores),
        "model_version": scores.model_version if scores else None,
        "panel": _panel(panel),
        "churn": _churn(panel, ends),
        "catch": None if backtest is None else _catch(backtest, scores),
        "backtest": None if backtest is None else _backtest(backtest),
        "calls": None if scores is None else _calls(scores),
        "accounts": None if scores is None else _accounts(panel, scores),
        "effects": {} if scores is None else _effects(scores),
        **section_summaries(panel, found),
        "warnings": _warnings(panel, backtest, scores),
        "missing": {name: reason for name, reason in why.items() if name not in there},
        "pages": {},
    }
    summary["names"] = _names(summary, scores)
    ready: Summary = json_ready(summary)
    return ready


def _names(summary: dict[str, Any], scores: Scores | None) -> dict[str, str]:
    """Return the names of accounts in the tables of milestones, successful accounts and gaps."""
    if scores is None or "name" not in scores.frame:
        return {}
    lists = (("milestones", "next"), ("successful", "rows"), ("gaps", "rows"))
    listed = {
        row["account_id"] for name, rows in lists for row in (summary[name] or {rows: ()})[rows]
    }
    found = scores.frame[scores.frame["account_id"].isin(listed)]
    return dict(zip(found["account_id"], found["name"], strict=True))


def _warnings(
    panel: Panel, backtest: Backtest | None, scores: Scores | None
) -> list[dict[str, Any]]:
    """Return the warnings about the tables and the results shown, each once."""
    found = [*panel.warnings]
    found += [one for result in (backtest, scores) if result for one in result.warnings]
    return [one.to_dict() for one in affecting(found, "report")]


def _refuse_others(panel: Panel, scores: Scores) -> None:
    if scores.as_of_date != panel.as_of_date:
        raise OptionError(
            f"the scores are of {scores.as_of_date}, the panel ends at {panel.as_of_date}",
            "Score the accounts on the panel's last day",
        )
    if scores.recipe is not None:
        refuse_other_analysis(scores.recipe.analysis, panel.analysis, "the report")


def _capacity(panel: Panel, backtest: Backtest | None, scores: Scores | None) -> float:
    """Return the share of accounts to alert, from the scores, the backtest or the project."""
    if scores is not None and scores.capacity is not None:
        return scores.capacity
    return backtest.capacity if backtest else panel.project.capacity


def _currency(panel: Panel, scores: Scores | None) -> str | None:
    """Return the currency of all amounts; None if unknown."""
    if panel.project.currency.base is not None:
        return panel.project.currency.base
    if scores is None or "currency" not in scores.frame:
        return None
    named = {str(currency) for currency in scores.frame["currency"] if currency}
    return named.pop() if len(named) == 1 else None


def _panel(panel: Panel) -> dict[str, Any]:
    # Active means the same everywhere: not ended today, and no notice given.
    on_notice = int(panel.current()["notice_given"].sum())
    return {
        **{key: value for key, value in panel.to_dict().items() if key != "indicators"},
        "active": len(panel.current()) - on_notice,
        "on_notice": on_notice,
        "first": panel.frame["snapshot_on"].min() if len(panel.frame) else None,
        "indicators": len(panel.indicators),
        "has_arr": bool(panel.frame["arr"].notna().any()),
        "has_contract": bool({"term_months", "days_to_renewal"} & set(panel.names())),
        "lagging": list(dict.fromkeys(i.family for i in panel.indicators if i.role == "lagging")),
    }


# Churn --------------------------------------------------------------------------------------------


def _churn(panel: Panel, ends: ChurnEvents) -> dict[str, Any]:
    plain = ends.to_dict()
    counts = plain["by_verdict"]
    verdicts_known = counts[SIGNALLED] + counts[UNEXPECTED]
    arr = plain["arr_by_verdict"]
    known_arr = arr[SIGNALLED] + arr[UNEXPECTED]
    churned = ends.churned
    return {
        **plain,
        "unexpected": Share(counts[UNEXPECTED], verdicts_known).to_dict(),
        "unexpected_arr_share": arr[UNEXPECTED] / known_arr if known_arr else None,
        "first_known": churned["known_on"].min() if len(churned) else None,
        "causes": json_rows(_causes(ends)),
        "quarters": _quarters(panel, ends),
    }


def _causes(ends: ChurnEvents) -> pd.DataFrame:
    causes = ends.by_cause().reset_index()
    churn = ends.frame.groupby("cause")["churn"].first()
    causes["churn"] = causes["cause"].map(churn)
    return causes.sort_values(["accounts", "cause"], ascending=[False, True], ignore_index=True)


def _quarters(panel: Panel, ends: ChurnEvents) -> list[dict[str, Any]]:
    """Return the accounts active at the start of each quarter, and those of them that churned.

    Ends are dated by the day on which they became known. An account that starts and ends within a
    quarter is not counted, so that every count is a subset of the accounts.
    """
    import pandas as pd

    if not len(ends.churned):
        return []
    known = ends.frame["known_on"].dt.to_period("Q")
    there = ends.frame[ends.frame["started_on"] < known.dt.start_time]
    counts = replace(ends, frame=there).by_quarter()
    quarters = pd.period_range(known.min(), pd.Timestamp(panel.as_of_date), freq="Q")[-12:]
    rows = counts.reindex(quarters, fill_value=0).rename_axis("quarter").reset_index()
    accounts = panel.frame.drop_duplicates("account_id")
    started = accounts["snapshot_on"] - pd.to_timedelta(accounts["start"], unit="D")
    gone = accounts["account_id"].map(ends.frame.set_index("account_id")["known_on"])
    rows["accounts"] = [
        int(((started < begin) & ~(gone < begin)).sum()) for begin in quarters.start_time
    ]
    rows["whole"] = quarters.end_time < pd.Timestamp(panel.as_of_date)
    rows["quarter"] = rows["quarter"].astype(str)
    return json_rows(rows[[c for c in rows if not str(c).endswith("_arr")]])


# Alerts -------------------------------------------------------------------------------------------


def _unlike(backtest: Backtest, scores: Scores | None) -> list[str]:
    """Return how the alerts of the backtest differ from those of the scores."""
    if scores is None:
        return []
    items: list[str] = []
    if scores.recipe is not None and backtest.recipe is not None:
        items += scores.recipe.differences(backtest.recipe)
    elif scores.horizon != backtest.horizon:
        items.append(f"horizon {backtest.horizon} days instead of {scores.horizon} days")
    share = scores.capacity
    if share is not None and share != backtest.capacity:
        items.append(f"{share_text(backtest.capacity)} alerted instead of {share_text(share)}")
    return items


def _catch(backtest: Backtest, scores: Scores | None) -> dict[str, Any]:
    """Return how much of the relevant churn the alerts catch, and how early."""
    name, headline = backtest.alerting, backtest.headline
    one = backtest.methods[name]
    caught = backtest.caught(name)
    return {
        "method": name,
        "horizon_days": backtest.horizon,
        "warning_time_days": backtest.warning_time,
        "recipe": None if backtest.recipe is None else backtest.recipe.to_dict(),
        "unlike_scores": _unlike(backtest, scores),
        "of": "unexpected" if headline.startswith("unexpected") else "all",
        "churns": backtest.counts["unexpected" if headline.startswith("unexpected") else "churns"],
        "caught": len(caught),
        "share": getattr(one, headline),
        "low": getattr(one, f"{headline}_low"),
        "high": getattr(one, f"{headline}_high"),
        "lead_days": caught["lead_days"].median() if len(caught) else None,
        "head_start_days": caught["head_start_days"].median() if len(caught) else None,
        "beats_context": backtest.beats_context(name) if "context" in backtest.methods else None,
        "alert_precision": one.alert_precision,
        "new_alerts_a_month": one.new_alerts_a_month,
    }


def _backtest(backtest: Backtest) -> dict[str, Any]:
    plain = backtest.to_dict()
    headline = backtest.headline
    methods = []
    for name, one in plain["models"].items():
        caught = backtest.caught(name)
        methods.append(
            {
                "name": name,
                "share": one[headline],
                "low": one[f"{headline}_low"],
                "high": one[f"{headline}_high"],
                "lead_days_of_caught": caught["lead_days"].median() if len(caught) else None,
                "beats_context": backtest.beats_context(name),
                **{key: one[key] for key in (
                    "recall_ahead", "alert_precision", "new_alerts_a_month", "distinct_alerted",
                    "auc", "auc_low", "auc_high", "calibration_slope", "calibration_slope_low",
                    "calibration_slope_high",
                )},
            }
        )  # fmt: skip
    return {
        **{key: plain[key] for key in ("horizon_days", "warning_time_days", "capacity", "cutoffs",
                                       "counts", "left_out", "groups")},
        "headline": headline,
        "alerting": backtest.alerting,
        "recipe": plain["recipe"],
        "methods": methods,
        "calibration": _calibration(backtest),
    }  # fmt: skip


def _calibration(backtest: Backtest) -> list[dict[str, Any]]:
    found = backtest.calibrations.get(backtest.alerting)
    return [] if found is None else json_rows(found.bins.reset_index())


# Accounts -----------------------------------------------------------------------------------------


def _calls(scores: Scores) -> list[dict[str, Any]]:
    """Return the accounts to call: the riskiest alerted accounts that are not held out."""
    frame = scores.frame[on_list(scores.frame)].head(MAX_CALLS)
    return _rows(scores, frame)


def _effects(scores: Scores) -> dict[str, dict[str, Any]]:
    """Return the proven effect of each process."""
    return {
        name: {**effect.to_dict(), "lag_days": days_in(LAG)}
        for name, effect in scores.effects.items()
    }


def _accounts(panel: Panel, scores: Scores) -> dict[str, Any]:
    frame = scores.frame
    alerts = int(frame["alert"].sum())
    return {
        **scores.to_dict(),
        "on_call_list": int(on_list(frame).sum()),
        "listed": min(len(frame), MAX_LISTED),
        "without": [str(feed) for feed in scores.feeds],
        "alerts_not_listed": max(0, alerts - MAX_LISTED),
        "rows": _rows(scores, frame.head(MAX_LISTED)),
    }


def _rows(scores: Scores, frame: pd.DataFrame) -> list[dict[str, Any]]:
    kept = ["account_id", *NAMED, "risk", "arr", "next_renewal", "expected_arr_loss", "alert"]
    held_out = frame[HELD_OUT].astype(bool) if HELD_OUT in frame else False
    rows: list[dict[str, Any]] = json_rows(
        frame.reindex(columns=kept).assign(**{HELD_OUT: held_out})
    )
    for row in rows:
        steps = scores.steps.of(row["account_id"])
        row["open_processes"] = [{"process": s.process, "state": s.state} for s in steps]
        row["next_step"] = {"text": steps[0].text, "day": steps[0].day} if steps else None
        row["reasons"] = reason_texts(scores.reasons.get(row["account_id"]))
    return rows


# Sections -----------------------------------------------------------------------------------------


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
