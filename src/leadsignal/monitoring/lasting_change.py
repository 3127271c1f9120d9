"""Lasting changes: CUSUM charts of ends against scores and of feeds; and the health of feeds.

The log-likelihood ratio of a lasting change is accumulated and never falls below 0 (Page 1954,
Biometrika 41, 100-115; for counts, Lucas 1985, Technometrics 27, 129-144). For Poisson counts
O with expectation E and a change of E by the factor r, a step adds

    (O log(r) - E (r - 1)) / dispersion.

A change is found once the sum reaches a limit h. Whatever the expectations, the average time to a
false alarm is at least e^h steps (Lorden 1971, Annals of Mathematical Statistics 42, 1897-1908),
from which ``limit_for`` follows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from math import ceil, log
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadsignal.formats import share_text
from leadsignal.ingestion.feed_health import (
    FeedHealth,
    assess_feed,
    chance_of_silence,
    detected_after,
)
from leadsignal.monitoring.realised import Outcomes, active_columns
from leadsignal.scoring.feeds import daily_records
from leadsignal.tables import Tables

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cusum:
    """The sum after each step, the step at which its current rise began, and whether it is found.

    All have shape (steps,). A change stays found until the sum is back at 0.
    """

    level: Floats
    since: NDArray[np.int64]
    found: Bools


def limit_for(alarms: float, every: float) -> float:
    """Return the limit at which at most ``alarms`` false alarms are expected per year.

    ``every`` is the number of days between steps. For one alarm in ten years and weekly steps:

    >>> round(limit_for(0.1, 7), 3)
    6.257
    """
    return log(365.25 / every / alarms)


def run_cusum(
    observed: Floats,
    expected: Floats,
    ratio: float,
    limit: float,
    *,
    dispersion: float = 1.0,
    max_step: float = np.inf,
    renewed: Bools | None = None,
) -> Cusum:
    """Accumulate the evidence that ``expected`` is now multiplied by ``ratio``.

    ``dispersion`` is the variance of the counts over that of Poisson counts; no single step adds
    more than ``max_step``. A change that was found ends where ``renewed`` (steps,) is true, as with
    a new model.

    >>> found = run_cusum(np.array([1., 4, 4, 4]), np.ones(4), 2.0, limit=3.0)
    >>> found.level.round(2).tolist(), found.found.tolist(), int(found.since[-1])
    ([0.0, 1.77, 3.0, 3.0], [False, False, True, True], 1)
    """
    steps = (observed * log(ratio) - expected * (ratio - 1)) / dispersion
    steps = np.minimum(steps, max_step)
    level, since, found = np.zeros(len(steps)), np.zeros(len(steps), dtype=np.int64), False
    now, begun, flags = 0.0, 0, np.zeros(len(steps), dtype=bool)
    for at, step in enumerate(steps.tolist()):
        if found and renewed is not None and renewed[at]:
            now, begun, found = 0.0, at, False
        now = min(max(now + step, 0.0), limit)
        if now == 0:
            begun, found = at + 1, False
        found = found or now >= limit
        level[at], since[at], flags[at] = now, begun, found
    return Cusum(level, since, flags)


def moving_sums(values: Floats, over: int) -> Floats:
    """Return the sums of ``over`` consecutive values, the first one complete.

    >>> moving_sums(np.array([1., 2, 3, 4]), 2).tolist()
    [3.0, 5.0, 7.0]
    """
    total = np.concatenate(([0.0], np.cumsum(values)))
    return total[over:] - total[:-over] if len(values) >= over else np.zeros(0)


@dataclass(frozen=True)
class LastingChange:
    """The result of a CUSUM for one series of counts, on one day.

    ``level`` is the evidence so far for a change of the expectation by the factor ``reference``;
    the change is ``found`` from ``limit`` on. ``observed`` and ``expected`` are counted since
    ``since``, when the current rise of the evidence began. A change by the reference is found after
    ``detected_after`` weeks on average; None if that was not computed.
    """

    kind: Literal["churn", "feed_loss"]
    subject: str
    reference: float
    level: float
    limit: float
    found: bool
    since: date
    observed: float
    expected: float
    detected_after: int | None = None

    @property
    def ratio(self) -> float:
        """Observed over expected since ``since``; NaN if nothing was expected."""
        return self.observed / self.expected if self.expected else float("nan")

    def __str__(self) -> str:
        if self.kind == "feed_loss":
            return (
                f"{self.subject}: {share_text(self.ratio)} of the usual records per active account"
                f" since {self.since}"
            )
        return (
            f"since {self.since}, {self.observed:,.0f} accounts ended where {self.expected:,.1f}"
            " were expected"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary, ready for JSON."""
        return {**asdict(self), "since": self.since.isoformat()}


REFERENCES = (("more than expected", 2.0), ("fewer than expected", 0.5))
"""Changes that the CUSUM is designed to detect: churn that doubles, or halves."""
MAX_DAYS = 30
"""Maximum number of days after a run that are counted; fewer if the next run is earlier."""
MIN_ACTIVE = 1e-9
"""Lower limit of probabilities of being active, before their logarithms are taken."""


def churn_changes(
    scores: pd.DataFrame, outcomes: Outcomes, alarms: float
) -> tuple[LastingChange, ...]:
    """Return whether persistently more, or fewer, accounts end than the scores predicted.

    At most ``alarms`` false alarms are expected per year, by the bound of `limit_for`. Returns
    nothing if no day after a run has passed yet.
    """
    runs = count_churn(scores, outcomes)
    if not len(runs):
        return ()
    limit = limit_for(alarms / len(REFERENCES), float(runs["days"].median()))
    return assess_churn(runs, accounts_a_customer(outcomes.frame), limit)


def count_churn(scores: pd.DataFrame, outcomes: Outcomes) -> pd.DataFrame:
    """Return the expected number of ends of each run, and those known before the next run.

    Columns: snapshot_on, model_version, ``days`` counted (up to 30), expected, observed. Ends from
    all causes count, since still_active_…d includes all.

    Notes
    -----
    Scores predict the end of contracts, which notice makes known earlier: hardly any account
    without notice ends in the next 30 days. Once the time from notice to end has passed, as many
    accounts end per day as become known. The expected rate of an account is therefore that of its
    ends in the second half of the horizon.
    """
    keys = ["account_id", "snapshot_on"]
    rate = scores[[*keys, "model_version"]].assign(rate=_rate_a_day(scores)).dropna()
    rows = rate.merge(outcomes.frame[[*keys, "known_on"]], on=keys, how="inner")
    runs = pd.DataFrame({"snapshot_on": np.sort(rows["snapshot_on"].unique())})
    until = [*runs["snapshot_on"].iloc[1:], pd.Timestamp(outcomes.as_of_date)]
    gap = (pd.Series(until, dtype="datetime64[ns]") - runs["snapshot_on"]).dt.days
    runs["days"] = gap.clip(upper=MAX_DAYS).to_numpy()
    rows = rows.merge(runs[runs["days"] > 0], on="snapshot_on")
    ahead = (rows["known_on"] - rows["snapshot_on"]).dt.days
    expected = 1 - np.exp(-rows["rate"] * rows["days"])
    rows = rows.assign(expected=expected, observed=(ahead >= 0) & (ahead < rows["days"]))
    how = {"model_version": "first", "days": "first", "expected": "sum", "observed": "sum"}
    return rows.groupby("snapshot_on", as_index=False)[list(how)].agg(how)


def _rate_a_day(scores: pd.DataFrame) -> NDArray[np.float64]:
    """Return the rate of ends per day of each account in the second half of the horizon."""
    columns = active_columns(scores)
    horizon = max(columns)
    middle = max((days for days in columns if days <= horizon / 2), default=0)
    active = {days: scores[name].to_numpy(dtype=float) for days, name in columns.items()}
    active[0] = np.ones(len(scores))
    begin, end = (np.maximum(active[days], MIN_ACTIVE) for days in (middle, horizon))
    rate: NDArray[np.float64] = np.maximum(np.log(begin / end), 0.0) / (horizon - middle)
    return rate


def assess_churn(
    runs: pd.DataFrame, accounts_a_customer: float, limit: float
) -> tuple[LastingChange, ...]:
    """Return whether there are persistently more, or fewer, ends than the runs expected.

    Parameters
    ----------
    runs : DataFrame
        As returned by `count_churn`. A new model ends a change that was found.
    accounts_a_customer : float
        Overdispersion of the counts, since accounts of one customer end together.
    limit : float
        Limit of the CUSUM, from `limit_for`.
    """
    observed, expected = (runs[name].to_numpy(dtype=float) for name in ("observed", "expected"))
    versions = runs["model_version"].to_numpy()
    renewed = np.append(False, versions[1:] != versions[:-1])
    changes = []
    for subject, ratio in REFERENCES:
        found = run_cusum(
            observed, expected, ratio, limit, dispersion=accounts_a_customer, renewed=renewed
        )
        at = int(found.since[-1])
        day = runs["snapshot_on"].iloc[min(at, len(runs) - 1)].date()
        changes.append(
            LastingChange(
                "churn", subject, ratio, float(found.level[-1]), limit, bool(found.found[-1]),
                day, float(observed[at:].sum()), float(expected[at:].sum()),
            )
        )  # fmt: skip
    return tuple(changes)


def accounts_a_customer(rows: pd.DataFrame) -> float:
    """Return the mean number of accounts of an account's customer: Σ n² / Σ n over customers.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"account_id": ["1", "2", "3", "3"], "customer": list("abbb")})
    >>> accounts_a_customer(rows)
    1.6666666666666667
    """
    sizes = rows.groupby("customer")["account_id"].nunique().to_numpy(dtype=float)
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0


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
    delays = {over: _delay(over, rate, one, limit) for over, one in dispersions.items()}
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
