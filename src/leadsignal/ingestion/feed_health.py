"""Feed health: whether the records of a table still arrive at their usual rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from math import expm1, log
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadsignal.formats import count_of, share_text
from leadsignal.ingestion.check_report import CheckedRows, DataWarning, message, warning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from leadsignal.ingestion.check_report import Loaded

    Floats = NDArray[np.float64]

TRAILING, WIDER, FEW = 84, 168, 30
"""Length in days of the window whose mean, by weekday, is the expected count of the day after it.
Before a silence, the wider window is used as well if the first has fewer than ``FEW`` records."""
SETTLING = 28
"""Number of days at the start of a table for which no records are expected."""
MIN_DAYS, MIN_DAYS_WITH_ROWS = 91, 20
"""Minimum age of a table in days, and minimum number of days with records, for a usual rate."""
RECENT, MIN_SILENT = 400, 3
"""Window in days of the past silences to compare with, and the shortest silence in days that may be
unusual: loads often come a day or two late."""
YEAR, AROUND = 364, 10
"""Days back to the same season of the previous year, and the tolerance in days."""
MUCH_LONGER, LONGER = 1.5, 1.15
"""A silence is unusual if it exceeds the longest usual one by the first factor, or by the second
factor plus the bound for chance."""
WAVE, MIN_WAVES, MAX_WAVES, REGULAR = 6, 6, 24, 1.35
"""Records come in waves if silences of at least ``WAVE`` days separate them. Waves are regular if
the last ``MIN_WAVES`` to ``MAX_WAVES`` silences predict the next within ``REGULAR`` times their
mean."""
SLOWER = 5
"""Multiple of its usual gap after which a table too young to have a usual rate is silent."""
FEEDS = 0.25
"""Share of all permitted false alarms that is allotted to feeds."""
MAX_SILENT = 800
"""Longest silence in days that `detected_after` tries."""
THIN_DAYS, THIN_RECORDS, THINNER = 14, 20, 0.5
"""A feed is thin if, in this number of days with at least this number of expected records, the
share received is below this fraction of the past minimum."""

State = Literal["on time", "silent", "thin", "empty", "missing", "ended", "too young"]


@dataclass(frozen=True)
class FeedHealth:
    """Whether the records of a table arrive as usual, on one day.

    No record has arrived for ``silent_days``, in which ``expected`` records would be usual;
    ``bound`` is the number of missing records from which a feed counts as broken. ``share`` is
    the number of records of the last 14 days over the expected number. A silence is detected
    once it is ``detected_after`` days long; None if this is unknown. ``usual_days`` is the 95 %
    quantile of the gaps between days with records. ``stopped`` says whether the table has fallen
    silent, judged by its usual rate, or by its usual gap if it is too young to have a rate.
    """

    table: str
    state: State
    last_record: date | None = None
    silent_days: int = 0
    expected: float = 0.0
    bound: float = float("nan")
    share: float = float("nan")
    detected_after: int | None = None
    days_with_records: int = 0
    usual_days: int | None = None
    stopped: bool = False

    @property
    def settled(self) -> bool:
        """Whether the table has enough days with records for its indicators to be stable."""
        return self.state != "too young" and self.days_with_records >= MIN_DAYS_WITH_ROWS

    @property
    def broken(self) -> bool:
        """Whether the feed fails, rather than having a quiet week."""
        return self.stopped or self.state in ("thin", "empty", "missing")

    def __str__(self) -> str:
        if self.stopped:
            return (
                f"no {self.table} since {self.last_record:%A %Y-%m-%d}: {self.silent_days} days"
                f" in which {self.expected:,.0f} records would be usual"
            )
        if self.state == "thin":
            return (
                f"{self.table}: {share_text(self.share)} of the records usual in {THIN_DAYS} days"
            )
        return f"{self.table}: {self.state}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary, ready for JSON."""
        last = None if self.last_record is None else self.last_record.isoformat()
        numbers = {
            name: None if np.isnan(value) else round(value, 3)
            for name, value in (
                ("expected", self.expected), ("bound", self.bound), ("share", self.share)
            )
        }  # fmt: skip
        return {**asdict(self), **numbers, "last_record": last, "broken": self.broken}


def chance_of_silence(tables: int, *, false_alarms: float = 1.0, every: int = 7) -> float:
    """Return the probability at which a silence of independent records counts as broken.

    ``false_alarms`` is the permitted mean number of false alarms a year, a quarter of them for
    feeds; runs are ``every`` days apart and check ``tables`` tables of events.

    >>> round(chance_of_silence(10), 5)
    0.00048
    """
    return FEEDS * false_alarms * every / 365.25 / max(tables, 1)


def daily_counts(rows: Sequence[tuple[date, int]], as_of: date) -> tuple[date | None, Floats]:
    """Return the first day with records, and the daily number of records from it to ``as_of``.

    ``rows`` are pairs of day and count, in order of time; ``as_of`` itself is not included.
    """
    if not rows:
        return None, np.zeros(0)
    first = rows[0][0]
    counts = np.zeros((as_of - first).days)
    for day, count in rows:
        counts[(day - first).days] = count
    return first, counts


def lateness(table: str, last_record: date | None, usual_days: int | None) -> str:
    """Return the beginning of a sentence on a table that has stopped."""
    return (
        f"{table} is late: its last record is of {last_record}, usually they follow"
        f" within {usual_days} days"
    )


def assess_feed(table: str, first: date, counts: Floats, chance: float) -> FeedHealth:
    """Return the feed health of a table after the last of its days.

    A silence is measured in expected records, from the mean of the days before it and the weekday.
    The feed is silent if all of the following hold. The silence exceeds what independent records
    reach with probability ``chance``. It exceeds the usual silence by half, or by 15 % plus that
    bound; usual is the second longest silence so far (the longest may have been an outage), or the
    longest in the same season a year before. It is longer in days than all but one silence of the
    last year, since a growing rate raises the expected records of a month but not its days.
    A feed with regular waves is silent once the next wave is overdue. A table too young to have a
    usual rate is silent after 5 times the 95 % quantile of its gaps, and at least 14 days.
    """
    days = np.flatnonzero(counts)
    if not len(days):
        return FeedHealth(table, "empty")
    return replace(_assess(table, first, counts, days, chance), usual_days=_usual_days(days))


def _assess(
    table: str, first: date, counts: Floats, days: NDArray[np.int64], chance: float
) -> FeedHealth:
    last, silent = first + timedelta(days=int(days[-1])), len(counts) - 1 - int(days[-1])
    due = _wave_due(days, len(counts), chance)
    few = len(days) < MIN_DAYS_WITH_ROWS and due == np.inf
    if len(counts) < MIN_DAYS or few:
        due_since = float(counts.sum()) / (int(days[-1]) + 1) * silent
        odd = _is_odd(days, silent)
        return FeedHealth(
            table, "too young", last, silent, due_since, days_with_records=len(days), stopped=odd
        )
    expected = _expected(first, counts)
    gaps, records = _silences(first, counts, days)
    now, usual = float(gaps[-1]), _longest(days, gaps[:-1], len(counts))
    chancy = _chancy(records, chance)
    bound = max(chancy, min(MUCH_LONGER * usual, LONGER * usual + chancy))
    share, least = _thinness(counts, expected)
    state: State = "on time"
    if silent > _longest_in_days(days) and (now > bound or silent > due):
        state = "silent"
    elif share < THINNER * least and silent < THIN_DAYS:
        state = "thin"
    return FeedHealth(
        table, state, last, silent, now, bound, share,
        days_with_records=len(days), stopped=state == "silent",
    )  # fmt: skip


def _usual_days(days: NDArray[np.int64]) -> int | None:
    """Return the 95 % quantile of the gaps between days with records; None for one day."""
    gaps = np.sort(np.diff(days))
    return int(gaps[int(np.ceil(0.95 * len(gaps))) - 1]) if len(gaps) else None


def _is_odd(days: NDArray[np.int64], silent: int) -> bool:
    """Return whether a table with 5 days of records but no usual rate is silent too long."""
    usual = _usual_days(days)
    if usual is None or len(days) < 5:
        return False
    return silent >= THIN_DAYS and silent > SLOWER * usual


def detected_after(first: date, counts: Floats, chance: float) -> int | None:
    """Return after how many days without records a stop of the feed is detected.

    A stop is detected only once enough records are missing. None if the table has no usual rate.
    """
    days = np.flatnonzero(counts)
    if not len(days):
        return None
    upto = counts[: int(days[-1]) + 1]

    def is_reported(silent: int) -> bool:
        return assess_feed("", first, np.concatenate([upto, np.zeros(silent)]), chance).broken

    short, long = 0, MAX_SILENT
    if assess_feed("", first, counts, chance).state == "too young" or not is_reported(long):
        return None
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (short, middle) if is_reported(middle) else (middle, long)
    return long


def _chancy(records: float, chance: float) -> float:
    """Return the expected number of records in a silence that has probability ``chance``.

    The rate is estimated from ``records`` records, so the number of missing ones is
    gamma-Poisson; for many records the result tends to log(1 / ``chance``).
    """
    records = max(records, 1.0)
    return float(records * expm1(-log(chance) / records))


def _wave_due(days: NDArray[np.int64], length: int, chance: float) -> float:
    """Return after how many silent days the next regular wave is overdue; infinite without waves.

    This is the upper bound of Student's prediction interval for the next silence. The longest
    silence is left out if it exceeds the bound of the others (an outage), unless it was in the
    same season a year before.
    """
    from scipy.special import stdtrit

    silences = np.diff(days) - 1
    if len(silences) < MIN_WAVES:
        return np.inf
    between = silences[silences >= max(WAVE, np.sort(silences)[-2] / 2)][-MAX_WAVES:].astype(float)
    if len(between) < MIN_WAVES:
        return np.inf

    def bound(past: Floats) -> float:
        spread = max(float(past.std(ddof=1)), 1.0) * np.sqrt(1 + 1 / len(past))
        return float(past.mean() + stdtrit(len(past) - 1, 1 - chance) * spread)

    rest = np.sort(between)[:-1]
    due = bound(rest) if between.max() > bound(rest) else bound(between)
    if due > REGULAR * float(rest.mean()):
        return np.inf
    return max(due, float(_in_season(days, silences.astype(float), length)))


def _by_weekday(first: date, counts: Floats) -> Floats:
    """Return the relative frequency of the weekday of each day, with mean 1."""
    weekday = (first.weekday() + np.arange(len(counts))) % 7
    by_weekday = np.bincount(weekday, weights=counts, minlength=7)
    seen = np.bincount(weekday, minlength=7)
    mean_of_weekday = by_weekday / np.maximum(seen, 1)
    relative: Floats = mean_of_weekday / max(float(mean_of_weekday.mean()), 1e-12)
    return relative[weekday]


def _expected(first: date, counts: Floats) -> Floats:
    """Return the expected count of each day: the trailing mean times that of the weekday."""
    total = np.concatenate(([0.0], np.cumsum(counts)))
    at = np.arange(len(counts))
    begin = np.maximum(at - TRAILING, 0)
    mean = (total[at] - total[begin]) / np.maximum(at - begin, 1)
    expected: Floats = np.where(at < SETTLING, 0.0, mean) * _by_weekday(first, counts)
    return expected


def _silences(first: date, counts: Floats, days: NDArray[np.int64]) -> tuple[Floats, float]:
    """Return the expected records in each silence, and the records behind the last rate.

    A silence runs from one day with records to the next; the last is the present one. The rate is
    the mean of the days before the silence, so that the silence does not lower it. Where records
    are few, it is the lower of two means.
    """
    total = np.concatenate(([0.0], np.cumsum(counts)))
    records, mean = np.zeros(len(days)), np.full(len(days), np.inf)
    for trailing in (TRAILING, WIDER):
        begin = np.maximum(days - trailing, 0)
        came = total[days] - total[begin]
        lower = np.minimum(mean, came / np.maximum(days - begin, 1))
        few = records < FEW
        mean, records = np.where(few, lower, mean), np.where(few, came, records)
    mean[days < SETTLING] = 0.0
    share = np.concatenate(([0.0], np.cumsum(_by_weekday(first, counts))))
    until = np.append(days[1:], len(counts))
    gaps: Floats = mean * (share[until] - share[days + 1])
    return gaps, float(records[-1])


def _longest(days: NDArray[np.int64], gaps: Floats, length: int) -> float:
    """Return the longest usual silence of the table's past, in expected records."""
    if len(gaps) < 2:
        return 0.0
    return max(float(np.sort(gaps)[-2]), _in_season(days, gaps, length))


def _in_season(days: NDArray[np.int64], gaps: Floats, length: int) -> float:
    """Return the longest of the silences in this season a year before; 0 where there was none."""
    begun, over = days[:-1] + YEAR, days[1:] + YEAR
    season = gaps[(over >= int(days[-1]) - AROUND) & (begun <= length + AROUND)]
    return float(season.max()) if len(season) else 0.0


def _longest_in_days(days: NDArray[np.int64]) -> int:
    recent = days[days > int(days[-1]) - RECENT]
    gaps = np.sort(np.diff(recent) - 1)
    return max(int(gaps[-2]) if len(gaps) > 1 else 0, MIN_SILENT - 1)


def _thinness(counts: Floats, expected: Floats) -> tuple[float, float]:
    """Return the share of the expected records in the last 14 days, and its usual minimum.

    The minimum leaves out one outage of two weeks, and includes the same season a year before.
    """
    came = np.convolve(counts, np.ones(THIN_DAYS), "valid")
    due = np.convolve(expected, np.ones(THIN_DAYS), "valid")
    settled = np.arange(len(due)) >= SETTLING
    if not settled[-1] or due[-1] < THIN_RECORDS:
        return float("nan"), float("nan")
    share = came / np.maximum(due, 1e-12)
    fine = settled & (due >= THIN_RECORDS)
    past = np.sort(share[: -2 * THIN_DAYS][fine[: -2 * THIN_DAYS]])
    if len(past) <= 2 * THIN_DAYS:
        return float(share[-1]), float("nan")
    year = len(share) - 1 - YEAR
    season = share[max(year - AROUND, 0) : max(year + AROUND + 1, 0)]
    return float(share[-1]), float(min((past[2 * THIN_DAYS], *season)))


OLD = 365
"""Days without a record above which a table is old, if it covers a shorter time than that."""


def late_rows(rows: CheckedRows, loaded: Loaded) -> Iterator[DataWarning]:
    """Warn if a table is old, or has fallen silent by the rule of monitoring and scoring."""
    name = loaded.table.name
    source = rows.project.tables.get(name)
    if source and source.complete_through:
        return
    first, health = _health(
        rows, name, f"SELECT CAST({loaded.known_on} AS DATE) AS day FROM {name}"
    )
    if first is None or health is None or health.last_record is None:
        return
    as_of, last = rows.as_of_date, health.last_record
    silent = (as_of - last).days
    if health.stopped:
        usual = count_of(health.usual_days or 0, "day")
        problem = f"usually they follow within {usual}"
    elif silent > max(OLD, (last - first).days):
        problem = "the table is much older than the others"
    else:
        return
    said = {"last": last, "silent": silent, "as_of": as_of, "problem": problem}
    yield warning("feed_stopped", name, loaded.table.time, **said)


def old_accounts(rows: CheckedRows) -> Iterator[DataWarning]:
    """Warn if the latest starts and ends of accounts are much older than the events."""
    columns = rows.loaded["accounts"].columns
    dates = [name for name in ("started_on", "ended_on") if name in columns]
    days = " UNION ALL ".join(f"SELECT {name} AS day FROM accounts" for name in dates)
    _, health = _health(rows, "accounts", days)
    if len(rows.loaded) == 1 or health is None or not health.stopped or not health.last_record:
        return
    as_of, last = rows.as_of_date, health.last_record
    silent, later = (as_of - last).days, last + timedelta(days=1)
    said = message("old_accounts", last=last, silent=silent, as_of=as_of, next=later)
    yield DataWarning("feed_stopped", "accounts", said, "started_on")


def _health(rows: CheckedRows, name: str, days: str) -> tuple[date | None, FeedHealth | None]:
    """Return the first of the days (SQL) with records, and the health of a feed with them."""
    counted = rows.store.query(
        f"SELECT day, count(*) FROM ({days}) WHERE {rows.before('day')} GROUP BY day ORDER BY day"
    )
    first, counts = daily_counts(counted, rows.as_of_date)
    if first is None:
        return None, None
    return first, assess_feed(name, first, counts, chance_of_silence(len(rows.loaded) - 1))
