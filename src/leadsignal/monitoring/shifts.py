"""Shifts of levels by run beyond those of the past; feeds that fall silent or lose records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, log
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from leadsignal.ingestion.feed_health import (
    FeedHealth,
)
from leadsignal.monitoring.realised import LastingChange, limit_for, run_cusum
from leadsignal.scoring.feeds import daily_records, feed_health
from leadsignal.tables import Tables

if TYPE_CHECKING:
    pass

Floats = NDArray[np.float64]


LAGS = (1, 4, 13)
"""Numbers of runs over which changes are computed: a week, a month and a quarter of weekly runs."""
MIN_PAST, MIN_CHANGES = 26, 8
"""Minimum number of past changes of a level, and of those that do not overlap, to assess it."""
MEMORY = 104
"""Maximum number of past changes that are used."""
MIN_KNOWN = 20
"""Minimum number of known values of a level."""
KNOWN_APART = 0.1
"""Maximum difference in the share of known values at which levels are compared."""
MIN_SPREAD, MIN_SHARE_SPREAD = 0.05, 0.2
"""Lower limits of the standard deviations of ranks and of shares by which changes are scaled."""
MAX_LEVELS = 10
YEAR_DAYS, AROUND_RUNS = 364, 3
LARGER = 1.25
"""Factor by which a change must exceed earlier ones."""

Kind = Literal["level", "missing", "share"]


@dataclass(frozen=True)
class Series:
    """What is monitored: the level of an ``indicator``, its missing values, or one ``value``."""

    indicator: str
    kind: Kind = "level"
    value: str = ""

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"missing values of {self.indicator}"
        return f"{self.indicator} = {self.value}" if self.kind == "share" else self.indicator


@dataclass(frozen=True, eq=False)
class Levels:
    """Levels of series (rows) at runs (columns), in standard deviations; NaN where unknown.

    ``known`` (series, runs) is the share of accounts whose value is known; ``era`` (runs) numbers
    consecutive runs of one model: levels of different eras are not compared. ``every`` is in days.
    """

    series: tuple[Series, ...]
    days: tuple[Any, ...]
    level: Floats
    known: Floats
    every: int
    era: NDArray[np.int64]

    def changes(self, lag: int, upto: int) -> Floats:
        """Return the changes over ``lag`` runs that end at each run from ``lag`` to ``upto``."""
        now, then = self.level[:, lag : upto + 1], self.level[:, : upto + 1 - lag]
        change = now - then
        known = self.known[:, lag : upto + 1] - self.known[:, : upto + 1 - lag]
        levels = np.array([one.kind == "level" for one in self.series])[:, None]
        change[levels & (np.abs(known) > KNOWN_APART)] = np.nan
        change[:, self.era[lag : upto + 1] != self.era[: upto + 1 - lag]] = np.nan
        return change


@dataclass(frozen=True)
class Shift:
    """One series whose change over ``lag`` runs is beyond its past.

    ``change``, the ``usual`` change in the past, and ``tolerance``, the allowed difference between
    the two, are in standard deviations between accounts.
    """

    series: Series
    lag: int
    change: float
    usual: float
    tolerance: float

    @property
    def beyond(self) -> float:
        """Factor by which the tolerance is exceeded."""
        return abs(self.change - self.usual) / self.tolerance


@dataclass(frozen=True, eq=False)
class RatedShift:
    """The shifts at one run, the clearest first.

    For each series: whether it was ``judged`` (assessed), its ``change`` since the last run minus
    the usual one, and the ``tolerance`` that this has to exceed to be found.
    """

    shifts: tuple[Shift, ...]
    assessed: NDArray[np.bool_]
    change: Floats
    tolerance: Floats


def levels_of(
    rows: pd.DataFrame, names: Sequence[str], every: int, eras: Mapping[Any, Any] | None = None
) -> Levels:
    """Return the levels of ``names`` at each snapshot_on of the rows.

    The level of a number is the mean rank of its accounts among all rows, which is robust to
    outliers; a category has as levels the shares of its most frequent values. Missing values have a
    series of their own. ``eras`` maps each day to the model that scored it.
    """
    days, run = np.unique(rows["snapshot_on"].to_numpy(), return_inverse=True)
    found = [part for name in names for part in _levels(rows[name], run, len(days))]
    era = np.zeros(len(days), dtype=np.int64)
    if eras is not None:
        era = np.unique([str(eras[day]) for day in days], return_inverse=True)[1].astype(np.int64)
    empty = np.zeros((0, len(days)))
    series, level, known = zip(*found, strict=True) if found else ((), empty, empty)
    return Levels(tuple(series), tuple(days), np.array(level), np.array(known), every, era)


def _levels(
    values: pd.Series[Any], run: NDArray[np.int64], runs: int
) -> list[tuple[Series, Floats, Floats]]:
    name = str(values.name)
    missing = values.isna().to_numpy(dtype=bool)
    size = np.maximum(np.bincount(run, minlength=runs), 1)
    known = np.bincount(run[~missing], minlength=runs)
    share_known: Floats = known / size
    found = [(Series(name, "missing"), _of_share(1 - share_known, missing), share_known)]
    if missing.all():
        return found
    visible = np.where(known >= MIN_KNOWN, 1.0, np.nan)
    numeric, boolean = pd.api.types.is_numeric_dtype(values), pd.api.types.is_bool_dtype(values)
    if numeric or boolean:
        ranks, spread = _ranks(values[~missing].to_numpy(dtype=float))
        sums = np.bincount(run[~missing], weights=ranks, minlength=runs)
        level = visible * sums / np.maximum(known, 1) / spread
        return [*found, (Series(name), level, share_known)]
    for value in values.value_counts().index[:MAX_LEVELS]:
        mine = (values == value).fillna(False).to_numpy(dtype=bool)
        share = np.bincount(run[mine], minlength=runs) / np.maximum(known, 1)
        level = visible * _of_share(share, mine)
        found.append((Series(name, "share", str(value)), level, share_known))
    return found


def _of_share(share: Floats, mine: NDArray[np.bool_]) -> Floats:
    p = float(mine.mean())
    return share / max(float(np.sqrt(p * (1 - p))), MIN_SHARE_SPREAD)


def _ranks(values: Floats) -> tuple[Floats, float]:
    """Return middle ranks between 0 and 1, and their standard deviation."""
    ordered = np.sort(values)
    below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    ranks: Floats = (below + upto) / (2 * len(values))
    return ranks, max(float(ranks.std()), MIN_SPREAD)


def find_shifts(
    levels: Levels, at: int, *, alarms: float, least: float, rooms: int | None = None
) -> RatedShift:
    """Return which series have shifted at run number ``at``, from the runs up to it.

    A change is compared with the past changes over the same number of runs, up to the run at which
    it began; if the level varies with the month or the quarter, only with those of the same phase.
    The test is Student's t, with one degree of freedom for each non-overlapping past change, or
    fewer if the past has heavy tails. It is Bonferroni-corrected over ``rooms`` (default: all)
    series and lags, so that at most ``alarms`` false ones are expected per run under any
    dependence. A change must also be larger than ``least`` standard deviations, and larger by a
    quarter than any seen twice (once may have been a fault), or in the same season a year ago.
    """
    chance = alarms / max((rooms or len(levels.series)) * len(LAGS), 1)
    best: dict[int, Shift] = {}
    assessed = np.zeros(len(levels.series), dtype=bool)
    values = np.full((2, len(levels.series)), np.nan)
    for lag in LAGS:
        if at < 2 * lag:
            continue
        past = _Past.of(levels, lag, at, chance)
        tolerance = np.maximum(least, np.maximum(past.limit * past.spread, past.ceiling))
        assessed |= ~np.isnan(past.limit)
        if lag == LAGS[0]:
            values = np.array([past.now - past.usual, tolerance])
        for row in np.flatnonzero(np.abs(past.now - past.usual) > tolerance).tolist():
            if levels.series[row].kind == "missing" and past.now[row] < 0:
                continue
            numbers = (float(one[row]) for one in (past.now, past.usual, tolerance))
            shift = Shift(levels.series[row], lag, *numbers)
            if row not in best or shift.beyond > best[row].beyond:
                best[row] = shift
    found = sorted(best.values(), key=lambda one: (-one.beyond, str(one.series)))
    return RatedShift(tuple(found), assessed, values[0], values[1])


@dataclass(frozen=True, eq=False)
class _Past:
    """For each series: the change ``now``, the ``usual`` change, its ``spread`` and its bounds."""

    now: Floats
    usual: Floats
    spread: Floats
    limit: Floats
    ceiling: Floats

    @classmethod
    def of(cls, levels: Levels, lag: int, at: int, chance: float) -> _Past:
        change = levels.changes(lag, at)
        now, past = change[:, -1], change[:, :-lag]
        compared = find_comparable(levels.days[lag : at + 1], past, lag, levels.every, MEMORY)
        known = compared.among & ~np.isnan(past)
        count = known.sum(axis=1)
        free = count / compared.overlap
        filled = np.where(known, past, 0.0)
        usual = filled.sum(axis=1) / np.maximum(count, 1)
        squares = np.where(known, (filled - usual[:, None]) ** 2, 0.0).sum(axis=1)
        spread = np.sqrt(squares / np.maximum(count - 1, 1) * (1 + 1 / np.maximum(free, 1)))
        enough = ((count >= MIN_PAST) | compared.by_phase) & (free >= MIN_CHANGES)
        overlap = np.ceil(compared.overlap).astype(int)
        apart = np.where(known, filled - usual[:, None], np.nan)
        degrees = np.minimum(free - 1, _tail(apart, overlap))
        limit = np.full(len(degrees), np.nan)
        enough &= ~np.isnan(now)
        limit[enough] = stdtrit(degrees[enough], 1 - chance / 2)
        sign = np.sign(now - usual)[:, None]
        seen = compared.around & ~np.isnan(past)
        beyond = np.where(seen, (past - usual[:, None]) * sign, 0.0)
        # Overlapping changes share the same event.
        place = np.maximum(beyond.shape[1] - 1 - overlap, 0)[:, None]
        ceiling = np.take_along_axis(np.sort(beyond, axis=1), place, axis=1)[:, 0]
        year = change.shape[1] - 1 - round(YEAR_DAYS / levels.every)
        season = slice(max(year - AROUND_RUNS, 0), max(year + AROUND_RUNS + 1, 0))
        if beyond[:, season].shape[1]:
            ceiling = np.maximum(ceiling, beyond[:, season].max(axis=1))
        return cls(now, usual, spread, limit, LARGER * ceiling)


def _tail(apart: Floats, overlap: NDArray[np.int64]) -> Floats:
    """Return the degrees of freedom at which Student's t has the tails of past changes.

    By the method of moments: the excess kurtosis is 6 / (degrees - 4). The largest change and those
    that overlap it are left out, since a single past shift is not typical.
    """
    size = np.sort(np.abs(np.nan_to_num(apart)), axis=1)
    size[np.arange(size.shape[1]) >= size.shape[1] - overlap[:, None]] = 0.0
    count = np.maximum((~np.isnan(apart)).sum(axis=1) - overlap, 1)
    second, fourth = ((size**power).sum(axis=1) / count for power in (2, 4))
    excess = fourth / np.maximum(second**2, 1e-24) - 3
    tail: Floats = 4 + 6 / np.maximum(excess, 0.05)
    return tail


# Comparable days


CYCLES = ((1, 1.6), (3, 3.5))
"""Length of each cycle in months, and number of days within which phases count as the same."""
MONTH_DAYS = 365.2425 / 12
EXPLAINED, LONGER_EXPLAINED = 0.75, 0.5
"""A level varies with a cycle if its phase leaves less than the first share of the sum of squared
changes unexplained (by chance it leaves all of it); a longer cycle must leave less than the second
share of what the shorter one leaves."""
MIN_ALIKE = 3
"""Minimum number of other changes of the same phase for a change to be used."""


@dataclass(frozen=True, eq=False)
class Comparable:
    """The past changes with which the current one is compared.

    ``among`` (series, past changes) selects them. ``around`` selects those within twice the
    distance in phase, which the change must exceed too, since a fall at the end of a month may come
    a day earlier. ``overlap`` (series) is the number that share a run. ``by_phase`` (series) tells
    whether only changes of the same phase are used.
    """

    among: NDArray[np.bool_]
    around: NDArray[np.bool_]
    overlap: Floats
    by_phase: NDArray[np.bool_]


def find_comparable(
    days: Sequence[Any], past: Floats, lag: int, every: int, memory: int
) -> Comparable:
    """Return the past changes that the change ending on the last of ``days`` is compared with.

    ``past`` (series, changes) are the changes over ``lag`` runs that end on the earlier days, NaN
    if unknown. The last ``memory`` changes are used, or all changes of the same phase.
    """
    series, count = past.shape
    among = np.zeros(past.shape, dtype=bool)
    among[:, -memory:] = True
    around = among.copy()
    overlap = np.full(series, float(lag))
    known = ~np.isnan(past)
    left = np.ones(series)
    for months, within in CYCLES:
        alike = _alike(days, months, within)
        unexplained = _unexplained(past, known, alike[:count, :count])
        mine = unexplained < np.where(left < 1, LONGER_EXPLAINED * left, EXPLAINED)
        among[mine] = alike[-1, :count]
        around[mine] = _alike(days, months, 2 * within)[-1, :count]
        overlap[mine] = max(1.0, lag * every / (months * MONTH_DAYS))
        left = np.where(mine, unexplained, left)
    return Comparable(among, around, overlap, left < 1)


def _alike(days: Sequence[Any], months: int, within: float) -> NDArray[np.bool_]:
    """Return which pairs of days have the same phase of a cycle of ``months`` months."""
    dates = np.array(days, dtype="datetime64[D]")
    month = dates.astype("datetime64[M]")
    first = month - (month.astype(int) % months)
    begun, over = (one.astype("datetime64[D]") for one in (first, first + months))
    phase = (dates - begun).astype(float) / (over - begun).astype(float)
    apart = np.abs(phase[:, None] - phase)
    near: NDArray[np.bool_] = np.minimum(apart, 1 - apart) * months * MONTH_DAYS <= within
    return near


def _unexplained(past: Floats, known: NDArray[np.bool_], alike: NDArray[np.bool_]) -> Floats:
    """Return the share of each series' squared changes that its phase does not explain.

    Each change is predicted by the mean of the others of its phase.
    """
    others = (alike & ~np.eye(len(alike), dtype=bool)).astype(float)
    filled = np.where(known, past, 0.0)
    comparable = known @ others
    enough = known & (comparable >= MIN_ALIKE)
    mean = filled.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    by_phase = np.where(enough, past - (filled @ others) / np.maximum(comparable, 1), 0.0)
    at_all = np.where(enough, past - mean[:, None], 0.0)
    squares = (at_all**2).sum(axis=1)
    return np.where(
        squares > 0, (by_phase**2).sum(axis=1) / np.where(squares > 0, squares, 1.0), 1.0
    )


def moving_sums(values: Floats, over: int) -> Floats:
    """Return the sums of ``over`` consecutive values, the first one complete.

    >>> moving_sums(np.array([1., 2, 3, 4]), 2).tolist()
    [3.0, 5.0, 7.0]
    """
    total = np.concatenate(([0.0], np.cumsum(values)))
    return total[over:] - total[:-over] if len(values) >= over else np.zeros(0)


LOSS = 0.4
"""Share of records left in a feed: the change that the CUSUM is designed to detect."""


WINDOWS = (1, 4, 13)
"""Weeks whose records are counted together, for weekly, monthly and quarterly feeds."""


MIN_STEPS = 4
"""Weeks that a loss must last to be found, so that holidays are not reported."""


BASE, MIN_BASE, GAP = 52, 26, 26
"""Maximum and minimum number of weeks over which a usual rate is averaged, and the number of weeks
between them and the week compared, so that a recent change does not count as usual."""


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
    healths = [feed_health(tables, name, chance, detection=True) for name in names]
    gone = sorted(set(known) - set(tables.names))
    return (*healths, *(FeedHealth(name, "missing") for name in gone))
