"""Ends, one account each: when its usage dropped, whether anyone was warned, what it is called."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.config.project import Project
from leadsignal.config.table_settings import TableSource

START = pd.Timestamp("2021-01-04")  # A Monday on the grid of 28 days (18,631 - 4 = 28 × 665.25).
WHOLE = date(2020, 1, 1)


def day(number: float) -> str:
    return str((START + pd.Timedelta(days=int(number))).date())


def weekly(amounts: Any) -> pd.DataFrame:
    """Usage on the first day of each week from the start."""
    days = [day(7 * week) for week in range(len(amounts))]
    return pd.DataFrame({"account_id": "a", "used_on": days, "amount": amounts})


def panel_of(ended: int, told: int | None = None, every: int = 7, **frames: Any) -> ls.Panel:
    accounts: dict[str, Any] = {"account_id": ["a"], "started_on": [day(0)], "arr": [1200]}
    accounts["ended_on"] = [day(ended)]
    if told is not None:
        accounts["end_known_on"] = [day(told)]
    sources = {name: TableSource(complete_from=WHOLE) for name in frames}
    given = {"accounts": pd.DataFrame(accounts), **frames}
    tables = ls.read_tables(
        given, project=Project(every=every, tables=sources), as_of=day(ended + 30)
    )
    return ls.build_panel(tables)


def end_of(panel: ls.Panel) -> dict[str, Any]:
    (found,) = ls.churn_events(panel).frame.head(1).to_dict("records")
    row = {str(name): value for name, value in found.items()}
    days = {name: (row[name] - START).days for name in row if name.endswith(("_on", "_since"))}
    return {**row, **days}


def test_silent_for_200_days() -> None:
    # 10 a week for 43 weeks; the last amount lies on day 294, the end on day 500.
    # At day 308 the last 28 days [280, 308) hold days 280, 287, 294: 30 of the best 40 a 28 days.
    # At day 315 they hold 287 and 294: 20, which is half and not below. At day 322: 10, low.
    end = end_of(panel_of(500, usage=weekly([10.0] * 43 + [0.0] * 28)))
    assert end["usage_drop_on"] == 322
    assert end["warned_since"] == 322
    assert end["verdict"] == "signalled"  # 500 - 322 = 178 days, more than 90


def test_declining_6_percent_a_week() -> None:
    # 20 level weeks, then 6 % less each week. The mean of 4 weeks falls below half of the best
    # when 0.94 ** k (1 + 0.94 + 0.8836 + 0.8306) / 4 < 0.5, k the first of the four: 0.94 ** k
    # < 0.5473, k = 10 (0.5386; 0.94 ** 9 is 0.5730). Weeks 29 to 32 are those of k = 10 to 13
    # (week 20 is k = 1), and are complete at day 7 × 33 = 231.
    usage = weekly([100.0] * 20 + [round(100 * 0.94**k, 6) for k in range(1, 28)])
    end = end_of(panel_of(330, usage=usage))
    assert end["usage_drop_on"] == 231
    assert end["verdict"] == "signalled"  # 330 - 231 = 99 days


def test_seasonal_usage_that_is_up_again_at_the_end_has_no_drop() -> None:
    # A year of 26 full weeks and 26 weeks at a fifth, three times; the end falls into a full half.
    year = [100.0] * 26 + [20.0] * 26
    panel = panel_of(7 * 120, usage=weekly(year * 2 + year[:16]))
    low = panel.frame.set_index("start")["usage_low"]
    assert low[7 * 40] == 1  # the slack half is low, and says so at the time
    end = end_of(panel)
    assert pd.isna(end["usage_drop_on"])
    assert end["verdict"] == "unexpected"


def test_dropped_and_recovered_counts_from_the_last_drop_only() -> None:
    # Full for 30 weeks, a tenth for 6, full for 20, nothing for 4. At the end, day 420, usage is
    # nothing since week 56: at day 399 the last 4 weeks are 53 to 56, 3 full ones; at day 406 two
    # full ones, which is half; at day 413 one: low, and low at the last snapshot, day 413.
    usage = weekly([50.0] * 30 + [5.0] * 6 + [50.0] * 20 + [0.0] * 4)
    panel = panel_of(420, usage=usage)
    assert panel.frame.set_index("start")["usage_low"][7 * 36] == 1
    end = end_of(panel)
    assert end["usage_drop_on"] == 413
    assert end["verdict"] == "unexpected"  # 420 - 413 = 7 days


def test_recovered_for_good_has_no_drop() -> None:
    usage = weekly([50.0] * 30 + [5.0] * 6 + [50.0] * 24)
    assert pd.isna(end_of(panel_of(420, usage=usage))["usage_drop_on"])


def test_stopped_and_never_seen_again() -> None:
    # No row at all after week 30 (its last day is 7 × 29 = 203). At day 217: 21 of 28 days'
    # weeks left are 196 and 203, 189: 3 of 4. Day 224: 2 of 4, half. Day 231: 1 of 4, low.
    end = end_of(panel_of(330, usage=weekly([10.0] * 30)))
    assert end["usage_drop_on"] == 231
    assert end["verdict"] == "signalled"


def test_too_young_to_tell() -> None:
    # Usage is unknown before 84 + 28 = 112 days of history; at day 100 nothing can be said, and
    # an account that lives 80 days has no snapshot 90 days before its end.
    assert end_of(panel_of(105, usage=weekly([10.0] * 15)))["verdict"] == "unknown"
    end = end_of(panel_of(80, usage=weekly([10.0] * 11)))
    assert end["verdict"] == "too young"
    assert pd.isna(end["usage_drop_on"])


def test_notice_60_days_before_the_end() -> None:
    # Usage falls to a tenth from week 40 (day 280) on; told on day 300, ended on day 360.
    # Low from day 301: [273, 301) holds one full week and three tenths, 130 of 400.
    usage = weekly([100.0] * 40 + [10.0] * 12)
    end = end_of(panel_of(360, told=300, usage=usage))
    assert (end["known_on"], end["ended_on"], end["usage_drop_on"]) == (300, 360, 301)
    assert pd.isna(end["warned_since"])  # nothing stood at the last snapshot before it was told
    assert end["verdict"] == "unexpected"


@pytest.mark.parametrize(
    ("cleared", "verdict"), [(None, "signalled"), (390, "unexpected"), (400, "signalled")]
)
def test_a_flag_that_stands_signals_and_one_that_was_cleared_does_not(
    cleared: int | None, verdict: str
) -> None:
    flags = pd.DataFrame(
        {
            "account_id": ["a"],
            "flagged_on": [day(200)],
            "cleared_on": [None if cleared is None else day(cleared)],
        }
    )
    # The end is known on day 400; a flag cleared on that day still stood at the last snapshot.
    assert end_of(panel_of(400, flags=flags))["verdict"] == verdict


def test_warnings_may_take_turns_without_a_break() -> None:
    # A red score from day 196 to 294, a flag from day 280 on: some warning stands throughout.
    flags = pd.DataFrame({"account_id": ["a"], "flagged_on": [day(280)], "cleared_on": [None]})
    scores = pd.DataFrame(
        {
            "account_id": "a",
            "scored_on": [day(0), day(190), day(294)],
            "score": [90, 20, 90],
            "band": ["green", "red", "green"],
        }
    )
    end = end_of(panel_of(400, flags=flags, health_scores=scores))
    assert end["warned_since"] == 196
    assert end["verdict"] == "signalled"
    alone = end_of(panel_of(400, flags=flags.assign(flagged_on=day(320)), health_scores=scores))
    assert alone["verdict"] == "unexpected"  # 400 - 322 = 78 days


def test_without_usage_flags_or_scores_it_unknown() -> None:
    ends = ls.churn_events(panel_of(400))
    assert not ends.can_tell
    assert ends.frame["verdict"].tolist() == ["unknown"]
    assert "unknown" in repr(ends)


def test_ends_that_are_no_churn_are_counted_and_not_mixed_in() -> None:
    accounts = pd.DataFrame(
        {
            "account_id": ["a", "b", "c"],
            "started_on": [day(0)] * 3,
            "ended_on": [day(300), day(310), None],
            "end_reason": ["completed", "price", None],
            "arr": [100, 200, 400],
        }
    )
    project = Project(every=28, not_churn=("completed",))
    panel = ls.build_panel(ls.read_tables({"accounts": accounts}, project=project, as_of=day(400)))
    ends = ls.churn_events(panel)
    assert ends.by_cause()["arr"].to_dict() == {"churn": 200, "completed": 100}
    assert ends.to_dict()["churned"] == 1
    quarter = ends.by_quarter()
    assert quarter["accounts"].sum() == 2
    assert quarter["unknown_arr"].sum() == 200


def test_the_quarters_add_up(business_panel: ls.Panel) -> None:
    ends = ls.churn_events(business_panel)
    quarters, counts = ends.by_quarter(), ends.counts()
    for verdict in counts.index:
        column = verdict.replace(" ", "_")
        assert quarters[f"{column}_accounts"].sum() == counts.loc[verdict, "accounts"]
        assert quarters[f"{column}_arr"].sum() == pytest.approx(counts.loc[verdict, "arr"])
    assert counts["accounts"].sum() == len(ends.churned)
    assert np.all(quarters["accounts"] > 0)
    assert "<table" in ends._repr_html_()
    assert len(ends.to_frame()) == len(ends.frame)


def test_the_longer_the_warning_time_the_fewer_are_signalled(business_panel: ls.Panel) -> None:
    signalled = [
        int(
            (
                ls.churn_events(business_panel, warning_time=time).frame["verdict"] == "signalled"
            ).sum()
        )
        for time in ("14d", "60d", "200d")
    ]
    assert signalled == sorted(signalled, reverse=True)
    assert signalled[0] > signalled[-1]
