"""Everything a report shows as typed, plain data: numbers and names, without markup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from leadsignal.account_facts import NAMED
from leadsignal.arguments import checked
from leadsignal.churn.events import SIGNALLED, UNEXPECTED, ChurnEvents, churn_events
from leadsignal.durations import days_in
from leadsignal.errors import OptionError
from leadsignal.files.records import json_ready, json_rows
from leadsignal.ingestion.data_warnings import affecting
from leadsignal.model.persistence.recipe import refuse_other_analysis
from leadsignal.phrases import share_text
from leadsignal.report.findings import Findings
from leadsignal.report.section_summaries import section_summaries
from leadsignal.report.summary_types import Summary
from leadsignal.scoring.call_list import on_list
from leadsignal.scoring.holdout import HELD_OUT
from leadsignal.scoring.next_steps import LAG
from leadsignal.scoring.reasons import reason_texts
from leadsignal.stats.proportions import Share

if TYPE_CHECKING:
    import pandas as pd

    from leadsignal.evaluation.backtest import Backtest
    from leadsignal.panel import Panel
    from leadsignal.scoring.scores import Scores

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
