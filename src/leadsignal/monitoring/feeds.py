"""Feeds: their health on one day, and whether one permanently has fewer records than before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from leadsignal.ingestion.feed_health import (
    FeedHealth,
    assess_feed,
    chance_of_silence,
    detected_after,
)
from leadsignal.monitoring.lasting_change import LastingChange, limit_for, moving_sums, run_cusum
from leadsignal.scoring.feeds import daily_records
from leadsignal.tables import Tables

Floats = NDArray[np.float64]
LOSS = 0.4
"""Share of records left in a feed: the change that the CUSUM is designed to detect."""
WINDOWS = (1, 4, 13)
"""Weeks whose records are counted together, for weekly, monthly and quarterly feeds."""
BASE, MIN_BASE, GAP = 52, 26, 26
"""Maximum and minimum number of weeks over which a usual rate is averaged, and the number of weeks
between them and the week compared, so that a recent change does not count as usual."""
MIN_STEPS = 4
"""Weeks that a loss must last to be found, so that holidays are not reported."""


def feed_losses(tables: Tables, names: Collection[str], alarms: float) -> tuple[LastingChange, ...]:
    """Return which of the tables ``names`` permanently have fewer records than before.

    At most ``alarms`` false alarms per year are expected over all tables. Tables without enough
    history are left out.
    """
    limit = limit_for(alarms / max(len(names), 1), 7)
    found = []
    for name in names:
        first, counts = daily_records(tables, name)
        if first is not None:
            active = _active_accounts(tables, first, len(counts))
            found.append(assess_loss(name, first, counts, active, limit))
    return tuple(one for one in found if one is not None)


def _active_accounts(tables: Tables, first: date, days: int) -> Floats:
    """Return the number of active accounts on each of the days from ``first``."""
    accounts = tables.frame("accounts")
    begun, over = (
        np.sort(accounts[name].dropna().to_numpy().astype("datetime64[D]"))
        for name in ("started_on", "ended_on")
    )
    day = np.datetime64(first, "D") + np.arange(days)
    return (np.searchsorted(begun, day, "right") - np.searchsorted(over, day, "right")).astype(
        np.float64
    )


def assess_loss(
    table: str, first: date, counts: Floats, active: Floats, limit: float
) -> LastingChange | None:
    """Return whether a table permanently has fewer records per active account than before.

    Parameters
    ----------
    table : str
    first : date
        The first day of ``counts``.
    counts, active : array of shape (days,)
        Number of records that became known on each day, and of active accounts.
    limit : float
        Limit of the CUSUM, from `limit_for`.

    Returns
    -------
    LastingChange or None
        None if the history is too short.

    Notes
    -----
    The expectation of a week is its active accounts times the records per active account of the
    52 weeks that end 26 weeks before it. Records are counted over 1, 4 or 13 weeks, whichever
    detects a loss of 60 % soonest; each window has the weight 1 / weeks, so that a record counts
    once. The dispersion is that of the windows' counts in the year before, or that of the counts
    over more weeks if larger, since counts of single weeks may vary little.
    """
    weeks = len(counts) // 7
    if weeks < MIN_BASE + GAP + 1:
        return None
    records, mean_active = (_weekly(values, weeks) for values in (counts, active))
    expected = _expected(records, mean_active)
    begin = int(np.argmax(~np.isnan(expected)))
    past = slice(max(weeks - GAP - BASE, 0), weeks - GAP)
    dispersions = _dispersions(records[past], mean_active[past])
    rate = float(np.nanmean(expected[-BASE:]))
    delays = {
        over: _delay(over, rate, dispersion, limit) for over, dispersion in dispersions.items()
    }
    over = min(delays, key=lambda one: (delays[one], one))
    if not np.isfinite(delays[over]) or weeks - begin < over:
        return None
    counted, due = (moving_sums(values[begin:], over) for values in (records, expected))
    found = run_cusum(
        counted / over, due / over, LOSS, limit,
        dispersion=dispersions[over], max_step=limit / MIN_STEPS,
    )  # fmt: skip
    since = begin + int(found.since[-1])
    start = first + timedelta(days=len(counts) - 7 * (weeks - since))
    return LastingChange(
        "feed_loss", table, LOSS, float(found.level[-1]), limit, bool(found.found[-1]),
        start, float(records[since:].sum()), float(expected[since:].sum()), int(delays[over]),
    )  # fmt: skip


def _weekly(values: Floats, weeks: int) -> Floats:
    """Return sums of the last ``weeks`` weeks."""
    sums: Floats = values[len(values) - 7 * weeks :].reshape(weeks, 7).sum(axis=1)
    return sums


def _expected(records: Floats, active: Floats) -> Floats:
    """Return the expected number of records of each week; NaN if the history is too short."""
    came, there = (np.concatenate(([0.0], np.cumsum(one))) for one in (records, active))
    end = np.arange(len(records)) - GAP
    begin = np.maximum(end - BASE, 0)
    known = end >= MIN_BASE
    end = np.maximum(end, 0)
    rate = (came[end] - came[begin]) / np.maximum(there[end] - there[begin], 1.0)
    return np.where(known, rate * active, np.nan)


def _dispersions(records: Floats, active: Floats) -> dict[int, float]:
    """Return the dispersion (variance over that of Poisson counts) by weeks counted together.

    That of one week is at least that of several weeks.
    """
    due = records.sum() / max(active.sum(), 1.0) * active
    found: dict[int, float] = {}
    larger = 1.0
    for over in sorted(WINDOWS, reverse=True):
        apart, mean = moving_sums(records - due, over), moving_sums(due, over)
        independent = len(records) / over
        if independent < MIN_STEPS or not mean.sum() > 0:
            continue
        squares = float((apart**2).sum() / mean.sum())
        larger = max(larger, squares * independent / (independent - 1))
        found[over] = larger
    return found


def _delay(over: int, rate: float, dispersion: float, limit: float) -> float:
    """Return the average number of weeks until a loss of 60 % is detected."""
    a_week = rate * (LOSS * log(LOSS) - (LOSS - 1)) / dispersion
    if not a_week > 0:
        return np.inf
    return max(ceil(limit / a_week), MIN_STEPS) + (over - 1) / 2


def assess_feeds(
    tables: Tables, *, chance: float | None = None, known: Collection[str] = ()
) -> tuple[FeedHealth, ...]:
    """Return the health of each table of events at the tables' as_of, in the order of the tables.

    ``chance`` is the probability below which a silence of independent records counts as broken
    (default: that of a weekly run with one false alarm per year, as in scoring). ``known`` names
    the tables of past runs; those that are no longer there are reported as missing.

    >>> import leadsignal as ls
    >>> feeds = assess_feeds(ls.read_tables(ls.sample_folder()))
    >>> [health.table for health in feeds if health.broken]
    []
    """
    names = [name for name in tables.names if name != "accounts"]
    chance = chance_of_silence(len(names)) if chance is None else chance
    healths = [_pace(tables, name, chance) for name in names]
    gone = sorted(set(known) - set(tables.names))
    return (*healths, *(FeedHealth(name, "missing") for name in gone))


def _pace(tables: Tables, name: str, chance: float) -> FeedHealth:
    source = tables.project.tables.get(name)
    if source is not None and source.complete_through is not None:
        return FeedHealth(name, "ended", source.complete_through)
    first, counts = daily_records(tables, name)
    if first is None:
        return FeedHealth(name, "empty")
    health = assess_feed(name, first, counts, chance)
    return replace(health, detected_after=detected_after(first, counts, chance))
