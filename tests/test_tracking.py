"""Adoption, milestones and red accounts, on accounts small enough to count by hand."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.errors import OptionError
from leadsignal.stats import wilson_limits

ANALYSIS = ls.SuccessAnalysis.from_toml("""
[tracking]
sponsor = ["met"]
handoff = ["handed_over"]
[[process]]
name = "weekly_close"
behavior = "closed"
at_least = 2
within = "10d"
sustained_for = 2
adopt_by = "60d"
""")
START = date(2024, 1, 1)


def on(day: int) -> str:
    return str(START + pd.Timedelta(days=day))


def given(
    accounts: dict[str, tuple[int, int | None]],
    events: dict[str, dict[str, list[int]]],
    as_of: int,
    **more: pd.DataFrame,
) -> ls.Tables:
    """Accounts as (started, ended), their events by behaviour, all in days since 1 January 2024."""
    listed = [
        (a, on(d), b) for a, kinds in events.items() for b, days in kinds.items() for d in days
    ]
    frames = {
        "accounts": pd.DataFrame(
            {
                "account_id": list(accounts),
                "started_on": [on(start) for start, _ in accounts.values()],
                "ended_on": [None if end is None else on(end) for _, end in accounts.values()],
            }
        ),
        "behaviors": pd.DataFrame(
            [(next(iter(accounts)), on(0), "opened"), *listed],
            columns=["account_id", "occurred_at", "behavior"],
        ),
        **more,
    }
    return ls.read_tables(frames, as_of=on(as_of))


# Two closes in each of [20, 30) and [30, 40): adopted on day 37, when the second of both is seen.
EARLY = [20, 25, 30, 36]
LATE = [day + 60 for day in EARLY]


@pytest.fixture(scope="module")
def five() -> ls.Tables:
    return given(
        {"early": (0, None), "late": (0, None), "gone": (0, 50), "never": (0, None),
         "young": (150, None)},
        {"early": {"closed": EARLY}, "late": {"closed": LATE}},
        as_of=180,
    )  # fmt: skip


def test_each_account_is_one_outcome_of_its_quarter(five: ls.Tables) -> None:
    frame = ls.success_analysis.adoption_table(five, ANALYSIS).frame.set_index("start_quarter")
    first = frame.loc["2024Q1"]
    assert list(first[["accounts", "by_milestone", "later", "left", "overdue", "open"]]) == [
        4, 1, 1, 1, 1, 0,
    ]  # fmt: skip
    assert (first["share_by_milestone"], first["share_at_most"]) == (0.25, 0.25)
    assert first["share_ever"] == 0.5
    second = frame.loc["2024Q2"]
    assert (second["open"], second["share_by_milestone"], second["share_at_most"]) == (1, 0, 1)


def test_time_to_adoption_lets_leaving_compete(five: ls.Tables) -> None:
    curves = ls.success_analysis.adoption_curves(five, ANALYSIS, days=[36, 37, 50, 200])
    at = curves.frame.set_index("day")
    # At risk on day 37 are all but the young one, which is seen for 30 days; then 3, then 2.
    assert at.loc[36, "adopted"] == 0
    assert at.loc[37, "adopted"] == pytest.approx(1 / 4)
    assert at.loc[50, "left"] == pytest.approx(3 / 4 * 1 / 3)
    assert np.isnan(at["adopted"][200])
    assert curves.half_by == {"weekly_close": 97.0}
    assert curves.milestones == {"weekly_close": 60}


def test_accounts_from_before_the_tables_are_left_out_and_counted() -> None:
    tables = given({"old": (-30, None), "new": (1, None)}, {"new": {"closed": EARLY}}, 90)
    table = ls.success_analysis.adoption_table(tables, ANALYSIS)
    assert table.left_out == 1
    assert table.frame["accounts"].sum() == 1


def test_adoption_needs_a_process(five: ls.Tables) -> None:
    with pytest.raises(OptionError, match="names no process"):
        ls.success_analysis.adoption_table(five, ls.SuccessAnalysis(()))
    with pytest.raises(OptionError, match="not a declared text attribute"):
        ls.success_analysis.adoption_curves(five, ANALYSIS, by="segment")


# Milestones ---------------------------------------------------------------------------------------


def due_in_10(closed: list[int]) -> pd.Series:
    """One account, 50 days old, its milestone 10 days ahead; another has adopted."""
    events = {"a": {"closed": closed}, "z": {"closed": EARLY}}
    tables = given({"a": (0, None), "z": (0, None)}, events, 50)
    return ls.success_analysis.milestone_calendar(tables, ANALYSIS).frame.iloc[0]


@pytest.mark.parametrize(
    ("closed", "met", "more"),
    [
        # Adopted at 60 at the latest: [40, 50) is over on day 50 and must hold two.
        ([], False, None),
        ([45], False, None),
        ([41, 45], True, 2),
        # At 55: [35, 45) is over, [45, 55) holds one and needs one more.
        ([36, 44, 49], True, 1),
        ([20, 25], False, None),
    ],
)
def test_what_is_still_needed(closed: list[int], met: bool, more: float | None) -> None:
    row = due_in_10(closed)
    assert (row["days_left"], str(row["due_on"].date())) == (10, on(60)[:10])
    assert row["can_be_met"] == met
    assert row["more_events"] == more or (more is None and np.isnan(row["more_events"]))


def brute_force(closed: set[int], today: int, due: int) -> float:
    """The fewest further closes, one a day at most each, by trying every day of adoption."""
    best = np.inf
    for t in range(today + 1, due + 1):
        needed = 0.0
        for first in (t - 10, t - 20):
            held = len([day for day in closed if first <= day < first + 10])
            free = len([day for day in range(first, first + 10) if day >= today])
            lack = max(0, 2 - held)
            needed += lack if lack == 0 or free else np.inf
        best = min(best, needed)
    return best


def test_what_is_needed_agrees_with_trying_every_day() -> None:
    rng = np.random.default_rng(4)
    names = [f"a{n:02d}" for n in range(40)]
    days = np.arange(25, 50)
    drawn = {name: rng.choice(days, rng.integers(0, 5), replace=False) for name in names}
    events = {name: sorted(closed.tolist()) for name, closed in drawn.items()}
    tables = given(
        dict.fromkeys(names, (0, None)),
        {name: {"closed": days} for name, days in events.items()},
        50,
    )
    frame = ls.success_analysis.milestone_calendar(tables, ANALYSIS).frame
    assert len(frame) > 20
    assert 0 < frame["can_be_met"].sum() < len(frame)
    for row in frame.to_dict("records"):
        fewest = brute_force(set(events[row["account_id"]]), 50, 60)
        assert row["can_be_met"] == np.isfinite(fewest)
        if np.isfinite(fewest):
            assert row["more_events"] == fewest


def test_overdue_ones_stand_apart(five: ls.Tables) -> None:
    calendar = ls.success_analysis.milestone_calendar(five, ANALYSIS)
    assert list(calendar.frame["account_id"]) == ["young"]
    assert list(calendar.overdue["account_id"]) == ["never"]
    assert calendar.overdue["days_over"].item() == 120
    assert np.isnan(calendar.frame["chance"].item())


def test_a_calendar_needs_milestones(five: ls.Tables) -> None:
    without = ls.SuccessAnalysis.from_toml(
        '[[process]]\nname = "p"\nbehavior = "closed"\nat_least = 1\nwithin = "7d"\n'
    )
    with pytest.raises(OptionError, match="no process has a milestone"):
        ls.success_analysis.milestone_calendar(five, without)


def test_chances_come_true(business: ls.Tables, business_analysis: ls.SuccessAnalysis) -> None:
    """Of the milestones of past dates, as many were met as their chances said."""
    from leadsignal.panel import adoption_episodes

    episodes = adoption_episodes(business, business_analysis)
    first = episodes.groupby(["account_id", "process"])["adopted_on"].min()
    said, spread, made = 0.0, 0.0, 0
    for back in (150, 250, 350):
        day = business.as_of_date - pd.Timedelta(days=back)
        frame = ls.success_analysis.milestone_calendar(
            business.as_of(day), business_analysis, ahead="20w"
        ).frame
        frame = frame[frame["chance"].notna()]
        said += frame["chance"].sum()
        # Binomial, and the uncertainty of each chance, taken as common to all rows.
        spread += (frame["chance"] * (1 - frame["chance"])).sum()
        spread += ((frame["high"] - frame["low"]).sum() / 4) ** 2
        for row in frame.to_dict("records"):
            adopted = first.get((row["account_id"], row["process"]), pd.NaT)
            on_time = adopted <= row["due_on"]
            made += on_time
            assert not (on_time and not row["can_be_met"])
    assert said > 3
    assert abs(made - said) < 3 * np.sqrt(spread)


def test_wilson() -> None:
    low, high = wilson_limits(0.8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson_limits(0.0, 30)[0] == 0


# Red accounts -------------------------------------------------------------------------------------


def test_each_red_account_has_its_reasons() -> None:
    plans = pd.DataFrame(
        {"account_id": ["fine", "lost"], "agreed_on": [on(10)] * 2, "objective": ["x"] * 2}
    )
    results = pd.DataFrame(
        {"account_id": ["fine", "lost"], "measured_on": [on(150), on(10)], "value": ["1", "1"]}
    )
    tables = given(
        {"fine": (0, None), "lost": (0, None), "bare": (0, None), "young": (170, None)},
        {
            "fine": {"met": [20, 150], "handed_over": [100], "closed": [15]},
            "lost": {"met": [120], "handed_over": [130]},
        },
        180, plans=plans, results=results,
    )  # fmt: skip
    red = ls.success_analysis.unattended_accounts(tables, ANALYSIS)
    reasons = dict(zip(red.frame["account_id"], red.frame["reasons"], strict=True))
    assert reasons == {
        "bare": "no plan, nobody measuring, no sponsor contact",
        "lost": "nobody measuring, handed off and not seen since",
    }
    assert red.active == 4
    assert red.counts()["no plan"] == 1
    assert json.loads(json.dumps(red.to_dict()))["accounts"][0]["account_id"] == "bare"


def test_what_cannot_be_told_is_no_reproach() -> None:
    accounts = pd.DataFrame({"account_id": ["a"], "started_on": [on(0)]})
    tables = ls.read_tables({"accounts": accounts}, as_of=on(300))
    with pytest.raises(OptionError, match="none of these reasons"):
        ls.success_analysis.unattended_accounts(tables)


@pytest.mark.parametrize("name", ["adoption_table", "adoption_curves", "milestone_calendar",
                                  "unattended_accounts"])  # fmt: skip
def test_they_print_draw_and_go_to_json(
    business: ls.Tables, business_analysis: ls.SuccessAnalysis, name: str
) -> None:
    made = getattr(ls.success_analysis, name)(business, business_analysis)
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert made.plot().get_title("left")
    assert made.to_frame().equals(made.frame)
    assert "<table" in made._repr_html_()
    assert len(repr(made).splitlines()) >= 2
