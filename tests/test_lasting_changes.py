"""Lasting changes: churn that triples, a feed that keeps 40 % of its records; few false alarms."""

from __future__ import annotations

from datetime import date, timedelta
from math import log

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.evaluation.evaluation_rows import by_quarter
from leadsignal.monitoring.monitor import LASTING
from leadsignal.monitoring.realised import (
    LastingChange,
    assess_churn,
    churn_changes,
    count_churn,
    find_outcomes,
    limit_for,
    run_cusum,
)
from leadsignal.monitoring.shifts import assess_loss, feed_losses

MONDAY = date(2022, 1, 3)
TABLES = 11
FEED_LIMIT = limit_for(LASTING / TABLES, 7)
CHURN_LIMIT = limit_for(LASTING / 2, 7)


def test_a_cusum_counted_by_hand() -> None:
    observed, expected = np.array([1.0, 0, 3, 2, 2, 0]), np.ones(6)
    found = run_cusum(observed, expected, 2.0, limit=2.0)
    up = log(2)
    # up - 1 and -1 are below 0; then 3 up - 1, + 2 up - 1, and the limit.
    assert found.level == pytest.approx([0, 0, 3 * up - 1, 5 * up - 2, 7 * up - 3, 7 * up - 4])
    assert not found.found.any()
    assert found.since[-1] == 2
    found = run_cusum(observed, expected, 2.0, limit=1.4)
    assert found.found.tolist() == [False, False, False, True, True, True]  # until it is back at 0
    assert found.level.max() == 1.4
    renewed = np.arange(6) == 5
    assert not run_cusum(observed, expected, 2.0, limit=1.4, renewed=renewed).found[-1]
    slow = run_cusum(observed, expected, 2.0, limit=1.4, max_step=0.3)
    assert slow.level.tolist() == pytest.approx([0, 0, 0.3, 0.6, 0.9, 0])
    half = run_cusum(observed, expected, 2.0, limit=9.0, dispersion=2.0)
    assert half.level == pytest.approx(
        [0, 0, 1.5 * up - 0.5, 2.5 * up - 1, 3.5 * up - 1.5, 3.5 * up - 2]
    )


def runs_of(ends: np.ndarray, a_day: float) -> pd.DataFrame:
    """Runs a week apart of a business with these ends a day, of which ``a_day`` were expected."""
    weeks = len(ends) // 7
    return pd.DataFrame(
        {
            "snapshot_on": pd.Timestamp(MONDAY) + pd.to_timedelta(7 * np.arange(weeks), "D"),
            "expected": a_day * 7,
            "observed": ends[: 7 * weeks].reshape(weeks, 7).sum(axis=1),
            "model_version": "v",
            "days": 7,
        }
    )


def first_found(ends: np.ndarray, a_day: float, subject: str, start: int) -> float:
    """In which week after day ``start`` a change is found."""
    runs = runs_of(ends, a_day)
    for count in range(start // 7 + 1, len(runs)):
        changes = assess_churn(runs.iloc[:count], 1.0, CHURN_LIMIT)
        if any(one.found and one.subject.startswith(subject) for one in changes):
            return count - start / 7
    return np.inf


@pytest.mark.parametrize(
    ("times", "subject", "weeks"), [(3.0, "more", 10), (2.0, "more", 20), (0.3, "fewer", 30)]
)
def test_churn_that_triples_is_found_within_weeks(times: float, subject: str, weeks: int) -> None:
    random, a_day = np.random.default_rng(3), 70 / 365.25
    found = []
    for _ in range(20):
        ends = random.poisson(a_day, 365 * 3)
        ends[365:] = random.poisson(a_day * times, 730)
        found.append(first_found(ends, a_day, subject, 365))
    assert np.median(found) <= weeks
    assert np.median(found) >= 3


@pytest.mark.parametrize("a_year", [10, 70, 400])
def test_churn_as_expected_is_seldom_found_to_have_changed(a_year: int) -> None:
    random, years = np.random.default_rng(a_year), 400
    alarms = {2.0: 0, 0.5: 0}
    for _ in range(4):
        runs = runs_of(random.poisson(a_year / 365.25, 365 * years // 4), a_year / 365.25)
        observed, expected = (runs[name].to_numpy(float) for name in ("observed", "expected"))
        for ratio in alarms:
            found = run_cusum(observed, expected, ratio, CHURN_LIMIT).found
            alarms[ratio] += int(np.diff(found.astype(int)).clip(0).sum())
    assert max(alarms.values()) <= LASTING / 2 * years


def business(ends: dict[str, str], as_of: str, accounts: int = 40) -> ls.Tables:
    ids = [f"a{number}" for number in range(accounts)]
    frame = pd.DataFrame(
        {"account_id": ids, "started_on": "2022-01-01", "ended_on": [ends.get(one) for one in ids]}
    )
    return ls.read_tables({"accounts": frame}, as_of=as_of)


def scores_of(tables: ls.Tables, days: list[str], active: dict[int, float]) -> pd.DataFrame:
    accounts = tables.frame("accounts")
    parts = []
    for day in days:
        there = accounts[~(accounts["ended_on"] < pd.Timestamp(day))]["account_id"]
        columns = {f"still_active_{ahead}d": share for ahead, share in active.items()}
        parts.append(pd.DataFrame({"account_id": there, "snapshot_on": day, **columns}))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(
        snapshot_on=pd.to_datetime(frame["snapshot_on"]), risk=0.2, alert=False, model_version="v"
    )


def test_ends_that_become_known_until_the_next_run_counted_by_hand() -> None:
    ends = {"a1": "2023-01-09", "a2": "2023-01-22", "a3": "2023-02-10", "a4": "2023-03-10"}
    tables = business(ends, "2023-03-12")
    days = ["2023-01-02", "2023-01-09", "2023-01-16", "2023-01-23"]
    scores = scores_of(tables, days, {30: 0.99, 90: 0.9, 180: 0.8})
    runs = count_churn(scores, find_outcomes(tables, scores))
    # a1 ends on the day of the second run, a2 on the day before the fourth, a3 18 days after it;
    # a4 after the 30 days that are counted of the last run.
    assert runs["observed"].tolist() == [0, 1, 1, 1]
    assert runs["days"].tolist() == [7, 7, 7, 30]
    a_week, a_month = (1 - (0.8 / 0.9) ** (days / 90) for days in (7, 30))
    there = [40, 40, 39, 38]
    assert runs["expected"].tolist() == pytest.approx(
        [*(count * a_week for count in there[:3]), there[3] * a_month]
    )


def test_notice_counts_on_the_day_it_is_given() -> None:
    accounts = pd.DataFrame(
        {
            "account_id": ["a", "b"],
            "started_on": "2022-01-01",
            "ended_on": ["2023-03-01", None],
            "end_known_on": ["2023-01-04", None],
        }
    )
    tables = ls.read_tables({"accounts": accounts}, as_of="2023-06-01")
    scores = scores_of(tables, ["2023-01-02", "2023-01-09"], {180: 0.8})
    assert count_churn(scores, find_outcomes(tables, scores))["observed"].tolist() == [1, 0]


def test_churn_that_multiplies_is_found_with_the_day_since_when_and_a_new_model_begins_anew() -> (
    None
):
    ends = {
        f"a{number}": f"2023-{3 + number // 8:02d}-{1 + 3 * (number % 8):02d}"
        for number in range(24)
    }
    tables = business(ends, "2023-07-03", accounts=100)
    days = [str(day.date()) for day in pd.date_range("2023-01-02", "2023-07-03", freq="7D")]
    scores = scores_of(tables, days, {90: 0.97, 180: 0.94})
    more, fewer = churn_changes(scores, find_outcomes(tables, scores), LASTING)
    assert more.found
    assert not fewer.found
    assert date(2023, 1, 30) <= more.since <= date(2023, 3, 6)
    assert more.ratio > 3
    assert str(more).startswith(f"since {more.since}, ")
    late = scores["snapshot_on"] >= "2023-05-15"
    refitted = scores.assign(model_version=np.where(late, "w", "v"))
    more, _ = churn_changes(refitted, find_outcomes(tables, refitted), LASTING)
    assert more.since >= date(2023, 5, 15)
    none = scores[scores["snapshot_on"] == "2023-07-03"]
    assert churn_changes(none, find_outcomes(tables, none), LASTING) == ()


def feed(counts: np.ndarray, active: np.ndarray | None = None) -> LastingChange | None:
    active = np.full(len(counts), 300.0) if active is None else active
    return assess_loss("tickets", MONDAY, counts.astype(float), active, FEED_LIMIT)


def weeks_to_find(counts: np.ndarray, start: int, seed: int) -> int:
    """Return after how many weeks it is found that only 40 % of the records come."""
    random = np.random.default_rng(seed)
    cut = np.where(np.arange(len(counts)) >= start, random.binomial(counts, 0.4), counts)
    for week in range(1, 40):
        found = feed(cut[: start + 7 * week])
        if found is not None and found.found:
            assert abs((found.since - MONDAY).days - start) <= 60
            assert 0.2 < found.ratio < 0.6
            return week
    return 99


DAYS = np.arange(7 * 170)
FEEDS = {
    "busy": (np.where(DAYS % 7 < 5, 40.0, 0.0), 4),
    "rare": (np.full(len(DAYS), 0.5), 20),
    "monthly": (np.where(DAYS % 30 == 0, 60.0, 0.0), 20),
    "quarterly": (np.where(DAYS % 91 == 0, 100.0, 0.0), 20),
}


@pytest.mark.parametrize("kind", FEEDS)
def test_a_feed_that_keeps_40_percent_is_found_and_an_unchanged_one_is_not(kind: str) -> None:
    mean, weeks = FEEDS[kind]
    for seed in range(3):
        counts = np.random.default_rng(seed).poisson(mean)
        alarms = [feed(counts[:day]) for day in range(7 * 54, len(counts), 7)]
        assert not any(one is not None and one.found for one in alarms)
        assert weeks_to_find(counts, 7 * 110, seed) <= weeks


def test_fewer_accounts_are_no_loss_and_a_holiday_is_none() -> None:
    random = np.random.default_rng(1)
    active = np.where(np.arange(7 * 120) < 700, 300.0, 120.0)
    fewer = feed(random.poisson(active / 20), active)
    assert fewer is not None
    assert not fewer.found
    counts = random.poisson(40, 7 * 120)
    counts[-21:] = 5
    holiday = feed(counts)
    assert holiday is not None
    assert not holiday.found
    assert feed(counts[: 7 * 52]) is None  # too young


def test_feeds_of_tables_are_assessed_by_name() -> None:
    random = np.random.default_rng(5)
    counts = random.poisson(6, 7 * 110)
    counts[-7 * 8 :] = random.poisson(2.4, 7 * 8)
    days = np.repeat([MONDAY + timedelta(days=int(day)) for day in range(len(counts))], counts)
    accounts = pd.DataFrame({"account_id": ["a", "b"], "started_on": MONDAY})
    tickets = pd.DataFrame({"account_id": "a", "opened_at": days})
    as_of = MONDAY + timedelta(days=len(counts))
    tables = ls.read_tables({"accounts": accounts, "tickets": tickets}, as_of=as_of)
    (loss,) = feed_losses(tables, ["tickets"], LASTING)
    assert loss.found
    assert (loss.kind, loss.subject) == ("feed_loss", "tickets")
    assert "of the usual records per active account since" in str(loss)
    assert loss.to_dict()["since"] == loss.since.isoformat()


def test_quarters_counted_by_hand() -> None:
    days = pd.to_datetime(["2024-01-01", "2024-03-31", "2024-04-01", "2024-04-08", "2024-07-01"])
    table = by_quarter(days, [0.5, 0.5, 0.2, 0.3, 0.1], [1, 1, 1, 0, 0], ["a", "b", "a", "a", "c"])
    assert table["quarter"].tolist() == ["2024Q1", "2024Q2", "2024Q3"]
    assert table["expected"].tolist() == pytest.approx([1.0, 0.5, 0.1])
    assert table["observed"].tolist() == [2, 1, 0]
    assert table["expected_over_observed"].tolist()[:2] == pytest.approx([0.5, 0.5])
    assert np.isnan(table["expected_over_observed"].iloc[2])
    assert (table["low"] <= table["observed"]).all()
    assert (table["observed"] <= table["high"]).all()
    empty = by_quarter(days[:0], [], [], [])
    assert empty.empty
