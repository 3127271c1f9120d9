"""Alerts, their episodes and what they catch, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.churn.events import churn_events
from leadsignal.config.project import Project
from leadsignal.evaluation.past_rows import (
    EvaluationRows,
    catch,
    churned_after,
    churns_to_evaluate,
    find_episodes,
    on_grid,
    raise_alerts,
    rows_to_evaluate,
)

START = pd.Timestamp("2021-01-04")


def day(number: int) -> str:
    return str((START + pd.Timedelta(days=number)).date())


def small_panel() -> ls.Panel:
    """Ten accounts from day 0; a leaves on day 210 and tells on day 200, b leaves on day 150."""
    ids = list("abcdefghij")
    accounts = pd.DataFrame({"account_id": ids, "started_on": day(0), "arr": 100})
    accounts["ended_on"] = [day(210), day(150), *[None] * 8]
    accounts["end_known_on"] = [day(200), *[None] * 9]
    project = Project(every=28, horizon=90, warning_time=60)
    return ls.build_panel(ls.read_tables({"accounts": accounts}, project=project, as_of=day(400)))


@pytest.fixture(scope="module")
def panel() -> ls.Panel:
    return small_panel()


@pytest.fixture(scope="module")
def evaluation(panel: ls.Panel) -> EvaluationRows:
    return rows_to_evaluate(panel, day(0), 90)


def flagged(evaluation: EvaluationRows, account: str, days: list[int]) -> Any:
    number = (evaluation.rows["snapshot_on"] - START).dt.days
    return ((evaluation.rows["account_id"] == account) & number.isin(days)).to_numpy()


def test_only_grid_days_without_notice_followed_to_the_horizon(evaluation: EvaluationRows) -> None:
    # The grid falls on days 7, 35, …, 287; 400 - 90 = 310 is not yet followed, 287 is.
    days = (evaluation.rows["snapshot_on"] - START).dt.days
    first = int(days.min())
    assert sorted(set(days)) == list(range(first, 310, 28))
    a = days[evaluation.rows["account_id"] == "a"]
    assert a.max() <= 200
    assert (evaluation.churned == ((evaluation.rows["ended_within"] <= 90).to_numpy())).all()


def test_every_snapshot_has_the_same_share_and_at_least_one(evaluation: EvaluationRows) -> None:
    rng = np.random.default_rng(0)
    for capacity, most in ((0.1, 1), (0.01, 1), (0.3, 3)):
        alerted = raise_alerts(evaluation, rng.random(len(evaluation.rows)), capacity)
        by_day = pd.Series(alerted).groupby(evaluation.day).sum()
        assert by_day.min() >= 1
        assert by_day.max() == most


def test_the_riskiest_are_alerted_missing_last_and_ties_stay(evaluation: EvaluationRows) -> None:
    risk = np.where(evaluation.rows["account_id"] == "c", 0.9, np.nan)
    assert set(evaluation.rows["account_id"][raise_alerts(evaluation, risk, 0.1)]) == {"c"}
    tied = raise_alerts(evaluation, np.zeros(len(risk)), 0.1)
    days = evaluation.rows[tied].groupby("account_id").size()
    assert len(days) <= 2  # one account all along, another once it has left


def test_episodes_and_catches_by_hand(panel: ls.Panel, evaluation: EvaluationRows) -> None:
    days = sorted(set((evaluation.rows["snapshot_on"] - START).dt.days))
    ends = churns_to_evaluate(evaluation, panel, churn_events(panel))
    assert list(ends.frame["account_id"]) == ["a", "b"]
    # a is known on day 200: the last snapshot 60 days before is that before day 140.
    chance = max(d for d in days if d <= 140)
    assert (evaluation.rows["snapshot_on"].iloc[ends.chance[0]] - START).days == chance
    last = max(d for d in days if d < 200)
    run = [d for d in days if chance - 28 <= d <= last]
    alerted = flagged(evaluation, "a", run) | flagged(evaluation, "c", days[:1])
    episodes = find_episodes(evaluation, alerted)
    assert len(episodes.first) == 2
    caught = catch(evaluation, episodes, ends)
    assert list(caught.in_time) == [True, False]
    assert list(caught.lead) == [min(200 - run[0], 90), 0]
    assert list(caught.head_start) == [min(200 - run[0], 90), 0]  # no usage: counted to the end
    right, standing = churned_after(evaluation, episodes)
    assert list(right) == [210 - run[0] <= 90, False]
    assert list(standing) == [True, False]


def test_a_gap_makes_two_episodes_and_the_second_counts(
    panel: ls.Panel, evaluation: EvaluationRows
) -> None:
    days = sorted(set((evaluation.rows["snapshot_on"] - START).dt.days))
    ends = churns_to_evaluate(evaluation, panel, churn_events(panel))
    chance = max(d for d in days if d <= 140)
    alerted = flagged(evaluation, "a", [chance - 56, chance])
    episodes = find_episodes(evaluation, alerted)
    assert len(episodes.first) == 2
    caught = catch(evaluation, episodes, ends)
    assert caught.lead[0] == 200 - chance if 200 - chance < 90 else 90
    assert caught.before_drop[0] == 0  # not alerted at the last snapshot before the end was known


def test_after_notice_an_account_is_not_on_the_list(panel: ls.Panel) -> None:
    rows = on_grid(panel)
    rows = rows[rows["account_id"] == "a"]
    assert (rows["known_within"] >= 0).all()


def test_a_random_list_catches_its_share(business_panel: ls.Panel) -> None:
    evaluation = rows_to_evaluate(business_panel, "2022-01-01", 180)
    ends = churns_to_evaluate(evaluation, business_panel, churn_events(business_panel))
    shares = []
    for seed in range(60):
        risk = np.random.default_rng(seed).random(len(evaluation.rows))
        caught = catch(
            evaluation, find_episodes(evaluation, raise_alerts(evaluation, risk, 0.1)), ends
        )
        shares.append(caught.in_time.mean())
    error = np.std(shares) / np.sqrt(60)
    assert abs(np.mean(shares) - 0.1) < 4 * error + 0.005  # capacity is rounded at each snapshot
