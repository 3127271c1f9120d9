"""Twelve accounts give notice on day 220 and end on day 280: counted by hand through each result.

Everything that they do comes on day 250, after the notice: a first result on target, the first
adoption. Twelve others stay and do the same on day 250. One has given notice on day 300 and its
contract still runs; one gave notice on day 220 of an end that is no churn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.accounts import known_ends
from leadsignal.cohorts.dated import CHURN, OTHER_END, DatedCohorts
from leadsignal.cohorts.from_tables import dated_cohorts
from leadsignal.config.project import Project
from leadsignal.config.success import Process
from leadsignal.config.table_settings import TableSource
from leadsignal.model.cox_design import decisions_of
from leadsignal.monitoring.realised import find_outcomes
from leadsignal.success_analysis.adoption import LEFT
from leadsignal.success_analysis.customer_fit import _reaching
from leadsignal.success_analysis.discovery_candidates import KnownBefore, rows_at_risk
from leadsignal.success_analysis.milestones import _past
from leadsignal.success_analysis.successful import _with_outcome

BEGIN = pd.Timestamp("2021-01-04")
NOTICE, DONE, END, PENDING, SEEN = 220, 250, 280, 300, 400
LEAVERS = [f"leaver{n:02d}" for n in range(12)]
STAYERS = [f"stayer{n:02d}" for n in range(12)]
EVERYONE = [*LEAVERS, *STAYERS, "pending", "merged"]
PROCESS = Process("review", ("review_held",), at_least=1, within=30, adopt_by=270)
ANALYSIS = ls.SuccessAnalysis((PROCESS,))


def day(number: int) -> pd.Timestamp:
    return BEGIN + pd.Timedelta(days=number)


def told(account: str, of_leavers: int, of_pending: int | None = None) -> pd.Timestamp | None:
    if account in LEAVERS or account == "merged":
        return day(of_leavers)
    return day(of_pending) if account == "pending" and of_pending else None


def frames(*, notice: bool = True) -> dict[str, pd.DataFrame]:
    accounts = pd.DataFrame({"account_id": EVERYONE, "started_on": BEGIN})
    accounts["ended_on"] = [told(name, END) for name in EVERYONE]
    if notice:
        accounts["end_known_on"] = [told(name, NOTICE, PENDING) for name in EVERYONE]
    accounts["end_reason"] = ["merged" if name == "merged" else None for name in EVERYONE]
    accounts["arr"] = 100.0
    accounts["segment"] = ["a" if name in LEAVERS else "b" for name in EVERYONE]
    both = [*LEAVERS, *STAYERS]
    results = pd.DataFrame({"account_id": both, "measured_on": day(DONE), "value": 2.0,
                            "target": 1.0, "higher_is_better": True})  # fmt: skip
    held = [{"account_id": name, "occurred_at": day(DONE), "behavior": "review_held"}
            for name in both]  # fmt: skip
    others = [{"account_id": "stayer00", "occurred_at": day(number), "behavior": "login"}
              for number in range(SEEN)]  # fmt: skip
    behaviors = pd.DataFrame([*held, *others])
    return {"accounts": accounts, "results": results, "behaviors": behaviors}


@pytest.fixture(scope="module")
def tables() -> ls.Tables:
    complete = TableSource(complete_from=BEGIN.date())
    project = Project(tables={"results": complete})
    return ls.read_tables(
        frames(), as_of=str(day(SEEN).date()), attributes=["segment"], not_churn=["merged"],
        project=project,
    )  # fmt: skip


@pytest.fixture(scope="module")
def panel(tables: ls.Tables) -> ls.Panel:
    return ls.build_panel(tables, ANALYSIS, every="28d")


def by_account(cohorts: DatedCohorts, what: np.ndarray) -> dict[str, float]:
    return dict(zip(cohorts.accounts.tolist(), what.tolist(), strict=True))


def test_an_end_is_known_on_the_day_of_the_notice(tables: ls.Tables) -> None:
    ends = known_ends(tables).set_axis(tables.frame("accounts")["account_id"])
    facts = {str(account): [*row] for account, row in zip(ends.index, ends.to_numpy(), strict=True)}
    assert facts["leaver00"] == [day(NOTICE), True]
    assert facts["merged"] == [day(NOTICE), False]
    assert facts["pending"] == [day(PENDING), True]
    assert [pd.isna(fact) for fact in facts["stayer00"]] == [True, False]
    assert not facts["stayer00"][1]


def test_without_a_notice_the_contract_says_it() -> None:
    end = frames(notice=False)
    tables = ls.read_tables(end, as_of=str(day(SEEN).date()))
    known = known_ends(tables).set_axis(tables.frame("accounts")["account_id"])["known_on"]
    assert known["leaver00"] == day(END)
    assert pd.isna(known["pending"])


def test_a_notice_is_cut_at_as_of(tables: ls.Tables) -> None:
    for cut, seen in ((NOTICE, False), (NOTICE + 1, True)):
        past = tables.as_of(str(day(cut).date()))
        ends = known_ends(past).set_axis(past.frame("accounts")["account_id"])
        assert ends.loc["leaver00", "is_churn"] == seen
    # The contract still runs: that it is no churn is not known before its end.
    past = tables.as_of(str(day(END).date()))
    ends = known_ends(past).set_axis(past.frame("accounts")["account_id"])
    assert ends.loc["leaver00", "known_on"] == day(NOTICE)


@pytest.mark.parametrize("by", ["measured", "review", "adopted", "results", "segment"])
def test_cohorts_end_at_the_notice(tables: ls.Tables, by: str) -> None:
    cohorts = dated_cohorts(tables, by, ANALYSIS)
    stop, cause = by_account(cohorts, cohorts.stop), by_account(cohorts, cohorts.cause)
    assert {stop[name] for name in LEAVERS} == {NOTICE}
    assert {cause[name] for name in LEAVERS} == {CHURN}
    assert (stop["pending"], cause["pending"]) == (PENDING, CHURN)
    assert (stop["merged"], cause["merged"]) == (NOTICE, OTHER_END)
    assert {stop[name] for name in STAYERS} == {SEEN}
    days = (cohorts.row_stop - cohorts.row_start).sum()
    assert days == 12 * NOTICE + 12 * SEEN + PENDING + NOTICE
    if by != "segment":  # nobody who gave notice does anything before it
        later = cohorts.row_state > 0
        assert {cohorts.accounts[n] for n in cohorts.row_account[later]} == set(STAYERS)


def test_a_state_may_be_read_some_days_earlier(tables: ls.Tables) -> None:
    now, before = (dated_cohorts(tables, "review", ANALYSIS, lag=lag) for lag in (0, 30))
    assert set(now.first_day(1)[now.stop == SEEN]) == {DONE + 1}
    assert set(before.first_day(1)[before.stop == SEEN]) == {DONE + 31}
    assert before.stop.tolist() == now.stop.tolist()


def test_success_after_the_notice_is_not_reached(tables: ls.Tables) -> None:
    first = pd.Series(day(DONE), index=pd.Index([*LEAVERS, *STAYERS], name="account_id"))
    reaching = _reaching(dated_cohorts(tables, "segment", ANALYSIS), tables, first)
    assert reaching is not None
    stop, cause = by_account(reaching, reaching.stop), by_account(reaching, reaching.cause)
    assert {(stop[name], cause[name]) for name in LEAVERS} == {(NOTICE, OTHER_END)}
    assert {(stop[name], cause[name]) for name in STAYERS} == {(DONE, CHURN)}
    fit = ls.success_analysis.fit_by(tables, "segment", ANALYSIS).frame.set_index("value")
    assert (fit.loc["a", "churned"], fit.loc["b", "churned"]) == (12, 1)


def test_adoption_after_the_notice_is_leaving_without(tables: ls.Tables) -> None:
    total = ls.success_analysis.adoption_table(tables, ANALYSIS).total().iloc[0]
    assert (total["by_milestone"], total["left"], total["later"]) == (12, 14, 0)
    curves = ls.success_analysis.adoption_curves(tables, ANALYSIS, days=(NOTICE - 1, NOTICE)).curves
    left = curves.of("review", LEFT)
    assert left.time[left.estimate > 0].min() == NOTICE


def test_a_past_milestone_was_not_made_after_the_notice(tables: ls.Tables) -> None:
    accounts = tables.frame("accounts")
    episodes = ls.panel.adoption_episodes(tables, ANALYSIS)
    past = _past(tables, PROCESS, accounts, episodes)
    names = accounts["account_id"].to_numpy()[past.place]
    assert set(names[past.met]) == set(STAYERS)
    # The milestone is day 270: 51 days before they were there, 50 before they had given notice.
    assert set(LEAVERS) <= set(names[past.there(51)])
    assert not set(LEAVERS) & set(names[past.there(50)])


def test_rows_at_risk_of_a_decision_stop_at_the_notice(panel: ls.Panel) -> None:
    rows = decisions_of(panel)
    account = rows.frame["account_id"]
    assert set(rows.stop[rows.event & account.isin(LEAVERS).to_numpy()]) == {NOTICE}
    assert rows.churns == 13
    assert rows.stop[rows.event & account.eq("pending").to_numpy()].tolist() == [PENDING]
    assert rows.stop[account.eq("merged")].max() == NOTICE
    assert rows.days.sum() == 12 * NOTICE + 12 * SEEN + PENDING + NOTICE
    assert (rows.pending, rows.unseen) == (1, 0)


def test_the_incidence_rises_on_the_day_of_the_notice(panel: ls.Panel) -> None:
    found = ls.model.cumulative_incidence(
        panel, horizons=[f"{NOTICE - 1}d", f"{NOTICE}d", f"{PENDING}d"]
    )
    table = found.to_frame().set_index(["cause", "days"])["estimate"]
    assert table["all churn", NOTICE - 1] == 0
    assert table["all churn", NOTICE] == pytest.approx(12 / 26)
    assert table["merged", NOTICE] == pytest.approx(1 / 26)
    assert table["all churn", PENDING] == pytest.approx(13 / 26)
    assert "on the day it was known" in repr(found)


def test_discovery_asks_of_the_days_before_the_notice(panel: ls.Panel) -> None:
    rows = rows_at_risk(panel, 90, KnownBefore(0, 0))
    ends = {}
    for n in np.flatnonzero(rows.event):
        ends[rows.accounts[rows.account[n]]] = rows.stop[n]
    assert ends == dict.fromkeys(LEAVERS, NOTICE) | {"pending": PENDING}
    leaver = np.isin(rows.accounts[rows.account], LEAVERS)
    assert (rows.stop - rows.start)[leaver].sum() == 12 * (NOTICE - 90)


def test_the_order_in_time_ends_at_the_notice(panel: ls.Panel) -> None:
    times = ls.evaluation.order_in_time(panel).times.set_index("milestone")
    assert times.loc["adoption", "reached"] == 12
    assert times.loc["result met", "reached"] == 12
    # The first snapshot after day 250 is that of day 273. Twelve of the 13 that are without notice
    # then have adopted; with those that have given notice it would be 12 of 26, and no half.
    assert times.loc["adoption", "median_days"] == 273
    after = panel.frame.assign(known_within=panel.frame["ended_within"])
    late = ls.evaluation.order_in_time(replace(panel, frame=after)).times.set_index("milestone")
    assert late.loc["result met", "reached"] == 24


def test_an_alert_is_in_time_before_the_notice(tables: ls.Tables) -> None:
    scores = pd.DataFrame(
        {"account_id": ["leaver00", "pending"], "snapshot_on": day(100), "risk": 0.5,
         "alert": True, "model_version": "m", "still_active_180d": 0.5}
    )  # fmt: skip
    frame = find_outcomes(tables, scores).frame.set_index("account_id")
    assert frame["known_on"].to_dict() == {"leaver00": day(NOTICE), "pending": day(PENDING)}
    assert frame["churned"].to_dict() == {"leaver00": True, "pending": False}
    assert frame.loc["leaver00", "within"] == END - 100


def test_figures_by_contract_stay_dated_by_its_end(tables: ls.Tables) -> None:
    retention = ls.churn.retention_table(tables).total().set_index("period")
    third, fourth = (retention.xs(pd.Period(name)) for name in ("2021Q3", "2021Q4"))
    assert (third["churned"], third["stayed"]) == (0, 26)
    assert (fourth["churned"], fourth["other_ended"], fourth["stayed"]) == (12, 1, 13)
    rows = pd.DataFrame({"account_id": ["leaver00", "stayer00"], "date": day(NOTICE - 100)})
    for follow, stayed in ((END - NOTICE + 99, True), (END - NOTICE + 100, False)):
        later = _with_outcome(rows, tables, follow)
        assert later["stayed"].tolist() == [stayed, True]
