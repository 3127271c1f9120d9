"""Whether a feed has fallen silent: one rule, asked by check, fit, scoring and monitoring."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

import leadsignal as ls
from leadsignal.ingestion.feed_health import assess_feed, chance_of_silence
from leadsignal.monitoring.shifts import assess_feeds
from leadsignal.scoring.feeds import _feed, without_late_days, without_late_feeds

FIRST = date(2023, 1, 2)
ACCOUNTS = pd.DataFrame({"account_id": ["a", "b"], "started_on": [FIRST, FIRST]})


def tables_of(counts: np.ndarray) -> ls.Tables:
    """Return tables with so many tickets on each day, the last day being the one before as_of."""
    at = np.repeat(np.arange(len(counts)), counts.astype(int))
    days = [FIRST + timedelta(days=int(day)) for day in at]
    tickets = pd.DataFrame({"account_id": "a", "opened_at": days})
    as_of = FIRST + timedelta(days=len(counts))
    return ls.read_tables({"accounts": ACCOUNTS, "tickets": tickets}, as_of=as_of)


def random_counts(seed: int) -> np.ndarray:
    """Return daily counts of some pace, young or old, and a silence that may be odd or not."""
    random = np.random.default_rng(seed)
    length = int(random.choice([10, 40, 91, 200, 400]))
    kind = random.integers(3)
    if kind == 0:
        counts = random.poisson(random.choice([0.1, 0.5, 3.0]), length)
    elif kind == 1:
        counts = np.where(np.arange(length) % 7 < 5, 2, 0)
    else:
        counts = np.where(np.arange(length) % int(random.choice([3, 14, 30])) == 0, 5, 0)
    counts[0] = 1
    silent = int(random.choice([0, 1, 3, 8, 14, 15, 16, 30, 60, 120]))
    return np.append(counts, np.zeros(silent)).astype(float)


def test_check_fit_scoring_and_monitoring_agree() -> None:
    told = []
    for seed in range(40):
        counts = random_counts(seed)
        tables = tables_of(counts)
        (pace,) = assess_feeds(tables)
        _, late = without_late_feeds(tables)
        noticed = [str(notice) for notice in tables.warnings if "last record" in str(notice)]
        by_hand = assess_feed("tickets", FIRST, counts, chance_of_silence(1))
        assert pace.state == by_hand.state, seed
        assert pace.stopped == pace.broken == by_hand.stopped or pace.state == "thin", seed
        assert [feed.table for feed in late] == (["tickets"] if pace.stopped else [])
        assert bool(noticed) == pace.stopped, seed
        if late:
            assert late[0].last_record == pace.last_record
            assert f"its last record is of {pace.last_record}" in noticed[0]
        told.append((pace.state, pace.stopped))
    assert {("silent", True), ("on time", False), ("too young", True), ("too young", False)} <= (
        set(told)
    )


@pytest.mark.parametrize(("silent", "stopped"), [(13, False), (14, True)])
def test_a_young_daily_table_has_stopped_after_two_weeks(silent: int, stopped: bool) -> None:
    counts = np.append(np.ones(10), np.zeros(silent))
    assert assess_feed("tickets", FIRST, counts, 5e-4).stopped is stopped


@pytest.mark.parametrize(("silent", "stopped"), [(50, False), (51, True)])
def test_a_sparse_table_has_stopped_after_five_of_its_usual_gaps(
    silent: int, stopped: bool
) -> None:
    counts = np.zeros(81)
    counts[::10] = 1
    pace = assess_feed("tickets", FIRST, np.append(counts, np.zeros(silent)), 5e-4)
    assert (pace.stopped, pace.usual_days, pace.state) == (stopped, 10, "too young")


def test_five_days_with_records_are_needed_to_miss_the_next() -> None:
    for days, stopped in ((4, False), (5, True)):
        counts = np.append(np.ones(days), np.zeros(60))
        assert assess_feed("tickets", FIRST, counts, 5e-4).stopped is stopped


def test_a_late_feed_is_unknown_in_a_fit() -> None:
    for silent in (3, 30):
        tables = tables_of(np.append(np.full(200, 3.0), np.zeros(silent)))
        held, (feed,) = without_late_feeds(tables)
        assert (feed.state, feed.silent_days, feed.is_unknown) == ("late", silent, True)
        assert held.coverage["tickets"].complete_through == feed.last_record
        assert str(feed).endswith("its indicators are unknown")


@pytest.mark.parametrize(("every", "silent"), [(1, 3), (1, 14), (7, 7), (7, 20)])
def test_a_feed_is_held_up_to_two_weeks_beyond_its_usual_gap(every: int, silent: int) -> None:
    counts = np.zeros(399)
    counts[::every] = 30
    tables = tables_of(np.append(counts[: 1 - every or None], np.zeros(silent)))
    feed = _feed(tables, "tickets", 4)
    assert feed is not None
    stood = tables.as_of_date - timedelta(days=silent)
    assert (feed.silent_days, feed.state_as_of, feed.is_unknown) == (silent, stood, False)
    assert str(feed).endswith(f"its state of {stood} is used")
    assert feed.to_dict()["state_as_of"] == str(stood)
    assert without_late_days(tables, (feed,)) is tables


@pytest.mark.parametrize(("every", "silent"), [(1, 15), (7, 21)])
def test_a_feed_is_unknown_after_more(every: int, silent: int) -> None:
    counts = np.zeros(399)
    counts[::every] = 30
    tables = tables_of(np.append(counts[: 1 - every or None], np.zeros(silent)))
    feed = _feed(tables, "tickets", 4)
    assert feed is not None
    assert feed.is_unknown
    assert feed.to_dict()["state_as_of"] is None
    held = without_late_days(tables, (feed,))
    assert held.coverage["tickets"].complete_through == feed.last_record


def test_a_rule_for_a_run_is_that_of_the_monitor_by_default() -> None:
    assert chance_of_silence(9) == pytest.approx(0.25 * 7 / 365.25 / 9)
    assert chance_of_silence(9, false_alarms=2, every=14) == pytest.approx(chance_of_silence(9) * 4)
    assert chance_of_silence(0) == chance_of_silence(1)
